//! gRPC: the bytes of messages pass through untouched. A call is looked up in the catalog, its caller found out, what only the
//! mesh may say is removed from its headers, and it goes its way.
//!
//! Calls of members and agents do not exist here: they are answered like any unknown name. The request of a call that takes one
//! message is read whole first, so that its bounds hold and the mesh can send it again; streams are measured as they pass.
//!
//! gRPC-web (browsers) is translated by `tonic-web` around the same. Reflection and health are the gateway's own and open.

mod own;
mod stream;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use gyre_mesh::channel::SERVICE;
use gyre_model::caller::HEADERS;
use gyre_model::catalog::{MethodInfo, catalog};
use gyre_model::{Error, Kind, parse_uuid, wire};
use http::header::{AUTHORIZATION, HOST, HeaderMap};
use http::{Method, Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer as _, Service};

pub use self::own::Own;
use self::stream::{Begun, Ending, Measured};
use crate::admission::{Who, merely_waits};
use crate::again::again;
use crate::audit::{Call, Source};
use crate::auth::Authenticator;
use crate::callback;
use crate::forward::{Along, GRPC_TIMEOUT, timeout_of};
use crate::front::{Front, Peer};
use crate::metrics::Refused;
use crate::policy;
use crate::refusal::Refusal;
use crate::rest::table::is_open;
use crate::resume::resumed;
use crate::sign_in;
use crate::trace::Traced;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What is said of a call that does not exist.
pub fn no_such_call(path: &str) -> Status {
    let path: String = path.chars().take(200).collect();
    let text = format!("there is no call {path}; gRPC reflection and GET /openapi.json list all calls");
    Status::from(Error::new(Kind::Unimplemented, "NO_SUCH_CALL", text))
}

/// Answers a gRPC request.
pub async fn answer(front: &Arc<Front>, peer: Peer, trace: Traced, request: Request<Incoming>) -> Response<Body> {
    if request.version() != Version::HTTP_2 || request.method() != Method::POST {
        let text = "gRPC needs HTTP/2 and POST; over HTTP/1.1 there are gRPC-web and JSON";
        return refuse(Refusal::new(Refused::BadGrpc, Kind::InvalidArgument, "NO_GRPC", text));
    }
    pass(front, peer, trace, request).await
}

/// Answers a gRPC-web request.
pub async fn answer_web(front: &Arc<Front>, peer: Peer, trace: Traced, request: Request<Incoming>) -> Response<Body> {
    let inner = Passing { front: front.clone(), peer, trace };
    let mut web = tonic_web::GrpcWebLayer::new().layer(inner);
    match web.call(request.map(Body::new)).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

/// The way inwards as a service, for `tonic-web` to stand around.
#[derive(Clone)]
struct Passing {
    front: Arc<Front>,
    peer: Peer,
    trace: Traced,
}

impl Service<Request<Body>> for Passing {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(pass(&this.front, this.peer, this.trace, request).await) })
    }
}

fn refuse(refusal: Refusal) -> Response<Body> {
    Status::from(refusal.error).into_http()
}

async fn pass<B>(front: &Arc<Front>, peer: Peer, trace: Traced, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let path = request.uri().path();
    if own::is(path) {
        return front.own.answer(request.map(Body::new)).await;
    }
    let Some(method) = catalog().method(path).filter(|method| is_open(method)) else {
        crate::metrics::metrics().refused(Refused::UnknownCall);
        return no_such_call(path).into_http();
    };
    hand_on(front, peer, trace, method, request).await.unwrap_or_else(refuse)
}

async fn hand_on<B>(
    front: &Arc<Front>,
    peer: Peer,
    trace: Traced,
    method: &'static MethodInfo,
    request: Request<B>,
) -> Result<Response<Body>, Refusal>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let (mut head, body) = request.into_parts();
    let sent = head.headers.clone();
    let told = Call { method, resource: None, dry: false, peer, headers: &sent };
    let known = front.known(told).await?;
    let caller = known.as_ref().map(|known| known.caller);
    if let Some(known) = &known
        && let Err(refusal) = Authenticator::permit(method, known)
    {
        // what it was about stands in its message only
        let frame = if method.client_streaming { Bytes::new() } else { whole(front, body).await.unwrap_or_default() };
        front.refusals.note(about(told, &frame), &known.caller, &refusal.error);
        return Err(refusal);
    }
    let who = Who::of(caller.as_ref(), peer);
    front.admission.glance(method, who)?;
    let from = Source::of(method, peer, &head.headers);
    let callback = callback::asked(front.forward.mesh(), method, &head.headers)?;
    // who calls a stream is looked at again while it lasts
    let shown = if method.server_streaming { sent.clone() } else { HeaderMap::new() };
    clean(&mut head.headers);
    let along = Along { caller, from, trace, timeout: timeout(front, method, &head.headers)?, callback };
    along.write(&mut head.headers);
    if method.client_streaming {
        let (mut body, mut first) = (body, Bytes::new());
        if let Some(known) = known.as_ref().filter(|known| policy::asks(method, known)) {
            // what it is about stands in the first message
            first = stream::first(&mut body, front.limits.message_bytes, front.limits.body_time).await?;
            let message = first.slice(wire::FRAME_HEAD.min(first.len())..);
            let settled = policy::settle(&front.forward, method, known, &along, &message).await;
            settled.inspect_err(|refusal| front.refusals.note(about(told, &first), &known.caller, &refusal.error))?;
        }
        front.admission.pass(method, who).await?;
        let body = Body::new(Measured::new(Begun::new(first, body), front.limits.message_bytes));
        let response = front.forward.send(method, Request::from_parts(head, body)).await;
        return Ok(ending(front, method, response));
    }
    let frame = whole(front, body).await?;
    let place = front.admission.enter(method, who).await?;
    let message = frame.slice(wire::FRAME_HEAD.min(frame.len())..);
    if !sign_in::is(method) {
        let call = async {
            if let Some(known) = &known {
                let settled = policy::settle(&front.forward, method, known, &along, &message).await;
                settled
                    .inspect_err(|refusal| front.refusals.note(about(told, &frame), &known.caller, &refusal.error))?;
            }
            let request = Request::from_parts(head, Body::new(Full::new(frame.clone())));
            Ok::<_, Refusal>(front.forward.send(method, request).await)
        };
        let response = if merely_waits(method) {
            drop(place);
            call.await?
        } else {
            place.hold(call).await?
        };
        let refused = Status::from_header_map(response.headers()).is_some_and(|status| status.code() != Code::Ok);
        if refused {
            return Ok(response);
        }
        let response = response.map(|body| {
            let body = resumed(front, method, &along, &frame, body);
            again(front, method, &along, &message, &shown, body)
        });
        return Ok(ending(front, method, response));
    }
    let attempt = sign_in::begin(front, told, &message)?;
    let response = front.forward.send(method, Request::from_parts(head, Body::new(Full::new(frame)))).await;
    let failure = Status::from_header_map(response.headers()).filter(|status| status.code() != Code::Ok);
    sign_in::end(front, told, &message, attempt, failure.map(Error::from).as_ref());
    Ok(response)
}

/// A call with what its framed message says that it is about.
fn about<'a>(call: Call<'a>, frame: &[u8]) -> Call<'a> {
    let message = frame.get(wire::FRAME_HEAD..).unwrap_or_default();
    let resource = call.method.route.and_then(|path| wire::string_at(message, path)).and_then(parse_uuid);
    let says = |number: u32| {
        wire::fields(message).any(|field| matches!(field, (found, wire::Value::Varint(1..)) if found == number))
    };
    Call { resource, dry: call.method.validate_only.is_some_and(says), ..call }
}

/// Removes what only the mesh may say, and what is between the caller and this gateway.
fn clean(headers: &mut HeaderMap) {
    for name in &HEADERS {
        headers.remove(name);
    }
    headers.remove(SERVICE);
    headers.remove(gyre_mesh::egress::CALLBACK);
    headers.remove(AUTHORIZATION);
    headers.remove(HOST);
}

/// The time that the caller gives, within bounds.
fn timeout(front: &Front, method: &MethodInfo, headers: &HeaderMap) -> Result<Option<std::time::Duration>, Refusal> {
    let Some(header) = headers.get(GRPC_TIMEOUT) else { return Ok(None) };
    let timeout = timeout_of(header).ok_or_else(|| {
        Refusal::new(
            Refused::BadGrpc,
            Kind::InvalidArgument,
            "INVALID_HEADER",
            "grpc-timeout must be digits and a unit",
        )
    })?;
    let stream = method.client_streaming || method.server_streaming;
    Ok(Some(if stream { timeout } else { timeout.min(front.limits.call_time) }))
}

/// Ends the streams of this gateway when it stops.
fn ending(front: &Front, method: &MethodInfo, response: Response<Body>) -> Response<Body> {
    if !method.server_streaming {
        return response;
    }
    response.map(|body| Body::new(Ending::new(body, front.stopping.clone())))
}

/// Reads a request of one message, framed.
async fn whole<B>(front: &Front, mut body: B) -> Result<Bytes, Refusal>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let most = front.limits.message_bytes;
    let mut whole = Bytes::new();
    let mut parts: Option<BytesMut> = None;
    loop {
        let frame = match tokio::time::timeout(front.limits.body_time, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => break,
            Ok(Some(Err(_))) => {
                return Err(Error::new(Kind::Cancelled, "BODY_BROKEN_OFF", "the request broke off").into());
            }
            Err(_) => {
                let text = "the rest of the request did not come in time";
                return Err(Refusal::new(Refused::Slow, Kind::DeadlineExceeded, "BODY_TOO_SLOW", text));
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        let before = parts.as_ref().map_or(whole.len(), BytesMut::len);
        if before + data.len() > most + wire::FRAME_HEAD {
            return Err(Refusal::counted(Refused::TooLarge, too_large(most)));
        }
        if before == 0 {
            whole = data;
        } else {
            parts.get_or_insert_with(|| BytesMut::from(whole.as_ref())).extend_from_slice(&data);
        }
    }
    let whole = parts.map_or(whole, BytesMut::freeze);
    match wire::unframe(&whole) {
        Some((false, _, length)) if length == whole.len() => Ok(whole),
        Some((true, ..)) => Err(Refusal::new(
            Refused::BadGrpc,
            Kind::Unimplemented,
            "COMPRESSED",
            "compressed messages are not read; send them plain",
        )),
        _ => Err(Refusal::new(
            Refused::BadGrpc,
            Kind::InvalidArgument,
            "BROKEN_MESSAGE",
            "the request must be one whole gRPC message",
        )),
    }
}

/// Says that a message is too large.
fn too_large(most: usize) -> Error {
    Error::new(Kind::ResourceExhausted, "MESSAGE_TOO_LARGE", format!("the message is larger than {most} bytes"))
}
