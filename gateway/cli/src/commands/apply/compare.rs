//! What is otherwise than a document says.

use std::collections::HashMap;

use gyre_model::catalog::{FieldInfo, FieldType};
use gyre_model::parse_uuid;
use prost_reflect::{DynamicMessage, Value};

use super::draft::Draft;
use crate::failure::{Failure, Result};
use crate::output::field_text;

/// A field that differs.
#[derive(Debug, Clone)]
pub struct Change {
    /// Its name.
    pub field: &'static str,
    /// What it is.
    pub from: String,
    /// What the document says.
    pub to: String,
}

/// Whether a field is what is wanted. UUIDs are the same in each of their forms, tags in any order.
pub fn same(field: &FieldInfo, present: &DynamicMessage, wanted: &DynamicMessage) -> bool {
    let value = |message: &DynamicMessage| message.get_field_by_number(field.number).map(|value| value.into_owned());
    let plain = |value: Option<Value>| match value {
        Some(Value::String(text)) => Some(Value::String(parse_uuid(&text).map_or(text, |uuid| uuid.to_string()))),
        Some(Value::List(mut items)) if field.name == "tags" => {
            items.sort_by(|left, right| left.as_str().cmp(&right.as_str()));
            Some(Value::List(items))
        }
        other => other,
    };
    plain(value(present)) == plain(value(wanted))
}

/// The fields that differ.
///
/// # Errors
/// When one of them cannot change.
pub fn changes(
    draft: &Draft,
    present: &DynamicMessage,
    wanted: &DynamicMessage,
    planned: &HashMap<String, String>,
) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for name in draft.given.iter().filter(|name| **name != "uuid") {
        let Some(field) = draft.noun.message.field(name) else { continue };
        // Nothing tells what a secret is.
        if field.rule.secret || same(field, present, wanted) {
            continue;
        }
        let mut to = shown(field, wanted);
        for (placeholder, what) in planned {
            to = to.replace(placeholder, what);
        }
        changes.push((field, Change { field: field.name, from: shown(field, present), to }));
    }
    let fixed: Vec<_> = changes.iter().filter(|(field, _)| field.rule.immutable).collect();
    if !fixed.is_empty() {
        let told: Vec<_> = fixed
            .iter()
            .map(|(_, change)| format!("{} is {}, and the document says {}", change.field, change.from, change.to))
            .collect();
        let names: Vec<_> = fixed.iter().map(|(_, change)| change.field).collect();
        return Err(Failure::immutable(&names.join(", "), told.join("; ")));
    }
    Ok(changes.into_iter().map(|(_, change)| change).collect())
}

/// What a draft gives, for a creation that is only rehearsed.
pub fn given(draft: &Draft, wanted: &DynamicMessage) -> Vec<Change> {
    let fields = draft.given.iter().filter_map(|name| draft.noun.message.field(name));
    fields
        .map(|field| {
            let to = if field.rule.secret { "(secret)".to_owned() } else { shown(field, wanted) };
            Change { field: field.name, from: String::new(), to }
        })
        .collect()
}

fn shown(field: &FieldInfo, message: &DynamicMessage) -> String {
    match field_text(field, message) {
        Some(text) if field.ty == FieldType::Text && !field.repeated => format!("{text:?}"),
        Some(text) => text,
        None => "unset".to_owned(),
    }
}
