//! Resources as tables: a list has a row for each and the columns that the .proto names; one alone has a line for each field
//! that is set.

use chrono::Utc;
use comfy_table::{ContentArrangement, Table, presets};
use gyre_model::catalog::{FieldInfo, FieldType, MessageInfo, catalog};
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};

use super::human::{human_size, local_time, relative_time};

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
pub fn rows(info: &MessageInfo, columns: &[&str], messages: &[DynamicMessage]) -> String {
    let fields: Vec<_> = columns.iter().filter_map(|column| info.field(column)).collect();
    let head: Vec<_> = fields.iter().map(|field| heading(field)).collect();
    let rows = messages
        .iter()
        .map(|message| fields.iter().map(|field| shown(field, message, true).unwrap_or_default()).collect())
        .collect();
    text_table(&head, rows)
}

/// What stands over a column: "MEMORY" over `memory_bytes`, "HOST" over `host_uuid`.
fn heading(field: &FieldInfo) -> String {
    let name = ["_uuids", "_uuid", "_bytes", "_time"]
        .iter()
        .find_map(|suffix| field.name.strip_suffix(suffix))
        .unwrap_or(field.name);
    name.to_ascii_uppercase()
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
    let mut rows = Vec::new();
    for field in info.fields.iter().filter(|field| Some(field.number) != left_out) {
        let label = field.name.to_owned();
        if let FieldType::Message(name) = field.ty
            && let Some(value) = message.get_field_by_number(field.number)
        {
            let inner = catalog().message(name);
            match value.as_ref() {
                Value::List(items) => {
                    for (at, item) in items.iter().filter_map(Value::as_message).enumerate() {
                        rows.push(vec![if at == 0 { label.clone() } else { String::new() }, line(inner, item)]);
                    }
                }
                Value::Message(one) if message.has_field_by_number(field.number) => {
                    rows.push(vec![label, line(inner, one)]);
                }
                _ => {}
            }
        } else if let Some(text) = shown(field, message, false) {
            rows.push(vec![label, text]);
        }
    }
    if rows.is_empty() { String::new() } else { text_table(&[], rows) }
}

/// A resource on one line: what tables show of it, without some.
pub fn one_line(message: &DynamicMessage, without: &[&str]) -> String {
    let descriptor = message.descriptor();
    let Some(info) = catalog().message(descriptor.full_name()) else { return String::new() };
    let columns = super::columns_of(super::Format::Table, info);
    let fields = columns.iter().filter(|column| !without.contains(column)).filter_map(|column| info.field(column));
    let parts = fields.filter_map(|field| shown(field, message, true).map(|text| format!("{} {text}", field.name)));
    parts.collect::<Vec<_>>().join(", ")
}

/// A message inside another on one line: "name allocate, state DONE, percent 100".
fn line(info: Option<&MessageInfo>, message: &DynamicMessage) -> String {
    let Some(info) = info else { return String::new() };
    let parts: Vec<_> = info
        .fields
        .iter()
        .filter_map(|field| shown(field, message, true).map(|text| format!("{} {text}", field.name)))
        .collect();
    parts.join(", ")
}

/// A field's value as text, none where it is not set.
pub fn field_text(field: &FieldInfo, message: &DynamicMessage) -> Option<String> {
    shown(field, message, false)
}

fn shown(field: &FieldInfo, message: &DynamicMessage, short: bool) -> Option<String> {
    if !message.has_field_by_number(field.number) {
        return None;
    }
    let value = message.get_field_by_number(field.number)?;
    Some(match value.as_ref() {
        Value::List(items) => items.iter().map(|item| one(field, item, short)).collect::<Vec<_>>().join(", "),
        Value::Map(entries) => {
            let mut entries: Vec<_> =
                entries.iter().map(|(key, value)| format!("{}={}", plain_key(key), plain(value))).collect();
            entries.sort();
            entries.join(", ")
        }
        value => one(field, value, short),
    })
}

fn one(field: &FieldInfo, value: &Value, short: bool) -> String {
    match (field.ty, value) {
        (FieldType::Enum(_), Value::EnumNumber(number)) => {
            field.value_name(*number).map_or_else(|| number.to_string(), str::to_owned)
        }
        (FieldType::Int | FieldType::Uint, _) if field.name.ends_with("_bytes") => {
            let bytes = value.as_i64().and_then(|bytes| u64::try_from(bytes).ok()).or(value.as_u64());
            bytes.map_or_else(|| plain(value), human_size)
        }
        (FieldType::Time, Value::Message(time)) => {
            let (seconds, nanos) = pair(time);
            let relative = relative_time(seconds, Utc::now().timestamp());
            if short { relative } else { format!("{} ({relative})", local_time(seconds, nanos)) }
        }
        (FieldType::Duration, Value::Message(duration)) => {
            let (seconds, nanos) = pair(duration);
            format!("{} s", seconds as f64 + f64::from(nanos) / 1e9)
        }
        (FieldType::Message(name), Value::Message(message)) => line(catalog().message(name), message),
        _ => plain(value),
    }
}

fn pair(message: &DynamicMessage) -> (i64, i32) {
    let seconds = message.get_field_by_number(1).and_then(|value| value.as_i64()).unwrap_or(0);
    let nanos = message.get_field_by_number(2).and_then(|value| value.as_i32()).unwrap_or(0);
    (seconds, nanos)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::I32(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U32(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::F32(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
        // What a guest or another user wrote must not steer this terminal.
        Value::String(text) => text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect(),
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Value::EnumNumber(number) => number.to_string(),
        Value::Message(_) | Value::List(_) | Value::Map(_) => String::new(),
    }
}

fn plain_key(key: &prost_reflect::MapKey) -> String {
    match key {
        prost_reflect::MapKey::String(text) => text.clone(),
        prost_reflect::MapKey::Bool(value) => value.to_string(),
        prost_reflect::MapKey::I32(value) => value.to_string(),
        prost_reflect::MapKey::I64(value) => value.to_string(),
        prost_reflect::MapKey::U32(value) => value.to_string(),
        prost_reflect::MapKey::U64(value) => value.to_string(),
    }
}
