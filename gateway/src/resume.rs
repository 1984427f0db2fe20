//! A watched operation or list whose stream breaks behind the gateway: the instance that answered died, was cut off or stopped, and
//! any other can answer as well. The stream is opened again, and the watcher sees one that goes on: of an operation from how it
//! stands now, of a list from the position of the last event.
//!
//! Only whole messages are passed on, so that what broke off in the middle leaves nothing behind. A stream that says it is over
//! before the operation is was broken too; one of a list never is. A list that had not been told whole is told anew, after `RESET`. What does not go by, or does not within [`PATIENCE`], is passed on as it is.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use gyre_model::catalog::MethodInfo;
use gyre_model::wire::{self, Value};
use gyre_model::{Error, Kind};
use gyre_proto::Message as _;
use gyre_proto::common::v1::{OperationState, WatchEventType, WatchResponse};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame};
use http_body_util::Full;
use tokio::time::{Instant, Sleep, sleep};
use tonic::body::Body;
use tonic::{Code, Status};

use crate::forward::Along;
use crate::front::Front;

const WATCH: &str = "/gyre.common.v1.OperationService/WatchOperation";
const WATCH_LIST: &str = "/gyre.common.v1.WatchService/Watch";
/// The field of an operation that says its state.
const STATE: u32 = 8;
/// The field of a request to watch a list that says where to go on.
const GO_ON: u32 = 3;
/// The field of an event that says where to go on from after it.
pub const POSITION: u32 = 2;
/// How long nobody may be able to answer before the watcher is told: longer than a lease and the takeover after it.
const PATIENCE: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Opens the stream again.
type Open = Box<dyn Fn(&str) -> BoxFuture<'static, Result<Body, Error>> + Send>;

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Watched {
    /// An operation.
    Operation,
    /// A list, with the position that was told last; nothing before the list was told whole.
    List(String),
}

/// Whether a call streams a list.
pub fn is_list(method: &MethodInfo) -> bool {
    method.path == WATCH_LIST
}

/// A request to watch a list, from this position on.
pub fn from_position(frame: &Bytes, position: &str) -> Bytes {
    let Some((false, message, _)) = wire::unframe(frame) else { return frame.clone() };
    let mut whole = BytesMut::from(message);
    // of two the last has the say
    wire::append_string(&mut whole, &[GO_ON], position);
    wire::frame(&whole)
}

/// Lets a stream be resumed where its method is one that can be: watching an operation begins with how it is now, whoever is
/// asked.
pub fn resumed(front: &Arc<Front>, method: &'static MethodInfo, along: &Along, frame: &Bytes, body: Body) -> Body {
    let watched = match method.path {
        WATCH => Watched::Operation,
        WATCH_LIST => Watched::List(String::new()),
        _ => return body,
    };
    let until = along.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    // copied: the request's bytes are a piece of what its connection read at once, which would be kept as long as the stream
    let (front, along, frame) = (Arc::clone(front), along.clone(), Bytes::copy_from_slice(frame));
    let open = move |position: &str| -> BoxFuture<'static, Result<Body, Error>> {
        let front = Arc::clone(&front);
        let frame = if position.is_empty() { frame.clone() } else { from_position(&frame, position) };
        // the caller's time does not begin anew
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let along = Along { timeout: left, ..along.clone() };
        Box::pin(async move { front.forward.open(method, &along, Body::new(Full::new(frame))).await })
    };
    Body::new(Resumed::new(watched, body, Box::new(open)))
}

enum Stage {
    Open(Body),
    Waiting(Pin<Box<Sleep>>),
    Opening(BoxFuture<'static, Result<Body, Error>>),
    Done,
}

struct Resumed {
    watched: Watched,
    stage: Stage,
    open: Open,
    buffer: BytesMut,
    /// Whole messages that wait to be passed on.
    whole: VecDeque<Bytes>,
    /// Whether the last message told the operation's end.
    ended: bool,
    /// Whether anything was told since the stream was opened from its beginning.
    told: bool,
    /// Since when nothing has come.
    lost: Option<Instant>,
    wait: Duration,
}

impl fmt::Debug for Resumed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Resumed").field("ended", &self.ended).field("lost", &self.lost).finish_non_exhaustive()
    }
}

impl Resumed {
    fn new(watched: Watched, body: Body, open: Open) -> Self {
        Self {
            watched,
            stage: Stage::Open(body),
            open,
            buffer: BytesMut::new(),
            whole: VecDeque::new(),
            ended: false,
            told: false,
            lost: None,
            wait: FIRST_WAIT,
        }
    }

    /// Takes what came, and keeps what is not whole.
    fn take(&mut self, data: Bytes) {
        self.buffer.extend_from_slice(&data);
        while let Some((compressed, message, length)) = wire::unframe(&self.buffer) {
            match &mut self.watched {
                Watched::Operation => self.ended = !compressed && ended(message),
                Watched::List(position) => {
                    if let Some(told) = wire::string_at(message, &[POSITION]).filter(|told| !told.is_empty()) {
                        told.clone_into(position);
                    }
                    self.told = true;
                }
            }
            let message = self.buffer.split_to(length).freeze();
            self.whole.push_back(message);
            (self.lost, self.wait) = (None, FIRST_WAIT);
        }
        if self.buffer.is_empty() {
            // an empty rest would hold on to the room of all that went before
            self.buffer = BytesMut::new();
        }
    }

    /// Decides what to do about a stream that broke. Answers the trailers to end with, where it is given up.
    fn broke(&mut self, error: Error) -> Option<Frame<Bytes>> {
        self.buffer.clear();
        let lost = *self.lost.get_or_insert_with(Instant::now);
        let passes = matches!(error.kind(), Kind::Unavailable | Kind::Aborted);
        if !passes || lost.elapsed() >= PATIENCE {
            return Some(self.end(error.into()));
        }
        tracing::debug!(%error, "a watched operation's stream is opened again");
        self.stage = Stage::Waiting(Box::pin(sleep(self.wait)));
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        None
    }

    fn end(&mut self, status: Status) -> Frame<Bytes> {
        self.stage = Stage::Done;
        let mut trailers = HeaderMap::new();
        if let Err(status) = status.add_header(&mut trailers) {
            tracing::error!(%status, "a status cannot be written as trailers");
        }
        Frame::trailers(trailers)
    }
}

/// Whether an operation's message tells its end.
fn ended(message: &[u8]) -> bool {
    let mut state = OperationState::Unspecified;
    for (number, value) in wire::fields(message) {
        if let (STATE, Value::Varint(value)) = (number, value) {
            state = i32::try_from(value).ok().and_then(|value| value.try_into().ok()).unwrap_or_default();
        }
    }
    match state {
        OperationState::Succeeded | OperationState::Failed | OperationState::Cancelled => true,
        OperationState::Unspecified
        | OperationState::Queued
        | OperationState::Running
        | OperationState::Undoing
        | OperationState::Stuck => false,
    }
}

fn broken_off() -> Error {
    Error::unavailable("STREAM_BROKEN", "the stream broke off; open it again")
}

impl HttpBody for Resumed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            if let Some(message) = this.whole.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(message))));
            }
            let given_up = match &mut this.stage {
                Stage::Done => return Poll::Ready(None),
                Stage::Open(body) => match std::task::ready!(Pin::new(body).poll_frame(context)) {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => {
                            this.take(data);
                            None
                        }
                        Err(frame) => {
                            let status = frame.trailers_ref().and_then(Status::from_header_map);
                            match status {
                                Some(status) if status.code() != Code::Ok => this.broke(status.into()),
                                _ if !this.ended => this.broke(broken_off()),
                                _ => Some(this.end(Status::new(Code::Ok, ""))),
                            }
                        }
                    },
                    Some(Err(status)) => this.broke(Error::unavailable("STREAM_BROKEN", status.message())),
                    None if this.ended => Some(this.end(Status::new(Code::Ok, ""))),
                    None => this.broke(broken_off()),
                },
                Stage::Waiting(pause) => {
                    std::task::ready!(pause.as_mut().poll(context));
                    let position = match &this.watched {
                        Watched::Operation => "",
                        Watched::List(position) => position,
                    };
                    this.stage = Stage::Opening((this.open)(position));
                    None
                }
                Stage::Opening(opening) => match std::task::ready!(opening.as_mut().poll(context)) {
                    Ok(body) => {
                        this.stage = Stage::Open(body);
                        if this.watched == Watched::List(String::new()) && std::mem::take(&mut this.told) {
                            let reset = WatchResponse { r#type: WatchEventType::Reset.into(), ..Default::default() };
                            this.whole.push_back(wire::frame(&reset.encode_to_vec()));
                        }
                        None
                    }
                    Err(error) => this.broke(error),
                },
            };
            if let Some(trailers) = given_up {
                return Poll::Ready(Some(Ok(trailers)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Buf as _;
    use gyre_proto::common::v1::Operation;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    type Parts = Vec<Result<Frame<Bytes>, Status>>;

    fn operation(state: OperationState, percent: i32) -> Frame<Bytes> {
        let operation = Operation { state: state.into(), percent, ..Operation::default() };
        Frame::data(wire::frame(&operation.encode_to_vec()))
    }

    fn trailers(status: Status) -> Frame<Bytes> {
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers).unwrap();
        Frame::trailers(trailers)
    }

    fn body(parts: Parts) -> Body {
        Body::new(StreamBody::new(tokio_stream::iter(parts)))
    }

    /// What a watcher sees of streams that come one after the other: percents, and the last status.
    async fn seen(streams: Vec<Result<Parts, Error>>) -> (Vec<i32>, Code) {
        let (mut bytes, code, _) = whole(Watched::Operation, streams).await;
        let mut percents = Vec::new();
        while let Some((_, message, length)) = wire::unframe(&bytes) {
            percents.push(Operation::decode(message).unwrap().percent);
            bytes.advance(length);
        }
        assert!(bytes.is_empty());
        (percents, code)
    }

    /// All bytes that a watcher sees, the last status, and the positions from which the streams after the first were opened.
    async fn whole(watched: Watched, streams: Vec<Result<Parts, Error>>) -> (Bytes, Code, Vec<String>) {
        let mut streams = streams.into_iter();
        let first = body(streams.next().unwrap().unwrap());
        let rest = Mutex::new(streams);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let positions = Arc::clone(&asked);
        let open: Open = Box::new(move |position| {
            positions.lock().unwrap().push(position.to_owned());
            let next = rest.lock().unwrap().next().unwrap_or_else(|| Err(broken_off()));
            Box::pin(async move { next.map(body) })
        });
        let whole = Resumed::new(watched, first, open).collect().await.unwrap();
        let code = whole.trailers().and_then(Status::from_header_map).unwrap().code();
        let asked = asked.lock().unwrap().clone();
        (whole.to_bytes(), code, asked)
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_goes_on_from_its_last_position_or_begins_anew() {
        let event = |ty: WatchEventType, position: &str| {
            let event = WatchResponse { r#type: ty.into(), position: position.into(), ..Default::default() };
            Ok(Frame::data(wire::frame(&event.encode_to_vec())))
        };
        let cut = || Err(Status::unknown("reset"));
        use WatchEventType::{Added, Removed, Reset, Snapshot, Synced};
        let streams = vec![
            Ok(vec![event(Snapshot, ""), cut()]),
            Ok(vec![event(Snapshot, ""), event(Synced, "7"), event(Added, "9"), cut()]),
            Ok(vec![event(Removed, "12"), Ok(trailers(Status::new(Code::Ok, "")))]),
            Err(Error::new(Kind::FailedPrecondition, "POSITION_EXPIRED", "gone")),
        ];
        let (mut bytes, code, asked) = whole(Watched::List(String::new()), streams).await;
        let mut types = Vec::new();
        while let Some((_, message, length)) = wire::unframe(&bytes) {
            types.push(WatchResponse::decode(message).unwrap().r#type());
            bytes.advance(length);
        }
        assert_eq!(types, [Snapshot, Reset, Snapshot, Synced, Added, Removed]);
        assert_eq!((code, asked), (Code::FailedPrecondition, vec![String::new(), "9".into(), "12".into()]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_stream_goes_on() {
        use OperationState::{Running, Succeeded};
        let half = operation(Running, 30).into_data().unwrap().split_to(6);
        let good = || trailers(Status::new(Code::Ok, ""));
        let streams = vec![
            // the instance died in the middle of a message
            Ok(vec![Ok(operation(Running, 10)), Ok(Frame::data(half)), Err(Status::unknown("reset"))]),
            // nobody has a database
            Err(Error::unavailable("DATABASE_AWAY", "away")),
            // this one stops
            Ok(vec![Ok(operation(Running, 40)), Ok(trailers(Error::unavailable("SHUTTING_DOWN", "stops").into()))]),
            // and this one says that it is over although it is not
            Ok(vec![Ok(operation(Running, 50)), Ok(good())]),
            Ok(vec![Ok(operation(Succeeded, 100)), Ok(good())]),
        ];
        assert_eq!(seen(streams).await, (vec![10, 40, 50, 100], Code::Ok));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_go_by_is_told() {
        let running = || Ok(operation(OperationState::Running, 10));
        let gone = Error::new(Kind::NotFound, "NOT_FOUND", "there is no such operation");
        assert_eq!(seen(vec![Ok(vec![running()]), Err(gone)]).await, (vec![10], Code::NotFound));
        // nobody answers ever again
        let begin = Instant::now();
        assert_eq!(seen(vec![Ok(vec![running()])]).await, (vec![10], Code::Unavailable));
        assert!((PATIENCE..PATIENCE + LONGEST_WAIT * 2).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    }
}
