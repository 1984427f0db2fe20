//! Each field of each call with a value that it must not have: refused with the name of the field, the value where that is no
//! secret, and what to do.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use gyre_agent::Simulation;
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode};
use http::StatusCode;
use serde_json::{Value, json};

use super::document::{Call, Document};
use super::judge;

const NOBODY: &str = "0193f3a0-1111-4222-8333-444455556666";

/// "hostUuid" as "host_uuid".
fn snake(name: &str) -> String {
    name.chars().fold(String::new(), |mut text, letter| {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
        text
    })
}

/// A value of another type than a schema's, where every other type is wrong.
fn of_another_type(document: &Document, schema: &Value) -> Option<Value> {
    let schema = document.follow(schema);
    match schema["type"].as_str() {
        Some("string" | "object") => Some(json!(17)),
        Some("integer" | "number") => Some(json!("many")),
        Some("boolean") => Some(json!("perhaps")),
        Some("array") => Some(json!({"a": 1})),
        // either a text or a number
        _ if schema["type"].is_array() => Some(json!([1])),
        _ => None,
    }
}

/// A query value that a schema does not allow, and that is not just another text.
fn wrong_text(document: &Document, schema: &Value) -> Option<&'static str> {
    let schema = document.follow(schema);
    if schema["format"] == "uuid" || schema["format"] == "date-time" || schema["enum"].is_array() {
        return Some("nonsense");
    }
    if schema["type"] == "string" { None } else { Some("many") }
}

async fn refused(front: &Front, call: &Call, path: &str, body: Option<Value>, field: &str) -> Result<()> {
    let answer = front.call(call.method.clone(), path, body.clone()).await?;
    judge(call, &answer)?;
    let about = || format!("{} {path} {body:?} is answered {} {}", call.name, answer.status, answer.body);
    ensure!(answer.status == StatusCode::BAD_REQUEST, about());
    let named = answer.body["violations"].as_array().is_some_and(|violations| {
        let fits = |told: &str| {
            told == field || told.ends_with(&format!(".{field}")) || told.starts_with(&format!("{field}["))
        };
        violations.iter().any(|one| {
            one["field"].as_str().is_some_and(|told| fits(told) || fits(told.trim_end_matches("[0]")))
                && one["description"].as_str().is_some_and(|text| !text.is_empty())
        })
    });
    ensure!(named, "{} does not name {field}", about());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_field_is_refused_by_its_name() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = TestNode::start(folder.path(), Hosts::Simulated(Simulation::default())).await?;
    let front = node.front().await?;
    let document = Document::read(&front).await?;
    let mut tried = 0;
    for call in &document.calls {
        let path = call.path.replace("{uuid}", NOBODY);
        if path != call.path {
            let wrong = call.path.replace("{uuid}", "nonsense");
            refused(&front, call, &wrong, call.body.as_ref().map(|_| json!({})), "uuid").await?;
            tried += 1;
        }
        let plain = || call.body.as_ref().map(|_| json!({}));
        for parameter in &call.parameters {
            if let Some(wrong) = wrong_text(&document, &parameter.schema) {
                let field = parameter.name.rsplit('.').next().unwrap_or_default();
                let asked = format!("{path}?{}={wrong}", parameter.name);
                // what the gateway refuses it names as it was sent, and what the service refuses as the .proto has it
                if refused(&front, call, &asked, plain(), field).await.is_err() {
                    refused(&front, call, &asked, plain(), &snake(field)).await?;
                }
                tried += 1;
            }
        }
        refused(&front, call, &format!("{path}?colour=red"), plain(), "colour").await?;
        let Some((schema, example)) = &call.body else { continue };
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(wrong) = of_another_type(&document, property) {
                refused(&front, call, &path, Some(json!({(name): wrong})), &snake(name)).await?;
                tried += 1;
            }
        }
        let mut unknown = example.clone();
        unknown["colour"] = json!("red");
        refused(&front, call, &path, Some(unknown), "colour").await?;
    }
    assert!(tried > 300, "only {tried} fields were tried");
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lists_are_asked_is_refused_by_its_name() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = TestNode::start(folder.path(), Hosts::Simulated(Simulation::default())).await?;
    let front = node.front().await?;
    let document = Document::read(&front).await?;
    let wrong = [
        ("filter", "nonsense%20%3D%201"),
        ("filter", "name%20%3D"),
        ("filter", "%28%28%28"),
        ("orderBy", "nonsense"),
        ("orderBy", "name%20sideways"),
        ("pageToken", "nonsense"),
        ("pageToken", "AAAA"),
        ("pageSize", "-1"),
        ("pageSize", "1001"),
        ("readMask", "nonsense"),
    ];
    let mut tried = 0;
    for call in document.calls.iter().filter(|call| call.name.starts_with("List") && call.method == http::Method::GET) {
        for (name, value) in wrong {
            if call.parameters.iter().any(|parameter| parameter.name == name) {
                refused(&front, call, &format!("{}?{name}={value}", call.path), None, &snake(name)).await?;
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "only {tried} lists were asked");
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_and_huge_bodies_are_refused_early() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = TestNode::start(folder.path(), Hosts::Simulated(Simulation::default())).await?;
    let front = node.front().await?;
    let document = Document::read(&front).await?;
    let deep = format!("{{\"description\": {}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let huge = format!("{{\"description\": \"{}\"}}", "x".repeat((1 << 20) + 1));
    let many = format!("{{{}}}", (0..50_000).map(|n| format!("\"k{n}\":1")).collect::<Vec<_>>().join(","));
    for call in document.calls.iter().filter(|call| call.body.is_some()) {
        let path = call.path.replace("{uuid}", NOBODY);
        for (body, status, reason) in [
            (&deep, StatusCode::BAD_REQUEST, "TOO_DEEP"),
            (&huge, StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE"),
            (&many, StatusCode::BAD_REQUEST, "INVALID_JSON"),
        ] {
            let request = http::Request::builder()
                .method(call.method.clone())
                .uri(format!("{}{path}", front.endpoint()))
                .header("content-type", "application/json");
            let begun = Instant::now();
            let answer = front.send(request, body.clone()).await?;
            judge(call, &answer)?;
            ensure!((answer.status, answer.reason()) == (status, reason), "{}: {}", call.name, answer.body);
            ensure!(answer.body.to_string().len() < 4096, "{}: a refusal says {} bytes", call.name, answer.body);
            // a megabyte is read in far less; a build without optimizations on a busy machine gets room
            ensure!(begun.elapsed() < Duration::from_secs(10), "{}: {reason} took {:?}", call.name, begun.elapsed());
        }
    }
    node.shutdown().await;
    Ok(())
}
