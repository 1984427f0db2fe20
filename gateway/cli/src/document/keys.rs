//! From what people write for a field to the field.

use gyre_model::catalog::{FieldInfo, MessageInfo};

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

/// The names that look most like one that is not there: those that hold it, or differ in a letter or two.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let small = wrong.to_lowercase();
    let mut near: Vec<_> = names
        .into_iter()
        .filter_map(|name| {
            let known = name.to_lowercase();
            let far = distance(&small, &known);
            let holds =
                small.chars().count() >= 2 && (known.contains(&small) || (known.len() >= 2 && small.contains(&known)));
            (far <= 1 + small.chars().count() / 4 || holds).then_some((far, name))
        })
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(5).map(|(_, name)| name).collect()
}

/// How many letters have to be put in, taken out or changed.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<_> = other.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().take(64).enumerate() {
        let mut before = row[0];
        row[0] = at + 1;
        for (to, known) in other.iter().enumerate() {
            let cost = before + usize::from(letter != *known);
            before = row[to + 1];
            row[to + 1] = cost.min(row[to] + 1).min(before + 1);
        }
    }
    row[other.len()]
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

    #[test]
    fn near_names_are_found() {
        assert_eq!(nearest("web1", ["web-1", "web-2", "db"]), ["web-1", "web-2"]);
        assert_eq!(nearest("debian", ["debian-13", "alpine"]), ["debian-13"]);
        assert!(nearest("x", ["debian-13"]).is_empty());
    }
}
