//! A call: its ways, who may make it, what it takes and how it fails.

use gyre_model::catalog::{Access, FieldType, catalog};

use super::fields::{rules, ty};
use super::{cell, is_own};
use crate::args::{Place, flags};
use crate::nouns::{OPERATION, Shape, Verb, noun, route, service};

/// A call's part of a page.
pub fn call(named: &str, verb: &Verb) -> String {
    let method = verb.method;
    let mut text = format!("### {}\n\n{}\n\n| | |\n| --- | --- |\n", method.name, method.doc);
    if let Some(route) = route(method) {
        let body = match route.body.as_str() {
            "" => String::new(),
            "*" => ", the other fields as body".to_owned(),
            field => format!(", `{field}` as body, the other fields in the query"),
        };
        text += &format!("| HTTP | `{} {}`{body} |\n", route.verb, route.template);
    }
    text += &format!("| gRPC | `{}`{} |\n", &method.path[1..], streams(verb));
    text += &format!("| Command | `{}` |\n", line(named, verb));
    text += &format!("| Who may | {} |\n", access(method.access));
    if !method.action.is_empty() {
        text += &format!("| Action in policies | `{}` |\n", method.action);
    }
    text += &format!("| Answer | {} |\n", answer(verb));
    text += &format!("| Fails with | {} |\n", errors(verb).join(", "));
    text + &request(verb)
}

fn streams(verb: &Verb) -> &'static str {
    match (verb.method.client_streaming, verb.method.server_streaming) {
        (true, true) => " (streams both ways)",
        (true, false) => " (a stream of requests)",
        (false, true) => " (a stream of answers)",
        (false, false) => "",
    }
}

/// What is typed for it: what has to be given, and whether there is more.
fn line(named: &str, verb: &Verb) -> String {
    let alone = service(named).is_some_and(|service| service.itself().is_some());
    let mut words = vec!["gyre".to_owned(), named.to_owned()];
    if !alone {
        words.push(verb.name.clone());
    }
    let flags = flags(verb);
    for flag in flags.iter().filter(|flag| flag.required) {
        match flag.place {
            Place::Positional => words.push(flag.shown()),
            _ => words.push(format!("{} {}", flag.shown(), flag.value_name())),
        }
    }
    match verb.shape {
        Shape::Upload(_) => words.push("--file PATH".to_owned()),
        Shape::Feed => words.push("-f PATH".to_owned()),
        _ => {}
    }
    let more = flags.iter().any(|flag| !flag.required) || matches!(verb.shape, Shape::List);
    if more {
        words.push("[flags]".to_owned());
    }
    words.join(" ")
}

fn access(access: Access) -> &'static str {
    match access {
        Access::Unspecified | Access::Account => "whoever is signed in, on what is theirs or shared with them",
        Access::Admin => "administrators",
        Access::Public => "everybody, signed in or not",
        Access::Internal => "members of the mesh",
    }
}

fn answer(verb: &Verb) -> String {
    let name = verb.method.output;
    let last = name.rsplit('.').next().unwrap_or(name);
    let message = catalog().message(name);
    match message.and_then(|message| message.kind).filter(|kind| noun(kind).is_some()) {
        Some("operation") if verb.starts_operation() => {
            "an [operation](operation.md), which goes on after the answer".to_owned()
        }
        Some(kind) => format!("[{kind}]({kind}.md)"),
        None if message.is_some_and(|message| message.fields.is_empty()) => "nothing".to_owned(),
        None if is_own(name) => format!("[{last}](#{})", last.to_ascii_lowercase()),
        None => last.to_owned(),
    }
}

/// The codes that follow from what the descriptor says; their reasons tell more.
fn errors(verb: &Verb) -> Vec<&'static str> {
    let mut codes = Vec::new();
    let input = verb.input();
    if input.is_some_and(|input| !input.fields.is_empty()) {
        codes.push("`INVALID_ARGUMENT`");
    }
    if verb.method.access != Access::Public {
        codes.extend(["`UNAUTHENTICATED`", "`PERMISSION_DENIED`"]);
    }
    let named = input.is_some_and(|input| {
        let refers = |field: &gyre_model::catalog::FieldInfo| field.name == "uuid" || !field.rule.refers_to.is_empty();
        input.fields.iter().any(refers)
    });
    let body = verb.body().is_some_and(|body| body.fields.iter().any(|field| !field.rule.refers_to.is_empty()));
    if named || body || matches!(verb.shape, Shape::Update(_)) {
        codes.push("`NOT_FOUND`");
    }
    if matches!(verb.shape, Shape::Create(_)) {
        codes.push("`ALREADY_EXISTS`");
    }
    if verb.changes() && verb.method.output != "gyre.identity.v1.CreateSessionResponse" {
        codes.push("`FAILED_PRECONDITION`");
    }
    if matches!(verb.shape, Shape::Update(_)) {
        codes.push("`ABORTED`");
    }
    if verb.method.output == OPERATION || matches!(verb.shape, Shape::Create(_)) {
        codes.push("`RESOURCE_EXHAUSTED`");
    }
    codes.push("`UNAVAILABLE`");
    codes
}

/// The fields of the request, each with its flag.
fn request(verb: &Verb) -> String {
    let Some(input) = verb.input().filter(|input| !input.fields.is_empty()) else { return String::new() };
    let flags = flags(verb);
    let mut text = "\n| request | flag | type | rules | meaning |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for field in &input.fields {
        let carried = match verb.shape {
            Shape::Create(body) | Shape::Update(body) => body.number == field.number,
            _ => false,
        };
        let mask = field.ty == FieldType::Message("google.protobuf.FieldMask");
        let flag = match flags.iter().find(|flag| flag.outer.is_none() && flag.field.number == field.number) {
            Some(flag) => format!("`{}`", flag.shown()),
            None if carried => "one for each field".to_owned(),
            None if mask && field.name != "read_mask" => "by the flags given".to_owned(),
            None => listed(field.name).to_owned(),
        };
        text += &format!("| `{}` | {flag} | {} | {} | {} |\n", field.name, ty(field), rules(field), cell(field.doc));
    }
    text
}

/// The flags of lists and files, which are the same for all.
fn listed(name: &str) -> &'static str {
    match name {
        "filter" => "`--filter`",
        "order_by" => "`--order-by`",
        "page_size" => "`--page-size`",
        "page_token" => "all pages are read",
        "read_mask" => "`--columns`",
        "data" => "`--file`",
        _ => "`-f`",
    }
}
