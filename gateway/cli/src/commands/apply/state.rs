//! What is there.

use gyre_model::catalog::FieldType;
use prost_reflect::{DynamicMessage, Value};

use super::compare::same;
use super::draft::Draft;
use crate::client::Client;
use crate::commands::resolve::{items, named, quoted};
use crate::failure::{Exit, Failure, Result};
use crate::output::one_line;

/// A text of a message.
pub fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The resource that a draft describes; none where it is not there.
///
/// # Errors
/// When several have its name, or nobody answers.
pub async fn find(client: &Client, draft: &Draft, wanted: &DynamicMessage) -> Result<Option<DynamicMessage>> {
    let uuid = text(wanted, "uuid");
    if !uuid.is_empty() {
        let found = get(client, draft, uuid).await?;
        return match found {
            Some(found) if in_bin(&found) => {
                let (kind, uuid) = (draft.noun.kind.kind, text(&found, "uuid"));
                Err(Failure::unfit("IN_BIN", format!("{} is in the bin", draft.shown())).hint(format!(
                    "take it out with `gyre {kind} recover {uuid}`, or leave its uuid out so that a new one is made"
                )))
            }
            found => Ok(found),
        };
    }
    let mut found = if draft.noun.is_named() {
        named(client, draft.noun.kind, &text(wanted, "name"), 11).await?
    } else {
        alike(client, draft, wanted).await?
    };
    // What is in the bin has left its name to others.
    found.retain(|one| !in_bin(one));
    match found.as_slice() {
        [] => Ok(None),
        // A list may leave out what only a single read tells.
        [one] => get(client, draft, text(one, "uuid")).await,
        several => {
            let mut failure = Failure::ambiguous(format!("several are {}", draft.shown()))
                .hint("say which one by its uuid in the document");
            for one in several.iter().take(10) {
                failure = failure.with(text(one, "uuid"), one_line(one, &["uuid", "name"]));
            }
            Err(failure)
        }
    }
}

/// Whether a resource was deleted and waits to be recovered or expunged.
pub fn in_bin(resource: &DynamicMessage) -> bool {
    ["destroy_time", "delete_time"].iter().any(|name| resource.has_field_by_name(name))
}

async fn get(client: &Client, draft: &Draft, uuid: String) -> Result<Option<DynamicMessage>> {
    let get =
        draft.noun.verb("get").ok_or_else(|| Failure::general(format!("{} cannot be read", draft.noun.kind.plural)))?;
    let mut request = DynamicMessage::new(get.method.descriptor.input());
    request.set_field_by_name("uuid", Value::String(uuid));
    match client.call(get.method, &request).await {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.exit() == Exit::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The resources of a kind without names that have every value which a draft gives.
async fn alike(client: &Client, draft: &Draft, wanted: &DynamicMessage) -> Result<Vec<DynamicMessage>> {
    let list =
        draft.noun.list().ok_or_else(|| Failure::general(format!("{} cannot be listed", draft.noun.kind.plural)))?;
    let fields: Vec<_> = draft
        .given
        .iter()
        .filter_map(|name| draft.noun.message.field(name))
        .filter(|field| !field.rule.secret)
        .collect();
    let texts = fields.iter().filter(|field| field.ty == FieldType::Text && !field.repeated);
    let filter: Vec<_> = texts
        .map(|field| (field.name, text(wanted, field.name)))
        .filter(|(_, value)| !value.is_empty() && !value.contains('*'))
        .map(|(name, value)| format!("{name} = {}", quoted(&value)))
        .collect();
    let mut request = DynamicMessage::new(list.descriptor.input());
    request.set_field_by_name("filter", Value::String(filter.join(" AND ")));
    request.set_field_by_name("page_size", Value::I32(1000));
    let mut found = Vec::new();
    loop {
        let page = client.call(list, &request).await?;
        found.extend(items(&page).into_iter().filter(|item| fields.iter().all(|field| same(field, item, wanted))));
        let next = text(&page, "next_page_token");
        if next.is_empty() {
            return Ok(found);
        }
        request.set_field_by_name("page_token", Value::String(next));
    }
}
