//! The stack itself: see [`super`] for the order and its reasons.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use gyre_model::catalog::MethodInfo;
use gyre_model::{
    Behalf, Caller, Error, Kind, Origin, Result, Uuid, behalf, caller, origin, parse_uuid, validate, wire,
};
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower_service::Service;
use tracing::Instrument as _;

use super::deadline::Deadline;
use super::watched::Watched;
use super::{MAX_MESSAGE, Peer, access, no_such_call, owner, peer, refuse};
use crate::context::{self, Context};
use crate::mesh::Mesh;
use crate::reason;
use crate::refused::{RefusedCall, is_refusal};
use crate::tasks::panic_text;
use crate::telemetry::{metrics, propagate};

/// A service with its layers.
#[derive(Clone)]
pub(super) struct Stack(Arc<Inner>);

struct Inner {
    routes: Routes,
    mesh: Mesh,
    service: &'static str,
}

impl Stack {
    pub(super) fn new(routes: Routes, mesh: Mesh, service: &'static str) -> Self {
        Self(Arc::new(Inner { routes: routes.prepare(), mesh, service }))
    }
}

impl Service<Request<Body>> for Stack {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let stack = self.0.clone();
        Box::pin(async move { Ok(stack.trace(request).await) })
    }
}

impl Inner {
    /// 1 to 3: around everything.
    async fn trace(&self, request: Request<Body>) -> Response<Body> {
        let started = Instant::now();
        let Some(known) = metrics::method(request.uri().path()) else {
            metrics::unknown_method().count(Code::Unimplemented, started.elapsed());
            return refuse(no_such_call(request.uri().path()));
        };
        let info = known.info;
        // What this process asks itself ends with what it is asked for: only calls from others are counted and refused.
        let from = request.extensions().get::<Peer>().copied();
        let under_way = (from != Some(Peer::InProcess)).then(|| self.mesh.begin_call());
        let (span, trace) = propagate::call_span(self.service, info.path, propagate::extract(request.headers()));
        let deadline = Deadline::of_server(info, request.headers());
        let context = Context { deadline: deadline.at(), trace: Some(trace) };

        let member = from.filter(|from| from.is_member());
        let callback = member.and_then(|_| caller::callback(request.headers()));
        let whose = member.and_then(|_| Caller::read(request.headers())).as_ref().map(Behalf::of).unwrap_or_default();

        let work = deadline.within(guard(self.answer(info, from, request)));
        let work = behalf::scope(whose, context::with_callback(callback, work));
        let response = context::scope(context, work).instrument(span.clone()).await.unwrap_or_else(refuse);

        let code = code_of(&response);
        if info.server_streaming && code == Code::Ok {
            let counted = under_way.map(|token| (token, self.mesh.refusing().clone()));
            let watched = |body| Watched::new(body, known, started, deadline, (context, whose), span, counted);
            return response.map(|body| Body::new(watched(body)));
        }
        let took = started.elapsed();
        known.metrics.count(code, took);
        tracing::debug!(parent: &span, ?code, micros = took.as_micros(), "answered");
        response
    }

    /// 4, and then the rest.
    async fn answer(
        &self,
        info: &'static MethodInfo,
        from: Option<Peer>,
        mut request: Request<Body>,
    ) -> Result<Response<Body>> {
        if !from.is_some_and(Peer::is_member) {
            peer::forget_claims(request.headers_mut());
        }
        if from != Some(Peer::InProcess) && self.mesh.refusing().is_cancelled() {
            let text = format!("this instance of {} shuts down", self.service);
            return Err(Error::unavailable(reason::DRAINING, text));
        }
        let caller = Caller::read(request.headers());
        let (head, body) = request.into_parts();
        let mut wish = Wish::default();
        let answered = self.handle(info, from, caller, head, body, &mut wish).await;
        self.note(info, caller, wish, &answered);
        answered
    }

    /// 5 to 7, and the handler.
    async fn handle(
        &self,
        info: &'static MethodInfo,
        from: Option<Peer>,
        caller: Option<Caller>,
        head: Parts,
        body: Body,
        wish: &mut Wish,
    ) -> Result<Response<Body>> {
        let mut request = if info.client_streaming {
            owner::check(&self.mesh, self.service, info, &head.headers, None).await?;
            wish.read(info, &head.headers, &[]);
            access::check(info, from, caller.as_ref())?;
            Request::from_parts(head, body)
        } else {
            let framed = read(info, body).await?;
            let message = match wire::unframe(&framed) {
                Some((false, message, length)) if length == framed.len() => message,
                _ => {
                    let text = format!("{} takes one message that is not compressed", info.path);
                    return Err(Error::new(Kind::InvalidArgument, reason::BROKEN_MESSAGE, text));
                }
            };
            owner::check(&self.mesh, self.service, info, &head.headers, Some(message)).await?;
            wish.read(info, &head.headers, message);
            access::check(info, from, caller.as_ref())?;
            validate::check(info, message)?;
            Request::from_parts(head, Body::new(Full::new(framed)))
        };
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        match origin::scope(wish.origin.clone(), self.routes.clone().call(request)).await {
            Ok(response) => Ok(response),
            Err(never) => match never {},
        }
    }

    /// Tells of a call that would have changed something and was refused. What steps of operations ask for is not told: their
    /// operations show it. Nor is what is asked while another call is answered: that one is told of, if it is refused.
    fn note(&self, info: &'static MethodInfo, caller: Option<Caller>, wish: Wish, answered: &Result<Response<Body>>) {
        let (Some(origin), Some(caller)) = (wish.origin, caller) else { return };
        if caller.acting.is_some() || wish.silent {
            return;
        }
        let error = match answered {
            Ok(response) if code_of(response) == Code::Ok => return,
            Ok(response) => match Status::from_header_map(response.headers()) {
                Some(status) => Error::from(status),
                None => return,
            },
            Err(error) => error.clone(),
        };
        if is_refusal(&error) {
            let reason = error.reason().to_owned();
            self.mesh.tell_refused(RefusedCall { method: info, caller, resource: wish.resource, origin, reason });
        }
    }
}

/// What a call that changes something is about; nothing of one that does not.
#[derive(Default)]
struct Wish {
    origin: Option<Arc<Origin>>,
    resource: Option<Uuid>,
    /// Whether a refusal is not for the log: nothing would have changed, or another call tells of it.
    silent: bool,
}

impl Wish {
    fn read(&mut self, info: &'static MethodInfo, headers: &HeaderMap, message: &[u8]) {
        let Some(number) = info.request_id else { return };
        self.silent = origin::is_within(headers) || info.validate_only.is_some_and(|number| is_true(message, number));
        let request_id = wire::string_at(message, &[number]).unwrap_or_default();
        self.origin = Some(Arc::new(Origin::read(headers, info.action, request_id)));
        let routed = info.route.and_then(|path| wire::string_at(message, path)).and_then(parse_uuid);
        let by_header = || parse_uuid(headers.get(caller::ROUTE)?.to_str().ok()?);
        self.resource = routed.or_else(by_header);
    }
}

/// Whether a field of type bool is true.
fn is_true(message: &[u8], number: u32) -> bool {
    let last = wire::fields(message).filter(|(found, _)| *found == number).last();
    matches!(last, Some((_, wire::Value::Varint(1..))))
}

async fn read(info: &MethodInfo, body: Body) -> Result<bytes::Bytes> {
    let limited = Limited::new(body, MAX_MESSAGE + wire::FRAME_HEAD);
    match limited.collect().await {
        Ok(read) => Ok(read.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let text = format!("the message to {} has more than {MAX_MESSAGE} bytes", info.path);
            Err(Error::new(Kind::ResourceExhausted, reason::MESSAGE_TOO_LARGE, text))
        }
        Err(error) => {
            let text = format!("the message to {} broke off: {error}", info.path);
            Err(Error::new(Kind::Cancelled, reason::BROKEN_MESSAGE, text))
        }
    }
}

/// Turns a panic into an answer.
fn guard<T>(work: impl Future<Output = Result<T>>) -> impl Future<Output = Result<T>> {
    AssertUnwindSafe(work).catch_unwind().map(|ended| match ended {
        Ok(done) => done,
        Err(panic) => {
            metrics::panicked();
            Err(Error::internal(format!("handler panicked: {}", panic_text(&*panic))))
        }
    })
}

/// The code of an answer: an error without body has it in its headers.
fn code_of(response: &Response<Body>) -> Code {
    response.headers().get(Status::GRPC_STATUS).map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

#[cfg(test)]
mod tests {
    use gyre_model::catalog;
    use http::HeaderMap;

    use super::*;

    #[tokio::test]
    async fn what_stands_around_a_handler_keeps_its_future_once() {
        let handler = async {
            let much = [0u8; 4096];
            tokio::task::yield_now().await;
            Ok(much.len())
        };
        let alone = size_of_val(&handler);
        let get = catalog().method("/gyre.host.v1.ZoneService/GetZone").unwrap();
        let deadline = Deadline::of_server(get, &HeaderMap::new());
        let within = deadline.within(guard(handler));
        let around = context::scope(Context::default(), context::with_callback(None, within));
        let more = size_of_val(&around) - alone;
        // a timer and a few fields; an async function around another doubles it
        assert!(more <= 1024, "{more} bytes more than {alone}");
    }
}
