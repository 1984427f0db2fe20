//! Resources as tables: a list has a row for each and the columns that the .proto names; one alone has a line for each field
//! that is set.

use comfy_table::{ContentArrangement, Table, presets};
use gyre_model::catalog::{FieldInfo, MessageInfo, catalog};
use prost_reflect::{DynamicMessage, ReflectMessage as _};
use serde_json::Value as Json;

use super::column::{Column, headings};
use super::{Format, cell};

/// A table of texts: upper-case heads, no lines, columns two spaces apart; good to read and to cut.
pub fn text_table(head: &[String], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if !head.is_empty() {
        table.set_header(head);
    }
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// A list of messages as a table.
pub fn rows(info: &'static MessageInfo, columns: &[&str], messages: &[DynamicMessage]) -> String {
    let columns = Column::all(Some(info), columns.iter().copied());
    let rows: Vec<_> = messages.iter().map(cell::whole).collect();
    of(&columns, &rows)
}

/// Rows of JSON as a table.
pub fn of(columns: &[Column], rows: &[Json]) -> String {
    let cells = |row: &Json| columns.iter().map(|column| column.cell(Format::Table, row)).collect();
    text_table(&headings(columns), rows.iter().map(cells).collect())
}

/// One message, a line for each field that is set.
pub fn detail(message: &DynamicMessage) -> String {
    details(message, None)
}

/// The same without one of its fields.
pub fn detail_without(message: &DynamicMessage, field: &FieldInfo) -> String {
    details(message, Some(field.number))
}

fn details(message: &DynamicMessage, left_out: Option<u32>) -> String {
    let descriptor = message.descriptor();
    let Some(info) = catalog().message(descriptor.full_name()) else { return String::new() };
    let facts = cell::facts(message);
    let mut rows = Vec::new();
    for field in info.fields.iter().filter(|field| Some(field.number) != left_out) {
        let label = field.name.to_owned();
        match facts.get(field.json_name) {
            // messages have a line each
            Some(Json::Array(items)) if items.iter().any(Json::is_object) => {
                for (at, item) in items.iter().enumerate() {
                    let label = if at == 0 { label.clone() } else { String::new() };
                    rows.push(vec![label, cell::text(field, item, true).unwrap_or_default()]);
                }
            }
            Some(value) => rows.extend(cell::text(field, value, false).map(|text| vec![label, text])),
            None => {}
        }
    }
    if rows.is_empty() { String::new() } else { text_table(&[], rows) }
}

/// A resource on one line: what tables show of it, without some.
pub fn one_line(message: &DynamicMessage, without: &[&str]) -> String {
    let descriptor = message.descriptor();
    let Some(info) = catalog().message(descriptor.full_name()) else { return String::new() };
    let columns = super::columns_of(Format::Table, info);
    let fields = columns.iter().filter(|column| !without.contains(column)).filter_map(|column| info.field(column));
    match cell::facts(message) {
        Json::Object(facts) => cell::told(fields, &facts),
        _ => String::new(),
    }
}

/// A field's value as text, none where it is not set.
pub fn field_text(field: &FieldInfo, message: &DynamicMessage) -> Option<String> {
    cell::text(field, cell::facts(message).get(field.json_name)?, false)
}
