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
//! To name the few is not enough on PostgreSQL. `host_uuid = ANY (ARRAY(…))` is for it a list of ten hosts with as many machines as the
//! average host has: of 1,000,000 machines 10,000, among which it finds a page of 100 soonest, it thinks, in the order of names. For a host
//! with 1,000 machines it looked through 100,000 so, for no host at all through all of them (3.6 s). So a statement that begins with a
//! list has no other way there ([`Rows::through`]). And what is counted there is what has to be read, whoever sees it: an account with
//! 1,000 machines of its own begins with these, not with all 500,000 of a zone's hosts for the 500 that are both.
//!
//! Measured on SQLite with 100,000 machines on 1,000 hosts: a row that is begun with costs 2.6 µs (fetched and sorted), one that is looked at
//! with a list 1.6 µs, one that asks for itself over three references 4.9 µs. With matches spread evenly the worst number for a page
//! of 100 is where beginning with the matches and looking at all in order meet: about 4,000 of 100,000.

use std::collections::HashMap;
use std::sync::Arc;

use gyre_model::Result;
use gyre_store::{Conn, Dialect, Sql};

use super::compile::Compiler;
use super::parse::{Expression, Restriction};
use crate::view::{Rows, View};

/// How far is counted.
const LIMIT: i64 = 4_000;
/// How long what was counted is believed, in microseconds: counting costs more than the page itself, and people walk through pages and look
/// again. What came since makes the answer slower at worst.
const REMEMBERED: i64 = 10_000_000;
/// A list with one in so many is common: few rows are passed over on the way to a full page.
const COMMON: i64 = 8;
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
    /// The same, where a good part of all rows is in it.
    Common,
    /// In a list that the statement begins with.
    Drive,
    /// By nothing: the statement has begun with its list.
    Begun,
}

/// The strategies of a filter's comparisons, by where they stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Strategies(HashMap<usize, Strategy>);

impl Strategies {
    /// The strategy of a comparison.
    pub fn of(&self, restriction: &Restriction) -> Strategy {
        self.0.get(&restriction.at).copied().unwrap_or_default()
    }

    /// Has a comparison asked otherwise.
    pub fn set(&mut self, restriction: &Restriction, strategy: Strategy) {
        self.0.insert(restriction.at, strategy);
    }

    /// The comparisons that a statement begins with: each row that the filter lets through fulfils one of them.
    pub fn drives<'e>(&self, expression: &'e Expression) -> Vec<&'e Restriction> {
        match expression {
            Expression::Not(_) => Vec::new(),
            Expression::Compare(one) if self.of(one) == Strategy::Drive => vec![one],
            Expression::Compare(_) => Vec::new(),
            Expression::And(all) => {
                all.iter().map(|one| self.drives(one)).find(|found| !found.is_empty()).unwrap_or_default()
            }
            Expression::Or(all) => {
                let parts: Vec<_> = all.iter().map(|one| self.drives(one)).collect();
                if parts.iter().any(Vec::is_empty) { Vec::new() } else { parts.concat() }
            }
        }
    }

    /// Whether many rows are looked through, most of them in vain, because of a list.
    pub fn walks(&self, expression: &Expression) -> bool {
        let alone = matches!(expression, Expression::Compare(_));
        self.0.values().any(|strategy| *strategy == Strategy::List || *strategy == Strategy::Common && !alone)
    }

    /// Whether none is special.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same for a statement that reads all that a filter lets through, in no order: it begins with every short list that all
    /// of it must be in.
    pub fn of_all(&self, expression: &Expression) -> Self {
        let mut strategies = self.clone();
        let parts = match expression {
            Expression::And(all) => all.as_slice(),
            other => std::slice::from_ref(other),
        };
        for part in parts {
            if let Expression::Compare(restriction) = part
                && let Some(strategy) = strategies.0.get_mut(&restriction.at)
            {
                *strategy = Strategy::Drive;
            }
        }
        strategies
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

/// Finds out how to ask a filter's comparisons, or remembers it.
///
/// # Errors
/// The database's.
pub(crate) fn choose<'v>(
    conn: &mut Conn,
    view: &'v View,
    rows: &Rows<'v>,
    expression: &Expression,
    now: i64,
) -> Result<Arc<Strategies>> {
    let memo = Arc::clone(conn.memo());
    let about = ("strategies", rows.table.kind.kind, expression, view.admin(), view.account());
    if let Some(known) = memo.recall(about, now - REMEMBERED) {
        return Ok(known);
    }
    let found = Arc::new(count(conn, view, rows, expression, now)?);
    memo.keep(about, now, Arc::clone(&found));
    Ok(found)
}

fn count<'v>(
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
        let mut last = None;
        for list in compiler.lists(self.rows, restriction, LIMIT + 1)? {
            let count = self.count(list)?;
            if count > LIMIT {
                return Ok(None);
            }
            last = Some(count);
        }
        let Some(length) = last else { return Ok(None) };
        self.found.insert(restriction.at, Strategy::List);
        let driven = self.driven(restriction, length)?;
        if driven.is_none() && self.common(restriction, length)? {
            self.found.insert(restriction.at, Strategy::Common);
        }
        Ok(driven)
    }

    /// Whether one in [`COMMON`] of all that the first step can lead to is in its list (PostgreSQL; SQLite asks alike either way).
    fn common(&mut self, restriction: &Restriction, length: i64) -> Result<bool> {
        let first = restriction.path.split('.').next().unwrap_or_default();
        let edge = gyre_model::catalog().edge(self.rows.table.kind.kind, first).filter(|edge| edge.forward);
        let (Some(edge), Dialect::Postgres) = (edge, self.view.dialect()) else { return Ok(false) };
        let most = length * COMMON;
        Ok(self.count(self.view.rows(edge.to(), 0).touched(most + 1))? <= most)
    }

    /// How many rows a comparison lets through that a short list answers.
    fn driven(&mut self, restriction: &Restriction, length: i64) -> Result<Option<i64>> {
        let kind = self.rows.table.kind.kind;
        let first = restriction.path.split('.').next().unwrap_or_default();
        if !gyre_model::catalog().edge(kind, first).is_some_and(|edge| edge.forward) {
            return Ok(Some(length));
        }
        let mut compiler = Compiler::new(self.view, 0, self.now);
        let Some(rows) = compiler.driven(self.view.rows(kind, 0), restriction, LIMIT + 1)? else { return Ok(None) };
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
