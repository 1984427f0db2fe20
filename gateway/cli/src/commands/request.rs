//! Puts a request together from flags, and checks it against the API's rules before anything is sent.

use std::collections::HashMap;

use clap::ArgMatches;
use gyre_model::catalog::FieldInfo;
use gyre_model::validate;
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, MapKey, ReflectMessage as _, Value};
use uuid::Uuid;

use super::resolve::resolve;
use crate::args::{Flag, Given, flags};
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::nouns::{Noun, Shape, Verb, update_mask};

/// The request that a command line asks for. Names are looked up; a call that changes something gets a request id.
///
/// # Errors
/// When a name names nothing, or a value breaks a rule; all broken rules at once, each with its flag.
pub async fn build(client: &Client, noun: Noun, verb: &Verb, matches: &ArgMatches) -> Result<DynamicMessage> {
    let mut request = DynamicMessage::new(verb.method.descriptor.input());
    let flags = flags(noun, verb);
    let mut changed = Vec::new();
    for flag in &flags {
        let Some(given) = flag.given(matches).map_err(|error| Failure::usage(error.to_string()))? else { continue };
        let value = value(client, flag, given).await?;
        let target = match flag.outer {
            Some(outer) => inner(&mut request, outer)?,
            None => &mut request,
        };
        put(target, flag.descriptor(), value)?;
        if flag.outer.is_some() && !matches!(flag.field.name, "uuid" | "generation") {
            changed.push(flag.field.name.to_owned());
        }
    }
    if let Shape::Update(_) = verb.shape {
        if changed.is_empty() {
            let possible: Vec<_> = flags.iter().filter(|flag| flag.outer.is_some()).skip(1).map(Flag::shown).collect();
            return Err(
                Failure::usage("nothing to change was given").hint(format!("give one of {}", possible.join(", ")))
            );
        }
        mask(&mut request, verb, changed)?;
    }
    if let Some(number) = verb.method.request_id
        && !request.has_field_by_number(number)
    {
        request.set_field_by_number(number, Value::String(Uuid::new_v4().to_string()));
    }
    check(verb, &flags, &request)?;
    Ok(request)
}

/// Checks a request as the gateway would.
fn check(verb: &Verb, flags: &[Flag], request: &DynamicMessage) -> Result<()> {
    validate::check(verb.method, &request.encode_to_vec()).map_err(|error| {
        let names: HashMap<_, _> = flags.iter().map(|flag| (flag.path(), flag.shown())).collect();
        Failure::from(error).rename_fields(|path| names.get(path).cloned().unwrap_or_else(|| path.to_owned()))
    })
}

/// The resource inside the request.
fn inner<'a>(request: &'a mut DynamicMessage, outer: &FieldInfo) -> Result<&'a mut DynamicMessage> {
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

fn put(target: &mut DynamicMessage, field: &FieldDescriptor, value: Value) -> Result<()> {
    target
        .try_set_field(field, value)
        .map_err(|error| Failure::general(format!("the field {} does not take this value: {error}", field.name())))
}

fn mask(request: &mut DynamicMessage, verb: &Verb, changed: Vec<String>) -> Result<()> {
    let broken = || Failure::general(format!("{} has no mask", verb.method.path));
    let field = verb.input().and_then(update_mask).ok_or_else(broken)?;
    let descriptor = request.descriptor().get_field(field.number).ok_or_else(broken)?;
    let kind = descriptor.kind();
    let mut mask = DynamicMessage::new(kind.as_message().ok_or_else(broken)?.clone());
    mask.set_field_by_number(1, Value::List(changed.into_iter().map(Value::String).collect()));
    put(request, &descriptor, Value::Message(mask))
}
