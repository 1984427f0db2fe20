//! A document as a resource that should be there.

use gyre_model::error::{Error, Violation};
use gyre_model::parse_uuid;
use prost_reflect::{DynamicMessage, Value};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use super::state::text;
use crate::document::{Document, Reference, fill};
use crate::failure::{Failure, Result};
use crate::nouns::{Noun, Verb, nouns, same_kind};

/// A resource that should be there.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Where the document stands.
    pub place: String,
    /// Its kind.
    pub noun: Noun,
    /// The call that makes one.
    pub create: Verb,
    /// What the document says; references that are names stand in it as names.
    pub message: DynamicMessage,
    /// The fields that it gives, without those that Gyre sets.
    pub given: Vec<&'static str>,
    /// What has to be looked up.
    pub references: Vec<Reference>,
}

impl Draft {
    /// Its name, or else its UUID.
    pub fn name(&self) -> String {
        let name = text(&self.message, "name");
        if name.is_empty() { text(&self.message, "uuid") } else { name }
    }

    /// What people call it: "vm web-1".
    pub fn shown(&self) -> String {
        format!("{} {}", self.noun.kind.kind, self.name()).trim_end().to_owned()
    }

    /// Whether a reference means it.
    pub fn is(&self, reference: &Reference) -> bool {
        reference.kind == self.noun.kind.kind
            && [text(&self.message, "name"), text(&self.message, "uuid")].contains(&reference.text)
    }
}

/// What stands for a UUID that nobody knows yet: always the same for the same resource, and a version 4 UUID by its form.
pub fn placeholder(reference: &Reference) -> String {
    uuid_of(&["placeholder", reference.kind, &reference.text])
}

/// A UUID that follows from texts.
pub fn uuid_of(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

/// Reads documents. All that is wrong with any of them is told at once.
pub fn drafts(documents: Vec<Document>) -> Result<Vec<Draft>> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut problems = Vec::new();
    for document in documents {
        let place = document.place.clone();
        match draft(document) {
            Ok(draft) => {
                if let Some(same) = drafts.iter().find(|known| is_same(known, &draft)) {
                    let description = format!("{} stands in {} too", draft.shown(), same.place);
                    problems.push(Violation { field: place, description });
                }
                drafts.push(draft);
            }
            Err(found) => problems.extend(found.into_iter().map(|problem| Violation {
                field: format!("{place}: {}", problem.field).trim_end_matches([':', ' ']).to_owned(),
                description: problem.description,
            })),
        }
    }
    let Some((first, rest)) = problems.split_first() else { return Ok(drafts) };
    let mut error = Error::invalid(&first.field, &first.description);
    for problem in rest {
        error = error.violation(&problem.field, &problem.description);
    }
    Err(Failure::from(error).hint("nothing was sent"))
}

fn is_same(one: &Draft, other: &Draft) -> bool {
    let uuids = (text(&one.message, "uuid"), text(&other.message, "uuid"));
    let same = match (uuids.0.is_empty(), uuids.1.is_empty()) {
        (false, false) => uuids.0 == uuids.1,
        _ => !one.name().is_empty() && one.name() == other.name(),
    };
    one.noun.kind.kind == other.noun.kind.kind && same
}

fn draft(document: Document) -> Result<Draft, Vec<Violation>> {
    let wrong = |field: &str, description: String| vec![Violation { field: field.to_owned(), description }];
    let Json::Object(mut object) = document.value else {
        return Err(wrong("", "must be a map of fields".to_owned()));
    };
    let able: Vec<_> = nouns().into_iter().filter(|noun| noun.verb("create").is_some()).collect();
    let kinds = || able.iter().map(|noun| noun.kind.kind);
    let kind = match object.remove("kind") {
        Some(Json::String(kind)) => kind,
        _ => {
            let all = kinds().collect::<Vec<_>>().join(", ");
            return Err(wrong("kind", format!("must say what the document describes: {all}")));
        }
    };
    let Some(noun) = able.iter().find(|noun| same_kind(&kind, noun.kind.kind)).copied() else {
        let near = gyre_model::near::nearest(&kind, kinds());
        let all = if near.is_empty() { kinds().collect::<Vec<_>>().join(", ") } else { near.join(" or ") };
        return Err(wrong("kind", format!("{kind:?} is nothing that can be made; there is {all}")));
    };
    let missing = || wrong("kind", format!("{kind} cannot be made"));
    let create = noun.verb("create").ok_or_else(missing)?;
    let body = create.method.descriptor.input();
    let field = body
        .fields()
        .find(|field| field.kind().as_message().is_some_and(|message| message.full_name() == noun.message.name));
    let descriptor = field.and_then(|field| field.kind().as_message().cloned()).ok_or_else(missing)?;
    let mut message = DynamicMessage::new(descriptor);
    let mut filled = fill(&mut message, &object);
    // What Gyre sets says nothing about what should be there.
    let set =
        |name: &&str| *name == "generation" || noun.message.field(name).is_some_and(|field| field.rule.output_only);
    for name in filled.given.iter().filter(|name| set(name)) {
        message.clear_field_by_name(name);
        if let Some(field) = noun.message.field(name) {
            filled.references.retain(|reference| reference.path.first() != Some(&field.number));
        }
    }
    filled.given.retain(|name| !set(name));
    if let Some(uuid) = parse_uuid(&text(&message, "uuid")) {
        message.set_field_by_name("uuid", Value::String(uuid.to_string()));
    }
    if noun.is_named() && text(&message, "name").is_empty() && text(&message, "uuid").is_empty() {
        let description = "must be given, or else uuid: by them it is found when it is there".to_owned();
        filled.problems.push(Violation { field: "name".to_owned(), description });
    }
    if !filled.problems.is_empty() {
        return Err(filled.problems);
    }
    Ok(Draft { place: document.place, noun, create, message, given: filled.given, references: filled.references })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_texts_is_a_random_looking_uuid() {
        let uuid = uuid_of(&["a", "b"]);
        assert_eq!(uuid, uuid_of(&["a", "b"]));
        assert_ne!(uuid, uuid_of(&["ab", ""]));
        assert_eq!(parse_uuid(&uuid).unwrap().get_version_num(), 4);
    }
}
