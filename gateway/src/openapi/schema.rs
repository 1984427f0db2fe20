//! Messages and their field rules as JSON Schema (the dialect of OpenAPI 3.1).

use std::collections::BTreeMap;

use gyre_model::catalog::{FieldInfo, FieldType, Format, MessageInfo, catalog};
use prost_reflect::prost_types::FileDescriptorProto;
use serde_json::{Map, Value, json};

/// Most characters of a text for which the .proto says nothing.
const MOST_CHARACTERS: u32 = 1024;
/// Most elements of a list for which the .proto says nothing.
const MOST_ITEMS: u32 = 100;

/// The schemas of a document, each made when it is first referred to.
#[derive(Debug, Default)]
pub struct Schemas {
    made: BTreeMap<String, Value>,
}

/// "Vm" of "gyre.vm.v1.Vm".
pub fn name_of(message: &str) -> &str {
    message.rsplit('.').next().unwrap_or(message)
}

/// The field at a path of names, and the message that it is a field of.
pub fn field_of(message: &str, path: &str) -> Option<(&'static str, &'static FieldInfo)> {
    let mut message = catalog().message(message)?;
    let mut names = path.split('.').peekable();
    loop {
        let field = message.field(names.next()?)?;
        if names.peek().is_none() {
            return Some((message.name, field));
        }
        let FieldType::Message(inner) = field.ty else { return None };
        message = catalog().message(inner)?;
    }
}

/// The comment at a place of a file.
pub fn comment(file: &FileDescriptorProto, path: &[i32]) -> String {
    let text = file
        .source_code_info
        .as_ref()
        .and_then(|info| info.location.iter().find(|location| location.path == path))
        .and_then(|location| location.leading_comments.as_deref())
        .unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Schemas {
    /// All of them, with that of problems.
    pub fn finish(mut self) -> BTreeMap<String, Value> {
        self.made.insert("Problem".to_owned(), problem());
        self.made
    }

    /// A reference to the schema of a message.
    pub fn reference(&mut self, message: &str) -> Value {
        let name = name_of(message).to_owned();
        self.make(&name, message, |schemas, info| schemas.object(info, |_| true, true));
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// A reference to the schema of what an update may change of a resource.
    pub fn update(&mut self, message: &str) -> Value {
        let name = format!("{}Update", name_of(message));
        self.make(&name, message, |schemas, info| {
            schemas.object(info, |field| !field.rule.output_only && !field.rule.immutable, false)
        });
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// The schema of a request without the fields that stand in the path, and whether it needs to be there.
    pub fn request(&mut self, message: &str, bound: &[&str]) -> (Value, bool) {
        let Some(info) = catalog().message(message) else { return (json!({"type": "object"}), false) };
        let schema = self.object(info, |field| !bound.contains(&field.name), true);
        let needed = schema.get("required").is_some();
        (schema, needed)
    }

    fn make(&mut self, name: &str, message: &str, make: impl FnOnce(&mut Self, &'static MessageInfo) -> Value) {
        if self.made.contains_key(name) {
            return;
        }
        // Stands there before it is made, for messages that hold themselves.
        self.made.insert(name.to_owned(), json!({"type": "object"}));
        if let Some(info) = catalog().message(message) {
            let schema = make(self, info);
            self.made.insert(name.to_owned(), schema);
        }
    }

    fn object(&mut self, info: &MessageInfo, shown: impl Fn(&FieldInfo) -> bool, with_required: bool) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in info.fields.iter().filter(|field| shown(field)) {
            let mut schema = self.value(info.name, field);
            if !field.doc.is_empty() {
                schema["description"] = json!(field.doc);
            }
            if field.rule.output_only {
                schema["readOnly"] = json!(true);
            } else if field.rule.secret {
                schema["writeOnly"] = json!(true);
            }
            if !field.rule.refers_to.is_empty() {
                schema["x-gyre-refers-to"] = json!(field.rule.refers_to);
            }
            if field.rule.immutable {
                schema["x-gyre-immutable"] = json!(true);
            }
            properties.insert(field.json_name.to_owned(), schema);
            if field.rule.required {
                required.push(field.json_name);
            }
        }
        let mut object = json!({"type": "object", "properties": properties, "additionalProperties": false});
        if !info.doc.is_empty() {
            object["description"] = json!(info.doc);
        }
        if with_required && !required.is_empty() {
            object["required"] = json!(required);
        }
        object
    }

    /// The schema of the value of a message's field.
    pub fn value(&mut self, message: &str, field: &FieldInfo) -> Value {
        let one = self.one(message, field);
        if !field.repeated {
            return one;
        }
        let most = if field.rule.max_items == 0 { MOST_ITEMS } else { field.rule.max_items };
        let mut list = json!({"type": "array", "items": one});
        if !field.rule.output_only {
            list["maxItems"] = json!(most);
        }
        list
    }

    fn one(&mut self, message: &str, field: &FieldInfo) -> Value {
        match field.ty {
            FieldType::Bool => json!({"type": "boolean"}),
            FieldType::Int | FieldType::Uint => number(message, field),
            FieldType::Float => json!({"type": "number"}),
            FieldType::Text => text(field),
            FieldType::Bytes => {
                let mut bytes = json!({"type": "string", "contentEncoding": "base64"});
                if field.rule.max_length > 0 {
                    bytes["maxLength"] = json!(field.rule.max_length.div_ceil(3) * 4);
                }
                bytes
            }
            FieldType::Enum(name) => self.choice(name),
            FieldType::Time => json!({"type": "string", "format": "date-time"}),
            FieldType::Duration => {
                json!({"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$", "examples": ["30s"]})
            }
            FieldType::Message("google.protobuf.FieldMask") => {
                json!({"type": "string", "examples": ["name,description"]})
            }
            FieldType::Message(message) => self.reference(message),
            FieldType::Map => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        }
    }

    fn choice(&mut self, name: &str) -> Value {
        let short = name_of(name).to_owned();
        if !self.made.contains_key(&short)
            && let Some(described) = catalog().pool().get_enum_by_name(name)
        {
            let file = described.parent_file();
            let file = file.file_descriptor_proto();
            let values: Vec<_> = described.values().filter(|value| value.number() != 0).collect();
            let names: Vec<&str> = values.iter().map(|value| value.name()).collect();
            let texts: Vec<String> =
                values.iter().map(|value| format!("- `{}`: {}", value.name(), comment(file, value.path()))).collect();
            let doc = format!("{}\n\n{}", comment(file, described.path()), texts.join("\n"));
            self.made.insert(short.clone(), json!({"type": "string", "enum": names, "description": doc}));
        }
        json!({"$ref": format!("#/components/schemas/{short}")})
    }
}

fn number(message: &str, field: &FieldInfo) -> Value {
    // 64-bit numbers are texts in proto3 JSON; what is sent may be either.
    let mut number = if is_wide(message, field) {
        json!({"type": ["string", "integer"], "format": "int64"})
    } else {
        json!({"type": "integer", "format": "int32"})
    };
    if let Some(min) = field.rule.min {
        number["minimum"] = json!(min);
    }
    if let Some(max) = field.rule.max {
        number["maximum"] = json!(max);
    }
    number
}

fn text(field: &FieldInfo) -> Value {
    let mut text = json!({"type": "string"});
    match field.rule.format() {
        Format::Unspecified => {}
        Format::Uuid => {
            text["format"] = json!("uuid");
            return text;
        }
        Format::Ipv4 => {
            text["format"] = json!("ipv4");
            return text;
        }
        Format::Path => text["pattern"] = json!("^/"),
        Format::Address => text["examples"] = json!(["10.0.0.5:7071", "local"]),
        Format::ImageUrl => text["pattern"] = json!("^(https?://|file:///|upload$)"),
        Format::Interface => text["pattern"] = json!("^[A-Za-z0-9._][A-Za-z0-9._-]{0,14}$"),
        Format::Login => text["pattern"] = json!("^[a-z0-9._-]{1,64}$"),
    }
    if field.rule.min_length > 0 {
        text["minLength"] = json!(field.rule.min_length);
    }
    if !field.rule.output_only {
        text["maxLength"] = json!(if field.rule.max_length == 0 { MOST_CHARACTERS } else { field.rule.max_length });
    }
    text
}

/// Whether a number has 64 bits, which the catalog does not tell apart.
fn is_wide(message: &str, field: &FieldInfo) -> bool {
    use prost_reflect::Kind::{Fixed64, Int64, Sfixed64, Sint64, Uint64};
    catalog()
        .pool()
        .get_message_by_name(message)
        .and_then(|message| message.get_field(field.number))
        .is_some_and(|field| matches!(field.kind(), Int64 | Sint64 | Sfixed64 | Uint64 | Fixed64))
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "A problem document (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code", "reason"],
        "properties": {
            "type": {"type": "string", "description": "urn:gyre:error: and the reason."},
            "title": {"type": "string", "description": "The kind of problem, for people."},
            "status": {"type": "integer", "description": "The HTTP status."},
            "detail": {"type": "string", "description": "What was wrong, with which value, and what to do."},
            "code": {"type": "string", "description": "The canonical gRPC code, such as NOT_FOUND."},
            "reason": {"type": "string", "description": "A stable reason for programs."},
            "violations": {
                "type": "array", "description": "Each field that broke a rule.",
                "items": {
                    "type": "object",
                    "properties": {
                        "field": {"type": "string", "description": "The path of the field, such as vm.cpu_count."},
                        "description": {"type": "string", "description": "What it must be."}
                    }
                }
            },
            "metadata": {
                "type": "object", "additionalProperties": {"type": "string"}, "description": "Further facts by name."
            },
            "traceId": {"type": "string", "description": "The trace to look for in the logs."}
        }
    })
}
