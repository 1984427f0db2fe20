//! What the gateway answers with: bytes that are there, a stream that passes through, or events. One type without boxing for the
//! common case; it also keeps its connection counted as busy until the last byte is handed over.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::rest::events::Events;
use crate::serve::activity::Busy;

/// The body of a response.
#[derive(Debug)]
pub struct Body {
    kind: Kind,
    busy: Option<Busy>,
}

#[derive(Debug)]
enum Kind {
    Full(Bytes),
    Passed(tonic::body::Body),
    Events(Box<Events>),
}

impl Body {
    /// Bytes that are there.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self { kind: Kind::Full(bytes.into()), busy: None }
    }

    /// A body from behind the gateway, as it is.
    pub fn passed(body: tonic::body::Body) -> Self {
        Self { kind: Kind::Passed(body), busy: None }
    }

    /// Server-sent events.
    pub fn events(events: Events) -> Self {
        Self { kind: Kind::Events(Box::new(events)), busy: None }
    }

    /// Keeps a connection busy until this body is gone.
    #[must_use]
    pub fn busy(mut self, busy: Busy) -> Self {
        self.busy = Some(busy);
        self
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.kind {
            Kind::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Passed(body) => Pin::new(body).poll_frame(context),
            Kind::Events(events) => {
                Pin::new(events.as_mut()).poll_frame(context).map_err(|never: Infallible| match never {})
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Passed(body) => body.size_hint(),
            Kind::Events(_) => SizeHint::default(),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Full(bytes) => bytes.is_empty(),
            Kind::Passed(body) => body.is_end_stream(),
            Kind::Events(_) => false,
        }
    }
}
