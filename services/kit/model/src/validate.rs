//! The rules of the .proto files, checked on a request's bytes before any handler sees it: what is required, lengths, bounds,
//! forms. All broken fields are answered at once. Rules that need the state of things are the handlers'.
//!
//! A create checks everything that a caller may set. An update checks what stands in its message: zero is "not there" on the
//! wire, so what is required is left to the mask. Output-only fields are not looked at, since what callers send there is
//! ignored.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use crate::catalog::{Catalog, FieldInfo, FieldType, Format, MessageInfo, MethodInfo, catalog};
use crate::error::{Error, Kind, Result, Violation};
use crate::id::parse_uuid;
use crate::wire::{self, Value};

/// Most characters of a text for which the .proto says nothing.
const MOST_CHARACTERS: u32 = 1024;
/// Most elements of a list for which the .proto says nothing.
const MOST_ITEMS: u32 = 100;
/// Most levels of messages in messages.
const DEEPEST: usize = 32;

/// Checks a request against the rules of its message.
///
/// # Errors
/// `INVALID_ARGUMENT` with every field that broke a rule, or `MALFORMED_MESSAGE` for bytes that are no message.
pub fn check(method: &MethodInfo, request: &[u8]) -> Result<()> {
    let catalog = catalog();
    let Some(input) = catalog.message(method.input) else { return Ok(()) };
    let mut checker = Checker { catalog, update: method.name.starts_with("Update"), broken: Vec::new() };
    checker.message(input, request, "", 0)?;
    if checker.broken.is_empty() { Ok(()) } else { Err(Error::invalid_fields(checker.broken)) }
}

struct Checker {
    catalog: &'static Catalog,
    update: bool,
    broken: Vec<Violation>,
}

fn malformed() -> Error {
    Error::new(
        Kind::InvalidArgument,
        "MALFORMED_MESSAGE",
        "the request is not a message of the kind that this call takes",
    )
}

impl Checker {
    fn say(&mut self, path: &str, field: &FieldInfo, description: impl Into<String>) {
        let field = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
        self.broken.push(Violation { field, description: description.into() });
    }

    fn message(&mut self, info: &MessageInfo, bytes: &[u8], path: &str, depth: usize) -> Result<()> {
        if depth > DEEPEST {
            return Err(Error::new(
                Kind::InvalidArgument,
                "TOO_DEEP",
                format!("the request is nested more than {DEEPEST} levels deep"),
            ));
        }
        let mut fields = wire::fields(bytes);
        // Fields are few; those that were there with a value that is not zero, by their place in the message.
        let mut seen: u64 = 0;
        let mut items = [0u32; 64];
        for (number, value) in fields.by_ref() {
            let Some(at) = info.fields.iter().position(|field| field.number == number) else { continue };
            let field = &info.fields[at];
            let slot = at.min(63);
            items[slot] = items[slot].saturating_add(1);
            if !has_form(field, value) {
                // nothing that follows means what it says
                let name = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
                let text = "is written as another type than the .proto file says: make the client anew from it";
                return Err(Error::invalid(name, text));
            }
            if field.rule.output_only {
                continue;
            }
            if !is_zero(value) {
                seen |= 1 << slot;
            }
            if let (FieldType::Message(inner), Value::Bytes(first)) = (field.ty, value) {
                let merged;
                let bytes = if field.repeated {
                    first
                } else if items[slot] > 1 {
                    continue;
                } else {
                    // What stands there several times is one message in parts: ids are appended on the way.
                    merged = merge(bytes, number, first);
                    merged.as_ref()
                };
                if let Some(inner) = self.catalog.message(inner) {
                    let path = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
                    self.message(inner, bytes, &path, depth + 1)?;
                    seen |= 1 << slot;
                }
            } else {
                self.value(field, value, path)?;
            }
        }
        if fields.broken() {
            return Err(malformed());
        }
        for (at, field) in info.fields.iter().enumerate() {
            let slot = at.min(63);
            let optional_in_update = self.update && !path.is_empty();
            if field.rule.required && !optional_in_update && seen & (1 << slot) == 0 {
                self.say(path, field, "must be given");
            }
            if field.repeated {
                let most = if field.rule.max_items == 0 { MOST_ITEMS } else { field.rule.max_items };
                if items[slot] > most && !field.rule.output_only {
                    self.say(path, field, format!("must have at most {most} elements, has {}", items[slot]));
                }
            }
        }
        Ok(())
    }

    fn value(&mut self, field: &FieldInfo, value: Value<'_>, path: &str) -> Result<()> {
        match (field.ty, value) {
            (FieldType::Text, Value::Bytes(bytes)) => {
                let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
                if let Some(wrong) = text_fault(field, text) {
                    self.say(path, field, wrong);
                } else if field.name == "uuid" && !path.is_empty() && !self.update && !is_random(text) {
                    // what a caller chooses must be spread over the ring as evenly as what Gyre chooses
                    self.say(path, field, format!("must be a version 4 UUID, got {}", quoted(text)));
                }
            }
            (FieldType::Bytes, Value::Bytes(bytes)) => {
                let most = field.rule.max_length as usize;
                if most > 0 && bytes.len() > most {
                    self.say(path, field, format!("must have at most {most} bytes, has {}", bytes.len()));
                }
            }
            (FieldType::Int | FieldType::Uint, Value::Varint(number)) => {
                // int32 and int64 travel as two's complement of 64 bits
                let number = number as i64;
                match (field.rule.min, field.rule.max) {
                    (Some(min), Some(max)) if number != 0 && !(min..=max).contains(&number) => {
                        self.say(path, field, format!("must be between {min} and {max}, got {number}"));
                    }
                    (Some(min), None) if number != 0 && number < min => {
                        self.say(path, field, format!("must be at least {min}, got {number}"));
                    }
                    (None, Some(max)) if number > max => {
                        self.say(path, field, format!("must be at most {max}, got {number}"));
                    }
                    _ => {}
                }
            }
            (FieldType::Enum(_), Value::Varint(number)) => {
                let known = i32::try_from(number as i64).ok().and_then(|number| field.value_name(number));
                if known.is_none() {
                    let names: Vec<_> = field.values.iter().skip(1).map(|(.., short)| *short).collect();
                    self.say(path, field, format!("must be one of {}, got {number}", names.join(", ")));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a value is written as its field's type is: a decoder would refuse it otherwise, and could say less of it.
fn has_form(field: &FieldInfo, value: Value<'_>) -> bool {
    let is_whole = |(number, value)| !matches!(number, 1 | 2) || matches!(value, Value::Varint(_));
    match (field.ty, value) {
        (FieldType::Text | FieldType::Bytes | FieldType::Message(_) | FieldType::Map, Value::Bytes(_)) => true,
        // seconds and nanoseconds
        (FieldType::Time | FieldType::Duration, Value::Bytes(bytes)) => wire::fields(bytes).all(is_whole),
        // numbers in a list may stand together
        (
            FieldType::Bool | FieldType::Int | FieldType::Uint | FieldType::Float | FieldType::Enum(_),
            Value::Bytes(_),
        ) => field.repeated,
        (FieldType::Bool | FieldType::Int | FieldType::Uint | FieldType::Enum(_), Value::Varint(_)) => true,
        (FieldType::Float, Value::Fixed64(_) | Value::Fixed32(_)) => true,
        _ => false,
    }
}

/// All parts of a message that stands at a field.
fn merge<'a>(bytes: &'a [u8], number: u32, first: &'a [u8]) -> Cow<'a, [u8]> {
    let mut parts = wire::fields(bytes).filter_map(|(at, value)| match value {
        Value::Bytes(part) if at == number => Some(part),
        _ => None,
    });
    // The first is known.
    parts.next();
    match parts.next() {
        None => Cow::Borrowed(first),
        Some(second) => {
            let mut whole = [first, second].concat();
            parts.for_each(|part| whole.extend_from_slice(part));
            Cow::Owned(whole)
        }
    }
}

/// Whether a UUID is one of version 4 (or nothing).
fn is_random(text: &str) -> bool {
    text.is_empty() || parse_uuid(text).is_some_and(|uuid| uuid.get_version_num() == 4)
}

fn is_zero(value: Value<'_>) -> bool {
    match value {
        Value::Varint(number) | Value::Fixed64(number) => number == 0,
        Value::Fixed32(number) => number == 0,
        Value::Bytes(bytes) => bytes.is_empty(),
    }
}

/// How a text is quoted in a message: cut, so that a megabyte of garbage is not sent back.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

fn text_fault(field: &FieldInfo, text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let shown = || if field.rule.secret { "another".to_owned() } else { quoted(text) };
    let length = text.chars().count();
    let most = if field.rule.max_length == 0 { MOST_CHARACTERS } else { field.rule.max_length } as usize;
    if length > most {
        return Some(format!("must have at most {most} characters, has {length}"));
    }
    if length < field.rule.min_length as usize {
        return Some(format!("must have at least {} characters, has {length}", field.rule.min_length));
    }
    let fault = match field.rule.format() {
        Format::Unspecified => (text.chars().any(char::is_control) && !matches!(field.name, "description" | "data"))
            .then_some("must not contain control characters"),
        Format::Uuid => parse_uuid(text).is_none().then_some("must be a UUID (hyphenated or 32 hex digits)"),
        Format::Ipv4 => text.parse::<Ipv4Addr>().is_err().then_some("must be an IPv4 address such as 10.0.0.1"),
        Format::Path => {
            let sound = text.starts_with('/')
                && !text.split('/').any(|part| part == ".." || part == ".")
                && !text.chars().any(char::is_control);
            (!sound).then_some("must be an absolute path without \"..\"")
        }
        Format::Address => {
            (!is_address(text)).then_some("must be host:port, or \"local\" for the agent of this process")
        }
        Format::ImageUrl => {
            let sound = text == "upload"
                || ["http://", "https://", "file:///"].iter().any(|scheme| {
                    text.strip_prefix(scheme)
                        .is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
                });
            (!sound || text.chars().any(char::is_control))
                .then_some("must start with http://, https:// or file:///, or be \"upload\"")
        }
        Format::Interface => {
            let sound = text.len() <= 15
                && text != "."
                && text != ".."
                && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
                && !text.starts_with('-');
            (!sound).then_some("must be 1 to 15 of letters, digits, \".\", \"_\" and \"-\"")
        }
        Format::Login => {
            let sound = text
                .chars()
                .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "._-".contains(letter));
            (!sound).then_some("must be lower-case letters, digits, \".\", \"_\" and \"-\"")
        }
    };
    fault.map(|fault| format!("{fault}, got {}", shown()))
}

fn is_address(text: &str) -> bool {
    if text == "local" {
        return true;
    }
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    !host.is_empty()
        && host.chars().all(|letter| letter.is_ascii_alphanumeric() || ".-:_".contains(letter))
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use gyre_proto::Message;
    use gyre_proto::host::v1::{CreateHostRequest, Host};
    use gyre_proto::vm::v1::{CreateInstanceOfferingRequest, InstanceOffering, UpdateVmRequest, Vm};

    use super::*;

    fn broken(path: &str, message: &impl Message) -> Vec<String> {
        let method = catalog().method(path).unwrap();
        match check(method, &message.encode_to_vec()) {
            Ok(()) => Vec::new(),
            Err(error) => error.violations().iter().map(|violation| violation.field.clone()).collect(),
        }
    }

    #[test]
    fn a_message_in_parts_is_one_message() {
        let part = |name: &str, uuid: &str| {
            let host = Host { name: name.into(), uuid: uuid.into(), ..Host::default() };
            CreateHostRequest { host: Some(host), ..CreateHostRequest::default() }.encode_to_vec()
        };
        let method = catalog().method("/gyre.host.v1.HostService/CreateHost").unwrap();
        let broken = |parts: &[Vec<u8>]| -> Vec<String> {
            let error = check(method, &parts.concat()).unwrap_err();
            error.violations().iter().map(|violation| violation.field.clone()).collect()
        };
        let whole = broken(&[part("h", "nonsense")]);
        assert!(whole.contains(&"host.uuid".to_owned()) && !whole.contains(&"host.name".to_owned()));
        assert_eq!(broken(&[part("h", ""), part("", "nonsense")]), whole);
    }

    #[test]
    fn a_value_of_another_type_is_named() {
        let create = catalog().method("/gyre.host.v1.ZoneService/CreateZone").unwrap();
        let faults = |bytes: &[u8]| -> Vec<String> {
            let error = check(create, bytes).unwrap_err();
            error.violations().iter().map(|violation| violation.field.clone()).collect()
        };
        // the name as a number, and the request id as one
        assert_eq!(faults(&[0x0a, 0x02, 0x10, 0x01]), ["zone.name"]);
        assert_eq!(faults(&[0x10, 0x01]), ["request_id"]);
        // a time whose seconds are a text, though nobody sets it
        assert_eq!(faults(&[0x0a, 0x05, 0x2a, 0x03, 0x0a, 0x01, b'x']), ["zone.create_time"]);
    }

    #[test]
    fn every_broken_field_is_named_at_once() {
        let request = CreateInstanceOfferingRequest {
            instance_offering: Some(InstanceOffering {
                uuid: "nonsense".into(),
                name: "x".repeat(65),
                cpu_count: 4096,
                ..InstanceOffering::default()
            }),
            request_id: "r".repeat(129),
        };
        assert_eq!(
            broken("/gyre.vm.v1.InstanceOfferingService/CreateInstanceOffering", &request),
            [
                "instance_offering.uuid",
                "instance_offering.name",
                "instance_offering.cpu_count",
                "instance_offering.memory_bytes",
                "request_id"
            ]
        );
        assert_eq!(
            broken(
                "/gyre.vm.v1.InstanceOfferingService/CreateInstanceOffering",
                &CreateInstanceOfferingRequest::default()
            ),
            ["instance_offering"]
        );
    }

    #[test]
    fn a_chosen_uuid_is_a_random_one() {
        for (uuid, good) in [
            (uuid::Uuid::new_v4().to_string(), true),
            (uuid::Uuid::new_v4().simple().to_string().to_uppercase(), true),
            (uuid::Uuid::nil().to_string(), false),
            ("11111111-1111-1111-8111-111111111111".to_owned(), false),
        ] {
            let zone = gyre_proto::host::v1::Zone { uuid: uuid.clone(), name: "z".into(), ..Default::default() };
            let request = gyre_proto::host::v1::CreateZoneRequest { zone: Some(zone), request_id: String::new() };
            assert_eq!(broken("/gyre.host.v1.ZoneService/CreateZone", &request).is_empty(), good, "{uuid}");
        }
    }

    #[test]
    fn an_update_need_not_give_what_a_create_must() {
        let request = UpdateVmRequest {
            vm: Some(Vm { uuid: uuid::Uuid::new_v4().to_string(), ..Vm::default() }),
            ..UpdateVmRequest::default()
        };
        assert_eq!(broken("/gyre.vm.v1.VmService/UpdateVm", &request), Vec::<String>::new());
    }

    #[test]
    fn addresses_have_a_form() {
        for (address, good) in [
            ("local", true),
            ("10.0.0.1:7", true),
            ("[::1]:70", true),
            ("h", false),
            (":7", false),
            ("a:0", false),
            ("a b:1", false),
        ] {
            let host = Host {
                name: "h".into(),
                cluster_uuid: uuid::Uuid::new_v4().to_string(),
                address: address.into(),
                ..Host::default()
            };
            let request = CreateHostRequest { host: Some(host), request_id: String::new() };
            assert_eq!(broken("/gyre.host.v1.HostService/CreateHost", &request).is_empty(), good, "{address}");
        }
    }
}
