//! The order of documents: each after those that it refers to; of those that may come next, kinds that stand on fewer others come
//! first; and otherwise as they stand. So a machine comes after the addresses and the host that it needs and does not name.

use std::collections::HashSet;

use super::draft::Draft;
use crate::failure::{Failure, Result};
use crate::nouns;

/// On how many kinds one stands: those that its fields refer to, and those that these do.
fn stands_on(kind: &'static str) -> usize {
    let (mut seen, mut left) = (HashSet::from([kind]), vec![kind]);
    while let Some(noun) = left.pop().map(nouns::noun) {
        let fields = noun.iter().flat_map(|noun| &noun.message.fields);
        let kinds = fields.map(|field| field.rule.refers_to.as_str()).filter(|kind| !kind.is_empty());
        left.extend(kinds.filter(|kind| seen.insert(*kind)));
    }
    seen.len() - 1
}

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
        let drafts = left.iter().enumerate().filter_map(|(at, draft)| Some((at, draft.as_ref()?)));
        let free = drafts
            .filter(|(_, draft)| waiting.iter().all(|other| std::ptr::eq(*other, *draft) || !needs(draft, other)))
            .min_by_key(|(_, draft)| stands_on(draft.noun.kind.kind));
        match free.map(|(at, _)| at) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_stands_on_what_it_does_not_name() {
        assert_eq!(stands_on("zone"), 0);
        for kind in ["cluster", "host", "l3-network", "ip-range", "primary-storage", "image", "instance-offering"] {
            assert!(stands_on(kind) < stands_on("vm"), "{kind}: {} of {}", stands_on(kind), stands_on("vm"));
        }
    }
}
