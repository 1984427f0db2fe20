//! JSON bodies: checked for depth before anything is parsed, read by the generated codec of their message, and, where they are
//! wrong, explained with the field, the line, the column and what was expected.
//!
//! The good case is one pass for the depth and one of the codec. Everything that explains runs only once a body is refused.

mod loose;
mod place;

use std::fmt::Write as _;

use bytes::Bytes;
use gyre_model::catalog::{FieldInfo, FieldType, MessageInfo, catalog};
use gyre_model::{Error, Kind};
use gyre_proto::json::JsonCodec;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use self::loose::loosened;
use self::place::{Place, Step, offset, position};

/// Most levels of objects and lists in each other.
pub const DEEPEST: usize = 32;

/// Why a body was refused.
#[derive(Debug)]
pub enum Wrong {
    /// More than [`DEEPEST`] levels.
    Deep(Error),
    /// No JSON, or not that of the message.
    Json(Error),
}

/// Reads the JSON of one kind of message.
#[derive(Clone, Copy)]
pub struct JsonReader {
    message: &'static str,
    codec: &'static JsonCodec,
    /// The field that the body is, with a dot after it; empty where it is the request.
    prefix: &'static str,
}

impl std::fmt::Debug for JsonReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("JsonReader").field("message", &self.message).finish_non_exhaustive()
    }
}

impl JsonReader {
    /// The reader of a message; `prefix` goes before the paths of fields that errors name.
    pub fn new(message: &'static str, prefix: &'static str) -> Option<Self> {
        Some(Self { message, codec: JsonCodec::by_name(message)?, prefix })
    }

    /// Turns JSON into wire bytes.
    pub fn parse(&self, json: &[u8]) -> Result<Bytes, Wrong> {
        if let Some(at) = too_deep(json, DEEPEST) {
            let (line, column) = position(json, at);
            return Err(Wrong::Deep(
                Error::new(
                    Kind::InvalidArgument,
                    "TOO_DEEP",
                    format!("the body is nested more than {DEEPEST} levels deep at line {line} column {column}"),
                )
                .with("line", line.to_string())
                .with("column", column.to_string()),
            ));
        }
        match (self.codec.parse)(json) {
            Ok(wire) => Ok(wire),
            Err(error) => {
                if error.is_data()
                    && let Some(loose) = loosened(json, self.message)
                    && let Ok(wire) = (self.codec.parse)(&loose)
                {
                    return Ok(wire);
                }
                Err(Wrong::Json(self.explain(json, &error)))
            }
        }
    }

    fn explain(&self, json: &[u8], error: &serde_json::Error) -> Error {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
        let wrong = |message: String| {
            Error::new(Kind::InvalidArgument, "INVALID_JSON", message)
                .with("line", line.to_string())
                .with("column", column.to_string())
        };
        if !error.is_data() {
            return wrong(format!("the body is not JSON: {text} at line {line} column {column}"));
        }
        let mut end = offset(json, line, column);
        // A value whose text cannot be read as a number is noticed when the object that it closes was just passed.
        if end > 0 && matches!(json.get(end - 1), Some(b'}' | b']')) {
            end -= 1;
        }
        let place = Place::find(json, end);
        let (path, meant) = self.resolve(&place);
        let description = match meant {
            Meant::Unknown { name, message } => {
                let known = message.fields.iter().filter(|field| !field.rule.output_only);
                let near = gyre_model::near::nearest(&name, known.clone().map(|field| field.json_name));
                if near.is_empty() {
                    let all: Vec<_> = known.map(|field| field.json_name).collect();
                    format!("is not known; there are {}", all.join(", "))
                } else {
                    format!("is not known; perhaps {}", near.join(" or "))
                }
            }
            Meant::Field { field, element } => {
                let expected = expected(field, element);
                let tells = ["invalid type", "invalid value", "unknown variant", "duplicate field"];
                if !field.rule.secret && tells.iter().any(|start| text.starts_with(start)) && text.len() <= 200 {
                    format!("must be {expected} ({text})")
                } else {
                    format!("must be {expected}")
                }
            }
            Meant::Body => "must be an object".to_owned(),
        };
        let subject = if path.is_empty() { "the body" } else { path.as_str() };
        wrong(format!("{subject} {description}, at line {line} column {column}")).violation(path.as_str(), description)
    }

    /// The path of a place as the .proto has it, and what belongs there.
    fn resolve(&self, place: &Place) -> (String, Meant) {
        let mut path = self.prefix.to_owned();
        let mut message = catalog().message(self.message);
        let mut meant = Meant::Body;
        for step in &place.steps {
            match step {
                Step::Key(key) => {
                    let Some(info) = message else { break };
                    if !path.is_empty() && !path.ends_with('.') {
                        path.push('.');
                    }
                    match info.fields.iter().find(|field| field.json_name == key || field.name == key) {
                        Some(field) => {
                            path.push_str(field.name);
                            message = match field.ty {
                                FieldType::Message(name) => catalog().message(name),
                                _ => None,
                            };
                            meant = Meant::Field { field, element: false };
                        }
                        None => {
                            path.extend(key.chars().take(64));
                            return (path, Meant::Unknown { name: key.clone(), message: info });
                        }
                    }
                }
                Step::Element(index) => {
                    let _ = write!(path, "[{index}]");
                    if let Meant::Field { element, .. } = &mut meant {
                        *element = true;
                    }
                }
            }
        }
        if matches!(meant, Meant::Body) {
            path = self.prefix.trim_end_matches('.').to_owned();
        }
        (path, meant)
    }
}

/// What belongs at a place.
enum Meant {
    Body,
    Field { field: &'static FieldInfo, element: bool },
    Unknown { name: String, message: &'static MessageInfo },
}

/// What the value of a field must be, in words.
fn expected(field: &FieldInfo, element: bool) -> String {
    let one = match field.ty {
        FieldType::Bool => "true or false".to_owned(),
        FieldType::Int | FieldType::Uint => match (field.rule.min, field.rule.max) {
            (Some(min), Some(max)) => format!("a whole number from {min} to {max}"),
            _ => "a whole number that fits".to_owned(),
        },
        FieldType::Float => "a number".to_owned(),
        FieldType::Text => "a text".to_owned(),
        FieldType::Bytes => "base64 in a text".to_owned(),
        FieldType::Enum(_) => {
            let names: Vec<_> = field.values.iter().skip(1).map(|(_, full, _)| *full).collect();
            format!("one of {}", names.join(", "))
        }
        FieldType::Time => "a time such as \"2026-01-31T12:00:00Z\"".to_owned(),
        FieldType::Duration => "a duration such as \"30s\"".to_owned(),
        FieldType::Message("google.protobuf.FieldMask") => "a text such as \"name,description\"".to_owned(),
        FieldType::Message(_) | FieldType::Map => "an object".to_owned(),
    };
    if field.repeated && !element { format!("a list, each element {one}") } else { one }
}

/// The offset at which there are more levels than these.
fn too_deep(json: &[u8], most: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut bytes = json.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > most {
                    return Some(at);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some((_, byte)) = bytes.next() {
                    match byte {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    None
}

/// The keys of the outermost object, in order. Nothing where it is no object.
pub fn top_level_keys(json: &[u8]) -> Option<Vec<String>> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Vec<String>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut keys = Vec::new();
            while let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
                keys.push(key);
            }
            Ok(keys)
        }
    }
    serde_json::Deserializer::from_slice(json).deserialize_map(Keys).ok()
}

#[cfg(test)]
mod tests {
    use gyre_proto::Message as _;
    use gyre_proto::vm::v1::{CreateVmRequest, Vm};

    use super::*;

    fn vm() -> JsonReader {
        JsonReader::new("gyre.vm.v1.Vm", "vm.").unwrap()
    }

    fn refused(json: &str) -> Error {
        match vm().parse(json.as_bytes()).unwrap_err() {
            Wrong::Deep(error) | Wrong::Json(error) => error,
        }
    }

    fn told(json: &str) -> (String, String) {
        let error = refused(json);
        let violation = error.violations().first().cloned().unwrap();
        (violation.field, violation.description)
    }

    #[test]
    fn good_bodies_are_read() {
        let json = br#"{"name": "web", "cpuCount": 2, "memoryBytes": "1073741824", "l3_network_uuids": ["a"], "hostUuid": null}"#;
        let vm = Vm::decode(vm().parse(json).unwrap()).unwrap();
        assert_eq!((vm.name.as_str(), vm.cpu_count, vm.memory_bytes), ("web", 2, 1 << 30));
        assert_eq!(vm.l3_network_uuids, ["a"]);
    }

    #[test]
    fn enums_have_short_names_too() {
        let read = |json: &str| Vm::decode(vm().parse(json.as_bytes()).unwrap()).unwrap().state;
        assert_eq!(read(r#"{"state": "VM_STATE_RUNNING"}"#), 3);
        assert_eq!(read(r#"{"state": "running", "name": null}"#), 3);
        assert_eq!(read(r#"{"state": 3}"#), 3);
    }

    #[test]
    fn wrong_fields_are_named_with_what_was_expected() {
        let (field, told_unknown) = told("{\n \"name\": \"a\",\n \"cpuCuont\": 2}");
        assert_eq!((field.as_str(), told_unknown.as_str()), ("vm.cpuCuont", "is not known; perhaps cpuCount"));
        let (field, told_type) = told(r#"{"name": 7}"#);
        assert_eq!(field, "vm.name");
        assert!(told_type.starts_with("must be a text (invalid type"), "{told_type}");
        let (field, told_number) = told(r#"{"name": "a", "cpuCount": "many"}"#);
        assert_eq!((field.as_str(), told_number.as_str()), ("vm.cpu_count", "must be a whole number from 1 to 256"));
        let (field, _) = told(r#"{"l3NetworkUuids": ["a", 3, "b"]}"#);
        assert_eq!(field, "vm.l3_network_uuids[1]");
        let (field, told_nested) = told(r#"{"nics": [{"uuid": "a"}, {"prefixLength": true}]}"#);
        assert_eq!(field, "vm.nics[1].prefix_length");
        assert!(told_nested.starts_with("must be a whole number"), "{told_nested}");
        let (field, told_enum) = told(r#"{"state": "SLEEPING"}"#);
        assert_eq!(field, "vm.state");
        assert!(told_enum.contains("VM_STATE_RUNNING"), "{told_enum}");
        assert_eq!(told("[1]").1, "must be an object");
        let error = refused("{\n \"name\": \"a\",\n \"cpuCuont\": 2}");
        assert_eq!(error.metadata().get("line").map(String::as_str), Some("3"));
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        for broken in ["", "{", "{\"name\"", "{\"name\": }", "nonsense", "{} {}", "{\"name\": \"\u{1}\"}", "\u{0}"] {
            let error = refused(broken);
            assert_eq!(error.reason(), "INVALID_JSON", "{broken}");
            assert!(error.message().contains("column"), "{}", error.message());
        }
    }

    #[test]
    fn secrets_are_not_echoed() {
        let reader = JsonReader::new("gyre.identity.v1.CreateSessionRequest", "").unwrap();
        let Err(Wrong::Json(error)) = reader.parse(br#"{"account": "a", "password": 12345678}"#) else { panic!() };
        assert!(!error.message().contains("12345678"), "{}", error.message());
    }

    #[test]
    fn depth_is_bounded_before_parsing() {
        let deep = "[".repeat(100_000);
        assert_eq!(refused(&deep).reason(), "TOO_DEEP");
        let quoted = format!("{{\"name\": \"{}\"}}", "[\\\"".repeat(100));
        assert!(vm().parse(quoted.as_bytes()).is_ok());
    }

    #[test]
    fn the_keys_of_a_body_are_found() {
        assert_eq!(top_level_keys(br#"{"a": {"b": 1}, "c\u0064": [1]}"#).unwrap(), ["a", "cd"]);
        assert_eq!(top_level_keys(b"[]"), None);
    }

    #[test]
    fn a_whole_request_has_no_prefix() {
        let reader = JsonReader::new("gyre.vm.v1.CreateVmRequest", "").unwrap();
        let wire = reader.parse(br#"{"vm": {"name": "x"}}"#).unwrap();
        assert_eq!(CreateVmRequest::decode(wire).unwrap().vm.unwrap().name, "x");
    }
}
