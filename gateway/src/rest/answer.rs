//! From what a service answered to an HTTP response.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gyre_model::{Error, wire};
use gyre_proto::common::v1::{Operation, OperationState, WaitOperationRequest};
use gyre_proto::{Duration as ProtoDuration, Message as _};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{Response, StatusCode};

use super::events::Events;
use super::plan::Plan;
use super::{json_response, known};
use crate::body::Body;
use crate::forward::Along;
use crate::front::Front;
use crate::refusal::Refusal;
use crate::resume::{POSITION, is_list};
use crate::trace::Traced;

const WAIT: &str = "/gyre.common.v1.OperationService/WaitOperation";
const OPERATIONS: &str = "gyre.common.v1.OperationService";
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// How much longer than the wait itself the call that waits may take.
const GRACE: Duration = Duration::from_secs(5);

/// Answers a message, or the operation that the work became.
pub async fn unary(
    front: &Front,
    plan: &Plan,
    along: &Along,
    wait: Option<Duration>,
    message: &Bytes,
) -> Result<Response<Body>, Refusal> {
    let mut json = Vec::with_capacity(2 * message.len() + 64);
    if !plan.operation {
        plan.print(message, &mut json)?;
        return Ok(json_response(StatusCode::OK, json));
    }
    let read = |message: &Bytes| Operation::decode(message.clone()).map_err(Error::internal);
    let mut message = message.clone();
    let mut operation = read(&message)?;
    if operation.uuid.is_empty() {
        // a deletion that was only tried out: nothing has begun
        plan.print(&message, &mut json)?;
        return Ok(json_response(StatusCode::OK, json));
    }
    let wait = wait.filter(|_| plan.method.path != WAIT);
    if let Some(wait) = wait
        && !has_ended(&operation)
    {
        match wait_for(front, along, &operation, wait).await {
            Ok(later) => {
                operation = read(&later)?;
                message = later;
            }
            // The work goes on all the same, and where to look for it is answered.
            Err(error) => tracing::debug!(%error, operation = operation.uuid, "waiting for the operation failed"),
        }
    }
    plan.print(&message, &mut json)?;
    // Asking about an operation is answered with 200; beginning one with 202 until it has ended.
    let begins = plan.method.service != OPERATIONS;
    let status = if begins && !has_ended(&operation) { StatusCode::ACCEPTED } else { StatusCode::OK };
    let mut response = json_response(status, json);
    if begins && let Ok(location) = HeaderValue::try_from(format!("/v1/operations/{}", operation.uuid)) {
        response.headers_mut().insert(LOCATION, location);
    }
    if let Some(wait) = wait
        && let Ok(applied) = HeaderValue::try_from(format!("wait={}", wait.as_secs()))
    {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}

async fn wait_for(front: &Front, along: &Along, operation: &Operation, wait: Duration) -> Result<Bytes, Error> {
    let request = WaitOperationRequest {
        uuid: operation.uuid.clone(),
        timeout: Some(ProtoDuration { seconds: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX), nanos: 0 }),
    };
    let along = Along { timeout: Some(wait + GRACE), callback: None, ..along.clone() };
    front.forward.unary_about(operation, known(WAIT)?, &along, wire::frame(&request.encode_to_vec())).await
}

fn has_ended(operation: &Operation) -> bool {
    match operation.state() {
        OperationState::Succeeded | OperationState::Failed | OperationState::Cancelled => true,
        OperationState::Unspecified
        | OperationState::Queued
        | OperationState::Running
        | OperationState::Undoing
        | OperationState::Stuck => false,
    }
}

/// Answers a stream as events.
pub fn stream(front: &Arc<Front>, plan: &Plan, trace: Traced, body: tonic::body::Body) -> Response<Body> {
    let events = Events::new(body, plan.printer(), trace, front.stopping.clone());
    let events = if is_list(plan.method) { events.with_id(POSITION) } else { events };
    let mut response = Response::new(Body::events(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather answers before they pass them on would keep events back.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}
