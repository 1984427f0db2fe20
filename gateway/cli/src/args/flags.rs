//! Flags from the fields of a request.
//!
//! A field becomes a flag of its own name in kebab case. Fields that end in `_uuid` or `_bytes` get the shorter name as well,
//! which is the one that help shows: `--image` and `--image-uuid`, `--memory` and `--memory-bytes`. The field `uuid` of a
//! request is the positional argument. What Gyre sets itself is no flag.

use gyre_model::catalog::{FieldInfo, FieldType};

use super::flag::{Flag, Place};
use super::globals::Globals;
use crate::nouns::{Shape, Verb};

/// Fields of a list's request that are written by hand, or follow by themselves.
const PAGES: [&str; 4] = ["filter", "order_by", "page_size", "page_token"];

/// The flags of a verb, in the order of the .proto file.
pub fn flags(verb: &Verb) -> Vec<Flag> {
    let Some(input) = verb.input() else { return Vec::new() };
    let descriptor = verb.method.descriptor.input();
    let mut found = Vec::new();
    let (body, create) = match verb.shape {
        Shape::Create(body) => (Some(body), true),
        Shape::Update(body) => (Some(body), false),
        Shape::Feed => return Vec::new(),
        _ => (None, false),
    };
    if let (Some(body), Some(message)) = (body, verb.body()) {
        let Some(inner) = descriptor.get_field(body.number).and_then(|field| field.kind().as_message().cloned()) else {
            return Vec::new();
        };
        for field in &message.fields {
            let Some(descriptor) = inner.get_field(field.number) else { continue };
            let uuid = field.name == "uuid";
            let offered = if create {
                !field.rule.output_only && field.name != "generation"
            } else {
                uuid || !(field.rule.output_only || field.rule.immutable)
            };
            if offered && settable(field) {
                let mut flag = Flag::new(field, descriptor, message);
                flag.outer = Some(body);
                if uuid && !create {
                    flag.place = Place::Positional;
                    flag.refers_to = message.kind.unwrap_or_default();
                }
                flag.required = flag.place == Place::Positional || (create && field.rule.required);
                found.push(flag);
            }
        }
    }
    for field in &input.fields {
        let Some(descriptor) = descriptor.get_field(field.number) else { continue };
        let carried = match verb.shape {
            Shape::Upload(data) => field.number == data.number,
            _ => body.is_some_and(|body| body.number == field.number),
        };
        let paged = matches!(verb.shape, Shape::List) && PAGES.contains(&field.name);
        if carried || paged || field.rule.output_only || !settable(field) || is_mask(field) {
            continue;
        }
        let mut flag = Flag::new(field, descriptor, input);
        // what a call is about comes first: a resource, or, of a query, a kind
        if field.name == "uuid" || matches!(verb.shape, Shape::List) && field.name == "kind" && field.rule.required {
            flag.place = Place::Positional;
        }
        flag.required = field.rule.required || flag.place == Place::Positional;
        found.push(flag);
    }
    found.sort_by_key(|flag| flag.place != Place::Positional);
    // A name that an earlier flag has is left to it.
    let mut taken: Vec<String> = found.iter().map(|flag| flag.name.clone()).collect();
    for flag in &mut found {
        flag.aliases.retain(|alias| {
            let free = !taken.contains(alias) && !Globals::takes(alias);
            if free {
                taken.push(alias.clone());
            }
            free
        });
    }
    found
}

/// Whether a value of this type can be written on a command line.
fn settable(field: &FieldInfo) -> bool {
    !(field.repeated && matches!(field.ty, FieldType::Message(_)))
}

fn is_mask(field: &FieldInfo) -> bool {
    field.ty == FieldType::Message("google.protobuf.FieldMask")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nouns::noun;

    fn names(kind: &str, verb: &str) -> Vec<String> {
        let noun = noun(kind).unwrap();
        flags(&noun.verb(verb).unwrap()).iter().map(Flag::shown).collect()
    }

    #[test]
    fn a_create_takes_what_a_caller_may_set() {
        assert_eq!(
            names("vm", "create"),
            [
                "--uuid",
                "--name",
                "--description",
                "--tags",
                "--instance-offering",
                "--cpu-count",
                "--memory",
                "--image",
                "--root-volume",
                "--l3-network",
                "--cluster",
                "--host",
                "--request-id"
            ]
        );
    }

    #[test]
    fn an_update_takes_what_may_change_and_names_its_object_first() {
        assert_eq!(names("vm", "update"), ["VM", "--name", "--description", "--generation", "--tags", "--request-id"]);
    }

    #[test]
    fn a_verb_names_its_object_first() {
        assert_eq!(names("vm", "stop"), ["VM", "--request-id", "--force", "--grace-seconds"]);
        assert_eq!(names("image", "upload"), ["IMAGE"]);
    }

    #[test]
    fn secrets_are_read_from_files() {
        assert!(names("account", "create").contains(&"--password-file".to_owned()));
        assert!(!names("account", "create").contains(&"--password".to_owned()));
    }
}
