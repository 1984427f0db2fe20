//! Hostile input at the door, made from the OpenAPI document of a node: every field of every call with values that it must not have,
//! and tens of thousands of random requests.
//!
//! Whatever comes, a node answers: with what was asked for, or with a problem document that has a status which the document
//! knows of the call, a stable reason and a text. Never with a fault of its own, and never with a panic (which is answered as
//! one). `GYRE_HOSTILE_REQUESTS` asks for more requests, `GYRE_HOSTILE_SEED` for the same again.

mod dice;
mod document;
mod every_field;
mod random;

use anyhow::{Result, bail, ensure};
use gyre_integration::front::Answer;

use self::document::Call;

/// Reasons with which a node that is well says that something is not available: it is for a moment, and said in the document.
const FOR_A_MOMENT: [&str; 1] = ["HOST_BUSY"];

/// Fails unless an answer is one that may be given to anything.
fn judge(call: &Call, answer: &Answer) -> Result<()> {
    let status = answer.status.as_u16();
    if answer.status.is_success() {
        return Ok(());
    }
    let said = |what: &str| format!("{}: {status} {what}: {}", call.name, answer.body);
    let for_a_moment = status == 503 && FOR_A_MOMENT.contains(&answer.reason());
    ensure!(status < 500 || for_a_moment, said("is a fault of Gyre's own"));
    let media = answer.headers.get("content-type").and_then(|value| value.to_str().ok());
    ensure!(media == Some("application/problem+json"), said(&format!("comes as {media:?}")));
    ensure!(answer.body["status"] == status, said("says another status"));
    let reason = answer.reason();
    let stable = !reason.is_empty()
        && reason.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    ensure!(stable, said("has no stable reason"));
    ensure!(answer.body["detail"].as_str().is_some_and(|text| text.len() > 8), said("has no text"));
    if reason == "INVALID_FIELD" {
        let violations = answer.body["violations"].as_array();
        let named = violations.is_some_and(|all| {
            !all.is_empty() && all.iter().all(|one| one["field"].as_str().is_some_and(|field| !field.is_empty()))
        });
        ensure!(named, said("names no field"));
    }
    // a path that was bent may lead to another call, or nowhere
    let elsewhere = matches!(reason, "UNKNOWN_PATH" | "UNKNOWN_ACTION" | "METHOD_NOT_ALLOWED");
    if !elsewhere && !call.statuses.contains(&status) {
        bail!(said("is not in the document"));
    }
    Ok(())
}
