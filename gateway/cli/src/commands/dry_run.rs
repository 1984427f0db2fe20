//! `--dry-run`: what would be sent, printed instead.

use gyre_model::catalog::{FieldType, MessageInfo, catalog};
use prost_reflect::DynamicMessage;
use serde_json::{Map, Value as Json, json};

use crate::failure::{Failure, Result};
use crate::nouns::{Verb, route};
use crate::output::{self, Format};

/// What stands in the place of a secret.
const HIDDEN: &str = "(secret)";

/// Prints a request.
pub fn print(format: Format, verb: &Verb, request: &DynamicMessage) -> Result<()> {
    let mut told = described(verb, request)?;
    if format.structured() {
        return output::print_value(format, &told);
    }
    let text = |name: &str| told.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    let mut out = match told.contains_key("method") {
        true => format!("{} {}\n", text("method"), text("path")),
        false => format!("{}\n", text("call")),
    };
    if let Some(body) = told.remove("body").or_else(|| told.remove("request")) {
        let body = serde_json::to_string_pretty(&body).map_err(|error| Failure::general(error.to_string()))?;
        out.push_str(&body);
        out.push('\n');
    }
    output::print(&out)
}

/// The call, and where it has a way over HTTP method, path and body.
fn described(verb: &Verb, request: &DynamicMessage) -> Result<Map<String, Json>> {
    let mut json = serde_json::to_value(request).map_err(|error| Failure::general(error.to_string()))?;
    if let Some(input) = verb.input() {
        hide(input, &mut json);
    }
    let mut told = Map::new();
    told.insert("dryRun".to_owned(), json!(true));
    told.insert("call".to_owned(), json!(verb.method.path));
    match route(verb.method) {
        Some(route) => {
            let (path, body) = route.fill(&json);
            told.insert("method".to_owned(), json!(route.verb));
            told.insert("path".to_owned(), json!(path));
            if let Some(body) = body {
                told.insert("body".to_owned(), body);
            }
        }
        None => {
            told.insert("request".to_owned(), json);
        }
    }
    Ok(told)
}

/// Takes secrets out.
fn hide(info: &MessageInfo, json: &mut Json) {
    let Some(object) = json.as_object_mut() else { return };
    for field in &info.fields {
        let Some(value) = object.get_mut(field.json_name) else { continue };
        if field.rule.secret {
            *value = json!(HIDDEN);
        } else if let FieldType::Message(name) = field.ty
            && let Some(inner) = catalog().message(name)
        {
            match value {
                Json::Array(items) => items.iter_mut().for_each(|item| hide(inner, item)),
                one => hide(inner, one),
            }
        }
    }
}
