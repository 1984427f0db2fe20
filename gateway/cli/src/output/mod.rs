//! How answers look: tables for people, proto3 JSON or YAML for programs.
//!
//! Answers go to standard output and nothing else does; progress, warnings and errors go to standard error.

mod human;
mod table;

pub use human::{human_size, local_time};
pub use table::{detail, rows, text_table};

use std::io::{self, Write as _};

use prost_reflect::DynamicMessage;
use serde::Serialize;

use crate::failure::{Failure, Result};

/// How answers and errors are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// Proto3 JSON, a list as one array.
    Json,
    /// The same facts as YAML.
    Yaml,
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

/// Prints what can be serialized, for programs.
///
/// # Errors
/// When it cannot be written.
pub fn print_value(format: Format, value: &impl Serialize) -> Result<()> {
    let text = match format {
        Format::Yaml => serde_yaml_ng::to_string(value).map_err(|error| Failure::general(error.to_string()))?,
        Format::Json | Format::Table => {
            serde_json::to_string_pretty(value).map_err(|error| Failure::general(error.to_string()))? + "\n"
        }
    };
    print(&text)
}

/// Prints one message.
///
/// # Errors
/// When it cannot be written.
pub fn print_message(format: Format, message: &DynamicMessage) -> Result<()> {
    match format {
        Format::Table => print(&detail(message)),
        _ => print_value(format, message),
    }
}

/// Prints a message of a stream: one line of JSON each, or one YAML document each.
///
/// # Errors
/// When it cannot be written.
pub fn print_next(format: Format, message: &DynamicMessage) -> Result<()> {
    match format {
        Format::Table => print(&(detail(message) + "\n")),
        Format::Json => {
            let text = serde_json::to_string(message).map_err(|error| Failure::general(error.to_string()))?;
            print(&(text + "\n"))
        }
        Format::Yaml => {
            print("---\n")?;
            print_value(format, message)
        }
    }
}
