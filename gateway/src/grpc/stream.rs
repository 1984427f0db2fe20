//! Streams as they pass: requests are measured message by message, responses end when the gateway stops.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gyre_model::{Error, Kind, wire};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::body::Body;

use super::BoxError;
use crate::metrics::{Refused, metrics};
use crate::refusal::Refusal;

/// A stream of messages none of which is larger than allowed.
#[derive(Debug)]
pub struct Measured<B> {
    body: B,
    most: usize,
    head: [u8; wire::FRAME_HEAD],
    head_length: usize,
    message_left: usize,
    ended: bool,
}

impl<B> Measured<B> {
    /// Measures a body.
    pub fn new(body: B, most: usize) -> Self {
        Self { body, most, head: [0; wire::FRAME_HEAD], head_length: 0, message_left: 0, ended: false }
    }

    /// Follows the frames through the bytes; answers whether all are within the bound.
    fn follow(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if self.message_left > 0 {
                let skipped = self.message_left.min(bytes.len());
                self.message_left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            self.head[self.head_length] = bytes[0];
            self.head_length += 1;
            bytes = &bytes[1..];
            if self.head_length == wire::FRAME_HEAD {
                let [_, length @ ..] = self.head;
                self.head_length = 0;
                self.message_left = u32::from_be_bytes(length) as usize;
                if self.message_left > self.most {
                    return false;
                }
            }
        }
        true
    }
}

impl<B> HttpBody for Measured<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref()
                    && !self.follow(&data.clone())
                {
                    self.ended = true;
                    metrics().refused(Refused::TooLarge);
                    return Poll::Ready(Some(Err(super::too_large(self.most).into())));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.ended = true;
                Poll::Ready(Some(Err(Status::from_error(error.into()))))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }
}

/// Reads a stream until its first message is there, and answers all that was read.
///
/// # Errors
/// `MESSAGE_TOO_LARGE`, `BODY_TOO_SLOW`, `BODY_BROKEN_OFF`, where none comes.
pub async fn first<B>(body: &mut B, most: usize, patience: Duration) -> Result<Bytes, Refusal>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let mut read = BytesMut::new();
    let message = async {
        loop {
            if wire::unframe(&read).is_some() {
                return Ok(());
            }
            if read.len() > most + wire::FRAME_HEAD {
                return Err(Refusal::counted(Refused::TooLarge, super::too_large(most)));
            }
            match body.frame().await {
                Some(Ok(frame)) => read.extend_from_slice(frame.data_ref().map_or(&[], Bytes::as_ref)),
                Some(Err(_)) | None => {
                    return Err(Error::new(Kind::Cancelled, "BODY_BROKEN_OFF", "the request broke off").into());
                }
            }
        }
    };
    let slow = || {
        let text = "the first message did not come in time";
        Refusal::new(Refused::Slow, Kind::DeadlineExceeded, "BODY_TOO_SLOW", text)
    };
    tokio::time::timeout(patience, message).await.unwrap_or_else(|_| Err(slow()))?;
    Ok(read.freeze())
}

/// A stream of which some was read already.
#[derive(Debug)]
pub struct Begun<B> {
    read: Option<Bytes>,
    body: B,
}

impl<B> Begun<B> {
    /// A stream that goes on with a body after these bytes.
    pub fn new(read: Bytes, body: B) -> Self {
        Self { read: (!read.is_empty()).then_some(read), body }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Begun<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.read.take() {
            Some(read) => Poll::Ready(Some(Ok(Frame::data(read)))),
            None => Pin::new(&mut self.body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_none() && self.body.is_end_stream()
    }
}

/// A stream of answers that ends with UNAVAILABLE when the gateway stops.
pub struct Ending {
    body: Body,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    ended: bool,
}

impl Ending {
    /// Lets a body end with the gateway.
    pub fn new(body: Body, stopping: CancellationToken) -> Self {
        Self { body, stopping: Box::pin(stopping.cancelled_owned()), ended: false }
    }
}

impl HttpBody for Ending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_pending() && self.stopping.as_mut().poll(context).is_ready() {
            self.ended = true;
            let status =
                Status::from(Error::unavailable("GATEWAY_STOPPING", "this gateway stops; open the stream again"));
            let mut trailers = HeaderMap::new();
            return Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))));
        }
        polled
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full, StreamBody};

    use super::*;

    #[tokio::test]
    async fn messages_are_measured_however_they_are_cut() {
        let bytes = [wire::frame(b"12345678"), wire::frame(b""), wire::frame(b"1234567")].concat();
        for size in [1, 3, 100] {
            for (most, fine) in [(8, true), (7, false)] {
                let parts: Vec<Result<_, Status>> =
                    bytes.chunks(size).map(|part| Ok(Frame::data(Bytes::copy_from_slice(part)))).collect();
                let measured = Measured::new(StreamBody::new(tokio_stream::iter(parts)), most);
                assert_eq!(measured.collect().await.is_ok(), fine, "{size} {most}");
            }
        }
    }

    #[tokio::test]
    async fn a_stream_ends_with_the_gateway() {
        let stopping = CancellationToken::new();
        let quiet = Body::new(StreamBody::new(tokio_stream::pending::<Result<Frame<Bytes>, Status>>()));
        let ending = Ending::new(quiet, stopping.clone());
        stopping.cancel();
        let trailers = ending.collect().await.unwrap().trailers().cloned().unwrap();
        assert_eq!(Status::from_header_map(&trailers).unwrap().code(), tonic::Code::Unavailable);
        let short = Ending::new(Body::new(Full::new(Bytes::from_static(b"abc"))), stopping);
        assert_eq!(short.collect().await.unwrap().to_bytes(), "abc");
    }
}
