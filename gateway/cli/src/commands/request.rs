//! Puts a request together from flags, and checks it against the API's rules before anything is sent.

use std::collections::HashMap;
use std::path::PathBuf;

use clap::ArgMatches;
use gyre_model::catalog::FieldInfo;
use gyre_model::error::{Error, Violation};
use gyre_model::{parse_uuid, validate};
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, MapKey, ReflectMessage as _, Value};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::resolve::resolve;
use crate::args::{Flag, Given, flags, names};
use crate::client::Client;
use crate::document::{self, Document, Filled, field_of, fill};
use crate::failure::{Failure, Result};
use crate::nouns::{Shape, Verb, kind_named, update_mask};

/// The request that a command line asks for: what a file says, and over it what the flags say. Names are looked up; a call that
/// changes something gets a request id.
///
/// # Errors
/// When a name names nothing, or a value breaks a rule; all broken rules at once, each with its flag.
pub async fn build(client: &Client, verb: &Verb, matches: &ArgMatches) -> Result<DynamicMessage> {
    let mut changed = Vec::new();
    let mut request = match matches.try_get_one::<PathBuf>(names::BODY).ok().flatten() {
        Some(path) => {
            let mut documents = document::read(path)?.into_iter();
            match (documents.next(), documents.next()) {
                (Some(one), None) => from_document(client, verb, one, &mut changed).await?,
                (None, _) => return Err(Failure::usage(format!("{} holds no document", path.display()))),
                (Some(_), Some(_)) => {
                    return Err(Failure::usage(format!("{} holds several documents", path.display()))
                        .hint("one call takes one; `gyre apply` takes several"));
                }
            }
        }
        None => DynamicMessage::new(verb.method.descriptor.input()),
    };
    let flags = flags(verb);
    for flag in &flags {
        let Some(given) = flag.given(matches).map_err(|error| Failure::usage(error.to_string()))? else { continue };
        let mut value = value(client, flag, given).await?;
        let target = match flag.outer {
            Some(outer) => inner(&mut request, outer)?,
            None => &mut request,
        };
        if let (Some(kind), Some(text)) = (flag.kind, value.as_str()) {
            value = Value::String(referred(client, target, kind, flag, text).await?);
        } else if let Some(text) = value.as_str().filter(|_| flag.says_kind) {
            value = Value::String(known_kind(flag, text)?);
        }
        put(target, flag.descriptor(), value)?;
        if flag.outer.is_some() {
            changed.push(flag.field.name);
        }
    }
    if let Shape::Update(_) = verb.shape {
        changed.retain(|name| !matches!(*name, "uuid" | "generation"));
        changed.sort_unstable();
        changed.dedup();
        if let Some(field) = verb.input().and_then(update_mask)
            && !request.has_field_by_number(field.number)
        {
            if changed.is_empty() {
                let possible = flags.iter().filter(|flag| flag.outer.is_some() && flag.field.name != "uuid");
                let possible: Vec<_> = possible.map(Flag::shown).collect();
                return Err(
                    Failure::usage("nothing to change was given").hint(format!("give one of {}", possible.join(", ")))
                );
            }
            mask(&mut request, verb, &changed)?;
        }
    }
    finish(&mut request, verb, &flags)?;
    Ok(request)
}

/// A request id where one is missing, and the check of the whole.
fn finish(request: &mut DynamicMessage, verb: &Verb, flags: &[Flag]) -> Result<()> {
    if let Some(number) = verb.method.request_id
        && !request.has_field_by_number(number)
    {
        request.set_field_by_number(number, Value::String(Uuid::new_v4().to_string()));
    }
    check(verb, flags, request)
}

/// The requests of a call that takes a stream of them, a document each.
///
/// # Errors
/// When a document cannot be read, a name names nothing, or a value breaks a rule.
pub async fn build_all(client: &Client, verb: &Verb, matches: &ArgMatches) -> Result<Vec<DynamicMessage>> {
    let path = matches.get_one::<PathBuf>(names::BODY).ok_or_else(|| Failure::usage("give the requests with -f"))?;
    let mut requests = Vec::new();
    for document in document::read(path)? {
        let place = document.place.clone();
        let mut request = from_document(client, verb, document, &mut Vec::new()).await?;
        finish(&mut request, verb, &[]).map_err(|failure| failure.with("document", &place))?;
        requests.push(request);
    }
    Ok(requests)
}

/// What a document says: the whole request, or the resource in it. Which it is shows in its keys.
async fn from_document(
    client: &Client,
    verb: &Verb,
    document: Document,
    changed: &mut Vec<&'static str>,
) -> Result<DynamicMessage> {
    let Json::Object(mut object) = document.value else {
        return Err(Failure::usage(format!("{} must hold a map of fields", document.place)));
    };
    let mut request = DynamicMessage::new(verb.method.descriptor.input());
    let (Shape::Create(outer) | Shape::Update(outer)) = verb.shape else {
        looked_up(client, &mut request, &object, &document.place).await?;
        return Ok(request);
    };
    let body = verb.body().ok_or_else(|| Failure::general(format!("{} carries nothing", verb.method.path)))?;
    let whole = object.keys().any(|key| field_of(body, key).is_none() && named(outer, key));
    if whole {
        let filled = looked_up(client, &mut request, &object, &document.place).await?;
        if filled.given.contains(&outer.name)
            && let Some(Json::Object(inner)) = object.iter().find(|(key, _)| named(outer, key)).map(|(_, value)| value)
        {
            changed.extend(inner.keys().filter_map(|key| field_of(body, key)).map(settled));
        }
    } else {
        take_kind(&mut object, body.kind.unwrap_or_default(), &document.place)?;
        let filled = looked_up(client, inner(&mut request, outer)?, &object, &document.place).await?;
        changed.extend(filled.given);
    }
    // What Gyre sets is ignored in a document as the API ignores it; what an update may not touch must not be in its mask.
    if matches!(verb.shape, Shape::Update(_)) {
        changed.retain(|name| {
            body.field(name).is_some_and(|field| !field.rule.output_only && (!field.rule.immutable || *name == "uuid"))
        });
    }
    Ok(request)
}

fn named(field: &FieldInfo, key: &str) -> bool {
    field.name == key || field.json_name == key
}

fn settled(field: &'static FieldInfo) -> &'static str {
    field.name
}

/// A document may say of what kind it is; it must be this one then.
fn take_kind(object: &mut Map<String, Json>, kind: &str, place: &str) -> Result<()> {
    match object.get("kind") {
        Some(Json::String(said)) if crate::nouns::same_kind(said, kind) => {
            object.remove("kind");
            Ok(())
        }
        Some(other) => Err(Failure::usage(format!("{place} is of the kind {other}, not {kind}"))),
        None => Ok(()),
    }
}

/// Fills a message from a document and looks its names up.
async fn looked_up(
    client: &Client,
    message: &mut DynamicMessage,
    object: &Map<String, Json>,
    place: &str,
) -> Result<Filled> {
    let filled = fill(message, object);
    refuse(&filled.problems, place)?;
    for reference in &filled.references {
        let uuid = resolve(client, reference.kind, &reference.text)
            .await
            .map_err(|failure| failure.with("field", &reference.field).with("document", place))?;
        reference.put(message, &uuid);
    }
    Ok(filled)
}

/// Fails with what is wrong in a document.
fn refuse(problems: &[Violation], place: &str) -> Result<()> {
    let Some((first, rest)) = problems.split_first() else { return Ok(()) };
    let mut error = Error::invalid(&first.field, &first.description);
    for problem in rest {
        error = error.violation(&problem.field, &problem.description);
    }
    Err(Failure::from(error).with("document", place))
}

/// A refusal of the service with its fields named as the flags are, and what to do about it here.
pub fn by_flags(verb: &Verb, failure: Failure) -> Failure {
    let flags = flags(verb);
    let own = [names::FILTER, names::ORDER_BY, names::PAGE_SIZE];
    let flag = |path: &str| {
        let flag = flags.iter().find(|flag| flag.path() == path || flag.field.name == path);
        let name = path.replace('_', "-");
        match flag {
            Some(flag) => flag.shown(),
            None if matches!(verb.shape, Shape::List) && own.contains(&name.as_str()) => format!("--{name}"),
            None => path.to_owned(),
        }
    };
    // what a document says is named as the document has it
    let failure = if failure.has("document") { failure } else { failure.rename_fields(flag) };
    match failure.reason() {
        "NEEDS_CASCADE" => failure.hint("--dry-run shows all that would go, and --cascade deletes it"),
        _ => failure,
    }
}

/// Checks a request as the gateway would.
///
/// # Errors
/// What the gateway would refuse.
pub fn check(verb: &Verb, flags: &[Flag], request: &DynamicMessage) -> Result<()> {
    validate::check(verb.method, &request.encode_to_vec()).map_err(|error| {
        let names: HashMap<_, _> = flags.iter().map(|flag| (flag.path(), flag.shown())).collect();
        Failure::from(error).rename_fields(|path| names.get(path).cloned().unwrap_or_else(|| path.to_owned()))
    })
}

/// The resource inside the request.
///
/// # Errors
/// When the field is no message.
pub fn inner<'a>(request: &'a mut DynamicMessage, outer: &FieldInfo) -> Result<&'a mut DynamicMessage> {
    if !request.has_field_by_number(outer.number)
        && let Some(descriptor) = request.descriptor().get_field(outer.number)
        && let Some(message) = descriptor.kind().as_message()
    {
        request.set_field(&descriptor, Value::Message(DynamicMessage::new(message.clone())));
    }
    request
        .get_field_by_number_mut(outer.number)
        .and_then(Value::as_message_mut)
        .ok_or_else(|| Failure::general(format!("the field {} is no message", outer.name)))
}

async fn value(client: &Client, flag: &Flag, given: Vec<Given>) -> Result<Value> {
    let mut list = Vec::new();
    let mut entries = HashMap::new();
    for given in given {
        match given {
            Given::Value(value) => list.push(value),
            Given::Reference(kind, text) => {
                list.push(Value::String(if text.is_empty() { text } else { resolve(client, kind, &text).await? }));
            }
            Given::Entry(key, value) => {
                entries.insert(MapKey::String(key), Value::String(value));
            }
            Given::Nothing => {}
        }
    }
    if flag.descriptor().is_map() {
        Ok(Value::Map(entries))
    } else if flag.field.repeated {
        Ok(Value::List(list))
    } else {
        list.pop().ok_or_else(|| Failure::usage(format!("{} has no value", flag.shown())))
    }
}

/// The UUID of what a flag names, whose kind another field says.
async fn referred(
    client: &Client,
    target: &DynamicMessage,
    kind: &FieldInfo,
    flag: &Flag,
    text: &str,
) -> Result<String> {
    if text.is_empty() || parse_uuid(text).is_some() {
        return Ok(text.to_owned());
    }
    let said = target.get_field_by_number(kind.number);
    match said.as_ref().and_then(|said| kind_named(said.as_str()?)) {
        Some(kind) => resolve(client, kind, text).await,
        None => {
            let flags = format!("--{} says of which kind it is, and a name will do", kind.name.replace('_', "-"));
            Err(Failure::usage(format!("{}: {text:?} is no UUID", flag.shown())).hint(flags))
        }
    }
}

/// The kind that a flag's text means, by the name that the API has for it.
fn known_kind(flag: &Flag, text: &str) -> Result<String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    kind_named(text).map(str::to_owned).ok_or_else(|| {
        let failure = Failure::usage(format!("{}: there is no kind {text:?}", flag.shown()));
        let kinds: Vec<_> = gyre_model::catalog().kinds().map(|kind| kind.kind).collect();
        let near = gyre_model::near::nearest(text, kinds.iter().copied());
        failure.hint(match near.is_empty() {
            true => format!("there is {}", kinds.join(", ")),
            false => format!("did you mean {}?", near.join(" or ")),
        })
    })
}

fn put(target: &mut DynamicMessage, field: &FieldDescriptor, value: Value) -> Result<()> {
    target
        .try_set_field(field, value)
        .map_err(|error| Failure::general(format!("the field {} does not take this value: {error}", field.name())))
}

/// Names what an update changes.
///
/// # Errors
/// When the call has no mask.
pub fn mask(request: &mut DynamicMessage, verb: &Verb, changed: &[&str]) -> Result<()> {
    let broken = || Failure::general(format!("{} has no mask", verb.method.path));
    let field = verb.input().and_then(update_mask).ok_or_else(broken)?;
    let descriptor = request.descriptor().get_field(field.number).ok_or_else(broken)?;
    let kind = descriptor.kind();
    let mut mask = DynamicMessage::new(kind.as_message().ok_or_else(broken)?.clone());
    mask.set_field_by_number(1, Value::List(changed.iter().map(|name| Value::String((*name).to_owned())).collect()));
    put(request, &descriptor, Value::Message(mask))
}
