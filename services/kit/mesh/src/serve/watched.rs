//! A stream that a service answers, watched to its end: by its deadline, by shutdown, for panics, and for the metrics.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use bytes::Bytes;
use gyre_model::{Behalf, Error, behalf};
use http_body::{Body as HttpBody, Frame};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;

use super::deadline::Deadline;
use crate::channel::trailers;
use crate::context::{self, Context};
use crate::reason;
use crate::tasks::panic_text;
use crate::telemetry::metrics::{self, Known};

/// The body of a stream.
pub(super) struct Watched {
    body: Body,
    known: &'static Known,
    started: Instant,
    deadline: Deadline,
    timer: Option<Pin<Box<Sleep>>>,
    /// Of a stream to another process: it is waited for at shutdown, and so must end.
    refusing: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    context: Context,
    behalf: Behalf,
    span: Span,
    /// How it ended, once it did.
    ended: Option<Code>,
    _under_way: Option<TaskTrackerToken>,
}

impl Watched {
    pub(super) fn new(
        body: Body,
        known: &'static Known,
        started: Instant,
        deadline: Deadline,
        (context, behalf): (Context, Behalf),
        span: Span,
        counted: Option<(TaskTrackerToken, CancellationToken)>,
    ) -> Self {
        let timer = deadline.at().map(|at| Box::pin(tokio::time::sleep_until(at.into())));
        let (under_way, refusing) = counted.unzip();
        let refusing = refusing.map(|token| Box::pin(token.cancelled_owned()));
        Self {
            body,
            known,
            started,
            deadline,
            timer,
            refusing,
            context,
            behalf,
            span,
            ended: None,
            _under_way: under_way,
        }
    }

    /// Ends it with an error.
    fn cut(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let status = Status::from(error);
        self.ended = Some(status.code());
        self.body = Body::empty();
        Poll::Ready(Some(trailers(&status).map(Frame::trailers)))
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.ended.is_some() {
            return Poll::Ready(None);
        }
        if this.refusing.as_mut().is_some_and(|refusing| refusing.as_mut().poll(cx).is_ready()) {
            let text = format!("{} ended: this instance shuts down", this.known.info.path);
            return this.cut(Error::unavailable(reason::DRAINING, text));
        }
        if this.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready()) {
            return this.cut(this.deadline.exceeded());
        }
        let (context, whose, span, body) = (this.context, this.behalf, &this.span, &mut this.body);
        let poll = || Pin::new(body).poll_frame(cx);
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| {
            span.in_scope(|| behalf::sync_scope(whose, || context::sync_scope(context, poll)))
        }));
        let polled = match polled {
            Ok(polled) => polled,
            Err(panic) => {
                metrics::panicked();
                return this.cut(Error::internal(format!("stream panicked: {}", panic_text(&*panic))));
            }
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    let code =
                        trailers.get(Status::GRPC_STATUS).map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
                    this.ended = Some(code);
                }
            }
            Poll::Ready(Some(Err(status))) => this.ended = Some(status.code()),
            Poll::Ready(None) => this.ended = Some(Code::Ok),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.ended.is_some() || self.body.is_end_stream()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Whoever drops it before its end did not want the rest.
        self.known.metrics.count(self.ended.unwrap_or(Code::Cancelled), self.started.elapsed());
    }
}
