//! From what people write to UUIDs: a UUID stays what it is; anything else is the name of exactly one resource of the kind.

use gyre_model::catalog::{KindInfo, catalog};
use gyre_model::parse_uuid;
use prost_reflect::{DynamicMessage, Value};

use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::nouns::noun;

/// The UUID that a text means.
///
/// # Errors
/// When no resource of the kind has the name, or several have it.
pub async fn resolve(client: &Client, kind: &'static str, text: &str) -> Result<String> {
    if let Some(uuid) = parse_uuid(text) {
        return Ok(uuid.to_string());
    }
    let Some(noun) = noun(kind).filter(|noun| noun.has_name()) else {
        return Err(Failure::usage(format!("{text:?} is no UUID, and {} have no names", plural(kind))));
    };
    let found = find(client, noun.kind, text).await?;
    match found.as_slice() {
        [] => {
            Err(Failure::not_found(format!("there is no {kind} named {text:?}")).with("kind", kind).with("name", text))
        }
        [one] => Ok(one.clone()),
        several => Err(Failure::ambiguous(format!("several {} are named {text:?}", plural(kind)))
            .hint(format!("say which one by its UUID: {}", several.join(", ")))),
    }
}

fn plural(kind: &str) -> &str {
    catalog().kind(kind).map_or(kind, |kind| kind.plural)
}

/// The UUIDs of resources of a kind that have this name, three at most.
///
/// # Errors
/// When the list call fails.
pub async fn find(client: &Client, kind: &KindInfo, name: &str) -> Result<Vec<String>> {
    let method = noun(kind.kind)
        .and_then(crate::nouns::Noun::list)
        .ok_or_else(|| Failure::general(format!("{} cannot be listed", kind.plural)))?;
    let mut request = DynamicMessage::new(method.descriptor.input());
    request.set_field_by_name("filter", Value::String(format!("name = {}", quoted(name))));
    // A star at either end is a wildcard of the filter language and none of a name: what it finds too is left out here.
    let wild = name.starts_with('*') || name.ends_with('*');
    request.set_field_by_name("page_size", Value::I32(if wild { 1000 } else { 3 }));
    let answer = client.call(method, &request).await?;
    let same =
        |item: &&DynamicMessage| item.get_field_by_name("name").is_some_and(|known| known.as_str() == Some(name));
    Ok(items(&answer)
        .iter()
        .filter(same)
        .take(3)
        .filter_map(|item| item.get_field_by_name("uuid").and_then(|uuid| uuid.as_str().map(str::to_owned)))
        .collect())
}

/// The rows of a page: its one list.
pub fn items(page: &DynamicMessage) -> Vec<DynamicMessage> {
    page.fields()
        .find_map(|(_, value)| value.as_list().map(|list| list.iter().filter_map(Value::as_message).cloned().collect()))
        .unwrap_or_default()
}

/// A text as the filter language has it.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
