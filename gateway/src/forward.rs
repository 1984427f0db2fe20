//! The way inwards: a call with its caller in headers is handed to the mesh, which finds the owner, tries again and keeps the
//! deadline; or to the gateway's own services. For HTTP, whole answers are taken apart here.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use gyre_mesh::telemetry::propagate::TRACEPARENT;
use gyre_mesh::{Mesh, MeshChannel};
use gyre_model::caller::CALLBACK;
use gyre_model::catalog::{HostedBy, MethodInfo, catalog};
use gyre_model::{Caller, Error, Kind, parse_uuid, wire};
use gyre_proto::common::v1::Operation;
use gyre_proto::common::v1::member_service_server::MemberServiceServer;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE};
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::{BodyExt as _, Full};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service as _;

use crate::audit::Source;
use crate::members::Members;
use crate::trace::Traced;

/// The deadline of a call, as gRPC writes it.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Most bytes of an answer that is turned into JSON.
const LARGEST_ANSWER: usize = 64 << 20;

/// The ways to all services.
#[derive(Debug)]
pub struct Forward {
    mesh: Mesh,
    services: BTreeMap<&'static str, MeshChannel>,
    /// Whose turn it is to answer what every service answers alike.
    turn: AtomicUsize,
    members: MemberServiceServer<Members>,
}

/// What travels with a call.
#[derive(Debug, Clone)]
pub struct Along {
    /// Who calls; nobody in an open call.
    pub caller: Option<Caller>,
    /// Where a call that changes something came from.
    pub from: Option<Source>,
    /// The trace.
    pub trace: Traced,
    /// How long it may take; nothing leaves it to the mesh.
    pub timeout: Option<Duration>,
    /// Where the finished operation is posted.
    pub callback: Option<HeaderValue>,
}

impl Forward {
    /// Ways through this mesh.
    pub fn new(mesh: &Mesh) -> Self {
        let services = catalog()
            .methods()
            .filter_map(|method| match method.host {
                HostedBy::Service(service) => Some((service, mesh.channel(service))),
                HostedBy::Every | HostedBy::Gateway | HostedBy::Agent | HostedBy::Plugin => None,
            })
            .collect();
        let members = MemberServiceServer::new(Members::new(mesh.clone()));
        Self { mesh: mesh.clone(), services, turn: AtomicUsize::new(0), members }
    }

    /// A service to ask what every service answers alike: one in this process, or else one that has members, in turns.
    fn any(&self) -> Option<&MeshChannel> {
        let here = self.services.iter().find(|(service, _)| self.mesh.local_service(service).is_some());
        if let Some((_, channel)) = here {
            return Some(channel);
        }
        let view = self.mesh.current().peek();
        let there = self.services.iter().filter(|(service, _)| !view.members(service).is_empty());
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % there.clone().count().max(1);
        there.map(|(_, channel)| channel).nth(turn).or_else(|| self.services.values().next())
    }

    /// The mesh.
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// Hands on a request whose headers are those of the mesh.
    pub async fn send(&self, method: &'static MethodInfo, request: Request<Body>) -> Response<Body> {
        let sent: Result<_, Infallible> = match method.host {
            HostedBy::Service(service) => match self.services.get(service) {
                Some(channel) => channel.clone().call(request).await,
                None => Ok(crate::grpc::no_such_call(method.path).into_http()),
            },
            HostedBy::Every => match self.any() {
                Some(channel) => channel.clone().call(request).await,
                None => Ok(crate::grpc::no_such_call(method.path).into_http()),
            },
            HostedBy::Gateway => self.members.clone().call(request).await,
            HostedBy::Agent | HostedBy::Plugin => Ok(crate::grpc::no_such_call(method.path).into_http()),
        };
        match sent {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// A service to ask about an operation, which any would answer: the one that works on it, at the owner of its resource, so that nobody
    /// has to look for it. Nothing where that is not known.
    fn at_work(&self, operation: &Operation) -> Option<MeshChannel> {
        let resource = parse_uuid(&operation.resource_uuid)?;
        Some(self.services.get(operation.service.as_str())?.clone().to_owner_of(resource))
    }

    /// Makes a call about an operation with one framed message, where the operation is worked on.
    ///
    /// # Errors
    /// What the service answers in place of a response.
    pub async fn unary_about(
        &self,
        operation: &Operation,
        method: &'static MethodInfo,
        along: &Along,
        frame: Bytes,
    ) -> Result<Bytes, Error> {
        let Some(mut channel) = self.at_work(operation) else { return self.unary(method, along, frame).await };
        let sent: Result<_, Infallible> = channel.call(request(method, along, Body::new(Full::new(frame)))).await;
        match sent {
            Ok(response) => message(good(method, response)?).await,
            Err(never) => match never {},
        }
    }

    /// Makes a call with a request of the gateway's own making, and answers the response as it comes.
    ///
    /// # Errors
    /// What the service answers in place of a response.
    pub async fn open(&self, method: &'static MethodInfo, along: &Along, body: Body) -> Result<Body, Error> {
        good(method, self.send(method, request(method, along, body)).await)
    }

    /// Makes a call with one framed message and answers the one message that comes back.
    ///
    /// # Errors
    /// What the service answers in place of a response.
    pub async fn unary(&self, method: &'static MethodInfo, along: &Along, frame: Bytes) -> Result<Bytes, Error> {
        message(self.open(method, along, Body::new(Full::new(frame))).await?).await
    }
}

/// A request of the gateway's own making.
fn request(method: &'static MethodInfo, along: &Along, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(method.path);
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    headers.reserve(12);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    along.write(headers);
    request
}

/// The body of an answer that is none that refuses.
fn good(method: &'static MethodInfo, response: Response<Body>) -> Result<Body, Error> {
    let (head, body) = response.into_parts();
    match Status::from_header_map(&head.headers) {
        Some(status) if status.code() != Code::Ok => Err(Error::from(status)),
        _ if head.status.is_success() => Ok(body),
        _ => Err(Error::internal(format_args!("{} answered HTTP status {}", method.path, head.status))),
    }
}

impl Along {
    /// Writes what travels in headers.
    pub fn write(&self, headers: &mut HeaderMap) {
        if let Some(caller) = self.caller {
            caller.write(headers);
        }
        if let Some(from) = &self.from {
            from.write(headers);
        }
        headers.insert(TRACEPARENT, self.trace.header());
        if let Some(timeout) = self.timeout {
            headers.insert(GRPC_TIMEOUT, timeout_header(timeout));
        }
        if let Some(callback) = &self.callback {
            headers.insert(CALLBACK, callback.clone());
        }
    }
}

/// Reads the one message of an answer.
pub async fn message(mut body: Body) -> Result<Bytes, Error> {
    let mut whole = Bytes::new();
    let mut parts: Option<BytesMut> = None;
    let mut status = None;
    while let Some(frame) = body.frame().await {
        match frame.map_err(Error::from)?.into_data() {
            Ok(data) if whole.is_empty() && parts.is_none() => whole = data,
            Ok(data) => {
                let parts = parts.get_or_insert_with(|| BytesMut::from(whole.as_ref()));
                parts.extend_from_slice(&data);
                if parts.len() > LARGEST_ANSWER {
                    return Err(Error::new(
                        Kind::ResourceExhausted,
                        "ANSWER_TOO_LARGE",
                        "the answer is too large; ask for a smaller page",
                    ));
                }
            }
            Err(frame) => status = frame.into_trailers().ok().and_then(|trailers| Status::from_header_map(&trailers)),
        }
    }
    if let Some(status) = status
        && status.code() != Code::Ok
    {
        return Err(Error::from(status));
    }
    let mut whole = parts.map_or(whole, BytesMut::freeze);
    match wire::unframe(&whole) {
        Some((false, message, length)) if length == whole.len() => {
            let length = message.len();
            whole.advance(wire::FRAME_HEAD);
            whole.truncate(length);
            Ok(whole)
        }
        _ => Err(Error::internal("an answer that is not one plain message")),
    }
}

/// A time as `grpc-timeout` has it: at most eight digits and a unit.
pub fn timeout_header(time: Duration) -> HeaderValue {
    let text = match time.as_millis() {
        0..=99_999_999 => format!("{}m", time.as_millis()),
        _ => format!("{}S", time.as_secs().min(99_999_999)),
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("99999999S"))
}

/// Reads a `grpc-timeout`.
pub fn timeout_of(header: &HeaderValue) -> Option<Duration> {
    let text = header.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_written_and_read() {
        for time in [Duration::from_millis(1), Duration::from_secs(30), Duration::from_secs(500_000)] {
            assert_eq!(timeout_of(&timeout_header(time)), Some(time));
        }
        for wrong in ["", "S", "10", "-1S", "123456789S", "1h", "1é"] {
            assert_eq!(HeaderValue::from_bytes(wrong.as_bytes()).ok().as_ref().and_then(timeout_of), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn one_message_is_taken_from_an_answer() {
        let framed = wire::frame(b"abc");
        assert_eq!(message(Body::new(Full::new(framed.clone()))).await.unwrap(), "abc".as_bytes());
        let parts: Vec<Result<_, Status>> =
            framed.chunks(3).map(|part| Ok(http_body::Frame::data(Bytes::copy_from_slice(part)))).collect();
        let parts = http_body_util::StreamBody::new(tokio_stream::iter(parts));
        assert_eq!(message(Body::new(parts)).await.unwrap(), "abc".as_bytes());
        for broken in [&b""[..], &framed[..6], b"\x01\0\0\0\0"] {
            assert!(message(Body::new(Full::new(Bytes::copy_from_slice(broken)))).await.is_err());
        }
    }
}
