//! The language of `filter`: AIP-160 (<https://google.aip.dev/160>), over the fields of one kind.
//!
//! ```text
//! filter      = [ expression ]
//! expression  = sequence { "AND" sequence }            (lowest)
//! sequence    = term { "OR" term }                     (OR binds tighter than AND, as the AIP has it)
//! term        = [ "NOT" | "-" ] ( restriction | "(" expression ")" )
//! restriction = field ( "=" | "!=" | "<" | "<=" | ">" | ">=" | ":" ) value
//! value       = word | "text in quotes" | 'text in quotes' | "null"
//! ```
//!
//! `=` with `*` at either end of a text compares its beginning, its end or its middle. `:` asks whether a text contains the
//! value, whether a list has it as an element, and with `*` whether there is anything at all. Values are of the field's type:
//! numbers (sizes too: `4GiB`), `true` and `false`, the short names of enums, UUIDs, RFC 3339 times, texts.

mod compile;
mod parse;

use gyre_model::{Error, Result};
use gyre_store::Sql;

use crate::table::Table;

/// Most characters of a filter.
const LONGEST: usize = 4096;

/// Compiles a filter into a condition; nothing for the empty filter.
///
/// # Errors
/// `INVALID_ARGUMENT` that points at the character.
pub fn compile(table: &Table, text: &str) -> Result<Option<Sql>> {
    if text.len() > LONGEST {
        return Err(Error::invalid("filter", format!("must have at most {LONGEST} bytes, has {}", text.len())));
    }
    match parse::parse(text)? {
        None => Ok(None),
        Some(expression) => compile::compile(table, &expression).map(Some),
    }
}

/// A filter that is wrong at a character (counted from 1).
pub(crate) fn wrong(text_at: usize, what: impl std::fmt::Display) -> Error {
    Error::invalid("filter", format!("{what}, at character {}", text_at + 1))
}
