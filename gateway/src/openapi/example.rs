//! Examples, made from the descriptors: a value for each field by its rules, its type, its name and what its comment quotes
//! ("such as …"); a rule of the field (`example`) where that says too little. So a new resource has examples without an edit here.
//!
//! The same kind has the same UUID in every example of the document, so that examples fit together: the machine that is made from
//! an image names the UUID with which the image is answered.

use gyre_model::catalog::{FieldInfo, FieldType, Format, MessageInfo, catalog};
use serde_json::{Map, Value, json};

use super::schema::is_wide;

/// Deepest level of messages in messages that an example shows.
const DEEPEST: usize = 4;
/// Stands for a value that is made up here.
const MADE_UP: &str = "*";

/// Which side of a call an example shows, and so which fields are in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A new resource: what is required, the name, and what says an example of itself.
    Create,
    /// Changes of a resource: the description, or else the first field that may change.
    Update,
    /// Any other request: what is required, and what says an example of itself.
    Request,
    /// An answer: everything.
    Answer,
}

/// The UUID that stands for the one resource of a kind in all examples: version 4, from the kind's name.
pub fn uuid_of(kind: &str) -> String {
    // FNV-1a with 128 bits; any spread will do, as long as it stays the same
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in kind.bytes() {
        hash ^= u128::from(byte);
        hash = hash.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    let shaped = (hash & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{shaped:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The example of a message, which is about a resource of this kind; `shown` tells which fields stand elsewhere.
pub fn message(info: &MessageInfo, side: Side, about: &str, shown: impl Fn(&FieldInfo) -> bool) -> Value {
    let mut maker = Maker { side, within: Vec::new() };
    let example = maker.message(info, about, &shown);
    if side == Side::Update && example.as_object().is_some_and(Map::is_empty) {
        let first = info.fields.iter().find(|field| may_change(field) && field.name != "generation" && shown(field));
        let value = first.and_then(|field| Some((field, maker.value(info.name, field, about)?)));
        return value.map_or(example, |(field, value)| json!({(field.json_name): value}));
    }
    example
}

/// The example of one field of a message. Nothing where only Gyre can make a value, such as the token of a next page.
pub fn value(message: &str, field: &FieldInfo, about: &str) -> Option<Value> {
    Maker { side: Side::Answer, within: Vec::new() }.value(message, field, about)
}

fn may_change(field: &FieldInfo) -> bool {
    !field.rule.output_only && !field.rule.immutable
}

struct Maker {
    side: Side,
    within: Vec<&'static str>,
}

impl Maker {
    fn message(&mut self, info: &MessageInfo, about: &str, shown: &impl Fn(&FieldInfo) -> bool) -> Value {
        let about = info.kind.unwrap_or(about);
        let mut example = Map::new();
        for field in info.fields.iter().filter(|field| shown(field)) {
            if self.shows(info, field)
                && let Some(value) = self.value(info.name, field, about)
            {
                example.insert(field.json_name.to_owned(), value);
            }
        }
        Value::Object(example)
    }

    fn shows(&self, info: &MessageInfo, field: &FieldInfo) -> bool {
        let named = field.rule.required || !field.rule.example.is_empty();
        match self.side {
            Side::Create => !field.rule.output_only && (named || matches!(field.name, "name" | "description")),
            Side::Update => may_change(field) && field.name == "description",
            Side::Request => !field.rule.output_only && named,
            Side::Answer => {
                // a resource is answered without what only its maker knew; a failure has no place among what went well
                let kept_back = field.rule.secret && !field.rule.output_only && info.kind.is_some();
                !kept_back && field.ty != FieldType::Message("gyre.common.v1.Error")
            }
        }
    }

    fn value(&mut self, message: &str, field: &FieldInfo, about: &str) -> Option<Value> {
        let one = self.one(message, field, about)?;
        Some(if field.repeated { json!([one]) } else { one })
    }

    fn one(&mut self, message: &str, field: &FieldInfo, about: &str) -> Option<Value> {
        let said = Some(field.rule.example.as_str()).filter(|said| !said.is_empty() && *said != MADE_UP);
        Some(match field.ty {
            FieldType::Bool => json!(said != Some("false")),
            FieldType::Int | FieldType::Uint => {
                let number = said.and_then(|said| said.parse().ok()).unwrap_or_else(|| number(field));
                if is_wide(message, field) { json!(number.to_string()) } else { json!(number) }
            }
            FieldType::Float => json!(said.and_then(|said| said.parse().ok()).unwrap_or(0.5)),
            // places in lists and logs, which only answers tell
            FieldType::Text if field.name.ends_with("page_token") || field.name == "position" => return None,
            FieldType::Text => json!(said.map_or_else(|| text(field, about), str::to_owned)),
            FieldType::Bytes => json!(said.unwrap_or("SGVsbG8K")),
            FieldType::Enum(_) => {
                let first = field.values.iter().find(|(number, ..)| *number != 0).map(|(_, full, _)| *full);
                json!(said.or(first)?)
            }
            FieldType::Time => json!(said.unwrap_or_else(|| time(field.name))),
            FieldType::Duration => json!(said.unwrap_or("30s")),
            FieldType::Map => json!({"name": "value"}),
            // what every resource has, to be answered; what most can have changed
            FieldType::Message("google.protobuf.FieldMask") if field.name == "read_mask" => {
                json!(said.unwrap_or("uuid"))
            }
            FieldType::Message("google.protobuf.FieldMask") => json!(said.unwrap_or("description")),
            FieldType::Message("google.protobuf.Struct") => json!({"uuid": uuid_of(about)}),
            FieldType::Message("google.protobuf.Any") => {
                json!({"@type": "type.googleapis.com/gyre.vm.v1.Vm", "uuid": uuid_of("vm"), "name": "web-1"})
            }
            FieldType::Message("google.protobuf.ListValue") => json!(["value"]),
            FieldType::Message("google.protobuf.Value") => json!("value"),
            FieldType::Message(inner) => {
                let inner = catalog().message(inner)?;
                if self.within.len() >= DEEPEST || self.within.contains(&inner.name) {
                    return None;
                }
                self.within.push(inner.name);
                let example = self.message(inner, about, &|_| true);
                self.within.pop();
                example
            }
        })
    }
}

/// A number that its rules allow and its name suggests.
fn number(field: &FieldInfo) -> i64 {
    let usual = match field.name {
        name if name.ends_with("bytes") => 4 << 30,
        name if name.contains("percent") => 40,
        "prefix_length" => 24,
        "generation" | "attempt" | "attempts" | "fence" => 1,
        name if name.starts_with("page_size") || name.starts_with("max_") => 10,
        _ => 2,
    };
    usual.max(field.rule.min.unwrap_or(usual)).min(field.rule.max.unwrap_or(usual))
}

/// Times in the order in which things happen.
fn time(name: &str) -> &'static str {
    match name.trim_end_matches("_time") {
        "create" | "start" | "begin" => "2026-01-31T12:00:00Z",
        "expire" | "next" | "previous_expire" => "2026-02-01T12:00:00Z",
        "end" | "destroy" | "delete" => "2026-01-31T12:00:42Z",
        _ => "2026-01-31T12:00:30Z",
    }
}

fn text(field: &FieldInfo, about: &str) -> String {
    let plural = |kind| catalog().kind(kind).map_or(kind, |info| info.plural);
    match field.rule.format() {
        Format::Uuid => return uuid(field, about),
        Format::Ipv4 => return "10.0.0.7".to_owned(),
        Format::Path => return format!("/var/lib/gyre/{}", plural(about)),
        Format::Address => return "10.0.0.5:7071".to_owned(),
        Format::ImageUrl => return "https://images.example.com/debian-13.qcow2".to_owned(),
        Format::Interface => return "br0".to_owned(),
        Format::Login => return "alice".to_owned(),
        Format::Unspecified => {}
    }
    if !field.rule.refers_to.is_empty() || field.name.ends_with("uuid") || field.name.ends_with("uuids") {
        return uuid(field, about);
    }
    if let Some(quoted) = quoted(field.doc) {
        return quoted.to_owned();
    }
    let usual = match field.name {
        "name" if about.is_empty() => "web-1",
        "name" => return format!("{about}-1"),
        "description" => "made for the example",
        "filter" => return format!("uuid = \"{}\"", uuid_of("vm")),
        "account" | "user" => "alice",
        "mac" => "52:54:00:12:34:56",
        "address" | "addresses" | "ip" => "10.0.0.7",
        "gateway" => "10.0.0.1",
        "bridge" => "br0",
        "sha256" => "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "service" => "vm",
        "host_name" | "hostname" => "web-1",
        "url" | "callback_url" => "https://hooks.example.com/gyre",
        name if name.ends_with("kind") => "vm",
        name if name.ends_with("version") => "1.0.0",
        name if name.ends_with("reason") => "HOST_NOT_CONNECTED",
        name if name.ends_with("request_id") => "wish-1",
        "trace_parent" => "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        name => return name.replace('_', " "),
    };
    usual.to_owned()
}

/// The UUID of the kind that a field refers to, says by its name, or is in.
fn uuid(field: &FieldInfo, about: &str) -> String {
    if !field.rule.refers_to.is_empty() {
        return uuid_of(&field.rule.refers_to);
    }
    let stem = field.name.trim_end_matches('s').trim_end_matches("uuid").trim_end_matches('_');
    match stem {
        "" => uuid_of(about),
        // a resource of any kind: the one that is said of a `resource_kind`
        "resource" | "key" => uuid_of("vm"),
        stem => uuid_of(&stem.replace('_', "-")),
    }
}

/// What a comment quotes behind "such as": in backticks, or in quotation marks.
fn quoted(doc: &str) -> Option<&str> {
    let (_, rest) = doc.split_once("such as ")?;
    let mark = rest.chars().next().filter(|mark| matches!(mark, '`' | '"'))?;
    rest[1..].split(mark).next().filter(|quoted| !quoted.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str, side: Side) -> Value {
        message(catalog().message(name).unwrap(), side, "", |_| true)
    }

    #[test]
    fn uuids_stand_for_kinds() {
        let vm = uuid_of("vm");
        assert_eq!(gyre_model::parse_uuid(&vm).unwrap().get_version_num(), 4);
        assert_ne!(vm, uuid_of("host"));
        let create = made("gyre.vm.v1.Vm", Side::Create);
        assert_eq!(create["imageUuid"], uuid_of("image"));
        assert_eq!(create["l3NetworkUuids"], json!([uuid_of("l3-network")]));
        let answer = made("gyre.vm.v1.Vm", Side::Answer);
        assert_eq!((&answer["uuid"], &answer["accountUuid"]), (&json!(vm), &json!(uuid_of("account"))));
        let listed = made("gyre.vm.v1.ListVmsResponse", Side::Answer);
        assert_eq!(listed["vms"][0]["uuid"], vm);
        assert!(listed.get("nextPageToken").is_none());
    }

    #[test]
    fn each_side_shows_its_fields() {
        let create = made("gyre.identity.v1.Account", Side::Create);
        assert_eq!(create["name"], "alice");
        assert!(create["password"].is_string() && create.get("uuid").is_none() && create.get("generation").is_none());
        assert!(made("gyre.identity.v1.Account", Side::Answer).get("password").is_none());
        let update = made("gyre.identity.v1.Account", Side::Update);
        assert_eq!(update, json!({"description": "made for the example"}));
        assert!(made("gyre.identity.v1.ApiKey", Side::Answer)["secret"].is_string());
    }

    #[test]
    fn comments_give_values() {
        assert_eq!(quoted("The workflow, such as \"create-vm\"."), Some("create-vm"));
        assert_eq!(quoted("Which ones, such as `name = \"a\"`."), Some("name = \"a\""));
        assert_eq!(quoted("Which ones."), None);
        assert_eq!(made("gyre.common.v1.Operation", Side::Answer)["workflow"], "create-vm");
    }
}
