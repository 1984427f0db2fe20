//! Creations and changes that can be sent again.
//!
//! A creation's request id follows from what it says. Sent again after a break it is answered with what the first one did. It would
//! be answered so too when that resource was deleted since, or when its making failed: then the next id of the same row is taken,
//! which again follows from the document.

use std::time::Duration;

use gyre_proto::common::v1::{Operation, OperationState};
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};

use super::compare::Change;
use super::draft::uuid_of;
use super::state::{in_bin, text};
use crate::client::Client;
use crate::commands::{request, wait};
use crate::failure::{Exit, Failure, Result};
use crate::nouns::{OPERATION, Shape, Verb, noun};
use crate::ui::Ui;

/// How many times the same document may have been made and be gone again before ids stop following from it.
const MOST: usize = 64;

/// What a call made.
#[derive(Debug)]
pub struct Made {
    /// The resource's UUID.
    pub uuid: String,
    /// The operation that works on it, where there is one.
    pub operation: Option<Operation>,
}

impl Made {
    fn of(answer: &DynamicMessage) -> Result<Self> {
        if answer.descriptor().full_name() != OPERATION {
            return Ok(Self { uuid: text(answer, "uuid"), operation: None });
        }
        let operation: Operation =
            answer.transcode_to().map_err(|error| Failure::general(format!("the answer is no operation: {error}")))?;
        Ok(Self { uuid: operation.resource_uuid.clone(), operation: Some(operation) })
    }

    /// Waits where that is asked for. Answers whether everything is done.
    ///
    /// # Errors
    /// When the operation fails, or the time is up.
    pub async fn finish(&self, client: &Client, ui: &Ui, wait: Option<Option<Duration>>) -> Result<bool> {
        match (&self.operation, wait) {
            (None, _) => Ok(true),
            (Some(operation), _) if wait::ended(operation) => wait::outcome(operation).map(|()| true),
            (Some(_), None) => Ok(false),
            (Some(operation), Some(limit)) => wait::follow(client, ui, operation, limit).await.map(|_| true),
        }
    }
}

/// The request that makes a resource.
fn creation(verb: &Verb, wanted: &DynamicMessage) -> Result<DynamicMessage> {
    let (Shape::Create(body) | Shape::Update(body)) = verb.shape else {
        return Err(Failure::general(format!("{} makes nothing", verb.method.path)));
    };
    let mut request = DynamicMessage::new(verb.method.descriptor.input());
    request.set_field_by_number(body.number, Value::Message(wanted.clone()));
    Ok(request)
}

/// Checks a creation without sending it.
///
/// # Errors
/// What the API would refuse.
pub fn check_create(verb: &Verb, wanted: &DynamicMessage) -> Result<()> {
    request::check(verb, &[], &creation(verb, wanted)?)
}

/// Makes a resource.
///
/// # Errors
/// What the service answers.
pub async fn create(client: &Client, verb: &Verb, wanted: &DynamicMessage) -> Result<Made> {
    let mut request = creation(verb, wanted)?;
    request::check(verb, &[], &request)?;
    let content = serde_json::to_string(&request).map_err(|error| Failure::general(error.to_string()))?;
    for turn in 0..MOST {
        if let Some(number) = verb.method.request_id {
            let id = uuid_of(&["apply", client.endpoint(), verb.method.path, &content, &turn.to_string()]);
            request.set_field_by_number(number, Value::String(id));
        }
        let made = Made::of(&client.call(verb.method, &request).await?)?;
        if verb.method.request_id.is_none() || is_there(client, verb, &made).await? {
            return Ok(made);
        }
    }
    if let Some(number) = verb.method.request_id {
        request.set_field_by_number(number, Value::String(uuid::Uuid::new_v4().to_string()));
    }
    Made::of(&client.call(verb.method, &request).await?)
}

/// Whether an answer is about something that is there or is being made, and not about what an earlier run made.
async fn is_there(client: &Client, verb: &Verb, made: &Made) -> Result<bool> {
    if let Some(operation) = &made.operation {
        match operation.state() {
            OperationState::Succeeded => {}
            OperationState::Failed | OperationState::Cancelled => return Ok(false),
            _ => return Ok(true),
        }
    }
    let kind = verb.body().and_then(|body| body.kind).unwrap_or_default();
    let Some(get) = noun(kind).and_then(|noun| noun.verb("get")) else { return Ok(true) };
    let mut request = DynamicMessage::new(get.method.descriptor.input());
    request.set_field_by_name("uuid", Value::String(made.uuid.clone()));
    match client.call(get.method, &request).await {
        Ok(found) => Ok(!in_bin(&found)),
        Err(failure) if failure.exit() == Exit::NotFound => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Changes a resource, if nobody was first.
///
/// # Errors
/// What the service answers.
pub async fn update(
    client: &Client,
    verb: &Verb,
    present: &DynamicMessage,
    wanted: &DynamicMessage,
    changes: &[Change],
) -> Result<Made> {
    let mut new = wanted.clone();
    for name in ["uuid", "generation"] {
        if let Some(value) = present.get_field_by_name(name) {
            new.set_field_by_name(name, value.into_owned());
        }
    }
    let mut request = creation(verb, &new)?;
    let names: Vec<_> = changes.iter().map(|change| change.field).collect();
    request::mask(&mut request, verb, &names)?;
    if let Some(number) = verb.method.request_id {
        // The generation makes the id that of this one change.
        let content = request.encode_to_vec();
        let content: String = content.iter().map(|byte| format!("{byte:02x}")).collect();
        let id = uuid_of(&["apply", client.endpoint(), verb.method.path, &content]);
        request.set_field_by_number(number, Value::String(id));
    }
    request::check(verb, &[], &request)?;
    let made = Made::of(&client.call(verb.method, &request).await?)?;
    Ok(Made { uuid: text(present, "uuid"), ..made })
}
