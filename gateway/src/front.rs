//! What stands behind the port: every request is bounded, told apart by its content type, and answered by the part that knows
//! its kind.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use gyre_mesh::context::Trace;
use gyre_mesh::telemetry::{self, propagate};
use gyre_model::Kind;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::admission::Admission;
use crate::audit::{Call, Refusals};
use crate::auth::throttle::Throttle;
use crate::auth::{Authenticator, Known};
use crate::body::Body;
use crate::config::Limits;
use crate::forward::Forward;
use crate::grpc::Own;
use crate::metrics::{Refused, Transport, metrics};
use crate::page::Pages;
use crate::refusal::Refusal;
use crate::rest::table::Table;
use crate::trace::{TRACERESPONSE, Traced};
use crate::{grpc, rest};

/// Most headers of a request.
const MOST_HEADERS: usize = 100;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
}

/// Everything that answering needs.
#[derive(Debug)]
pub struct Front {
    /// The bounds.
    pub limits: Limits,
    /// Finds out who calls.
    pub authenticator: Authenticator,
    /// Slows down guessing.
    pub throttle: Throttle,
    /// Who may work now.
    pub admission: Admission,
    /// The ways to the services.
    pub forward: Forward,
    /// Refused calls, for the log of changes.
    pub refusals: Refusals,
    /// The calls over HTTP.
    pub table: Table,
    /// Documents and the page.
    pub pages: Pages,
    /// What the gateway answers itself over gRPC.
    pub own: Own,
    /// Cancelled when the gateway stops; streams end then.
    pub stopping: CancellationToken,
}

impl Front {
    /// Answers a request.
    pub async fn answer(self: Arc<Self>, peer: Peer, request: Request<Incoming>) -> Response<Body> {
        let began = Instant::now();
        let transport = match request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes) {
            Some(media) if media.starts_with(b"application/grpc-web") => Transport::GrpcWeb,
            Some(media) if media.starts_with(b"application/grpc") => Transport::Grpc,
            _ => Transport::Http,
        };
        let said = Traced::said(request.headers());
        let response = if telemetry::exporting() {
            let span = tracing::info_span!(
                "gateway",
                otel.name = %format_args!("{} {}", request.method(), shortened(request.uri().path())),
                otel.kind = "server",
                trace_id = tracing::field::Empty,
            );
            let trace = propagate::adopt(&span, said.map(|(trace, _)| trace));
            self.sort(peer, transport, Traced::at(trace), request).instrument(span).await
        } else {
            let trace = said.map_or_else(|| Traced::at(Trace::random()), |(_, said)| said);
            self.sort(peer, transport, trace, request).await
        };
        metrics().call(transport, began.elapsed());
        response
    }

    async fn sort(
        self: &Arc<Self>,
        peer: Peer,
        transport: Transport,
        trace: Traced,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let header = trace.header();
        let mut response = match (self.check(request.headers()), transport) {
            (Err(refusal), Transport::Http) => refusal.into_response(trace.id()),
            (Err(refusal), _) => tonic::Status::from(refusal.error).into_http::<tonic::body::Body>().map(Body::passed),
            (Ok(()), Transport::Http) => rest::answer(self, peer, trace, request).await,
            (Ok(()), Transport::Grpc) => grpc::answer(self, peer, trace, request).await.map(Body::passed),
            (Ok(()), Transport::GrpcWeb) => grpc::answer_web(self, peer, trace, request).await.map(Body::passed),
        };
        response.headers_mut().insert(TRACERESPONSE, header);
        response
    }

    /// Who makes a call, if they may; nobody where the call is open to everybody.
    pub async fn caller(&self, call: Call<'_>) -> Result<Option<Known>, Refusal> {
        let Some(known) = self.known(call).await? else { return Ok(None) };
        let permitted = Authenticator::permit(call.method, &known);
        permitted.inspect_err(|refusal| self.refusals.note(call, &known.caller, &refusal.error))?;
        Ok(Some(known))
    }

    /// Who makes a call, whether they may or not; nobody where the call is open to everybody.
    pub async fn known(&self, call: Call<'_>) -> Result<Option<Known>, Refusal> {
        let known = self.authenticator.caller(call.method, call.headers).await;
        known.inspect_err(|refusal| self.refusals.note_stranger(call, &refusal.error))
    }

    /// Bounds the headers. HTTP/2 has refused most that is too large before this.
    fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if bytes <= self.limits.header_bytes && headers.len() <= MOST_HEADERS {
            return Ok(());
        }
        let text = format!("headers are at most {MOST_HEADERS} and {} bytes", self.limits.header_bytes);
        Err(Refusal::new(Refused::Headers, Kind::InvalidArgument, "HEADERS_TOO_LARGE", text)
            .status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE))
    }
}

/// A path for the name of a span: what looks like an id is left away, so that names are few.
fn shortened(path: &str) -> String {
    let mut short = String::with_capacity(path.len());
    for part in path.split('/').skip(1).take(8) {
        short.push('/');
        match part.split_once(':') {
            Some((_, verb)) => {
                short.push_str("*:");
                short.extend(verb.chars().take(32));
            }
            None if part.len() >= 32 && gyre_model::parse_uuid(part).is_some() => short.push('*'),
            None => short.extend(part.chars().take(64)),
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn names_of_spans_are_few() {
        let uuid = "0193f3a0-1111-4222-8333-444455556666";
        assert_eq!(shortened(&format!("/v1/vms/{uuid}")), "/v1/vms/*");
        assert_eq!(shortened(&format!("/v1/vms/{uuid}:stop")), "/v1/vms/*:stop");
        assert_eq!(shortened("/gyre.vm.v1.VmService/GetVm"), "/gyre.vm.v1.VmService/GetVm");
    }
}
