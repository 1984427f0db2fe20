//! Lists in the formats that have lines: tables, CSV, names.

use gyre_model::catalog::{FieldInfo, FieldType, MessageInfo, catalog};
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use serde_json::Value as Json;

use super::column::Column;
use super::{Format, cell, csv, print, print_value, table};
use crate::failure::Result;

/// The most columns of a table whose .proto does not name any.
const FEW: usize = 9;

/// The list that an answer holds: its field, and the message of its rows.
pub fn rows_of(answer: &MessageInfo) -> Option<(&FieldInfo, &'static MessageInfo)> {
    if answer.kind.is_some() || !answer.name.ends_with("Response") {
        return None;
    }
    answer.fields.iter().find_map(|field| match field.ty {
        FieldType::Message(name) if field.repeated => Some((field, catalog().message(name)?)),
        _ => None,
    })
}

/// The rows of an answer.
pub fn items(answer: &DynamicMessage, field: &FieldInfo) -> Vec<DynamicMessage> {
    answer
        .get_field_by_number(field.number)
        .map(|value| value.as_list().unwrap_or_default().iter().filter_map(Value::as_message).cloned().collect())
        .unwrap_or_default()
}

/// The fields of a message that fit in a cell: those that tables show first, then the others as they are numbered.
pub fn scalars(message: &'static MessageInfo) -> Vec<&'static str> {
    let first = message.kind.and_then(|kind| catalog().kind(kind)).map(|kind| kind.columns.as_slice());
    let mut columns: Vec<_> = first.unwrap_or_default().to_vec();
    for field in &message.fields {
        let plain = !matches!(field.ty, FieldType::Message(_)) && !field.rule.secret;
        if plain && !columns.contains(&field.name) {
            columns.push(field.name);
        }
    }
    columns
}

/// The columns of a format for a message.
pub fn columns_of(format: Format, message: &'static MessageInfo) -> Vec<&'static str> {
    let named = message.kind.and_then(|kind| catalog().kind(kind)).map(|kind| kind.columns.clone());
    match (format, named) {
        (Format::Table, Some(named)) if !named.is_empty() => named,
        (Format::Table, _) => scalars(message).into_iter().take(FEW).collect(),
        _ => scalars(message),
    }
}

/// A list as text.
pub fn text(format: Format, info: &'static MessageInfo, columns: &[&str], rows: &[DynamicMessage]) -> String {
    match format {
        Format::Csv => csv::line(columns) + &lines(format, info, columns, rows),
        _ if rows.is_empty() => String::new(),
        _ => lines(format, info, columns, rows),
    }
}

/// The same without a head, where it is none of people.
pub fn lines(format: Format, info: &'static MessageInfo, columns: &[&str], rows: &[DynamicMessage]) -> String {
    match format {
        Format::Csv => {
            let columns = Column::all(Some(info), columns.iter().copied());
            rows.iter().map(|row| csv_line(&columns, &cell::whole(row))).collect()
        }
        Format::Name => rows.iter().map(name).collect(),
        _ => table::rows(info, columns, rows),
    }
}

/// A row as a line of CSV.
fn csv_line(columns: &[Column], row: &Json) -> String {
    csv::line(columns.iter().map(|column| column.cell(Format::Csv, row)))
}

/// Prints rows of JSON: a table for people, else CSV.
///
/// # Errors
/// When it cannot be written.
pub fn print_json_rows(format: Format, columns: &[Column], rows: &[Json]) -> Result<()> {
    if format.for_people() {
        return print(&table::of(columns, rows));
    }
    let lines: String = rows.iter().map(|row| csv_line(columns, row)).collect();
    print(&(csv::line(columns.iter().map(Column::path)) + &lines))
}

/// "vm/UUID" for a resource; its UUID or name for what is none. Such a line is understood where a UUID is.
fn name(row: &DynamicMessage) -> String {
    let text = |field: &str| {
        row.get_field_by_name(field).and_then(|value| value.as_str().map(str::to_owned)).filter(|text| !text.is_empty())
    };
    let descriptor = row.descriptor();
    let info = catalog().message(descriptor.full_name());
    // An operation is no resource of its own service alone, and is named like one.
    let kind = info.and_then(|info| info.kind);
    match (kind, text("uuid").or_else(|| text("name"))) {
        (Some(kind), Some(uuid)) => format!("{kind}/{uuid}\n"),
        (None, Some(uuid)) => format!("{uuid}\n"),
        (_, None) => String::new(),
    }
}

/// Prints a list: for programs as one array.
///
/// # Errors
/// When it cannot be written.
pub fn print_rows(format: Format, info: &'static MessageInfo, columns: &[&str], rows: &[DynamicMessage]) -> Result<()> {
    if format.structured() {
        return print_value(format, &rows);
    }
    let all;
    let columns = if columns.is_empty() {
        all = columns_of(format, info);
        all.as_slice()
    } else {
        columns
    };
    print(&text(format, info, columns, rows))
}
