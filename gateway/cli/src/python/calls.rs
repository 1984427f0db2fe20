//! Calls as methods: a class for each kind and for each service without one.

use gyre_model::catalog::{FieldInfo, FieldType, MessageInfo, MethodInfo, catalog};

use super::text::{last, name, pascal, python_type, rules, safe, wrap};
use crate::nouns::{Shape, Verb, nouns, route, services};

/// One class: what its object is called on the client, and the calls in it.
struct Group {
    attribute: String,
    class: String,
    doc: String,
    verbs: Vec<Verb>,
}

/// The file.
pub fn file() -> String {
    let mut groups: Vec<_> = nouns()
        .into_iter()
        .map(|noun| Group {
            attribute: name(noun.kind.plural),
            class: pascal(noun.kind.plural),
            doc: noun.message.doc.to_owned(),
            verbs: noun.verbs(),
        })
        .collect();
    groups.extend(services().into_iter().map(|service| Group {
        attribute: name(&service.name),
        class: format!("{}Calls", pascal(&service.name)),
        doc: service.doc(),
        verbs: service.verbs(),
    }));
    let mut text =
        "\"\"\"The calls of Gyre's API: a class for each kind of resource and for each service without one.\"\"\"\n\n\
                    from __future__ import annotations\n\n\
                    from datetime import datetime, timedelta\n\
                    from typing import Any, Dict, List, Optional\n\n\
                    from . import types\n\
                    from ._call import UNSET, Call, Calls, Source, Unset, given\n\
                    from .pages import Pages\n\
                    from .streams import Stream\n"
            .to_owned();
    for group in &groups {
        text += &format!("\n\nclass {}(Calls):\n{}", group.class, super::text::doc(&group.doc, 4));
        for verb in &group.verbs {
            text += &method(verb);
        }
    }
    text += "\n\nclass Services:\n    \"\"\"Every kind and every service, as attributes of a client.\"\"\"\n";
    text += "\n    def __init__(self, client: Any) -> None:\n";
    for group in &groups {
        text += &format!("        self.{} = {}(client)\n", group.attribute, group.class);
    }
    let kinds = nouns().into_iter().filter(|noun| noun.verb("get").is_some());
    let kinds: Vec<_> =
        kinds.map(|noun| format!("    \"{}\": \"{}\",\n", noun.kind.kind, name(noun.kind.plural))).collect();
    text + &format!(
        "\n\nKINDS: Dict[str, str] = {{\n{}}}\n\"\"\"From each kind that can be read to the attribute with its calls.\"\"\"\n",
        kinds.concat()
    )
}

/// What a parameter is where it is not given.
#[derive(Clone, Copy)]
enum Default {
    /// It must be given.
    Needed,
    /// The zero of its type.
    Zero,
    /// Nothing is said of it, which is something else than its zero.
    Unset,
}

/// One parameter of a method.
struct Parameter {
    name: String,
    annotation: String,
    default: Option<String>,
    doc: String,
    /// What it gives the field of its name in the request, where it is one as it is.
    value: Option<String>,
}

impl Parameter {
    fn of(field: &FieldInfo, default: Default) -> Self {
        let (ty, zero) = python_type(field, "types.");
        let called = name(field.name);
        let doc = format!("{}{}", field.doc.trim_end_matches('.'), rules(field));
        // a list that callers share must not change
        let empty = match zero.as_str() {
            "_field(default_factory=list)" => Some("[]"),
            "_field(default_factory=dict)" => Some("{}"),
            _ => None,
        };
        let (annotation, default, value) = match (default, empty) {
            (Default::Needed, _) => {
                let inner = ty.strip_prefix("Optional[").and_then(|ty| ty.strip_suffix(']'));
                (inner.unwrap_or(&ty).to_owned(), None, Some(called.clone()))
            }
            (Default::Zero, Some(empty)) => {
                (format!("Optional[{ty}]"), Some("None".to_owned()), Some(format!("{called} or {empty}")))
            }
            (Default::Zero, None) => (ty, Some(zero), Some(called.clone())),
            (Default::Unset, _) => (format!("Unset[{ty}]"), Some("UNSET".to_owned()), None),
        };
        Self { name: called, annotation, default, doc, value }
    }

    fn extra(name: &str, annotation: &str, doc: &str) -> Self {
        Self {
            name: name.to_owned(),
            annotation: format!("Optional[{annotation}]"),
            default: Some("None".to_owned()),
            doc: doc.to_owned(),
            value: None,
        }
    }

    fn needed(name: &str, annotation: &str, doc: String) -> Self {
        let annotation = annotation.to_owned();
        Self { name: name.to_owned(), annotation, default: None, doc, value: None }
    }

    fn shown(&self) -> String {
        let default = self.default.as_ref().map_or_else(String::new, |default| format!(" = {default}"));
        format!("{}: {}{default}", self.name, self.annotation)
    }
}

fn method(verb: &Verb) -> String {
    let (Some(input), Some(route)) = (catalog().message(verb.method.input), route(verb.method)) else {
        return String::new();
    };
    let mut positional = Vec::new();
    let mut named = Vec::new();
    match verb.shape {
        Shape::Create(body) => positional.push(Parameter::of(body, Default::Needed)),
        Shape::Update(_) => update(verb, &mut positional, &mut named),
        Shape::Upload(_) | Shape::List | Shape::Call | Shape::Stream => {}
        // no client over HTTP has a stream both ways
        Shape::Feed => return String::new(),
    }
    for field in &input.fields {
        let carried = match verb.shape {
            Shape::Create(body) => field.number == body.number,
            Shape::Update(body) => field.number == body.number || field.name == "update_mask",
            Shape::Upload(file) => field.number == file.number,
            Shape::List => field.name == "page_token",
            _ => false,
        };
        if carried || Some(field.number) == verb.method.request_id {
            continue;
        }
        let in_path = route.template.contains(&format!("{{{}}}", field.name));
        if in_path || field.rule.required && !matches!(verb.shape, Shape::Update(_)) {
            positional.push(Parameter::of(field, Default::Needed));
        } else {
            named.push(Parameter::of(field, Default::Zero));
        }
    }
    if let Shape::Upload(file) = verb.shape {
        let doc = format!("{}: bytes, an open file, or an iterable of bytes", file.doc.trim_end_matches('.'));
        positional.push(Parameter::needed(&name(file.name), "Source", doc));
    }
    if verb.method.request_id.is_some() {
        named.push(Parameter::extra("request_id", "str", "names this wish: the same id again is the same wish"));
    }
    if verb.takes_callback() {
        named.push(Parameter::extra("callback", "str", "the URL that the finished operation is posted to"));
    }
    let time = time(input);
    named.push(Parameter::extra(time, "float", "seconds that the call may take, with all its tries"));
    let mut text = signature(verb, &positional, &named);
    text += &docstring(verb.method, &positional, &named);
    text + &body(verb, input, &route, &positional, &named)
}

/// What the time of a call is called: the request may have a field of that name itself.
fn time(input: &MessageInfo) -> &'static str {
    if input.field("timeout").is_some() { "call_timeout" } else { "timeout" }
}

/// The parameters of an update: which one, and each field that may change.
fn update(verb: &Verb, positional: &mut Vec<Parameter>, named: &mut Vec<Parameter>) {
    let Some(message) = verb.body() else { return };
    positional.push(Parameter::needed("uuid", "str", format!("which {} to change", last(message.name))));
    for field in message.fields.iter().filter(|field| !field.rule.output_only && !field.rule.immutable) {
        let mut parameter = Parameter::of(field, Default::Unset);
        if field.name == "generation" {
            parameter.doc = "the one that was read: the change is refused when another came first".to_owned();
        }
        named.push(parameter);
    }
}

fn signature(verb: &Verb, positional: &[Parameter], named: &[Parameter]) -> String {
    let mut parameters = vec!["self".to_owned()];
    parameters.extend(positional.iter().map(Parameter::shown));
    parameters.push("*".to_owned());
    parameters.extend(named.iter().map(Parameter::shown));
    let lines: Vec<_> = parameters.iter().map(|parameter| format!("        {parameter},\n")).collect();
    format!("\n    def {}(\n{}    ) -> {}:\n", name(&verb.name), lines.concat(), answer(verb))
}

/// The field of a page that holds its rows.
fn rows(verb: &Verb) -> Option<&'static FieldInfo> {
    let page = catalog().message(verb.method.output)?;
    page.fields.iter().find(|field| field.repeated && matches!(field.ty, FieldType::Message(_)))
}

fn answer(verb: &Verb) -> String {
    let output = last(verb.method.output);
    match (verb.shape, rows(verb).map(|rows| rows.ty)) {
        (Shape::List, Some(FieldType::Message(row))) if row.starts_with("google.protobuf.") => {
            format!("Pages[Dict[str, Any], types.{output}]")
        }
        (Shape::List, Some(FieldType::Message(row))) => format!("Pages[types.{}, types.{output}]", last(row)),
        (Shape::Stream, _) => format!("Stream[types.{output}]"),
        _ => format!("types.{output}"),
    }
}

fn docstring(method: &MethodInfo, positional: &[Parameter], named: &[Parameter]) -> String {
    let mut lines = wrap(&safe(method.doc), 100);
    lines.push(String::new());
    for parameter in positional.iter().chain(named) {
        let mut first = true;
        for line in wrap(&safe(&format!("{}: {}", parameter.name, parameter.doc)), 96) {
            lines.push(if first { line } else { format!("    {line}") });
            first = false;
        }
    }
    let lines: Vec<_> = lines
        .iter()
        .enumerate()
        .map(|(at, line)| match (at, line.is_empty()) {
            (0, _) => format!("        \"\"\"{line}\n"),
            (_, true) => "\n".to_owned(),
            _ => format!("        {line}\n"),
        })
        .collect();
    format!("{}        \"\"\"\n", lines.concat())
}

fn body(
    verb: &Verb,
    input: &MessageInfo,
    route: &crate::nouns::Route,
    positional: &[Parameter],
    named: &[Parameter],
) -> String {
    let method = verb.method;
    let filled: Vec<_> = positional
        .iter()
        .chain(named)
        .filter_map(|parameter| Some(format!("{}={}", parameter.name, parameter.value.as_ref()?)))
        .collect();
    let mut call = format!(
        "        _call = Call(\n            \"{}\",\n            \"{}\",\n            \"{}\",\n            types.{},\n",
        route.verb,
        route.template,
        route.body,
        last(method.output)
    );
    if method.request_id.is_some() {
        call += "            request_id=request_id,\n            named=True,\n";
    }
    if verb.takes_callback() {
        call += "            callback=callback,\n";
    }
    call += &format!("            timeout={},\n        )\n", time(input));
    let request = match verb.shape {
        Shape::Update(body) => {
            let changes: Vec<_> = named
                .iter()
                .filter(|parameter| parameter.default.as_deref() == Some("UNSET"))
                .map(|parameter| format!("            {0}={0},\n", parameter.name))
                .collect();
            call += &format!(
                "        _changes = given(\n            types.{},\n{}        )\n",
                update_type(body),
                changes.concat()
            );
            return call
                + &format!(
                    "        _request = types.{}({}).encode()\n        _request[\"{}\"] = {{**_changes, \"uuid\": uuid}}\n        \
                     return self._send(_call, _request)\n",
                    last(input.name),
                    filled.join(", "),
                    body.json_name
                );
        }
        _ => format!("types.{}({})", last(input.name), filled.join(", ")),
    };
    let end = match verb.shape {
        Shape::List => {
            let rows = rows(verb).map_or_else(String::new, |rows| name(rows.name));
            format!("        return self._pages(_call, {request}, \"{rows}\")\n")
        }
        Shape::Stream => format!("        return self._stream(_call, {request}.encode())\n"),
        Shape::Upload(file) => format!("        return self._send(_call, {request}.encode(), {})\n", name(file.name)),
        _ => format!("        return self._send(_call, {request}.encode())\n"),
    };
    call + &end
}

fn update_type(body: &FieldInfo) -> &'static str {
    match body.ty {
        FieldType::Message(name) => last(name),
        _ => "",
    }
}
