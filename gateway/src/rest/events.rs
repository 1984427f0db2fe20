//! A stream of messages as server-sent events (the HTML standard's `text/event-stream`):
//!
//! - `event: message` with the JSON of one message, and an `id`: the position of an event of a list, otherwise a count from 1,
//! - `event: error` with a problem document, once, where the stream failed,
//! - `event: end` with `{}`, once, where it came to its end,
//! - a comment every 15 seconds, so that nobody on the way takes a quiet stream for a dead one.
//!
//! A stream that ends without either of the two was cut.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use gyre_model::{Error, wire};
use gyre_proto::json::JsonCodec;
use http_body::{Body as HttpBody, Frame};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::body::Body;
use tonic::{Code, Status};

use crate::refusal::{problem, status_of};
use crate::trace::Traced;

/// How often a sign of life is sent.
const BEAT: Duration = Duration::from_secs(15);
/// Messages that are there already are sent together up to this size.
const TOGETHER: usize = 64 << 10;
/// Most bytes of one message.
const LARGEST: usize = 16 << 20;

/// A stream of events.
pub struct Events {
    body: Body,
    buffer: BytesMut,
    codec: &'static JsonCodec,
    /// The field of a message that is its id.
    id: Option<u32>,
    trace: Traced,
    count: u64,
    ended: bool,
    beat: Pin<Box<Sleep>>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl fmt::Debug for Events {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Events").field("count", &self.count).field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Events {
    /// Events of a gRPC body, printed by a codec; they end early when the gateway stops.
    pub fn new(body: Body, codec: &'static JsonCodec, trace: Traced, stopping: CancellationToken) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
            codec,
            id: None,
            trace,
            count: 0,
            ended: false,
            beat: Box::pin(sleep(BEAT)),
            stopping: Box::pin(stopping.cancelled_owned()),
        }
    }

    /// The same, with ids that the messages themselves have in this field. One without has no id: the one before stays the last.
    #[must_use]
    pub fn with_id(mut self, field: u32) -> Self {
        self.id = Some(field);
        self
    }

    /// The events of the messages that are there whole.
    fn messages(&mut self) -> Option<Vec<u8>> {
        let mut events = Vec::new();
        while events.len() < TOGETHER {
            let Some((compressed, message, length)) = wire::unframe(&self.buffer) else { break };
            self.count += 1;
            let _ = match self.id.map(|field| wire::string_at(message, &[field])) {
                None => writeln!(events, "id: {}", self.count),
                Some(Some(id)) if !id.is_empty() => writeln!(events, "id: {id}"),
                Some(_) => Ok(()),
            };
            events.extend_from_slice(b"event: message\ndata: ");
            let printed =
                if compressed { Err("it is compressed".to_owned()) } else { (self.codec.print)(message, &mut events) };
            if let Err(error) = printed {
                return Some(self.end_with(&Error::internal(format_args!("a message cannot be printed: {error}"))));
            }
            events.extend_from_slice(b"\n\n");
            self.buffer.advance(length);
        }
        if self.buffer.is_empty() {
            // nobody knows when the next message comes: its room is not kept until then
            self.buffer = BytesMut::new();
        }
        if events.is_empty() { None } else { Some(events) }
    }

    fn end_with(&mut self, error: &Error) -> Vec<u8> {
        self.ended = true;
        let mut event = b"event: error\ndata: ".to_vec();
        event.extend_from_slice(&problem(error, status_of(error.kind()), self.trace.id()));
        event.extend_from_slice(b"\n\n");
        event
    }

    fn end(&mut self, status: Option<Status>) -> Vec<u8> {
        match status {
            Some(status) if status.code() == Code::Ok => {
                self.ended = true;
                b"event: end\ndata: {}\n\n".to_vec()
            }
            Some(status) => self.end_with(&Error::from(status)),
            None => self.end_with(&Error::unavailable("STREAM_BROKEN", "the stream broke off; open it again")),
        }
    }
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let send = |event: Vec<u8>| Poll::Ready(Some(Ok(Frame::data(Bytes::from(event)))));
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            if let Some(events) = self.messages() {
                return send(events);
            }
            if self.buffer.len() > LARGEST {
                let error = Error::unavailable("MESSAGE_TOO_LARGE", "a message of the stream is too large");
                return send(self.end_with(&error));
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(frame) => {
                        let status = frame.into_trailers().ok().and_then(|headers| Status::from_header_map(&headers));
                        return send(self.end(status));
                    }
                },
                Poll::Ready(Some(Err(status))) => return send(self.end(Some(status))),
                Poll::Ready(None) => return send(self.end(None)),
                Poll::Pending => {
                    if self.stopping.as_mut().poll(context).is_ready() {
                        let error = Error::unavailable("GATEWAY_STOPPING", "this gateway stops; open the stream again");
                        return send(self.end_with(&error));
                    }
                    if self.beat.as_mut().poll(context).is_ready() {
                        self.beat.as_mut().reset(tokio::time::Instant::now() + BEAT);
                        return send(b": alive\n\n".to_vec());
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gyre_mesh::context::Trace;
    use gyre_proto::Message as _;
    use gyre_proto::vm::v1::ReadVmConsoleResponse;
    use http::HeaderMap;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    type Parts = Vec<Result<Frame<Bytes>, Status>>;

    fn piece(text: &str) -> Bytes {
        wire::frame(&ReadVmConsoleResponse { data: Bytes::copy_from_slice(text.as_bytes()) }.encode_to_vec())
    }

    fn trailers(status: Status) -> Frame<Bytes> {
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        Frame::trailers(headers)
    }

    fn events(body: Body) -> Events {
        let codec = JsonCodec::by_name("gyre.vm.v1.ReadVmConsoleResponse").unwrap();
        Events::new(body, codec, Traced::at(Trace::random()), CancellationToken::new())
    }

    async fn text(parts: Parts) -> String {
        let body = Body::new(StreamBody::new(tokio_stream::iter(parts)));
        String::from_utf8(events(body).collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn messages_become_events_however_they_are_cut() {
        let whole = [piece("one"), piece("two")].concat();
        for size in [1, 4, 7, 100] {
            let mut parts: Parts =
                whole.chunks(size).map(|part| Ok(Frame::data(Bytes::copy_from_slice(part)))).collect();
            parts.push(Ok(trailers(Status::new(Code::Ok, ""))));
            assert_eq!(
                text(parts).await,
                "id: 1\nevent: message\ndata: {\"data\":\"b25l\"}\n\nid: 2\nevent: message\ndata: {\"data\":\"dHdv\"}\n\n\
                 event: end\ndata: {}\n\n"
            );
        }
    }

    #[tokio::test]
    async fn failures_are_events_too() {
        let failed = Status::from(Error::new(gyre_model::Kind::NotFound, "GONE", "it is gone"));
        let said = text(vec![Ok(Frame::data(piece("one"))), Ok(trailers(failed))]).await;
        let problem = said.rsplit_once("event: error\ndata: ").unwrap().1;
        let problem: serde_json::Value = serde_json::from_str(problem.trim_end()).unwrap();
        assert_eq!((problem["reason"].as_str(), problem["status"].as_u64()), (Some("GONE"), Some(404)));
        assert!(text(vec![Ok(Frame::data(piece("one")))]).await.contains("STREAM_BROKEN"));
        assert!(text(vec![Ok(Frame::data(Bytes::from_static(b"\x01\0\0\0\0")))]).await.contains("INTERNAL"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_shows_signs_of_life_and_ends_with_the_gateway() {
        let (_sender, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, Status>>(1);
        let body = Body::new(StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(receiver)));
        let stopping = CancellationToken::new();
        let codec = JsonCodec::by_name("gyre.vm.v1.ReadVmConsoleResponse").unwrap();
        let mut events = Events::new(body, codec, Traced::at(Trace::random()), stopping.clone());
        let frame = events.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame, ": alive\n\n");
        stopping.cancel();
        let frame = events.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(String::from_utf8_lossy(&frame).contains("GATEWAY_STOPPING"));
        assert!(events.frame().await.is_none());
    }
}
