//! The channel that generated clients stand on: the one place that routes.
//!
//! 1. The call's rules come from the catalog, by its path. A mutating call without a request id gets one; a create without a
//!    UUID gets one that follows from account, call and request id, so that the same wish always lands at the same owner
//!    (`prepare`).
//! 2. A call with a UUID goes to its owner by the ring; one without to this process, if it serves, or else to the peer with the
//!    fewest calls under way.
//! 3. `NOT_OWNER`, a refusal to take the call, and a connection that fails or breaks before the answer are tried again until the
//!    deadline: calls with a UUID when a newer view came or a short wait is over, calls without one at another member at once.
//!    This is safe for calls that change something, because they carry a request id. An error that a handler answered is final.
//! 4. Unary calls have a deadline of 30 s where nobody set one; streams have none. Inside a handler the handler's own deadline
//!    bounds all calls it makes.
//! 5. Whatever goes wrong is answered as a gRPC status with details, never as a transport error.
//!
//! A stream from the caller is routed by its first message; once more of it was sent, it is not tried again.

mod body;
pub mod patience;
pub(crate) mod peers;
mod prepare;
mod retry;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::BoxFuture;
use gyre_model::catalog::MethodInfo;
use gyre_model::{Caller, Error, Kind, Result, caller};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use tonic::body::Body;
use tower_service::Service;
use uuid::Uuid;

use crate::mesh::{LocalService, Mesh};
use crate::reason;
use crate::serve::deadline::{self, Deadline};
use crate::serve::{self, Peer};
use crate::telemetry::{metrics, propagate};
pub(crate) use body::trailers;

use body::Payload;
use peers::PeerConnection;
use retry::Retries;

/// The mesh service that a call is for: several may answer at one address.
pub const SERVICE: HeaderName = HeaderName::from_static("gyre-service");

/// A channel to a service.
#[derive(Debug, Clone)]
pub struct MeshChannel {
    mesh: Mesh,
    service: &'static str,
    caller: Option<Caller>,
    route: Option<Uuid>,
    address: Option<Arc<str>>,
}

/// Where a try goes.
enum Target {
    Here(LocalService),
    Peer(Arc<PeerConnection>),
}

impl MeshChannel {
    pub(crate) fn new(mesh: Mesh, service: &'static str) -> Self {
        Self { mesh, service, caller: None, route: None, address: None }
    }

    /// Makes its calls on somebody's behalf, unless a call names its caller itself.
    #[must_use]
    pub fn on_behalf_of(mut self, caller: Caller) -> Self {
        self.caller = Some(caller);
        self
    }

    /// Sends its calls to the owner of this UUID, whatever their messages say.
    #[must_use]
    pub fn to_owner_of(mut self, key: Uuid) -> Self {
        self.route = Some(key);
        self
    }

    /// Sends its calls to one address, in this process if it is served here ([`Mesh::serve_address`]). Such calls are not tried
    /// again: the caller knows better what to do when that one peer is away.
    #[must_use]
    pub fn at(mut self, address: impl Into<Arc<str>>) -> Self {
        self.address = Some(address.into());
        self
    }

    async fn send(self, request: Request<Body>) -> Result<Response<Body>> {
        let (mut head, body) = request.into_parts();
        let Some(known) = metrics::method(head.uri.path()) else {
            return Err(serve::no_such_call(head.uri.path()));
        };
        let info = known.info;
        let deadline = Deadline::of_client(info, &head.headers);
        let caller = self.write_headers(&mut head);
        let account = caller.map(|caller| caller.account_uuid).unwrap_or_default();
        let (mut payload, route) = deadline.within(prepare::read(info, body, account)).await?;
        let route = self.route.or_else(|| route_of(&head)).or(route);
        if let Some(route) = route {
            let mut buffer = Uuid::encode_buffer();
            if let Ok(value) = HeaderValue::from_str(route.hyphenated().encode_lower(&mut buffer)) {
                head.headers.insert(caller::ROUTE, value);
            }
        }
        self.deliver(info, &head, deadline, route, &mut payload).await
    }

    /// Writes what travels in headers, and answers the caller.
    fn write_headers(&self, head: &mut Parts) -> Option<Caller> {
        head.headers.insert(SERVICE, HeaderValue::from_static(self.service));
        propagate::inject(&mut head.headers);
        let named = Caller::read(&head.headers);
        if named.is_some() {
            return named;
        }
        let caller = head.extensions.get::<Caller>().copied().or(self.caller);
        if let Some(caller) = caller {
            caller.write(&mut head.headers);
        }
        caller
    }

    async fn deliver(
        &self,
        info: &'static MethodInfo,
        head: &Parts,
        deadline: Deadline,
        route: Option<Uuid>,
        payload: &mut Payload,
    ) -> Result<Response<Body>> {
        let mut retries = Retries::new(self, deadline, route);
        loop {
            let (target, epoch) = match retries.target() {
                Ok(found) => found,
                Err(none) => {
                    retries.wait_for_member(none).await?;
                    continue;
                }
            };
            let Some(body) = payload.take() else { return Err(retries.give_up()) };
            let request = assemble(head, body, epoch, deadline);
            let failure = match deadline.within(attempt(info, target, request)).await {
                Ok(response) => match retry::refusal(&response) {
                    None => return Ok(response),
                    Some(refused) => refused,
                },
                // tonic's own timer may be the first to notice that time is up.
                Err(_) if deadline.passed() => return Err(retries.with_last(deadline.exceeded())),
                Err(failure) if failure.reason() == reason::PEER_UNREACHABLE => failure,
                Err(other) => return Err(retries.with_last(other)),
            };
            retries.failed(failure).await?;
        }
    }
}

/// The UUID that the caller wants the call routed by.
fn route_of(head: &Parts) -> Option<Uuid> {
    gyre_model::parse_uuid(head.headers.get(caller::ROUTE)?.to_str().ok()?)
}

fn assemble(head: &Parts, body: Body, epoch: i64, deadline: Deadline) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = head.uri.clone();
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = head.headers.clone();
    *request.extensions_mut() = head.extensions.clone();
    let headers = request.headers_mut();
    headers.insert(caller::EPOCH, HeaderValue::from(epoch));
    match deadline.at() {
        Some(at) => {
            headers.insert(deadline::GRPC_TIMEOUT, deadline::to_header(at.saturating_duration_since(Instant::now())))
        }
        None => headers.remove(deadline::GRPC_TIMEOUT),
    };
    request
}

async fn attempt(info: &'static MethodInfo, target: Target, mut request: Request<Body>) -> Result<Response<Body>> {
    match target {
        Target::Here(mut service) => {
            request.extensions_mut().insert(Peer::InProcess);
            match service.call(request).await {
                Ok(response) => Ok(response),
                Err(never) => match never {},
            }
        }
        Target::Peer(peer) => {
            let response = peer.send(request).await?;
            if info.server_streaming {
                Ok(response.map(|body| Body::new(body::Streamed::new(body, peer))))
            } else {
                body::whole(response).await.map_err(|error| peer.lost(&error))
            }
        }
    }
}

impl Service<Request<Body>> for MeshChannel {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let channel = self.clone();
        Box::pin(async move { Ok(channel.send(request).await.unwrap_or_else(serve::refuse)) })
    }
}

/// A body of one part.
fn full(bytes: bytes::Bytes) -> Body {
    Body::new(Full::new(bytes))
}

/// A broken or oversized message.
fn broken(reason: &'static str, text: impl Into<String>) -> Error {
    let kind = if reason == reason::MESSAGE_TOO_LARGE { Kind::ResourceExhausted } else { Kind::InvalidArgument };
    Error::new(kind, reason, text)
}
