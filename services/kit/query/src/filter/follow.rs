//! Along the steps of a path: from rows to the rows that they refer to, or that refer to them.

use gyre_model::catalog::Edge;
use gyre_model::{Error, Result};
use gyre_store::{Dialect, Sql};

use super::compile::{Compiler, distinct, referring};
use super::wanted::{Test, list};
use crate::path::Leaf;
use crate::view::Rows;

/// What is asked at the end of a path.
pub(super) struct Asked {
    pub test: Test,
    /// Whether the path ends at a resource, not at a field of it.
    pub row: bool,
    /// Whether it is asked with a colon.
    pub has: bool,
}

impl Compiler<'_> {
    /// What the first step of a path may lead to, as a list of what the row that it starts from names it by.
    pub(super) fn list(&mut self, hops: &[Edge<'static>], leaf: Leaf, asked: &Asked) -> Result<Sql> {
        let Some((hop, rest)) = hops.split_first() else { return Err(Error::internal("a path without a step")) };
        self.aliases += 1;
        let view = self.view;
        let mut there = view.rows(hop.to(), self.aliases);
        let condition = match (rest.first(), view.dialect()) {
            (Some(next), Dialect::Postgres) => {
                let list = self.list(rest, leaf, asked)?;
                there = there.through(referring(next), distinct(next, list));
                None
            }
            (Some(next), Dialect::Sqlite) => {
                let list = self.list(rest, leaf, asked)?;
                Some(self.one_of(&there.name(referring(next)), list))
            }
            (None, _) if asked.row && matches!(asked.test, Test::Present) => None,
            (None, _) => Some(self.ask(&there, leaf, asked, false, false)?),
        };
        let what = there.name(if hop.forward { "uuid" } else { hop.reference.field });
        Ok(there.values(&what, "", condition))
    }

    /// Asks what a path leads to.
    pub(super) fn follow(
        &mut self,
        rows: &Rows<'_>,
        hops: &[Edge<'static>],
        leaf: Leaf,
        asked: &Asked,
        not: bool,
        strict: bool,
    ) -> Result<Sql> {
        let Some((hop, rest)) = hops.split_first() else { return self.ask(rows, leaf, asked, not, strict) };
        // A comparison is turned round for each of many; for one it is the whole that is turned round, since where there is none
        // the answer is to be the other, too.
        let present = matches!(asked.test, Test::Present);
        let before = if asked.row && present { &hops[..hops.len() - 1] } else { hops };
        let many = before.iter().any(Edge::many) || list(leaf) && !present;
        if not && !many {
            return Ok(Sql::new("NOT ").append(self.follow(rows, hops, leaf, asked, false, true)?));
        }
        self.aliases += 1;
        let alias = self.aliases;
        let view = self.view;
        let there = view.rows(hop.to(), alias);
        let inner = if rest.is_empty() && asked.row && present {
            None
        } else {
            Some(self.follow(&there, rest, leaf, asked, not, false)?)
        };
        Ok(self.step(rows, hop, &there, inner))
    }

    /// Whether a reference leads to a row that fulfils a condition.
    fn step(&mut self, rows: &Rows<'_>, hop: &Edge<'static>, there: &Rows<'_>, condition: Option<Sql>) -> Sql {
        let field = hop.reference.field;
        match (hop.forward, hop.reference.repeated) {
            (true, false) => {
                there.exists("", Sql::new(format!("{} = {}", there.name("uuid"), rows.name(field))), condition)
            }
            (false, false) => {
                there.exists("", Sql::new(format!("{} = {}", there.name(field), rows.name("uuid"))), condition)
            }
            (true, true) => {
                let (elements, element) = self.elements(&rows.name(field), true);
                let link = format!("{} = {}", there.name("uuid"), self.id(&element));
                there.exists(&format!("{elements}, "), Sql::new(link), condition)
            }
            (false, true) => {
                let (elements, element) = self.elements(&there.name(field), true);
                let values = there.values(&self.id(&element), &format!(", {elements}"), condition);
                Sql::new(format!("{} IN (", rows.name("uuid"))).append(values).sql(")")
            }
        }
    }

    /// The elements of a list as rows, and what one of them is called. Texts come without their quotes.
    pub(super) fn elements(&mut self, list: &str, texts: bool) -> (String, String) {
        self.aliases += 1;
        let alias = format!("e{}", self.aliases);
        let from = match (self.view.dialect(), texts) {
            (Dialect::Sqlite, _) => format!("json_each({list}) {alias}"),
            (Dialect::Postgres, true) => format!("jsonb_array_elements_text({list}) {alias}(value)"),
            (Dialect::Postgres, false) => format!("jsonb_array_elements({list}) {alias}(value)"),
        };
        (from, format!("{alias}.value"))
    }

    /// A UUID that is written as text.
    fn id(&self, text: &str) -> String {
        match self.view.dialect() {
            Dialect::Sqlite => format!("unhex(replace({text}, '-', ''))"),
            Dialect::Postgres => format!("CAST({text} AS uuid)"),
        }
    }
}
