//! How a call travels over HTTP, from `google.api.http`: for people who want to see what a command sends.

use gyre_model::catalog::{MethodInfo, catalog};
use prost_reflect::DynamicMessage;
use serde_json::{Map, Value as Json};

/// The way of a call over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// "POST".
    pub verb: &'static str,
    /// "/v1/vms/{uuid}:stop".
    pub template: String,
    /// What goes in the body: "*" for all that is not in the path, the name of a field, or nothing.
    pub body: String,
}

/// The way of a call, none where it has none.
pub fn route(method: &MethodInfo) -> Option<Route> {
    let http = catalog().pool().get_extension_by_name("google.api.http")?;
    let options = method.descriptor.options();
    if !options.has_extension(&http) {
        return None;
    }
    let value = options.get_extension(&http);
    let rule = value.as_message()?;
    let text = |name: &str| text(rule, name);
    let verbs = [("get", "GET"), ("put", "PUT"), ("post", "POST"), ("delete", "DELETE"), ("patch", "PATCH")];
    let (verb, template) = verbs
        .iter()
        .find_map(|(field, verb)| Some(text(field)).filter(|path| !path.is_empty()).map(|path| (*verb, path)))?;
    Some(Route { verb, template, body: text("body") })
}

fn text(message: &DynamicMessage, name: &str) -> String {
    message.get_field_by_name(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

impl Route {
    /// Path with its query, and body of a request, given as JSON.
    pub fn fill(&self, request: &Json) -> (String, Option<Json>) {
        let mut rest = request.clone();
        let mut path = String::new();
        let mut template = self.template.as_str();
        while let Some((before, (name, after))) =
            template.split_once('{').and_then(|(before, after)| Some((before, after.split_once('}')?)))
        {
            path.push_str(before);
            let field = name.split_once('=').map_or(name, |(field, _)| field);
            path.push_str(&escaped(&plain(&taken(&mut rest, field)), "/"));
            template = after;
        }
        path.push_str(template);
        let body = match self.body.as_str() {
            "" => None,
            "*" => Some(std::mem::take(&mut rest)),
            field => Some(taken(&mut rest, field)).filter(|body| !body.is_null()),
        };
        let mut query = Vec::new();
        flatten("", &rest, &mut query);
        if !query.is_empty() {
            query.sort();
            path.push('?');
            path.push_str(&query.join("&"));
        }
        (path, body)
    }
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| {
        let mut letters = word.chars();
        text + &letters.next().map(|letter| letter.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    })
}

/// Takes the value at a path such as "vm.uuid" out of a request.
fn taken(json: &mut Json, path: &str) -> Json {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let Some(object) = json.as_object_mut() else { return Json::Null };
    match rest {
        None => object.remove(&camel(name)).unwrap_or(Json::Null),
        Some(rest) => object.get_mut(&camel(name)).map_or(Json::Null, |inner| taken(inner, rest)),
    }
}

fn plain(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn flatten(prefix: &str, value: &Json, query: &mut Vec<String>) {
    match value {
        Json::Object(object) => object_pairs(prefix, object, query),
        Json::Array(items) => items.iter().for_each(|item| flatten(prefix, item, query)),
        Json::Null => {}
        other => query.push(format!("{prefix}={}", escaped(&plain(other), ""))),
    }
}

fn object_pairs(prefix: &str, object: &Map<String, Json>, query: &mut Vec<String>) {
    for (key, value) in object {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        flatten(&name, value, query);
    }
}

/// Percent-encodes what cannot stand in a path or a query.
fn escaped(text: &str, also: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let letter = char::from(byte);
        if letter.is_ascii_alphanumeric() || "-._~,:*".contains(letter) || also.contains(letter) {
            out.push(letter);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_travel_as_their_routes_say() {
        let of = |path: &str| route(catalog().method(path).unwrap()).unwrap();
        let update = of("/gyre.vm.v1.VmService/UpdateVm");
        let request = json!({"vm": {"uuid": "u", "name": "a"}, "updateMask": "name", "requestId": "r 1"});
        assert_eq!(update.verb, "PATCH");
        assert_eq!(
            update.fill(&request),
            ("/v1/vms/u?requestId=r%201&updateMask=name".to_owned(), Some(json!({"name": "a"})))
        );
        let stop = of("/gyre.vm.v1.VmService/StopVm");
        assert_eq!(
            stop.fill(&json!({"uuid": "u", "force": true})),
            ("/v1/vms/u:stop".to_owned(), Some(json!({"force": true})))
        );
        assert_eq!(of("/gyre.vm.v1.VmService/GetVm").fill(&json!({"uuid": "u"})), ("/v1/vms/u".to_owned(), None));
    }
}
