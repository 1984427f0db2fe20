//! How answers look: tables for people, proto3 JSON or YAML for programs, CSV for spreadsheets, names for shells.
//!
//! Answers go to standard output and nothing else does; progress, warnings and errors go to standard error.

mod cell;
mod column;
mod csv;
mod human;
mod json;
mod list;
mod table;

pub use cell::{facts, whole};
pub use column::{Column, camel, headings, picked};
pub use csv::line as csv_line;
pub use human::{human_size, local_time};
pub use list::{columns_of, print_json_rows, print_rows, rows_of, scalars};
pub use table::{detail, field_text, one_line, rows, text_table};

use std::io::{self, Write as _};

use gyre_model::catalog::catalog;
use prost_reflect::{DynamicMessage, ReflectMessage as _};
use serde::Serialize;

use crate::failure::{Failure, Result};

/// How answers and errors are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For people with room: every plain field is a column.
    Wide,
    /// Proto3 JSON, a list as one array.
    Json,
    /// The same facts as YAML.
    Yaml,
    /// A line for each resource, after one with the names of the fields (RFC 4180).
    Csv,
    /// A line for each resource: kind/UUID.
    Name,
}

impl Format {
    /// Whether people read it.
    pub fn for_people(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }

    /// Whether errors are objects too.
    pub fn structured(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }
}

/// Prints text to standard output. A reader that has gone away, such as `head`, is no failure.
///
/// # Errors
/// When it cannot be written.
pub fn print(text: &str) -> Result<()> {
    print_bytes(text.as_bytes())
}

/// Prints bytes to standard output at once.
///
/// # Errors
/// When they cannot be written.
pub fn print_bytes(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.map_err(Failure::from),
    }
}

/// Prints the next piece of a stream. A reader that has gone away ends the command: nothing else would.
///
/// # Errors
/// When it cannot be written, or nobody reads any more.
pub fn print_piece(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::unread()),
        outcome => outcome.map_err(Failure::from),
    }
}

/// Prints what can be serialized, for programs.
///
/// # Errors
/// When it cannot be written.
pub fn print_value(format: Format, value: &impl Serialize) -> Result<()> {
    let text = match format {
        Format::Yaml => json::yaml(value)?,
        _ => json::pretty(value)? + "\n",
    };
    print(&text)
}

/// Prints rows of texts: a table for people, else CSV.
///
/// # Errors
/// When it cannot be written.
pub fn print_cells(format: Format, head: &[&str], rows: Vec<Vec<String>>) -> Result<()> {
    if format.for_people() {
        let head: Vec<_> = head.iter().map(|name| name.to_ascii_uppercase()).collect();
        return print(&text_table(&head, rows));
    }
    print(&(csv::line(head) + &rows.iter().map(csv::line).collect::<String>()))
}

/// Prints one message. An answer that is a list (of a call that has no command of its own) is printed as its rows.
///
/// # Errors
/// When it cannot be written.
pub fn print_message(format: Format, message: &DynamicMessage) -> Result<()> {
    if format.structured() {
        return print_value(format, message);
    }
    let descriptor = message.descriptor();
    let info = catalog().message(descriptor.full_name());
    let listed = info.and_then(rows_of).filter(|_| message.descriptor().full_name() != EXPLAINED);
    if let Some((field, row)) = listed {
        let rows = list::items(message, field);
        let text = list::text(format, row, &columns_of(format, row), &rows);
        let rest = if format.for_people() { table::detail_without(message, field) } else { String::new() };
        return print(&if rest.is_empty() || text.is_empty() { text + &rest } else { format!("{text}\n{rest}") });
    }
    match (format, info) {
        (Format::Csv | Format::Name, Some(info)) => {
            print(&list::text(format, info, &columns_of(format, info), std::slice::from_ref(message)))
        }
        _ => print(&detail(message)),
    }
}

/// The full name of an operation's timeline, which is one thing though it holds a list.
const EXPLAINED: &str = "gyre.common.v1.ExplainOperationResponse";

/// Prints a message of a stream: one line of JSON each, or one YAML document each.
///
/// # Errors
/// When it cannot be written.
pub fn print_next(format: Format, message: &DynamicMessage) -> Result<()> {
    let text = match format {
        Format::Table | Format::Wide => detail(message) + "\n",
        Format::Json | Format::Yaml => return print_next_value(format, message),
        Format::Csv | Format::Name => match catalog().message(message.descriptor().full_name()) {
            // The names of the columns would come again with each message.
            Some(info) => list::lines(format, info, &columns_of(format, info), std::slice::from_ref(message)),
            None => return Ok(()),
        },
    };
    print_piece(text.as_bytes())
}

/// Prints a value of a stream for programs: one line of JSON, or one YAML document.
///
/// # Errors
/// When it cannot be written, or nobody reads any more.
pub fn print_next_value(format: Format, value: &impl Serialize) -> Result<()> {
    let text = match format {
        Format::Yaml => format!("---\n{}", json::yaml(value)?),
        _ => json::line(value)? + "\n",
    };
    print_piece(text.as_bytes())
}
