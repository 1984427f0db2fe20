//! What may stand where in a file of workflows, and what is said of what does not: the file, the place in it, what stands there and
//! what to write instead. It looks at form alone; whether numbers and names make sense is looked at where they are used.

use gyre_model::{Error, Result};
use serde_yaml_ng::Value;

use crate::definition::{sorted, wrong};

/// What may stand at a place.
#[derive(Debug)]
pub(crate) enum Shape {
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number, and what to write.
    Whole(&'static str),
    /// One word of these.
    Word(&'static [&'static str]),
    /// A map with any keys.
    Free,
    List(&'static Shape),
    Map(&'static [Key]),
}

/// A key of a map: its name, whether it must be there, and what stands there.
type Key = (&'static str, bool, Shape);

const DEADLINE: Shape = Shape::Whole("write 1 to 604800 (seconds, at most a week), or leave it out");
const RETRY: Shape = Shape::Map(&[
    ("attempts", false, Shape::Whole("write 1 (try once) to 1000")),
    ("first_ms", false, Shape::Whole("write milliseconds, 0 or more")),
]);
const PLUGIN: Shape = Shape::Map(&[
    ("address", true, Shape::Text),
    ("config", false, Shape::Free),
    ("timeout_seconds", false, Shape::Whole("write 1 to 3600 (seconds), or leave it out")),
]);
const EDGE: Shape = Shape::Map(&[
    ("kind", true, Shape::Text),
    ("plural", true, Shape::Text),
    ("on_delete", true, Shape::Word(&["DELETE", "RESTRICT"])),
]);
const ENTRY: Shape = Shape::Map(&[
    ("step", false, Shape::Text),
    ("workflow", false, Shape::Text),
    ("label", false, Shape::Text),
    ("retry", false, RETRY),
    ("deadline_seconds", false, DEADLINE),
    ("no_undo", false, Shape::Text),
    ("point_of_no_return", false, Shape::Flag),
    ("plugin", false, PLUGIN),
    ("edge", false, EDGE),
]);
const INSERT: Shape = Shape::Map(&[
    ("before", false, Shape::Text),
    ("after", false, Shape::Text),
    ("step", false, Shape::Text),
    ("workflow", false, Shape::Text),
    ("label", false, Shape::Text),
    ("retry", false, RETRY),
    ("deadline_seconds", false, DEADLINE),
    ("no_undo", false, Shape::Text),
    ("point_of_no_return", false, Shape::Flag),
    ("plugin", false, PLUGIN),
    ("edge", false, EDGE),
]);
const CHANGE: Shape =
    Shape::Map(&[("step", true, Shape::Text), ("retry", false, RETRY), ("deadline_seconds", false, DEADLINE)]);

/// A file that defines a workflow.
pub(crate) const FILE: Shape = Shape::Map(&[
    ("name", true, Shape::Text),
    ("resource", false, Shape::Text),
    ("lane", false, Shape::Word(&["resource"])),
    ("deadline_seconds", false, DEADLINE),
    ("steps", true, Shape::List(&ENTRY)),
]);

/// A file that changes one.
pub(crate) const EXTENSION: Shape = Shape::Map(&[
    ("extends", true, Shape::Text),
    ("deadline_seconds", false, DEADLINE),
    ("insert", false, Shape::List(&INSERT)),
    ("change", false, Shape::List(&CHANGE)),
]);

/// Whether a whole file has this shape.
///
/// # Errors
/// The first place where it does not.
pub(crate) fn check(origin: &str, document: &Value, shape: &Shape) -> Result<()> {
    let what = match document {
        Value::Mapping(_) => return look(origin, "", document, shape, shape),
        Value::Null => "the file is empty".to_owned(),
        Value::Sequence(_) => "a list stands at the top".to_owned(),
        other => format!("{} stands at the top", shown(other)),
    };
    Err(wrong(
        origin,
        format_args!("{what}: write a map, with name and steps, or with extends; docs/workflows.md shows both"),
    ))
}

fn look(origin: &str, at: &str, value: &Value, shape: &Shape, whole: &Shape) -> Result<()> {
    let is = |remedy: &str| {
        let what = format!("{at} is {}: {remedy}", shown(value));
        Err(wrong(origin, what))
    };
    match (shape, value) {
        (Shape::Text, Value::String(_)) | (Shape::Flag, Value::Bool(_)) | (Shape::Free, Value::Mapping(_)) => Ok(()),
        (Shape::Text, _) => is("write text; quote what YAML takes for something else"),
        (Shape::Flag, _) => is("write true or false"),
        (Shape::Free, _) => is("write a map"),
        (Shape::Whole(_), Value::Number(number)) if number.is_u64() => Ok(()),
        (Shape::Whole(remedy), _) => is(remedy),
        (Shape::Word(words), Value::String(word)) if words.contains(&word.as_str()) => Ok(()),
        (Shape::Word(words), _) => is(&format!("write {}, or leave it out", words.join(" or "))),
        (Shape::List(shape), Value::Sequence(entries)) => entries
            .iter()
            .enumerate()
            .try_for_each(|(number, entry)| look(origin, &format!("{at}[{number}]"), entry, shape, whole)),
        (Shape::List(_), _) => is("write a list, each entry behind a dash"),
        (Shape::Map(keys), Value::Mapping(map)) => {
            for (key, value) in map {
                let name = key.as_str().map_or_else(|| shown(key), str::to_owned);
                let Some((_, required, shape)) = keys.iter().find(|(known, ..)| *known == name) else {
                    return Err(wrong(origin, misplaced(at, &name, keys, whole)));
                };
                // a key without a value is as good as none
                if !value.is_null() || *required {
                    look(origin, &below(at, &name), value, shape, whole)?;
                }
            }
            match keys.iter().find(|(key, required, _)| *required && !map.contains_key(*key)) {
                Some((key, ..)) => Err(wrong(origin, format_args!("{} is missing: write it", below(at, key)))),
                None => Ok(()),
            }
        }
        (Shape::Map(keys), _) => is(&format!("write a map, with keys of {}", names(keys))),
    }
}

/// What to say of a key that does not belong where it stands.
fn misplaced(at: &str, name: &str, keys: &[Key], whole: &Shape) -> String {
    let mut places = Vec::new();
    find(whole, "", name, &mut places);
    let here = names(keys);
    let place = below(at, name);
    if places.is_empty() {
        return format!("{place}: there is no such key: write one of {here}");
    }
    format!(
        "{place}: this key stands in {}, and here stand {here}; move it, or look at how far it is indented",
        places.join(" or ")
    )
}

/// The places where a key may stand.
fn find(shape: &Shape, at: &str, name: &str, places: &mut Vec<String>) {
    match shape {
        Shape::Map(keys) => {
            if keys.iter().any(|(key, ..)| *key == name) {
                places.push(if at.is_empty() { "the file itself".to_owned() } else { at.to_owned() });
            }
            for (key, _, inner) in *keys {
                find(inner, &below(at, key), name, places);
            }
        }
        Shape::List(inner) => find(inner, &format!("{at}[]"), name, places),
        Shape::Text | Shape::Flag | Shape::Whole(_) | Shape::Word(_) | Shape::Free => {}
    }
}

/// What to say of a number that is too long to be read: YAML's own words name neither the file's place nor what to write.
pub(crate) fn too_long(origin: &str, said: &str) -> Option<Error> {
    let (at, rest) = said.split_once(": invalid type: integer `")?;
    let (number, _) = rest.split_once('`')?;
    let key = at.rsplit('.').next()?;
    let remedy = [FILE, EXTENSION].iter().find_map(|shape| number_at(shape, key)).unwrap_or("write a smaller number");
    Some(wrong(origin, format_args!("{at} is {number}: {remedy}")))
}

/// What a number under this key must be.
fn number_at(shape: &Shape, name: &str) -> Option<&'static str> {
    match shape {
        Shape::Map(keys) => keys.iter().find_map(|(key, _, inner)| match inner {
            Shape::Whole(remedy) if *key == name => Some(*remedy),
            inner => number_at(inner, name),
        }),
        Shape::List(inner) => number_at(inner, name),
        Shape::Text | Shape::Flag | Shape::Whole(_) | Shape::Word(_) | Shape::Free => None,
    }
}

fn below(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}

fn names(keys: &[Key]) -> String {
    sorted(keys.iter().map(|(key, ..)| *key))
}

/// A value in a line, as it was written, more or less.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "empty".to_owned(),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "a map".to_owned(),
        Value::String(text) => format!("{:?}", text.chars().take(80).collect::<String>()),
        Value::Bool(_) | Value::Number(_) | Value::Tagged(_) => {
            serde_yaml_ng::to_string(value).unwrap_or_default().trim_end().to_owned()
        }
    }
}
