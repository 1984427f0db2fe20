//! From what people write for a field to the field.

use gyre_model::catalog::{FieldInfo, MessageInfo};
use gyre_model::near::nearest;

use crate::nouns::alias;

/// The field that a key means: its name in snake_case or lowerCamelCase, or the shorter ones that flags have: `image` for
/// `image_uuid`, `l3_networks` or `networks` for `l3_network_uuids`, `memory` for `memory_bytes`.
pub fn field_of<'a>(info: &'a MessageInfo, key: &str) -> Option<&'a FieldInfo> {
    if let Some(field) = info.fields.iter().find(|field| field.name == key || field.json_name == key) {
        return Some(field);
    }
    let key = snake(key);
    info.field(&key).or_else(|| info.fields.iter().find(|field| shorter(field).contains(&key)))
}

/// The names that look most like a key that is none.
pub fn near_keys(info: &MessageInfo, key: &str) -> Vec<String> {
    let names: Vec<_> = info
        .fields
        .iter()
        .filter(|field| !field.rule.output_only)
        .flat_map(|field| [vec![field.name.to_owned()], shorter(field)].concat())
        .collect();
    nearest(&snake(key), names.iter().map(String::as_str)).into_iter().map(str::to_owned).collect()
}

/// The shorter names of a field.
fn shorter(field: &FieldInfo) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(base) = field.name.strip_suffix("_bytes").or_else(|| field.name.strip_suffix("_uuid")) {
        names.push(base.to_owned());
    }
    if let Some(base) = field.name.strip_suffix("_uuids") {
        names.extend([base.to_owned(), format!("{base}s")]);
    }
    // The shorter name of the kind, where the field is named like the kind.
    let kind = field.rule.refers_to.as_str();
    if let Some(alias) = alias(kind)
        && names.iter().any(|name| name.replace('_', "-") == kind)
    {
        names.extend([alias.to_owned(), format!("{alias}s")]);
    }
    names
}

fn snake(key: &str) -> String {
    let mut text = String::new();
    for letter in key.chars() {
        match letter {
            '-' => text.push('_'),
            _ if letter.is_ascii_uppercase() && !text.is_empty() => {
                text.push('_');
                text.push(letter.to_ascii_lowercase());
            }
            _ => text.push(letter.to_ascii_lowercase()),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use gyre_model::catalog::catalog;

    use super::*;

    #[test]
    fn a_field_has_several_names() {
        let vm = catalog().message("gyre.vm.v1.Vm").unwrap();
        for (key, name) in [
            ("cpu_count", "cpu_count"),
            ("cpuCount", "cpu_count"),
            ("image", "image_uuid"),
            ("imageUuid", "image_uuid"),
            ("l3_networks", "l3_network_uuids"),
            ("l3NetworkUuids", "l3_network_uuids"),
            ("networks", "l3_network_uuids"),
            ("offering", "instance_offering_uuid"),
            ("memory", "memory_bytes"),
            ("rootVolumeBytes", "root_volume_bytes"),
        ] {
            assert_eq!(field_of(vm, key).map(|field| field.name), Some(name), "{key}");
        }
        assert!(field_of(vm, "nonsense").is_none());
    }
}
