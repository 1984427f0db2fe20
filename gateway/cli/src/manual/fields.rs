//! Fields, and the types that they are made of.

use gyre_model::catalog::{FieldInfo, FieldType, Format, MessageInfo, OnDelete, catalog};
use prost_reflect::EnumDescriptor;

use super::{cell, is_own};
use crate::nouns::{Shape, Verb, noun};

/// A message's fields as a table.
pub fn field_table(message: &MessageInfo) -> String {
    let mut text = "| field | type | rules | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for field in &message.fields {
        text += &format!("| `{}` | {} | {} | {} |\n", field.name, ty(field), rules(field), cell(field.doc));
    }
    text
}

/// The type of a field; a message or an enum of the page is linked.
pub fn ty(field: &FieldInfo) -> String {
    let one = match field.ty {
        FieldType::Bool => "bool".to_owned(),
        FieldType::Int => "integer".to_owned(),
        FieldType::Uint => "unsigned integer".to_owned(),
        FieldType::Float => "number".to_owned(),
        FieldType::Text if field.rule.format() == Format::Uuid => "UUID".to_owned(),
        FieldType::Text => "text".to_owned(),
        FieldType::Bytes => "bytes".to_owned(),
        FieldType::Time => "time".to_owned(),
        FieldType::Duration => "duration".to_owned(),
        FieldType::Map => "map of texts".to_owned(),
        FieldType::Enum(name) => linked(name),
        FieldType::Message(name) => match catalog().message(name).and_then(|message| message.kind) {
            Some(kind) if noun(kind).is_some() => format!("[{kind}]({kind}.md)"),
            _ if is_own(name) => linked(name),
            _ => last(name).to_owned(),
        },
    };
    if field.repeated { format!("list of {one}") } else { one }
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn linked(name: &str) -> String {
    format!("[{0}](#{1})", last(name), last(name).to_ascii_lowercase())
}

/// What a value must be like.
pub fn rules(field: &FieldInfo) -> String {
    let rule = &field.rule;
    let mut said = Vec::new();
    if rule.required {
        said.push("required".to_owned());
    }
    if rule.output_only {
        said.push("set by Gyre".to_owned());
    }
    if rule.immutable {
        said.push("fixed at creation".to_owned());
    }
    if rule.secret {
        said.push("secret: never answered".to_owned());
    }
    if rule.admin_only {
        said.push("for administrators only".to_owned());
    }
    match (rule.min, rule.max) {
        (Some(min), Some(max)) => said.push(format!("{min} to {max}")),
        (Some(min), None) => said.push(format!("at least {min}")),
        (None, Some(max)) => said.push(format!("at most {max}")),
        (None, None) => {}
    }
    match (rule.min_length, rule.max_length) {
        (0, 0) => {}
        (0, max) => said.push(format!("at most {max} {}", unit(field))),
        (min, 0) => said.push(format!("at least {min} {}", unit(field))),
        (min, max) => said.push(format!("{min} to {max} {}", unit(field))),
    }
    if let Some(form) = form(rule.format()) {
        said.push(form.to_owned());
    }
    if rule.max_items > 0 {
        said.push(format!("at most {} elements", rule.max_items));
    }
    if !rule.refers_to.is_empty() {
        let kind = &rule.refers_to;
        said.push(format!("refers to [{kind}]({kind}.md)"));
    }
    said.join(", ")
}

fn unit(field: &FieldInfo) -> &'static str {
    if field.ty == FieldType::Bytes { "bytes" } else { "characters" }
}

fn form(format: Format) -> Option<&'static str> {
    match format {
        // The type says it.
        Format::Unspecified | Format::Uuid => None,
        Format::Ipv4 => Some("an IPv4 address"),
        Format::Path => Some("an absolute path"),
        Format::Address => Some("host:port or `local`"),
        Format::ImageUrl => Some("http://, https://, file:/// or `upload`"),
        Format::Interface => Some("a network interface's name"),
        Format::Login => Some("lower-case letters, digits, `.`, `_` and `-`"),
    }
}

/// What deleting a resource does to what refers to it.
pub fn on_delete(effect: OnDelete) -> &'static str {
    match effect {
        OnDelete::Cascade => "deletes it too, where the call says `cascade`",
        OnDelete::Part => "deletes it with it",
        OnDelete::Detach => "clears the field",
        OnDelete::Unspecified | OnDelete::Restrict => "is refused",
        OnDelete::Keep => "changes nothing here",
    }
}

/// The messages and enums that a page's tables name, but for the page's own message and those that have pages.
pub fn used_types(own: &str, verbs: &[Verb]) -> String {
    let mut found = Types { own: own.to_owned(), ..Types::default() };
    if let Some(message) = catalog().message(own) {
        found.fields(message);
    }
    for verb in verbs {
        if let Some(input) = verb.input() {
            let carried = match verb.shape {
                Shape::Create(body) | Shape::Update(body) => Some(body.number),
                _ => None,
            };
            input.fields.iter().filter(|field| Some(field.number) != carried).for_each(|field| found.field(field));
        }
        found.message(verb.method.output);
    }
    if found.texts.is_empty() { String::new() } else { format!("\n## Types\n\n{}", found.texts.join("\n")) }
}

#[derive(Default)]
struct Types {
    own: String,
    names: Vec<String>,
    texts: Vec<String>,
}

impl Types {
    fn fields(&mut self, message: &'static MessageInfo) {
        message.fields.iter().for_each(|field| self.field(field));
    }

    fn field(&mut self, field: &'static FieldInfo) {
        match field.ty {
            FieldType::Message(name) => self.message(name),
            FieldType::Enum(name) => {
                if let Some(found) = catalog().pool().get_enum_by_name(name).filter(|_| self.is_new(name)) {
                    self.texts.push(enumeration(&found));
                }
            }
            _ => {}
        }
    }

    fn message(&mut self, name: &'static str) {
        let Some(message) = catalog().message(name) else { return };
        let paged = message.kind.is_some_and(|kind| noun(kind).is_some());
        if name == self.own || paged || !self.is_new(name) {
            return;
        }
        if message.fields.is_empty() {
            self.texts.push(format!("### {}\n\n{} It has no fields.\n", last(name), message.doc));
        } else {
            self.texts.push(format!("### {}\n\n{}\n\n{}", last(name), message.doc, field_table(message)));
        }
        self.fields(message);
    }

    fn is_new(&mut self, name: &str) -> bool {
        let new = !self.names.iter().any(|known| known == name);
        if new {
            self.names.push(name.to_owned());
        }
        new
    }
}

fn enumeration(found: &EnumDescriptor) -> String {
    let file = found.parent_file();
    let info = file.file_descriptor_proto().source_code_info.as_ref();
    let comment = |path: &[i32]| {
        let place = info.and_then(|info| info.location.iter().find(|location| location.path == path));
        let text = place.and_then(|place| place.leading_comments.clone()).unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let mut text = format!("### {}\n\n{}\n\n| value | meaning |\n| --- | --- |\n", found.name(), comment(found.path()));
    for value in found.values() {
        text += &format!("| `{}` | {} |\n", value.name(), cell(&comment(value.path())));
    }
    text
}
