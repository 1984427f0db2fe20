//! Messages and their field rules as JSON Schema (the dialect of OpenAPI 3.1).

use std::collections::BTreeMap;

use gyre_model::catalog::{FieldInfo, FieldType, Format, MessageInfo, catalog};
use prost_reflect::prost_types::FileDescriptorProto;
use serde_json::{Map, Value, json};

/// Most characters of a text for which the .proto says nothing.
const MOST_CHARACTERS: u32 = 1024;
/// Most elements of a list for which the .proto says nothing.
const MOST_ITEMS: u32 = 100;

/// Which side of a call a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What is answered: fields without a value are left out, and later versions may answer more.
    Answer,
    /// What is sent: unknown fields are refused.
    Sent,
    /// What is sent to change a resource: nothing of it is required.
    Changes,
}

/// The schemas of a document, each made when it is first referred to.
#[derive(Debug, Default)]
pub struct Schemas {
    made: BTreeMap<String, Value>,
    /// The full names behind short ones.
    names: BTreeMap<String, String>,
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

    /// A reference to the schema of a message as it is answered.
    pub fn answer(&mut self, message: &str) -> Value {
        self.reference(message, Side::Answer)
    }

    /// A reference to the schema of a message on one side of a call: "Vm", "VmCreate" or "VmUpdate".
    pub fn reference(&mut self, message: &str, side: Side) -> Value {
        let resource = catalog().message(message).is_some_and(|info| info.kind.is_some());
        let suffix = match side {
            Side::Answer => "",
            Side::Sent if resource => "Create",
            Side::Sent => "Sent",
            Side::Changes => "Update",
        };
        let name = format!("{}{suffix}", self.short(message));
        if !self.made.contains_key(&name) {
            // Stands there before it is made, for messages that hold themselves.
            self.made.insert(name.clone(), json!({"type": "object"}));
            if let Some(info) = catalog().message(message) {
                let shown =
                    |field: &FieldInfo| side != Side::Changes || !field.rule.output_only && !field.rule.immutable;
                let schema = self.object(info, side, shown);
                self.made.insert(name.clone(), schema);
            }
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// The schema of a request without the fields that stand elsewhere, and whether it needs to be there.
    pub fn request(&mut self, message: &str, elsewhere: impl Fn(&FieldInfo) -> bool) -> (Value, bool) {
        let Some(info) = catalog().message(message) else { return (json!({"type": "object"}), false) };
        let schema = self.object(info, Side::Sent, |field| !elsewhere(field));
        let needed = schema.get("required").is_some();
        (schema, needed)
    }

    /// The name of a message or enum in the document: its last name, or the whole where another has that already.
    fn short(&mut self, full: &str) -> String {
        let short = name_of(full).to_owned();
        match self.names.entry(short.clone()).or_insert_with(|| full.to_owned()) {
            known if known == full => short,
            _ => full.replace('.', "_"),
        }
    }

    fn object(&mut self, info: &MessageInfo, side: Side, shown: impl Fn(&FieldInfo) -> bool) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in info.fields.iter().filter(|field| shown(field)) {
            let mut schema = self.value(info.name, field, side);
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
            if field.rule.admin_only {
                schema["x-gyre-admin-only"] = json!(true);
            }
            properties.insert(field.json_name.to_owned(), schema);
            if field.rule.required {
                required.push(field.json_name);
            }
        }
        let mut object = json!({"type": "object", "properties": properties});
        if !info.doc.is_empty() {
            object["description"] = json!(info.doc);
        }
        if side != Side::Answer {
            object["additionalProperties"] = json!(false);
        }
        if side == Side::Sent && !required.is_empty() {
            object["required"] = json!(required);
        }
        object
    }

    /// The schema of the value of a message's field.
    pub fn value(&mut self, message: &str, field: &FieldInfo, side: Side) -> Value {
        let one = self.one(message, field, side);
        if !field.repeated {
            return one;
        }
        let most = if field.rule.max_items == 0 { MOST_ITEMS } else { field.rule.max_items };
        let mut list = json!({"type": "array", "items": one});
        if side != Side::Answer && !field.rule.output_only {
            list["maxItems"] = json!(most);
        }
        list
    }

    fn one(&mut self, message: &str, field: &FieldInfo, side: Side) -> Value {
        match field.ty {
            FieldType::Bool => json!({"type": "boolean"}),
            FieldType::Int | FieldType::Uint => number(message, field, side),
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
            FieldType::Message("google.protobuf.Struct") => json!({"type": "object"}),
            FieldType::Message("google.protobuf.Any") => json!({
                "type": "object", "required": ["@type"],
                "properties": {"@type": {"type": "string", "description": "What it is, such as \"type.googleapis.com/gyre.vm.v1.Vm\"."}}
            }),
            FieldType::Message("google.protobuf.ListValue") => json!({"type": "array"}),
            FieldType::Message("google.protobuf.Value") => json!({}),
            FieldType::Message(message) => self.reference(message, side),
            FieldType::Map => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        }
    }

    fn choice(&mut self, name: &str) -> Value {
        let short = self.short(name);
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

fn number(message: &str, field: &FieldInfo, side: Side) -> Value {
    // 64-bit numbers are texts in proto3 JSON; what is sent may be either.
    let mut number = match (is_wide(message, field), side) {
        (true, Side::Answer) => json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"}),
        (true, _) => json!({"type": ["string", "integer"], "format": "int64", "pattern": "^-?[0-9]+$"}),
        (false, _) => json!({"type": "integer", "format": "int32"}),
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
pub fn is_wide(message: &str, field: &FieldInfo) -> bool {
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
