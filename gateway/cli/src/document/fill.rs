//! From what a document says to a message.

use base64::Engine as _;
use gyre_model::catalog::{FieldInfo, FieldType, MessageInfo, catalog};
use gyre_model::error::Violation;
use gyre_model::parse_uuid;
use prost_reflect::{DynamicMessage, FieldDescriptor, MapKey, ReflectMessage as _, Value};
use serde_json::{Map, Value as Json};

use super::keys::{field_of, near_keys};
use crate::args::{Given, parse};
use crate::nouns::{kind_beside, kind_named};

/// A place in a message that names a resource which has still to be looked up.
#[derive(Debug, Clone)]
pub struct Reference {
    /// The numbers of the fields on the way.
    pub path: Vec<u32>,
    /// The place in a list.
    pub index: Option<usize>,
    /// The kind that it names.
    pub kind: &'static str,
    /// What was written.
    pub text: String,
    /// The field, for messages.
    pub field: String,
}

impl Reference {
    /// Puts the UUID in its place.
    pub fn put(&self, message: &mut DynamicMessage, uuid: &str) {
        let Some((last, way)) = self.path.split_last() else { return };
        let mut at = message;
        for number in way {
            match at.get_field_by_number_mut(*number).and_then(Value::as_message_mut) {
                Some(inner) => at = inner,
                None => return,
            }
        }
        let value = Value::String(uuid.to_owned());
        match (self.index, at.get_field_by_number_mut(*last)) {
            (Some(index), Some(Value::List(list))) => {
                if let Some(place) = list.get_mut(index) {
                    *place = value;
                }
            }
            _ => at.set_field_by_number(*last, value),
        }
    }
}

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Filled {
    /// The fields at the top that were given, in the order of the .proto file.
    pub given: Vec<&'static str>,
    /// What has to be looked up.
    pub references: Vec<Reference>,
    /// What is wrong.
    pub problems: Vec<Violation>,
}

/// Reads a document into a message.
pub fn fill(message: &mut DynamicMessage, document: &Map<String, Json>) -> Filled {
    let mut filled = Filled::default();
    let descriptor = message.descriptor();
    if let Some(info) = catalog().message(descriptor.full_name()) {
        let mut reader = Reader { filled: &mut filled, way: Vec::new() };
        let given = reader.message(message, info, document, "");
        filled.given = info.fields.iter().map(|field| field.name).filter(|name| given.contains(name)).collect();
    }
    filled
}

struct Reader<'a> {
    filled: &'a mut Filled,
    way: Vec<u32>,
}

impl Reader<'_> {
    fn say(&mut self, field: &str, description: impl Into<String>) {
        self.filled.problems.push(Violation { field: field.to_owned(), description: description.into() });
    }

    fn message(
        &mut self,
        message: &mut DynamicMessage,
        info: &'static MessageInfo,
        document: &Map<String, Json>,
        path: &str,
    ) -> Vec<&'static str> {
        let mut given = Vec::new();
        for (key, json) in document {
            let shown = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let Some(field) = field_of(info, key) else {
                let near = near_keys(info, key);
                let hint =
                    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
                self.say(&shown, format!("there is no such field{hint}"));
                continue;
            };
            if given.contains(&field.name) {
                self.say(&shown, "is given twice");
                continue;
            }
            // What nothing is said of is left as it is.
            if json.is_null() {
                continue;
            }
            let Some(descriptor) = message.descriptor().get_field(field.number) else { continue };
            given.push(field.name);
            self.way.push(field.number);
            match self.field(field, &descriptor, json, &shown) {
                Ok(Some(value)) => {
                    if let Err(error) = message.try_set_field(&descriptor, value) {
                        self.say(&shown, error.to_string());
                    }
                }
                Ok(None) => {}
                Err(wrong) => self.say(&shown, wrong),
            }
            self.way.pop();
        }
        self.kinds(message, info, &given, path);
        given
    }

    /// What is named beside the field that says its kind: kinds become those of the API, names have to be looked up.
    fn kinds(&mut self, message: &mut DynamicMessage, info: &'static MessageInfo, given: &[&str], path: &str) {
        for field in info.fields.iter().filter(|field| given.contains(&field.name)) {
            let Some(beside) = kind_beside(info, field) else { continue };
            let text = |message: &DynamicMessage, field: &FieldInfo| {
                let value = message.get_field_by_number(field.number);
                value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
            };
            let kind = kind_named(&text(message, beside));
            if let Some(kind) = kind {
                message.set_field_by_number(beside.number, Value::String(kind.to_owned()));
            }
            let name = text(message, field);
            if name.is_empty() || parse_uuid(&name).is_some() {
                continue;
            }
            let shown = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
            match kind {
                Some(kind) => {
                    let path = self.way.iter().copied().chain([field.number]).collect();
                    self.filled.references.push(Reference { path, index: None, kind, text: name, field: shown });
                }
                None => {
                    self.say(&shown, format!("{name:?} is no UUID; a name will do where {} says its kind", beside.name))
                }
            }
        }
    }

    /// The value of a field; none where what is wrong with it was said already.
    fn field(
        &mut self,
        field: &'static FieldInfo,
        descriptor: &FieldDescriptor,
        json: &Json,
        shown: &str,
    ) -> Result<Option<Value>, String> {
        if field.ty == FieldType::Map {
            let object = json.as_object().ok_or("must be a map of texts")?;
            let entry =
                |(key, value): (&String, &Json)| Some((MapKey::String(key.clone()), Value::String(plain(value)?)));
            return object
                .iter()
                .map(entry)
                .collect::<Option<_>>()
                .map(|map| Some(Value::Map(map)))
                .ok_or_else(|| "must be a map of texts".into());
        }
        if !field.repeated {
            return self.one(field, descriptor, json, shown, None);
        }
        let single = [json.clone()];
        let items = match json {
            Json::Array(items) => items.as_slice(),
            Json::Object(_) => return Err("must be a list".to_owned()),
            _ => single.as_slice(),
        };
        let mut values = Vec::new();
        for (at, item) in items.iter().enumerate() {
            values.extend(self.one(field, descriptor, item, &format!("{shown}[{at}]"), Some(at))?);
        }
        Ok(Some(Value::List(values)))
    }

    fn one(
        &mut self,
        field: &'static FieldInfo,
        descriptor: &FieldDescriptor,
        json: &Json,
        shown: &str,
        index: Option<usize>,
    ) -> Result<Option<Value>, String> {
        if let FieldType::Message(name) = field.ty {
            return self.inner(name, descriptor, json, shown);
        }
        let text = plain(json).ok_or_else(|| format!("must be {}", what(field)))?;
        if !field.rule.refers_to.is_empty() && !text.is_empty() {
            let text = match parse_uuid(&text) {
                Some(uuid) => uuid.to_string(),
                None => {
                    self.filled.references.push(Reference {
                        path: self.way.clone(),
                        index,
                        kind: &field.rule.refers_to,
                        text: text.clone(),
                        field: shown.to_owned(),
                    });
                    text
                }
            };
            return Ok(Some(Value::String(text)));
        }
        if field.ty == FieldType::Bytes {
            let bytes = base64::engine::general_purpose::STANDARD.decode(&text).map_err(|_| "must be base64")?;
            return Ok(Some(Value::Bytes(bytes.into())));
        }
        if field.ty == FieldType::Text && !json.is_string() && json.is_boolean() {
            return Err(format!("must be a text; write {text:?} with quotes"));
        }
        match parse(field, descriptor, "", &text)? {
            Given::Value(value) => Ok(Some(value)),
            _ => Err(format!("must be {}", what(field))),
        }
    }

    fn inner(
        &mut self,
        name: &'static str,
        descriptor: &FieldDescriptor,
        json: &Json,
        shown: &str,
    ) -> Result<Option<Value>, String> {
        let kind = descriptor.kind();
        let kind = kind.as_message().ok_or("cannot be given here")?;
        match (catalog().message(name), json) {
            (Some(info), Json::Object(object)) => {
                let mut message = DynamicMessage::new(kind.clone());
                // References inside of lists of messages would need their place in the list; they are UUIDs.
                self.message(&mut message, info, object, shown);
                Ok(Some(Value::Message(message)))
            }
            (Some(_), _) => Err("must be a map of fields".to_owned()),
            // A well-known type, in its form of JSON.
            (None, json) => DynamicMessage::deserialize(kind.clone(), json)
                .map(|message| Some(Value::Message(message)))
                .map_err(|error| error.to_string()),
        }
    }
}

/// A plain value as text, none where it is a list or a map.
fn plain(json: &Json) -> Option<String> {
    match json {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(yes) => Some(yes.to_string()),
        Json::Null => Some(String::new()),
        Json::Array(_) | Json::Object(_) => None,
    }
}

fn what(field: &FieldInfo) -> &'static str {
    match field.ty {
        FieldType::Bool => "true or false",
        FieldType::Int | FieldType::Uint | FieldType::Float => "a number",
        FieldType::Time => "a time",
        FieldType::Duration => "a duration",
        _ => "a text",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn vm(document: &Json) -> (DynamicMessage, Filled) {
        let mut message = DynamicMessage::new(catalog().pool().get_message_by_name("gyre.vm.v1.Vm").unwrap());
        let filled = fill(&mut message, document.as_object().unwrap());
        (message, filled)
    }

    #[test]
    fn a_document_says_what_flags_say() {
        let uuid = "7F3A12BC000040008000000000000001";
        let (mut message, filled) = vm(&json!({
            "name": "web-1", "memory": "2GiB", "cpuCount": 2, "image": "debian", "networks": [uuid, "lan"], "host": null,
        }));
        assert!(filled.problems.is_empty(), "{:?}", filled.problems);
        assert_eq!(filled.given, ["name", "cpu_count", "memory_bytes", "image_uuid", "l3_network_uuids"]);
        assert_eq!(filled.references.len(), 2);
        for reference in &filled.references {
            reference.put(&mut message, &format!("uuid of {} {}", reference.kind, reference.text));
        }
        assert_eq!(
            serde_json::to_value(&message).unwrap(),
            json!({"name": "web-1", "cpuCount": 2, "memoryBytes": "2147483648", "imageUuid": "uuid of image debian",
                   "l3NetworkUuids": ["7f3a12bc-0000-4000-8000-000000000001", "uuid of l3-network lan"]})
        );
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let (_, filled) =
            vm(&json!({"nam": "x", "cpu_count": "two", "memory": -1, "name": {}, "image": "a", "imageUuid": "b"}));
        let mut fields: Vec<_> = filled.problems.iter().map(|problem| problem.field.as_str()).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["cpu_count", "imageUuid", "memory", "nam", "name"]);
        let unknown = filled.problems.iter().find(|problem| problem.field == "nam").unwrap();
        assert!(unknown.description.contains("did you mean name"), "{}", unknown.description);
    }
}
