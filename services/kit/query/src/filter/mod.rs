//! The language of `filter`: AIP-160 (<https://google.aip.dev/160>), over the fields of a kind and of what it is linked with.
//!
//! ```text
//! filter      = [ expression ]
//! expression  = sequence { "AND" sequence }            (lowest)
//! sequence    = term { "OR" term }                     (OR binds tighter than AND, as the AIP has it)
//! term        = ( "NOT" | "-" ) term | "(" expression ")" | restriction     (NOT binds tightest)
//! restriction = path ( "=" | "!=" | "<" | "<=" | ">" | ">=" | ":" ) value
//!             | path [ "NOT" ] "IN" "(" value { "," value } ")"
//! path        = name { "." name }
//! value       = word | "text in quotes" | 'text in quotes' | "null"
//! ```
//!
//! `docs/query.md` tells users what each part means. Words are what they are in upper case only; `\` in quotes takes the next
//! letter as it is.

mod budget;
mod compile;
mod evaluate;
mod follow;
mod literal;
mod parse;
mod pattern;
mod scan;
mod strategy;
mod values;
mod wanted;

pub(crate) use compile::Compiler;
pub use evaluate::{Predicate, kinds_on_paths};
pub(crate) use literal::bounded;
pub(crate) use parse::Expression;
pub(crate) use strategy::choose;
pub(crate) use values::{inside, letters};

use gyre_model::{Error, Result};

/// Most bytes of a filter.
const LONGEST: usize = 4096;

/// Reads a filter; nothing for the empty one.
///
/// # Errors
/// `INVALID_ARGUMENT` that points at the character.
pub(crate) fn parse(text: &str) -> Result<Option<Expression>> {
    if text.len() > LONGEST {
        return Err(Error::invalid("filter", format!("must have at most {LONGEST} bytes, has {}", text.len())));
    }
    parse::parse(text)
}

/// A filter that is wrong at a character (counted from 1).
pub(crate) fn wrong(text_at: usize, what: impl std::fmt::Display) -> Error {
    Error::invalid("filter", format!("{what}, at character {}", text_at + 1))
}
