//! Bodies on their way: requests that may have to be sent again, and answers from peers that may be lost.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use parking_lot::Mutex;
use tonic::Status;
use tonic::body::Body;

use super::full;
use super::peers::PeerConnection;

/// The body of a request, for as many tries as it bears.
pub(super) enum Payload {
    /// One message: it can always be sent again.
    Whole(Bytes),
    /// A stream: it can be sent again until something of it after its start was taken.
    Stream(Arc<Mutex<Source>>),
}

/// A stream from the caller: its start, which is kept, and the rest, which comes once.
pub(super) struct Source {
    start: Bytes,
    rest: Body,
    touched: bool,
}

impl Payload {
    pub(super) fn stream(start: Bytes, rest: Body) -> Self {
        Self::Stream(Arc::new(Mutex::new(Source { start, rest, touched: false })))
    }

    /// The body for a try; none where what is left would not be the whole.
    pub(super) fn take(&mut self) -> Option<Body> {
        match self {
            Self::Whole(bytes) => Some(full(bytes.clone())),
            Self::Stream(source) => {
                let start = {
                    let source = source.lock();
                    if source.touched {
                        return None;
                    }
                    source.start.clone()
                };
                Some(Body::new(Lent { start: Some(start).filter(|start| !start.is_empty()), source: source.clone() }))
            }
        }
    }
}

/// A stream lent to one try.
struct Lent {
    start: Option<Bytes>,
    source: Arc<Mutex<Source>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(start) = self.start.take() {
            return Poll::Ready(Some(Ok(Frame::data(start))));
        }
        let mut source = self.source.lock();
        let polled = Pin::new(&mut source.rest).poll_frame(cx);
        source.touched |= polled.is_ready();
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.start.is_none() && self.source.lock().rest.is_end_stream()
    }
}

/// Reads the whole answer of a unary call, so that a peer that dies in the middle of it is noticed while there is time to try
/// again.
pub(super) async fn whole(response: Response<Body>) -> Result<Response<Body>, Status> {
    let (head, body) = response.into_parts();
    if body.is_end_stream() {
        return Ok(Response::from_parts(head, body));
    }
    let read = body.collect().await?;
    let trailers = read.trailers().cloned();
    let bytes = read.to_bytes();
    let body = match trailers {
        Some(trailers) => Body::new(Full::new(bytes).with_trailers(async move { Some(Ok(trailers)) })),
        None => full(bytes),
    };
    Ok(Response::from_parts(head, body))
}

/// A stream from a peer. Where the connection breaks, it ends with a status that says so.
pub(super) struct Streamed {
    body: Body,
    peer: Arc<PeerConnection>,
    ended: bool,
}

impl Streamed {
    pub(super) fn new(body: Body, peer: Arc<PeerConnection>) -> Self {
        Self { body, peer, ended: false }
    }
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Err(status))) => {
                self.ended = true;
                let lost = Status::from(self.peer.lost(&status));
                Poll::Ready(Some(trailers(&lost).map(Frame::trailers)))
            }
            polled => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A status as the trailers that end a stream.
pub(crate) fn trailers(status: &Status) -> Result<HeaderMap, Status> {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers)?;
    Ok(trailers)
}
