//! The order of documents: each after those that it refers to, and otherwise as they stand.

use super::draft::Draft;
use crate::failure::{Failure, Result};

/// Whether one refers to the other.
fn needs(one: &Draft, other: &Draft) -> bool {
    one.references.iter().any(|reference| other.is(reference)) || uuids(one).any(|uuid| uuid == uuid_of(other))
}

fn uuid_of(draft: &Draft) -> String {
    super::state::text(&draft.message, "uuid")
}

/// The UUIDs that a document refers to. Those need no looking up, but they need their resource.
fn uuids(draft: &Draft) -> impl Iterator<Item = String> {
    let fields = draft.noun.message.fields.iter().filter(|field| !field.rule.refers_to.is_empty());
    fields
        .flat_map(|field| match draft.message.get_field_by_number(field.number).as_deref() {
            Some(prost_reflect::Value::String(text)) => vec![text.clone()],
            Some(prost_reflect::Value::List(list)) => {
                list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
            }
            _ => Vec::new(),
        })
        .filter(|uuid| !uuid.is_empty())
        .collect::<Vec<_>>()
        .into_iter()
}

/// Whether a later document refers to this one.
pub fn is_needed(drafts: &[Draft], at: usize) -> bool {
    drafts.iter().skip(at + 1).any(|later| needs(later, &drafts[at]))
}

/// Puts documents in order.
///
/// # Errors
/// When they refer to each other in a circle.
pub fn sorted(drafts: Vec<Draft>) -> Result<Vec<Draft>> {
    let mut left: Vec<Option<Draft>> = drafts.into_iter().map(Some).collect();
    let mut sorted = Vec::new();
    loop {
        let waiting: Vec<_> = left.iter().flatten().collect();
        if waiting.is_empty() {
            return Ok(sorted);
        }
        let free = left.iter().position(|draft| {
            draft
                .as_ref()
                .is_some_and(|draft| waiting.iter().all(|other| std::ptr::eq(*other, draft) || !needs(draft, other)))
        });
        match free {
            Some(at) => sorted.extend(left[at].take()),
            None => {
                let circle: Vec<_> =
                    waiting.iter().map(|draft| format!("{} ({})", draft.shown(), draft.place)).collect();
                return Err(Failure::usage(format!(
                    "documents refer to each other in a circle: {}",
                    circle.join(", ")
                )));
            }
        }
    }
}
