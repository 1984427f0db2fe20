//! What stands in a cell: a value of proto3 JSON as people read it, or as CSV has it.

use base64::Engine as _;
use chrono::Utc;
use gyre_model::catalog::{FieldInfo, FieldType, catalog};
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::{Map, Value as Json};

use super::human::{human_size, local_time, relative_time};

/// A message as proto3 JSON: fields without a value are left out.
pub fn facts(message: &DynamicMessage) -> Json {
    serde_json::to_value(message).unwrap_or_default()
}

/// The same with the fields that are zero, false or empty, as a row of a table shows them.
pub fn whole(message: &DynamicMessage) -> Json {
    let options = SerializeOptions::new().skip_default_fields(false);
    message.serialize_with_options(serde_json::value::Serializer, &options).unwrap_or_default()
}

/// A value as people read it, none where there is nothing to read. `short` is how lists have it: times as distances.
pub fn text(field: &FieldInfo, value: &Json, short: bool) -> Option<String> {
    let text = match value {
        Json::Null => return None,
        Json::Array(items) => items.iter().map(|item| one(field, item, short)).collect::<Vec<_>>().join(", "),
        Json::Object(entries) if field.ty == FieldType::Map => {
            let mut entries: Vec<_> = entries.iter().map(|(key, value)| format!("{key}={}", plain(value))).collect();
            entries.sort();
            entries.join(", ")
        }
        value => one(field, value, short),
    };
    (!text.is_empty()).then_some(text)
}

fn one(field: &FieldInfo, value: &Json, short: bool) -> String {
    match (field.ty, value) {
        (FieldType::Enum(_), Json::String(full)) => match field.value_number(full) {
            // it says nothing
            Some(0) => String::new(),
            number => number.and_then(|number| field.value_name(number)).unwrap_or(full).to_owned(),
        },
        (FieldType::Int | FieldType::Uint, Json::String(number)) if field.name.ends_with("_bytes") => {
            number.parse().map_or_else(|_| number.clone(), human_size)
        }
        (FieldType::Time, Json::String(text)) => match gyre_model::time::parse(text) {
            None => plain(value),
            Some(micros) => {
                let seconds = micros.div_euclid(1_000_000);
                let relative = relative_time(seconds, Utc::now().timestamp());
                if short { relative } else { format!("{} ({relative})", local_time(seconds, 0)) }
            }
        },
        (FieldType::Duration, Json::String(text)) => {
            let seconds = text.trim_end_matches('s');
            format!("{} s", seconds.parse::<f64>().map_or_else(|_| seconds.to_owned(), |seconds| seconds.to_string()))
        }
        (FieldType::Bytes, Json::String(text)) => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text);
            bytes.map_or_else(|_| plain(value), |bytes| format!("{} bytes", bytes.len()))
        }
        (FieldType::Message(name), Json::Object(fields)) => line(name, fields),
        _ => plain(value),
    }
}

/// A message inside another on one line: "name allocate, state DONE, percent 100".
fn line(name: &str, fields: &Map<String, Json>) -> String {
    // a message of any type says of which
    let said = fields.get("@type").and_then(Json::as_str).and_then(|url| url.rsplit('/').next());
    let Some(info) = catalog().message(said.unwrap_or(name)) else { return plain(&Json::Object(fields.clone())) };
    told(info.fields.iter(), fields)
}

/// Those of these fields that have a value, each as "name value".
pub fn told<'f>(known: impl Iterator<Item = &'f FieldInfo>, fields: &Map<String, Json>) -> String {
    let parts = known.filter_map(|field| {
        let text = text(field, fields.get(field.json_name)?, true)?;
        Some(format!("{} {text}", field.name))
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// A value without more than it says itself.
pub fn plain(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        // What a guest or another user wrote must not steer this terminal.
        Json::String(text) => text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect(),
        other => other.to_string(),
    }
}

/// A value as CSV has it: as JSON has it, without quotes, the elements of a list with semicolons between.
pub fn csv(field: Option<&FieldInfo>, value: &Json) -> String {
    let nothing =
        |full: &str| field.is_some_and(|field| matches!(field.values.first(), Some((0, known, _)) if *known == full));
    match value {
        Json::Null => String::new(),
        Json::String(text) if nothing(text) => String::new(),
        Json::String(text) => text.clone(),
        Json::Array(items) => items.iter().map(|item| csv(field, item)).collect::<Vec<_>>().join(";"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_shown_as_their_fields_say() {
        let vm = catalog().message("gyre.vm.v1.Vm").unwrap();
        let shown = |name: &str, value: Json| text(vm.field(name).unwrap(), &value, true);
        assert_eq!(shown("memory_bytes", json!("1073741824")).as_deref(), Some("1 GiB"));
        assert_eq!(shown("memory_bytes", json!("0")).as_deref(), Some("0 B"));
        assert_eq!(shown("state", json!("VM_STATE_RUNNING")).as_deref(), Some("RUNNING"));
        assert_eq!(shown("state", json!("VM_STATE_UNSPECIFIED")), None);
        assert_eq!(shown("cpu_count", json!(0)).as_deref(), Some("0"));
        assert_eq!(shown("tags", json!(["a", "b\u{7}"])).as_deref(), Some("a, b "));
        assert_eq!(shown("tags", json!([])), None);
        assert_eq!(shown("name", json!("")), None);
        assert!(shown("create_time", json!("2026-01-01T00:00:00.5Z")).unwrap().ends_with(" ago"));
        assert_eq!(csv(vm.field("state"), &json!("VM_STATE_RUNNING")), "VM_STATE_RUNNING");
        assert_eq!(csv(vm.field("state"), &json!("VM_STATE_UNSPECIFIED")), "");
        assert_eq!(csv(None, &json!(["1", "2"])), "1;2");
    }
}
