//! A statement put together at run time: text and bound values. Diesel writes the placeholders of the dialect, and keeps one
//! prepared statement for each text on each connection, so texts should be few: values are bound, never written into the text, and
//! a text that callers have a say in is used [`Sql::once`].

use std::borrow::Cow;

use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::Untyped;

use crate::value::{Knows, Value};

#[derive(Debug, Clone)]
enum Part {
    Text(Cow<'static, str>),
    Bind(Value),
}

/// A statement or a piece of one.
#[derive(Debug, Clone, Default)]
pub struct Sql {
    parts: Vec<Part>,
    once: bool,
}

impl Sql {
    /// Begins with a text.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self { parts: vec![Part::Text(text.into())], once: false }
    }

    /// Adds a text.
    #[must_use]
    pub fn sql(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.push(text);
        self
    }

    /// Adds a value.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.push_bind(value);
        self
    }

    /// Adds another piece.
    #[must_use]
    pub fn append(mut self, other: Self) -> Self {
        self.parts.extend(other.parts);
        self.once |= other.once;
        self
    }

    /// The same, not to be kept prepared: for a text that callers word as they like.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Adds a text in place.
    pub fn push(&mut self, text: impl Into<Cow<'static, str>>) {
        self.parts.push(Part::Text(text.into()));
    }

    /// Adds a value in place.
    pub fn push_bind(&mut self, value: impl Into<Value>) {
        self.parts.push(Part::Bind(value.into()));
    }

    /// Adds values with commas between.
    #[must_use]
    pub fn bind_all<V: Into<Value>>(mut self, values: impl IntoIterator<Item = V>) -> Self {
        for (at, value) in values.into_iter().enumerate() {
            if at > 0 {
                self.push(", ");
            }
            self.push_bind(value);
        }
        self
    }

    /// Whether it surely changes nothing.
    pub(crate) fn reads(&self) -> bool {
        matches!(self.parts.first(), Some(Part::Text(text)) if text.starts_with("SELECT"))
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The text, with `?` for each value: for logs and plans.
    pub fn text(&self) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_ref(),
                Part::Bind(_) => "?",
            })
            .collect()
    }
}

impl<DB: Knows> QueryFragment<DB> for Sql {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        if self.once {
            out.unsafe_to_cache_prepared();
        }
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_sql(text),
                Part::Bind(value) => DB::bind(&mut out, value)?,
            }
        }
        Ok(())
    }
}

impl QueryId for Sql {
    type QueryId = ();
    // prepared statements are found by their text
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Sql {
    type SqlType = Untyped;
}

impl<C> diesel::RunQueryDsl<C> for Sql {}
