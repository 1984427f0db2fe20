//! Messages as dataclasses and enums as enumerations: all that calls from outside reach.

use std::collections::BTreeMap;

use gyre_model::catalog::{FieldType, MessageInfo, catalog};
use prost_reflect::EnumDescriptor;

use super::text::{doc, last, name, python_type, rules, wire};
use crate::nouns::{OPERATION, open_calls};

/// The messages and enums that calls reach, by their last names.
struct Reached {
    messages: BTreeMap<&'static str, &'static MessageInfo>,
    enums: BTreeMap<String, EnumDescriptor>,
}

impl Reached {
    fn all() -> Self {
        let mut reached = Self { messages: BTreeMap::new(), enums: BTreeMap::new() };
        for method in open_calls() {
            reached.message(method.input);
            reached.message(method.output);
        }
        reached
    }

    fn message(&mut self, full: &'static str) {
        let Some(message) = catalog().message(full) else { return };
        match self.messages.insert(last(full), message) {
            Some(known) => assert_eq!(known.name, full, "two messages of one name"),
            None => {
                for field in &message.fields {
                    match field.ty {
                        FieldType::Message(inner) => self.message(inner),
                        FieldType::Enum(inner) => {
                            if let Some(found) = catalog().pool().get_enum_by_name(inner) {
                                self.enums.insert(last(inner).to_owned(), found);
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

/// The file.
pub fn file() -> String {
    let reached = Reached::all();
    let mut text = "\"\"\"The messages of Gyre's API as dataclasses, and its enums. A field without a value has the zero of its type.\"\"\"\n\n\
                    from __future__ import annotations\n\n\
                    from dataclasses import dataclass\n\
                    from dataclasses import field as _field\n\
                    from datetime import datetime, timedelta\n\
                    from typing import Any, ClassVar, Dict, List, Optional\n\n\
                    from ._wire import SECRET, Message, OpenEnum, Wire\n\
                    from .operations import OperationMethods\n"
        .to_owned();
    let mut names: Vec<&str> = reached.messages.keys().copied().collect();
    names.extend(reached.enums.keys().map(String::as_str));
    names.sort_unstable();
    let names: Vec<_> = names.iter().map(|name| format!("    \"{name}\",\n")).collect();
    text += &format!("\n__all__ = [\n{}]\n", names.concat());
    for described in reached.enums.values() {
        text += &enumeration(described);
    }
    for message in reached.messages.values() {
        text += &dataclass(message);
    }
    text
}

fn enumeration(described: &EnumDescriptor) -> String {
    let file = described.parent_file();
    let info = file.file_descriptor_proto().source_code_info.as_ref();
    let comment = |path: &[i32]| {
        let place = info.and_then(|info| info.location.iter().find(|location| location.path == path));
        let text = place.and_then(|place| place.leading_comments.clone()).unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let mut text = format!("\n\nclass {}(OpenEnum):\n{}\n", described.name(), doc(&comment(described.path()), 4));
    let values: Vec<_> = described.values().collect();
    let prefix = values.first().and_then(|first| first.name().strip_suffix("UNSPECIFIED")).unwrap_or_default();
    for value in &values {
        let short = value.name().strip_prefix(prefix).unwrap_or(value.name());
        text += &format!("    {} = \"{}\"\n{}", name(short), value.name(), doc(&comment(value.path()), 4));
    }
    text
}

fn dataclass(message: &MessageInfo) -> String {
    let bases = if message.name == OPERATION { "OperationMethods, Message" } else { "Message" };
    let mut text = format!("\n\n@dataclass(repr=False)\nclass {}({bases}):\n", last(message.name));
    text += &doc(message.doc, 4);
    let mut lines = String::new();
    for field in &message.fields {
        let (ty, default) = python_type(field, "");
        text += &format!("\n    {}: {ty} = {default}\n", name(field.name));
        let rules = rules(field);
        text +=
            &doc(&format!("{}{rules}", if rules.is_empty() { field.doc } else { field.doc.trim_end_matches('.') }), 4);
        let secret = if field.rule.secret { ", SECRET" } else { "" };
        let wire = wire(message.name, field);
        lines += &format!("        \"{}\": (\"{}\", \"{wire}\"{secret}),\n", field.json_name, name(field.name));
    }
    let wire = if lines.is_empty() { "{}".to_owned() } else { format!("{{\n{lines}    }}") };
    text + &format!("\n    _wire: ClassVar[Wire] = {wire}\n")
}
