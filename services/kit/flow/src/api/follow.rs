//! Watching an operation wherever it is worked on, also while that changes.
//!
//! A watcher costs a receiver of the states that are shared by all of them, and no task: its stream is driven by whoever reads it.
//! It looks into the database only where this process does not have the operation in hand. What is shown never goes back: not to a lower
//! fence, and under one fence not to an earlier state. A passing fault is waited out and not shown.

use std::sync::Arc;
use std::time::Duration;

use gyre_mesh::member::View;
use gyre_model::{Caller, Error, Result, Uuid};
use gyre_proto::common::v1::{Operation, OperationState, WatchOperationRequest};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use super::{OperationApi, Place};
use crate::live::{Live, Seen};
use crate::record::ended;

/// The first wait where nobody has the operation in hand, or a fault must pass.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest such wait.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How long faults are waited out.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where states come from now.
enum Source {
    /// It is to be found out.
    Unknown,
    /// From this process.
    Here(Arc<Live>, watch::Receiver<Seen>),
    /// From another one: from this instance, or whichever the owner was.
    There(Box<Streaming<Operation>>, Option<Uuid>),
    /// No more will come.
    Over,
}

/// Somebody who watches an operation.
pub(super) struct Follower {
    api: OperationApi,
    caller: Caller,
    uuid: Uuid,
    source: Source,
    stop: CancellationToken,
    views: watch::Receiver<Arc<View>>,
    shown: Option<Progress>,
    /// Whether nothing was shown from the present source.
    new_source: bool,
    wait: Duration,
    faulty: Option<Instant>,
}

/// How far an operation is, as far as that never goes back under one fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Progress {
    fence: i64,
    state: u8,
    percent: i32,
}

impl Progress {
    fn of(operation: &Operation) -> Self {
        let state = match operation.state() {
            OperationState::Unspecified | OperationState::Queued => 0,
            OperationState::Running => 1,
            OperationState::Undoing => 2,
            OperationState::Stuck => 3,
            OperationState::Succeeded | OperationState::Failed | OperationState::Cancelled => 4,
        };
        Self { fence: operation.fence, state, percent: operation.percent }
    }
}

impl Follower {
    pub fn new(api: OperationApi, caller: Caller, uuid: Uuid) -> Self {
        let stop = api.flow.tasks().stopping();
        let views = api.flow.mesh().views();
        Self {
            api,
            caller,
            uuid,
            source: Source::Unknown,
            stop,
            views,
            shown: None,
            new_source: true,
            wait: FIRST_WAIT,
            faulty: None,
        }
    }

    /// The next state; nothing after the end, and where this process stops.
    pub async fn next(&mut self) -> Option<Result<Operation>> {
        let stop = self.stop.clone();
        stop.run_until_cancelled(self.step()).await.flatten()
    }

    async fn step(&mut self) -> Option<Result<Operation>> {
        loop {
            let operation = match &mut self.source {
                Source::Over => return None,
                // boxed: soon over, and larger than all that a watcher waits for
                Source::Unknown => match Box::pin(self.look()).await {
                    Ok(found) => found,
                    Err(error) => {
                        self.source = Source::Over;
                        return Some(Err(error));
                    }
                },
                Source::Here(live, seen) => {
                    if !self.new_source && seen.changed().await.is_err() {
                        self.source = Source::Unknown;
                        continue;
                    }
                    live.refresh();
                    let now = seen.borrow_and_update().clone();
                    if now.left && !ended(now.operation.state()) {
                        self.source = Source::Unknown;
                    }
                    Some(now.operation.as_ref().clone())
                }
                Source::There(stream, instance) => {
                    let next = tokio::select! {
                        next = stream.message() => next,
                        // who was paused or cut off still holds the stream, and is not in the ring any more
                        _ = self.views.changed() => {
                            let view = self.views.borrow_and_update();
                            if instance.is_none_or(|instance| view.all().all(|member| member.uuid != instance)) {
                                self.source = Source::Unknown;
                            }
                            continue;
                        }
                    };
                    match next {
                        Ok(Some(next)) => Some(next),
                        // its owner changed or died, or something on the way did: look again who it is
                        Ok(None) | Err(_) => {
                            self.source = Source::Unknown;
                            self.pause().await;
                            None
                        }
                    }
                }
            };
            if let Some(operation) = operation.and_then(|operation| self.fresh(operation)) {
                return Some(Ok(operation));
            }
        }
    }

    /// Finds out where the operation is worked on. Answers it where only the database has it.
    async fn look(&mut self) -> Result<Option<Operation>> {
        self.views.mark_unchanged();
        if let Some(live) = self.api.seen_here(&self.caller, self.uuid) {
            let seen = live.watch();
            self.new_source = true;
            self.found(Source::Here(live, seen));
            return Ok(None);
        }
        let (operation, place) = match self.api.place(self.caller, self.uuid).await {
            Ok(found) => found,
            Err(error) => return self.bear(error).await,
        };
        self.new_source = true;
        match place {
            Place::Ended => Ok(Some(operation)),
            Place::Here(live) => {
                let seen = live.watch();
                self.found(Source::Here(live, seen));
                Ok(None)
            }
            Place::There(channel, instance) => {
                let request = self.caller.request(WatchOperationRequest { uuid: self.uuid.to_string() });
                match super::client(channel).watch_operation(request).await {
                    Ok(response) => {
                        self.found(Source::There(Box::new(response.into_inner()), instance));
                        Ok(None)
                    }
                    Err(status) => self.bear(status.into()).await,
                }
            }
            Place::Nowhere => {
                self.faulty = None;
                if self.shown.is_some_and(|shown| shown >= Progress::of(&operation)) {
                    self.pause().await;
                }
                Ok(Some(operation))
            }
        }
    }

    fn found(&mut self, source: Source) {
        self.source = source;
        self.faulty = None;
        self.wait = FIRST_WAIT;
    }

    /// Waits a fault out that may pass.
    async fn bear(&mut self, error: Error) -> Result<Option<Operation>> {
        if gyre_store::is_away(&error) {
            // however long the database is away: the watcher need not ask for the same stream again
            self.pause().await;
            return Ok(None);
        }
        let since = *self.faulty.get_or_insert_with(Instant::now);
        if !error.kind().retryable() || since.elapsed() > PATIENCE {
            return Err(error);
        }
        self.pause().await;
        Ok(None)
    }

    async fn pause(&mut self) {
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
    }

    /// The state, if it does not go back behind what was shown.
    fn fresh(&mut self, operation: Operation) -> Option<Operation> {
        let progress = Progress::of(&operation);
        let new_source = std::mem::replace(&mut self.new_source, false);
        if let Some(shown) = self.shown {
            let back = (progress.fence, progress.state) < (shown.fence, shown.state);
            // what another source begins with was shown before, or is older; a step that is tried again may go back
            if back || (new_source && progress <= shown) {
                return None;
            }
        }
        self.shown = Some(progress);
        if ended(operation.state()) {
            self.source = Source::Over;
        }
        Some(operation)
    }
}
