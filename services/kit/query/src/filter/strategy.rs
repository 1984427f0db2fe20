//! How to ask about what rows are linked with.
//!
//! # Theory
//! Neither database can tell how many rows a path lets through. SQLite has no statistics: it would look through every machine in the
//! order of names for the two that have an address, or sort all machines of a zone for the first hundred. PostgreSQL has some of each
//! table, and takes a zone for as good as any other: of 100,000 machines it looked through all in the order of names, in 1.4 s, for the
//! hundred of a zone with one host. So the lists are counted first, step by step from the far end of a path, and never further than [`LIMIT`]:
//! - the machines that a whole filter can be about are few: the statement begins with them ([`Strategy::Drive`]) and sorts them;
//! - the list that the first step looks into is short: it is made once and looked into for each row, which come in order and stop
//!   at the page's end ([`Strategy::List`]);
//! - else, each row asks for itself, and many of them are let through ([`Strategy::Exists`]).
//!
//! Measured on SQLite with 100,000 machines on 1,000 hosts: a row that is begun with costs 2.6 µs (fetched and sorted), one that is looked at
//! with a list 1.6 µs, one that asks for itself over three references 4.9 µs. With matches spread evenly the worst number for a page
//! of 100 is where beginning with the matches and looking at all in order meet: about 4,000 of 100,000.

use std::collections::HashMap;

use gyre_model::Result;
use gyre_store::{Conn, Sql};

use super::compile::Compiler;
use super::parse::{Expression, Restriction};
use crate::view::{Rows, View};

/// How far is counted.
const LIMIT: i64 = 4_000;
/// Most comparisons of one filter that are counted.
const MOST: usize = 16;

/// How a comparison behind references is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Strategy {
    /// By each row.
    #[default]
    Exists,
    /// In a list that is made once.
    List,
    /// In a list that the statement begins with.
    Drive,
}

/// The strategies of a filter's comparisons, by where they stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Strategies(HashMap<usize, Strategy>);

impl Strategies {
    /// The strategy of a comparison.
    pub fn of(&self, restriction: &Restriction) -> Strategy {
        self.0.get(&restriction.at).copied().unwrap_or_default()
    }

    /// Whether none is special.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Finds out how to ask.
struct Counter<'c, 'v> {
    conn: &'c mut Conn,
    view: &'v View,
    rows: &'c Rows<'v>,
    now: i64,
    counted: usize,
    found: HashMap<usize, Strategy>,
}

/// Finds out how to ask a filter's comparisons.
///
/// # Errors
/// The database's.
pub(crate) fn choose<'v>(
    conn: &mut Conn,
    view: &'v View,
    rows: &Rows<'v>,
    expression: &Expression,
    now: i64,
) -> Result<Strategies> {
    let mut counter = Counter { conn, view, rows, now, counted: 0, found: HashMap::new() };
    let measured = counter.measure(expression)?;
    if measured.size.is_some() {
        counter.drive(expression, &measured);
    }
    Ok(Strategies(counter.found))
}

/// How many rows an expression lets through at most, where that is known to be few; and the same of its parts.
struct Measured {
    size: Option<i64>,
    parts: Vec<Measured>,
}

impl Counter<'_, '_> {
    /// Measures an expression. Comparisons that short lists answer are noted on the way.
    fn measure(&mut self, expression: &Expression) -> Result<Measured> {
        let (size, parts) = match expression {
            Expression::Not(_) => (None, Vec::new()),
            Expression::And(all) => {
                let parts = all.iter().map(|one| self.measure(one)).collect::<Result<Vec<_>>>()?;
                (parts.iter().filter_map(|part| part.size).min(), parts)
            }
            Expression::Or(all) => {
                let parts = all.iter().map(|one| self.measure(one)).collect::<Result<Vec<_>>>()?;
                let sum = parts.iter().map(|part| part.size).sum::<Option<i64>>();
                (sum.filter(|sum| *sum <= LIMIT), parts)
            }
            Expression::Compare(restriction) => (self.compare(restriction)?, Vec::new()),
        };
        Ok(Measured { size, parts })
    }

    fn compare(&mut self, restriction: &Restriction) -> Result<Option<i64>> {
        if !restriction.path.contains('.') || self.counted == MOST {
            return Ok(None);
        }
        self.counted += 1;
        let mut compiler = Compiler::new(self.view, 0, self.now);
        let lists = compiler.lists(self.rows, restriction, &format!(" LIMIT {}", LIMIT + 1))?;
        let mut last = None;
        for list in lists {
            let count = self.count(list)?;
            if count > LIMIT {
                return Ok(None);
            }
            last = Some(count);
        }
        let Some(length) = last else { return Ok(None) };
        self.found.insert(restriction.at, Strategy::List);
        self.driven(restriction, length)
    }

    /// How many rows a comparison lets through that a short list answers.
    fn driven(&mut self, restriction: &Restriction, length: i64) -> Result<Option<i64>> {
        let first = restriction.path.split('.').next().unwrap_or_default();
        let edge = gyre_model::catalog().edge(self.rows.table.kind.kind, first);
        let Some(edge) = edge.filter(|edge| edge.forward) else { return Ok(Some(length)) };
        let mut compiler = Compiler::new(self.view, 0, self.now);
        let Some(list) = compiler.lists(self.rows, restriction, "")?.pop() else { return Ok(None) };
        let referring = compiler.one_of(&self.rows.name(edge.reference.field), list);
        let rows = self.rows.select("1", Sql::default(), vec![referring]).sql(format!(" LIMIT {}", LIMIT + 1));
        Ok(Some(self.count(rows)?).filter(|count| *count <= LIMIT))
    }

    fn count(&mut self, list: Sql) -> Result<i64> {
        let sql = Sql::new("SELECT COUNT(*) FROM (").append(list).sql(") counted").once();
        self.conn.query_one(sql)?.map_or(Ok(0), |row| row.int(0))
    }

    /// Lets the statement begin with what is few: one of what must be, all of what may be.
    fn drive(&mut self, expression: &Expression, measured: &Measured) {
        match expression {
            Expression::Not(_) => {}
            Expression::Or(all) => {
                for (one, part) in all.iter().zip(&measured.parts) {
                    self.drive(one, part);
                }
            }
            Expression::And(all) => {
                let few = all.iter().zip(&measured.parts).filter(|(_, part)| part.size.is_some());
                if let Some((one, part)) = few.min_by_key(|(_, part)| part.size) {
                    self.drive(one, part);
                }
            }
            Expression::Compare(restriction) => {
                self.found.insert(restriction.at, Strategy::Drive);
            }
        }
    }
}
