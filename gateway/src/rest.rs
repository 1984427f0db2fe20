//! HTTP/JSON, from `google.api.http` in the descriptors.
//!
//! The way of a call: [`routes`] finds its [`plan`], the caller is found out, the body is read within its bounds and put together
//! with path and query into the request's wire bytes, [`crate::forward`] carries it, and what comes back is printed as JSON, sent
//! as events ([`events`]), or, for long work, answered as an operation ([`answer`]). No message is ever built by its
//! descriptor; bodies go through generated codecs.

mod answer;
pub mod events;
mod head;
mod json;
pub mod plan;
mod query;
mod request;
mod routes;
pub mod table;
mod template;
mod upload;
mod value;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gyre_model::catalog::MethodInfo;
use gyre_model::near::nearest;
use gyre_model::{Error, Kind, wire};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use self::plan::{BodyPlan, Plan};
use self::routes::{Found, Segments};
use crate::admission::{Who, merely_waits};
use crate::again::again;
use crate::audit::{self, Source};
use crate::body::Body;
use crate::callback;
use crate::forward::Along;
use crate::front::{Front, Peer};
use crate::metrics::Refused;
use crate::policy;
use crate::refusal::Refusal;
use crate::resume::{from_position, is_list, resumed};
use crate::sign_in;
use crate::trace::Traced;

/// The last event that a browser took of a stream that broke.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How many times the most bytes of a body are read of one that is refused.
const DISCARDED: usize = 4;
/// How long a body that is refused is read on.
const DISCARD_TIME: Duration = Duration::from_secs(2);
/// The media type of answers.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers an HTTP request.
pub async fn answer(front: &Arc<Front>, peer: Peer, trace: Traced, request: Request<Incoming>) -> Response<Body> {
    let head = request.method() == Method::HEAD;
    let id = trace.clone();
    let answered = match front.pages.find(request.method(), request.uri().path()) {
        Some(response) => Ok(response),
        None => call(front, peer, trace, request).await,
    };
    let response = answered.unwrap_or_else(|refusal| refusal.into_response(id.id()));
    if head { without_body(response) } else { response }
}

/// The answer to HEAD: all headers of the answer to GET.
fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, Body::full(Bytes::new()))
}

async fn call(
    front: &Arc<Front>,
    peer: Peer,
    trace: Traced,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let (plan, segments) = match front.table.routes.find(&head.method, path) {
        Found::Call(call, segments) => (&front.table.plans[call], segments),
        Found::WrongMethod(allowed) if head.method == Method::OPTIONS => return Ok(options(&allowed)),
        Found::WrongMethod(allowed) => return Err(wrong_method(&head.method, path, &allowed)),
        Found::WrongVerb(verb, known) => return Err(wrong_verb(verb, &known)),
        Found::Nothing => return Err(nothing(front, path)),
    };
    let asked = head::Asked::read(&head.headers, &front.limits)?;
    let (resource, dry) = (plan.resource(&segments), audit::is_dry(head.uri.query()));
    let told = audit::Call { method: plan.method, resource, dry, peer, headers: &head.headers };
    let known = front.caller(told).await?;
    let caller = known.as_ref().map(|known| known.caller);
    let note = |refusal: &Refusal| {
        if let Some(caller) = &caller {
            front.refusals.note(told, caller, &refusal.error);
        }
    };
    let who = Who::of(caller.as_ref(), peer);
    if let Err(refusal) = front.admission.glance(plan.method, who) {
        if !matches!(plan.body, BodyPlan::Raw(_)) {
            discard(body, front.limits.body_bytes).await;
        }
        return Err(refusal);
    }
    let callback = callback::asked(front.forward.mesh(), plan.method, &head.headers).inspect_err(note)?;
    let from = Source::of(plan.method, peer, &head.headers);
    let along = Along { caller, from, trace, timeout: asked.timeout, callback };
    let settle = async |message: &[u8]| match &known {
        Some(known) => policy::settle(&front.forward, plan.method, known, &along, message).await.inspect_err(note),
        None => Ok(()),
    };
    let query = head.uri.query();
    if let BodyPlan::Raw(field) = plan.body {
        let first = plan.head(&segments, query, asked.request_id).inspect_err(note)?;
        if let Err(refusal) = settle(&first).await {
            discard(body, front.limits.body_bytes).await;
            return Err(refusal);
        }
        front.admission.pass(plan.method, who).await?;
        let upload = upload::Upload::new(body, field, first, &front.limits)?;
        let response = front.forward.open(plan.method, &along, tonic::body::Body::new(upload)).await?;
        let message = crate::forward::message(response).await?;
        return answer::unary(front, plan, &along, asked.wait, &message).await;
    }
    let read = read_request(front, plan, &segments, query, &head.headers, asked.request_id, body).await;
    let frame = read.inspect_err(note)?;
    let place = front.admission.enter(plan.method, who).await?;
    let message = frame.slice(wire::FRAME_HEAD.min(frame.len())..);
    if plan.method.server_streaming {
        // a browser that opens a stream again says where it was
        let last = head.headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
        let frame = match last {
            Some(last) if is_list(plan.method) => from_position(&frame, last),
            _ => frame,
        };
        let open = async {
            settle(&message).await?;
            let request = tonic::body::Body::new(Full::new(frame.clone()));
            front.forward.open(plan.method, &along, request).await.map_err(Refusal::from)
        };
        let response = place.hold(open).await?;
        let response = resumed(front, plan.method, &along, &frame, response);
        let response = again(front, plan.method, &along, &message, &head.headers, response);
        return Ok(answer::stream(front, plan, along.trace, response));
    }
    let message = if sign_in::is(plan.method) {
        sign_in::guarded(
            front,
            told,
            &frame[wire::FRAME_HEAD..],
            front.forward.unary(plan.method, &along, frame.clone()),
        )
        .await?
    } else {
        let call = async {
            settle(&message).await?;
            front.forward.unary(plan.method, &along, frame.clone()).await.map_err(Refusal::from)
        };
        if merely_waits(plan.method) {
            drop(place);
            call.await?
        } else {
            place.hold(call).await?
        }
    };
    answer::unary(front, plan, &along, asked.wait, &message).await
}

/// Reads the body and puts the request together.
async fn read_request(
    front: &Front,
    plan: &Plan,
    segments: &Segments<'_>,
    query: Option<&str>,
    headers: &HeaderMap,
    request_id: Option<&str>,
    body: Incoming,
) -> Result<Bytes, Refusal> {
    if body.is_end_stream() {
        return plan.request(segments, query, request_id, &[]);
    }
    let body = read(body, headers, front).await?;
    if body.is_empty() {
        return plan.request(segments, query, request_id, &[]);
    }
    if matches!(plan.body, BodyPlan::None) {
        return Err(Refusal::new(
            Refused::BadParameter,
            Kind::InvalidArgument,
            "UNEXPECTED_BODY",
            format!("{} {} takes no body", plan.http, plan.template),
        ));
    }
    is_json(headers)?;
    plan.request(segments, query, request_id, &body)
}

/// Reads a whole body within its bounds.
async fn read(mut body: Incoming, headers: &HeaderMap, front: &Front) -> Result<Bytes, Refusal> {
    let most = front.limits.body_bytes;
    let too_large = || {
        Refusal::new(
            Refused::TooLarge,
            Kind::InvalidArgument,
            "BODY_TOO_LARGE",
            format!("the body is larger than {most} bytes"),
        )
        .status(StatusCode::PAYLOAD_TOO_LARGE)
    };
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(Refusal::new(
            Refused::MediaType,
            Kind::InvalidArgument,
            "UNSUPPORTED_MEDIA_TYPE",
            "compressed bodies are not read; send it plain",
        )
        .status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    if body.size_hint().lower() > most as u64 {
        discard(body, most).await;
        return Err(too_large());
    }
    let mut whole = Bytes::new();
    let mut parts: Option<BytesMut> = None;
    loop {
        let frame = match tokio::time::timeout(front.limits.body_time, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => return Ok(parts.map_or(whole, BytesMut::freeze)),
            Ok(Some(Err(_))) => {
                return Err(Error::new(Kind::Cancelled, "BODY_BROKEN_OFF", "the body broke off").into());
            }
            Err(_) => {
                return Err(Refusal::new(
                    Refused::Slow,
                    Kind::DeadlineExceeded,
                    "BODY_TOO_SLOW",
                    "the rest of the body did not come in time",
                )
                .status(StatusCode::REQUEST_TIMEOUT));
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        let before = parts.as_ref().map_or(whole.len(), BytesMut::len);
        if before + data.len() > most {
            discard(body, most).await;
            return Err(too_large());
        }
        if before == 0 {
            whole = data;
        } else {
            parts.get_or_insert_with(|| BytesMut::from(whole.as_ref())).extend_from_slice(&data);
        }
    }
}

/// Reads on in a body that is refused, within bounds: a client that is cut off while it still sends does not see why.
async fn discard(mut body: Incoming, most: usize) {
    let all = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await
            && seen <= DISCARDED * most
        {
            seen += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    let _ = tokio::time::timeout(DISCARD_TIME, all).await;
}

/// Whether the body is said to be JSON: "application/json", "application/merge-patch+json", in UTF-8.
fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (media, parameters) = media.split_once(';').unwrap_or((media, ""));
    let media = media.trim().to_ascii_lowercase();
    let json = media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"));
    let charset = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("charset="));
    if json && charset.is_none_or(|charset| charset.trim_matches('"').eq_ignore_ascii_case("utf-8")) {
        return Ok(());
    }
    Err(Refusal::new(
        Refused::MediaType,
        Kind::InvalidArgument,
        "UNSUPPORTED_MEDIA_TYPE",
        "the body must be JSON, sent with Content-Type: application/json",
    )
    .status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
    .header(http::header::ACCEPT, JSON))
}

fn allow(allowed: &[Method]) -> HeaderValue {
    let mut names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    if allowed.contains(&Method::GET) {
        names.push("HEAD");
    }
    names.push("OPTIONS");
    HeaderValue::try_from(names.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"))
}

fn options(allowed: &[Method]) -> Response<Body> {
    let mut response = Response::new(Body::full(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, allow(allowed));
    response
}

fn wrong_method(method: &Method, path: &str, allowed: &[Method]) -> Refusal {
    let value = allow(allowed);
    let known = value.to_str().unwrap_or_default();
    let text = format!("{} takes {known}, not {method}", shown(path));
    Refusal::new(Refused::WrongMethod, Kind::Unimplemented, "METHOD_NOT_ALLOWED", text)
        .status(StatusCode::METHOD_NOT_ALLOWED)
        .header(ALLOW, value)
}

fn wrong_verb(verb: &str, known: &[String]) -> Refusal {
    let near = nearest(verb, known.iter().map(String::as_str));
    let near = if near.is_empty() { known.iter().map(String::as_str).collect() } else { near };
    let text = format!("there is no action {:?}; perhaps {}", shown(verb), near.join(" or "));
    Refusal::new(Refused::UnknownPath, Kind::NotFound, "UNKNOWN_ACTION", text)
}

fn nothing(front: &Front, path: &str) -> Refusal {
    let mut plurals: Vec<&str> = front.table.plans.iter().filter_map(|plan| plural(&plan.template)).collect();
    plurals.sort_unstable();
    plurals.dedup();
    let near = plural(path).map(|name| nearest(name, plurals.iter().copied())).unwrap_or_default();
    let hint = match near.first() {
        Some(name) if Some(*name) != plural(path) => format!("perhaps /v1/{name}"),
        _ => "GET /openapi.json lists all paths".to_owned(),
    };
    let text = format!("there is nothing at {}; {hint}", shown(path));
    Refusal::new(Refused::UnknownPath, Kind::NotFound, "UNKNOWN_PATH", text)
}

/// "vms" of "/v1/vms/…".
fn plural(path: &str) -> Option<&str> {
    path.split('/').nth(2).map(|name| name.split(':').next().unwrap_or(name)).filter(|name| !name.is_empty())
}

/// What came from outside, cut to a length that one may repeat.
fn shown(text: &str) -> &str {
    text.char_indices().nth(100).map_or(text, |(end, _)| &text[..end])
}

/// An answer with JSON.
fn json_response(status: StatusCode, json: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::full(json));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The call of this path in the catalog, which every build has.
fn known(path: &'static str) -> Result<&'static MethodInfo, Error> {
    gyre_model::catalog().method(path).ok_or_else(|| Error::internal(format_args!("the descriptors have no {path}")))
}
