//! From what people write to UUIDs: a UUID stays what it is; anything else is the name of exactly one resource of the kind.

use gyre_model::catalog::{KindInfo, catalog};
use gyre_model::parse_uuid;
use prost_reflect::{DynamicMessage, Value};

use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::nouns::{Noun, noun};
use crate::output;

/// So few names are told where none looks like the one that is not there.
const FEW: usize = 8;
/// How many resources of the same name an error tells of.
const CANDIDATES: usize = 10;

/// The UUID that a text means: a UUID, the kind and a UUID as `-o name` prints them ("vm/7f3a…"), or a name that only one has.
///
/// # Errors
/// When no resource of the kind has the name, or several have it.
pub async fn resolve(client: &Client, kind: &'static str, text: &str) -> Result<String> {
    let bare = text.strip_prefix(kind).and_then(|rest| rest.strip_prefix('/')).unwrap_or(text);
    if let Some(uuid) = parse_uuid(bare) {
        return Ok(uuid.to_string());
    }
    let Some(noun) = noun(kind).filter(|noun| noun.has_name()) else {
        return Err(Failure::usage(format!("{text:?} is no UUID, and {} have no names", plural(kind))));
    };
    let found = named(client, noun.kind, text, CANDIDATES + 1).await?;
    match found.as_slice() {
        [] => {
            let failure = Failure::not_found(format!("there is no {kind} named {text:?}"));
            Err(similar(client, noun, text, failure).await.with("kind", kind).with("name", text))
        }
        [one] => Ok(uuid(one)),
        several => {
            let mut failure = Failure::ambiguous(format!("several {} are named {text:?}", plural(kind)))
                .hint("say which one by its UUID");
            for one in several.iter().take(CANDIDATES) {
                failure = failure.with(uuid(one), output::one_line(one, &["uuid", "name"]));
            }
            Err(if several.len() > CANDIDATES { failure.with("…", "and more") } else { failure })
        }
    }
}

/// Adds the names that look like the one that is not there, or all where there are few. Not being able to ask costs the hint, no more.
async fn similar(client: &Client, noun: Noun, text: &str, failure: Failure) -> Failure {
    let Some(method) = noun.list() else { return failure };
    let mut request = DynamicMessage::new(method.descriptor.input());
    request.set_field_by_name("page_size", Value::I32(1000));
    let Ok(page) = client.call(method, &request).await else { return failure };
    let mut names: Vec<_> = items(&page).iter().map(|item| field(item, "name")).collect();
    let near = gyre_model::near::nearest(text, names.iter().map(String::as_str));
    if !near.is_empty() {
        return failure.hint(format!("did you mean {}?", near.join(" or ")));
    }
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    match names.len() {
        0 => failure.hint(format!("there are no {} that can be seen", plural(noun.kind.kind).replace('-', " "))),
        1..=FEW => failure.hint(format!("there is {}", names.join(", "))),
        _ => failure,
    }
}

fn uuid(item: &DynamicMessage) -> String {
    field(item, "uuid")
}

fn field(item: &DynamicMessage, name: &str) -> String {
    item.get_field_by_name(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn plural(kind: &str) -> &str {
    catalog().kind(kind).map_or(kind, |kind| kind.plural)
}

/// The UUIDs of resources of a kind that have this name, three at most.
///
/// # Errors
/// When the list call fails.
pub async fn find(client: &Client, kind: &KindInfo, name: &str) -> Result<Vec<String>> {
    Ok(named(client, kind, name, 3).await?.iter().map(uuid).collect())
}

/// The resources of a kind that have this name, at most so many.
///
/// # Errors
/// When the list call fails.
pub async fn named(client: &Client, kind: &KindInfo, name: &str, most: usize) -> Result<Vec<DynamicMessage>> {
    let method = noun(kind.kind)
        .and_then(Noun::list)
        .ok_or_else(|| Failure::general(format!("{} cannot be listed", kind.plural)))?;
    let mut request = DynamicMessage::new(method.descriptor.input());
    request.set_field_by_name("filter", Value::String(format!("name = {}", quoted(name))));
    // A star is a wildcard of the filter language and none of a name: what it finds too is left out here.
    let wild = name.contains('*');
    let size = if wild { 1000 } else { i32::try_from(most).unwrap_or(1000) };
    request.set_field_by_name("page_size", Value::I32(size));
    let answer = client.call(method, &request).await?;
    Ok(items(&answer).into_iter().filter(|item| field(item, "name") == name).take(most).collect())
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
