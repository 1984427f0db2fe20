//! What the OpenAPI document says of each call, as far as it helps to be hostile.

use anyhow::{Context as _, Result};
use gyre_integration::Front;
use http::Method;
use serde_json::Value;

/// A query parameter.
pub struct Parameter {
    pub name: String,
    pub schema: Value,
}

/// A call.
pub struct Call {
    pub name: String,
    pub method: Method,
    /// The path, with "{uuid}" where a resource is named.
    pub path: String,
    pub parameters: Vec<Parameter>,
    /// The schema and the example of its JSON body.
    pub body: Option<(Value, Value)>,
    /// Whether its body is bytes.
    pub raw: bool,
    /// Whether a stream is answered.
    pub stream: bool,
    pub statuses: Vec<u16>,
}

/// The document of a node.
pub struct Document {
    pub whole: Value,
    pub calls: Vec<Call>,
}

impl Document {
    /// Reads it.
    pub async fn read(front: &Front) -> Result<Self> {
        let whole = front.get("/openapi.json").await?.good()?;
        let mut calls = Vec::new();
        for (path, item) in whole["paths"].as_object().context("no paths")? {
            for (method, operation) in item.as_object().context("no calls")? {
                calls.push(call(&whole, path, method, operation)?);
            }
        }
        Ok(Self { whole, calls })
    }

    /// A schema with its reference followed.
    pub fn follow<'a>(&'a self, schema: &'a Value) -> &'a Value {
        resolve(&self.whole, schema)
    }
}

fn resolve<'a>(whole: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema["$ref"].as_str().and_then(|target| whole.pointer(target.trim_start_matches('#')));
    target.unwrap_or(schema)
}

fn call(whole: &Value, path: &str, method: &str, operation: &Value) -> Result<Call> {
    let name = operation["operationId"].as_str().context("no operationId")?.to_owned();
    let parameters = operation["parameters"].as_array().context("no parameters")?;
    let mut path = path.to_owned();
    for parameter in parameters.iter().filter(|parameter| parameter["in"] == "path" && parameter["name"] != "uuid") {
        let name = parameter["name"].as_str().unwrap_or_default();
        path = path.replace(&format!("{{{name}}}"), parameter["example"].as_str().unwrap_or_default());
    }
    let in_query = parameters.iter().filter(|parameter| parameter["in"] == "query");
    let content = &operation["requestBody"]["content"];
    let json = &content["application/json"];
    let statuses = operation["responses"].as_object().context("no responses")?;
    Ok(Call {
        method: method.to_uppercase().parse()?,
        path,
        parameters: in_query
            .map(|parameter| Parameter {
                name: parameter["name"].as_str().unwrap_or_default().to_owned(),
                schema: resolve(whole, &parameter["schema"]).clone(),
            })
            .collect(),
        body: json.is_object().then(|| (resolve(whole, &json["schema"]).clone(), json["example"].clone())),
        raw: content["application/octet-stream"].is_object(),
        stream: operation["responses"]["200"]["content"]["text/event-stream"].is_object(),
        statuses: statuses.keys().filter_map(|status| status.parse().ok()).collect(),
        name,
    })
}
