//! A raw HTTP body as a stream of messages: cut into pieces for the call's bytes field, without copying them. What path and query
//! say goes into the first message.
//!
//! Pieces that are there already are sent together up to 256 KiB; nothing is waited for once a piece is there, and nothing is
//! read before the service takes it.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use gyre_model::{Error, Kind, wire};
use http::StatusCode;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;

use crate::config::Limits;
use crate::metrics::{Refused, metrics};
use crate::refusal::Refusal;

/// Most bytes of one piece.
const PIECE: usize = 256 << 10;

/// A body that is cut into messages.
#[derive(Debug)]
pub struct Upload<B> {
    body: B,
    field: u32,
    /// What the first message has before its piece; none once it was sent.
    first: Option<Bytes>,
    /// Pieces that were read and wait for the message's head to go before them.
    gathered: VecDeque<Bytes>,
    gathered_bytes: usize,
    /// What of the present message is still to be sent.
    sending: VecDeque<Bytes>,
    left: u64,
    most: u64,
    patience: Duration,
    timer: Pin<Box<Sleep>>,
    ended: bool,
}

impl<B: Body<Data = Bytes> + Unpin> Upload<B> {
    /// Cuts a body into this field of messages; `first` are the wire bytes of other fields.
    pub fn new(body: B, field: u32, first: Bytes, limits: &Limits) -> Result<Self, Refusal> {
        if body.size_hint().lower() > limits.upload_bytes {
            return Err(Refusal::counted(Refused::TooLarge, too_large(limits.upload_bytes))
                .status(StatusCode::PAYLOAD_TOO_LARGE));
        }
        Ok(Self {
            body,
            field,
            first: Some(first),
            gathered: VecDeque::new(),
            gathered_bytes: 0,
            sending: VecDeque::new(),
            left: limits.upload_bytes,
            most: limits.upload_bytes,
            patience: limits.body_time,
            timer: Box::pin(sleep(limits.body_time)),
            ended: false,
        })
    }

    /// Puts what was gathered into a message.
    fn message(&mut self) {
        let first = self.first.take().unwrap_or_default();
        let mut head = BytesMut::with_capacity(wire::FRAME_HEAD + first.len() + 16);
        head.put_bytes(0, wire::FRAME_HEAD);
        head.put_slice(&first);
        if self.gathered_bytes > 0 {
            wire::put_varint(&mut head, u64::from(self.field) << 3 | 2);
            wire::put_varint(&mut head, self.gathered_bytes as u64);
        }
        let length = u32::try_from(head.len() - wire::FRAME_HEAD + self.gathered_bytes).unwrap_or(u32::MAX);
        head[1..wire::FRAME_HEAD].copy_from_slice(&length.to_be_bytes());
        self.sending.push_back(head.freeze());
        self.sending.append(&mut self.gathered);
        self.gathered_bytes = 0;
    }

    /// Takes bytes in; answers whether there is enough for a message.
    fn gather(&mut self, mut data: Bytes) -> bool {
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(PIECE - self.gathered_bytes));
            self.gathered_bytes += piece.len();
            self.gathered.push_back(piece);
            if self.gathered_bytes == PIECE {
                self.message();
            }
        }
        !self.sending.is_empty()
    }
}

fn too_large(most: u64) -> Error {
    Error::new(Kind::InvalidArgument, "UPLOAD_TOO_LARGE", format!("the body is larger than {most} bytes"))
}

impl<B: Body<Data = Bytes> + Unpin> Body for Upload<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(bytes) = self.sending.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    let Some(left) = self.left.checked_sub(data.len() as u64) else {
                        self.ended = true;
                        metrics().refused(Refused::TooLarge);
                        return Poll::Ready(Some(Err(too_large(self.most).into())));
                    };
                    self.left = left;
                    let patience = self.patience;
                    self.timer.as_mut().reset(Instant::now() + patience);
                    self.gather(data);
                }
                Poll::Ready(Some(Err(_))) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(Status::cancelled("the upload broke off"))));
                }
                Poll::Ready(None) => {
                    self.ended = true;
                    // Without any bytes the first message goes all the same: it says what the upload is for.
                    if self.first.is_some() || self.gathered_bytes > 0 {
                        self.message();
                    }
                }
                Poll::Pending if self.gathered_bytes > 0 => self.message(),
                Poll::Pending => {
                    if self.timer.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    self.ended = true;
                    metrics().refused(Refused::Slow);
                    let error = Error::new(Kind::DeadlineExceeded, "BODY_TOO_SLOW", "the upload did not go on in time");
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gyre_proto::Message as _;
    use gyre_proto::storage::v1::UploadImageRequest;
    use http_body_util::{BodyExt as _, Full, StreamBody};

    use super::*;

    fn first() -> Bytes {
        UploadImageRequest { uuid: "u".into(), data: Bytes::new() }.encode_to_vec().into()
    }

    async fn messages(
        body: impl Body<Data = Bytes> + Unpin,
        limits: &Limits,
    ) -> Result<Vec<UploadImageRequest>, Status> {
        let upload = Upload::new(body, 2, first(), limits).unwrap();
        let bytes = upload.collect().await?.to_bytes();
        let mut rest = bytes.as_ref();
        let mut messages = Vec::new();
        while let Some((_, message, length)) = wire::unframe(rest) {
            messages.push(UploadImageRequest::decode(message).unwrap());
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        Ok(messages)
    }

    #[tokio::test]
    async fn a_body_is_cut_into_pieces() {
        let limits = Limits::default();
        let data: Vec<u8> = (0..PIECE * 2 + 100).map(|at| (at % 251) as u8).collect();
        for size in [PIECE * 3, PIECE + 7, 20_000] {
            let parts: Vec<Result<_, Status>> =
                data.chunks(size).map(|part| Ok(Frame::data(Bytes::copy_from_slice(part)))).collect();
            let messages = messages(StreamBody::new(tokio_stream::iter(parts)), &limits).await.unwrap();
            assert_eq!(messages.iter().map(|message| message.data.len()).collect::<Vec<_>>(), [PIECE, PIECE, 100]);
            assert_eq!(
                messages.iter().map(|message| message.uuid.as_str()).collect::<Vec<_>>(),
                ["u", "", ""],
                "{size}"
            );
            assert_eq!(messages.iter().flat_map(|message| message.data.to_vec()).collect::<Vec<_>>(), data);
        }
    }

    #[tokio::test]
    async fn an_empty_body_still_says_what_it_is_for() {
        let messages = messages(Full::new(Bytes::new()), &Limits::default()).await.unwrap();
        assert_eq!(messages, [UploadImageRequest { uuid: "u".into(), data: Bytes::new() }]);
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_refused() {
        let limits = Limits { upload_bytes: 10, ..Limits::default() };
        assert!(Upload::new(Full::new(Bytes::from_static(b"more than ten")), 2, first(), &limits).is_err());
        let parts: Vec<Result<_, Status>> = vec![Ok(Frame::data(Bytes::from_static(b"more than ten")))];
        let status = messages(StreamBody::new(tokio_stream::iter(parts)), &limits).await.unwrap_err();
        assert_eq!(Error::from(status).reason(), "UPLOAD_TOO_LARGE");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stands_still_is_given_up() {
        let body = StreamBody::new(tokio_stream::pending::<Result<Frame<Bytes>, Status>>());
        let status = messages(body, &Limits::default()).await.unwrap_err();
        assert_eq!(Error::from(status).reason(), "BODY_TOO_SLOW");
    }
}
