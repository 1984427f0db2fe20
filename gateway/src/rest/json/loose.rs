//! What proto3 JSON allows and the generated codecs do not, and what people write all the same: tried once a body was refused.

use gyre_model::catalog::{FieldInfo, FieldType, MessageInfo, catalog};

/// The same JSON without members that are null, which mean the same as members that are not there, and with enums by their full
/// names where short ones stand ("RUNNING"). The codecs know neither.
pub fn loosened(json: &[u8], message: &str) -> Option<Vec<u8>> {
    let mut value: serde_json::Value = serde_json::from_slice(json).ok()?;
    loosen(&mut value, catalog().message(message)).then(|| serde_json::to_vec(&value).ok()).flatten()
}

/// Answers whether it changed anything.
fn loosen(value: &mut serde_json::Value, message: Option<&'static MessageInfo>) -> bool {
    let serde_json::Value::Object(members) = value else { return false };
    let before = members.len();
    members.retain(|_, member| !member.is_null());
    let mut changed = members.len() < before;
    let Some(message) = message else { return changed };
    for (name, member) in members.iter_mut() {
        let Some(field) = message.fields.iter().find(|field| field.json_name == name || field.name == name) else {
            continue;
        };
        match member {
            serde_json::Value::Array(elements) => {
                changed = elements.iter_mut().fold(changed, |changed, element| loosen_field(element, field) | changed);
            }
            member => changed |= loosen_field(member, field),
        }
    }
    changed
}

fn loosen_field(value: &mut serde_json::Value, field: &FieldInfo) -> bool {
    match (field.ty, value) {
        (FieldType::Message(inner), value) => loosen(value, catalog().message(inner)),
        (FieldType::Enum(_), serde_json::Value::String(name)) => {
            let known = field.values.iter().find(|(_, full, short)| short.eq_ignore_ascii_case(name) && full != name);
            known.map(|(_, full, _)| (*full).clone_into(name)).is_some()
        }
        _ => false,
    }
}
