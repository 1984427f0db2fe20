//! The API as an OpenAPI 3.1 document, made once at start from the same plans that answer calls, so that it cannot differ from
//! them: paths and parameters from the plans, shapes and bounds from the field rules, texts from the comments, and examples of
//! every request and answer ([`example`]), which `integration/tests/api` sends to a node.

mod example;
mod problems;
mod schema;

use std::collections::{BTreeMap, BTreeSet};

use gyre_model::catalog::{Access, FieldInfo, MethodInfo, catalog};
use serde_json::{Map, Value, json};

use self::schema::{Schemas, Side, field_of, name_of};
use crate::callback;
use crate::rest::plan::{BodyPlan, Plan, json_path};
use crate::rest::table::Table;

const ABOUT: &str = "Gyre turns racks of hosts into virtual machines, disks and networks.\n\n\
    Sign in with `POST /v1/sessions` and send the token as `Authorization: Bearer`. Calls that take work answer `202` with an \
    operation; `Prefer: wait=30` waits for its end, `GET /v1/operations/{uuid}:watch` streams it. Errors are problem documents \
    (RFC 9457) with a stable `reason`. The same calls are there over gRPC on the same port.";

/// Makes the document.
pub fn document(table: &Table) -> Value {
    let mut schemas = Schemas::default();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut tags: BTreeMap<String, String> = BTreeMap::new();
    let mut named = BTreeSet::new();
    for plan in &table.plans {
        let path = plan_path(plan);
        let mut operation = operation(plan, &mut schemas);
        if !named.insert(plan.method.path) {
            // another way to make the same call
            operation["operationId"] = json!(format!("{}By{}", plan.method.name, title(plan.http.as_str())));
        }
        paths.entry(path).or_default().insert(plan.http.as_str().to_lowercase(), operation);
        tags.entry(tag(plan.method)).or_insert_with(|| service_doc(plan.method));
    }
    let tags: Vec<Value> = tags.into_iter().map(|(name, doc)| json!({"name": name, "description": doc})).collect();
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Gyre", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": tags,
        "paths": paths,
        "x-gyre-kinds": kinds(),
        "components": {
            "schemas": schemas.finish(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token of POST /v1/sessions, or an API key."}
            },
            "parameters": parameters(),
            "headers": headers(),
            "responses": problems::responses()
        }
    })
}

/// What there is of resources: their names, and the UUIDs that stand for them in examples.
fn kinds() -> Value {
    let kinds = catalog().kinds().map(|kind| {
        let facts = json!({
            "plural": kind.plural, "schema": format!("#/components/schemas/{}", name_of(kind.message)),
            "exampleUuid": example::uuid_of(kind.kind)
        });
        (kind.kind.to_owned(), facts)
    });
    kinds.collect::<BTreeMap<_, _>>().into_iter().collect()
}

fn headers() -> Value {
    let header = |description: &str, example: &str| json!({"description": description, "schema": {"type": "string"}, "example": example});
    json!({
        "Location": header("Where the operation is found.", &format!("/v1/operations/{}", example::uuid_of("operation"))),
        "PreferenceApplied": header("What of Prefer was done.", "wait=30"),
        "Traceresponse": header(
            "The trace of the call (W3C).", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        ),
        "WwwAuthenticate": header("How to say who calls.", "Bearer"),
        "RetryAfter": {
            "description": "Seconds after which another try makes sense.", "schema": {"type": "integer", "minimum": 1}, "example": 1
        },
        "Accept": header("The media type that the call takes.", "application/json")
    })
}

fn parameters() -> Value {
    json!({
        "Prefer": {
            "name": "Prefer", "in": "header", "required": false, "schema": {"type": "string"}, "example": "wait=30",
            "description": "\"wait=SECONDS\", at most 600, answers only once the operation has ended or the time is up."
        },
        "Callback": {
            "name": "X-Gyre-Callback", "in": "header", "required": false, "schema": {"type": "string", "maxLength": 2048},
            "example": "https://hooks.example.com/gyre",
            "description": "Where the finished operation is posted, signed as Standard Webhooks has it: only where the operator allows."
        },
        "RequestId": {
            "name": "X-Request-Id", "in": "header", "required": false, "schema": {"type": "string", "maxLength": 128},
            "example": "wish-1", "description": "Names this wish: the same id again answers what the first call did. The same as requestId."
        },
        "RequestTimeout": {
            "name": "X-Request-Timeout", "in": "header", "required": false, "schema": {"type": "string"}, "example": "30",
            "description": "How long the call may take, in seconds."
        }
    })
}

/// "Get" of "GET".
fn title(word: &str) -> String {
    word.char_indices().map(|(at, letter)| if at == 0 { letter } else { letter.to_ascii_lowercase() }).collect()
}

/// "Vm" of "gyre.vm.v1.VmService".
fn tag(method: &MethodInfo) -> String {
    let name = method.service.rsplit('.').next().unwrap_or(method.service);
    name.strip_suffix("Service").unwrap_or(name).to_owned()
}

fn service_doc(method: &MethodInfo) -> String {
    let service = method.descriptor.parent_service();
    schema::comment(service.parent_file().file_descriptor_proto(), service.path())
}

/// The path of a plan. Variables have the last name of their field's path, so that "/vms/{uuid}" and "/vms/{vm.uuid}", which are
/// one path to a client, are one here.
fn plan_path(plan: &Plan) -> String {
    let mut path = plan.template.clone();
    for (_, target) in &plan.variables {
        if let Some(start) = path.find(&format!("{{{}", target.path))
            && let Some(length) = path[start..].find('}')
        {
            path.replace_range(start..=start + length, &format!("{{{}}}", variable_name(&target.path)));
        }
    }
    path
}

fn variable_name(path: &str) -> String {
    json_path(path.rsplit('.').next().unwrap_or(path))
}

/// The kind that a call is about: that of its service, or nothing.
fn about(method: &MethodInfo) -> &'static str {
    let resource = method.service.strip_suffix("Service").and_then(|name| catalog().message(name));
    resource.and_then(|message| message.kind).unwrap_or_default()
}

fn parameter(
    place: &str,
    name: String,
    message: &str,
    field: &FieldInfo,
    method: &MethodInfo,
    schemas: &mut Schemas,
) -> Value {
    let mut parameter = json!({
        "name": name, "in": place, "required": place == "path",
        "description": field.doc, "schema": schemas.value(message, field, Side::Sent)
    });
    if field.repeated {
        parameter["explode"] = json!(true);
    }
    if let Some(example) = example::value(message, field, about(method)) {
        parameter["example"] = example;
    }
    parameter
}

fn operation(plan: &Plan, schemas: &mut Schemas) -> Value {
    let method = plan.method;
    let mut parameters = Vec::new();
    for (_, target) in &plan.variables {
        let Some((message, field)) = field_of(method.input, &target.path) else { continue };
        parameters.push(parameter("path", variable_name(&target.path), message, field, method, schemas));
    }
    for target in &plan.parameters {
        let Some((message, field)) = field_of(method.input, &target.path) else { continue };
        parameters.push(parameter("query", json_path(&target.path), message, field, method, schemas));
    }
    let header = |name: &str| json!({"$ref": format!("#/components/parameters/{name}")});
    if method.request_id.is_some() {
        parameters.push(header("RequestId"));
    }
    if plan.operation {
        parameters.push(header("Prefer"));
    }
    if callback::begins(method) {
        parameters.push(header("Callback"));
    }
    if !method.server_streaming {
        parameters.push(header("RequestTimeout"));
    }
    let (summary, _) = method.doc.split_once(". ").unwrap_or((method.doc, ""));
    let mut operation = json!({
        "operationId": method.name, "tags": [tag(method)], "summary": summary.trim_end_matches('.'), "description": method.doc,
        "parameters": parameters, "responses": responses(plan, schemas),
        "x-gyre-action": method.action, "x-gyre-grpc": method.path
    });
    if let Some(body) = body(plan, schemas) {
        operation["requestBody"] = body;
    }
    match method.access {
        Access::Public => operation["security"] = json!([]),
        Access::Admin => operation["x-gyre-admin"] = json!(true),
        Access::Unspecified | Access::Account | Access::Internal => {}
    }
    operation
}

fn body(plan: &Plan, schemas: &mut Schemas) -> Option<Value> {
    let method = plan.method;
    Some(match plan.body {
        BodyPlan::None => return None,
        BodyPlan::Raw(_) => json!({
            "required": true, "description": "The bytes as they are.",
            "content": {"application/octet-stream": {
                "schema": {"type": "string", "format": "binary"}, "example": "the bytes of the file"
            }}
        }),
        BodyPlan::Whole(_) => {
            let elsewhere = |field: &FieldInfo| {
                Some(field.number) == method.request_id
                    || plan.variables.iter().any(|(_, target)| target.numbers == [field.number])
            };
            let (schema, needed) = schemas.request(method.input, elsewhere);
            let example = catalog()
                .message(method.input)
                .map(|info| example::message(info, example::Side::Request, about(method), |field| !elsewhere(field)));
            json!({"required": needed, "content": {"application/json": {"schema": schema, "example": example}}})
        }
        BodyPlan::Field { number, message, .. } => {
            let (schema, side) = if plan.http == http::Method::PATCH {
                (schemas.reference(message, Side::Changes), example::Side::Update)
            } else {
                (schemas.reference(message, Side::Sent), example::Side::Create)
            };
            // what the path says is not said again
            let bound =
                |field: &FieldInfo| plan.variables.iter().any(|(_, target)| target.numbers == [number, field.number]);
            let example = catalog()
                .message(message)
                .map(|info| example::message(info, side, about(method), |field| !bound(field)));
            json!({"required": true, "content": {"application/json": {"schema": schema, "example": example}}})
        }
    })
}

fn responses(plan: &Plan, schemas: &mut Schemas) -> Value {
    let method = plan.method;
    let schema = schemas.answer(method.output);
    let trace = json!({"$ref": "#/components/headers/Traceresponse"});
    let example = catalog()
        .message(method.output)
        .map_or_else(|| json!({}), |info| example::message(info, example::Side::Answer, about(method), |_| true));
    let mut responses = problems::of(plan);
    if method.server_streaming {
        let description = format!(
            "Server-sent events: `message` with the JSON of a {} each, then `end`, or `error` with a problem document.",
            name_of(method.output)
        );
        let events = format!("id: 1\nevent: message\ndata: {example}\n\nevent: end\ndata: {{}}\n\n");
        responses.insert(
            "200".to_owned(),
            json!({
                "description": description, "headers": {"traceresponse": trace},
                "content": {"text/event-stream": {
                    "schema": {"type": "string", "contentMediaType": "text/event-stream"}, "example": events,
                    "x-gyre-message": schema
                }}
            }),
        );
        return Value::Object(responses);
    }
    let content = |example: &Value| json!({"application/json": {"schema": schema, "example": example}});
    if !callback::begins(method) {
        responses.insert(
            "200".to_owned(),
            json!({"description": "Done.", "headers": {"traceresponse": trace}, "content": content(&example)}),
        );
        return Value::Object(responses);
    }
    let begun = json!({
        "Location": {"$ref": "#/components/headers/Location"},
        "Preference-Applied": {"$ref": "#/components/headers/PreferenceApplied"},
        "traceresponse": trace
    });
    let mut ended = example.clone();
    ended["state"] = json!("OPERATION_STATE_SUCCEEDED");
    ended["percent"] = json!(100);
    responses.insert(
        "200".to_owned(),
        json!({"description": "The operation, which has ended.", "headers": begun, "content": content(&ended)}),
    );
    let mut running = example;
    running["state"] = json!("OPERATION_STATE_RUNNING");
    if let Some(running) = running.as_object_mut() {
        running.retain(|name, _| name != "endTime" && !name.starts_with("callback"));
    }
    responses.insert(
        "202".to_owned(),
        json!({"description": "The operation that the work became.", "headers": begun, "content": content(&running)}),
    );
    Value::Object(responses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    if let ("$ref", Value::String(target)) = (name.as_str(), member) {
                        found.insert(target.clone());
                    }
                    references(member, found);
                }
            }
            Value::Array(elements) => elements.iter().for_each(|element| references(element, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_holds_together() {
        let table = Table::new().unwrap();
        let document = document(&table);
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 40);
        for target in &found {
            assert!(document.pointer(target.strip_prefix('#').unwrap()).is_some(), "{target}");
        }
        let paths = document["paths"].as_object().unwrap();
        let calls: Vec<_> = paths.values().flat_map(|item| item.as_object().unwrap().values()).collect();
        assert_eq!(calls.len(), table.plans.len());
        let ids: BTreeSet<_> = calls.iter().map(|call| call["operationId"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), calls.len());
        for (path, item) in paths {
            for call in item.as_object().unwrap().values() {
                let bound = call["parameters"].as_array().unwrap().iter().filter(|parameter| parameter["in"] == "path");
                for parameter in bound.clone() {
                    assert!(path.contains(&format!("{{{}}}", parameter["name"].as_str().unwrap())), "{path}");
                }
                assert_eq!(bound.count(), path.matches('{').count(), "{path}");
                assert!(!call["description"].as_str().unwrap().is_empty(), "{path}");
            }
        }
    }

    #[test]
    fn rules_become_bounds() {
        let document = document(&Table::new().unwrap());
        let schemas = &document["components"]["schemas"];
        let vm = &schemas["VmCreate"];
        assert_eq!(vm["properties"]["cpuCount"]["maximum"], 256);
        assert_eq!(vm["properties"]["name"]["maxLength"], 64);
        assert_eq!(vm["properties"]["uuid"]["format"], "uuid");
        assert_eq!(vm["properties"]["createTime"]["readOnly"], true);
        assert_eq!(vm["properties"]["l3NetworkUuids"]["maxItems"], 8);
        assert_eq!(vm["required"], json!(["name", "imageUuid"]));
        assert_eq!(vm["additionalProperties"], false);
        // an answer leaves out what has no value
        assert!(schemas["Vm"].get("required").is_none() && schemas["Vm"].get("additionalProperties").is_none());
        assert_eq!(schemas["AccountCreate"]["properties"]["password"]["writeOnly"], true);
        let paths = &document["paths"];
        assert!(paths["/v1/vms/{uuid}"]["patch"].is_object() && paths["/v1/vms/{uuid}"]["get"].is_object());
        assert!(paths["/v1/vms"]["post"]["responses"]["202"].is_object());
        assert_eq!(paths["/v1/sessions"]["post"]["security"], json!([]));
        let watch = &paths["/v1/operations/{uuid}:watch"]["get"]["responses"]["200"]["content"];
        assert!(watch["text/event-stream"].is_object());
        let upload = &paths["/v1/images/{uuid}:upload"]["post"]["requestBody"]["content"];
        assert!(upload["application/octet-stream"].is_object());
        let update = &document["components"]["schemas"]["VmUpdate"]["properties"];
        assert!(update["name"].is_object() && update["hostUuid"].is_null() && update["createTime"].is_null());
    }

    #[test]
    fn every_call_says_how_it_fails_and_has_examples() {
        let document = document(&Table::new().unwrap());
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, call) in item.as_object().unwrap() {
                let responses = call["responses"].as_object().unwrap();
                assert!(responses.contains_key("400") && responses.contains_key("500"), "{method} {path}");
                assert!(!responses.contains_key("default"), "{method} {path}");
                for (status, response) in responses.iter().filter(|(status, _)| status.starts_with('2')) {
                    for content in response["content"].as_object().unwrap().values() {
                        assert!(!content["example"].is_null(), "{method} {path} {status}");
                    }
                }
                if let Some(body) = call.get("requestBody") {
                    for content in body["content"].as_object().unwrap().values() {
                        assert!(!content["example"].is_null(), "{method} {path}");
                    }
                }
            }
        }
        let create = &document["paths"]["/v1/vms"]["post"]["responses"];
        assert_eq!(create["202"]["content"]["application/json"]["example"]["state"], "OPERATION_STATE_RUNNING");
        let codes: Vec<_> = create.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(
            ["401", "403", "404", "409", "413", "415", "429", "503", "504"].iter().all(|code| codes.contains(code))
        );
        assert!(document["paths"]["/v1/members"]["get"]["responses"].get("404").is_none());
    }
}
