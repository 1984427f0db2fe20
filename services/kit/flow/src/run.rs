//! Running one operation: forward through its steps, or back.
//!
//! Thousands of operations wait in their steps at once, and each costs the room of its future. So what is rarely on the way, or soon
//! over, is boxed where it is awaited, and takes room only while it lasts: a future is as large as the largest thing that it may
//! wait for.

use std::sync::Arc;
use std::time::Duration;

use gyre_model::{Error, Kind, Result, time};
use gyre_proto::common::v1::{Operation, OperationEventKind as Event, OperationState, OperationStepState};
use gyre_query::Change;
use gyre_store::Conn;

use crate::Inner;
use crate::context::Context;
use crate::debt::{self, Rest};
use crate::definition::Retry;
use crate::engine::{Interrupted, past, stopping, undoing};
use crate::metrics;
use crate::record::Saved;
use crate::registry::{self, Step, Workflow};
use crate::shared::Shared;

/// How an undo is tried again before the operation rests as `STUCK`.
const UNDO_RETRY: Retry = Retry { attempts: 6, first_ms: 100 };
/// How a step past the point of no return is tried again before the operation rests as `STUCK`.
const LAST_RETRY: Retry = Retry { attempts: 10, first_ms: 100 };
/// How long an undo, or a step past the point of no return, may take before it is tried again.
const NO_END: Duration = Duration::from_secs(600);
/// How often what an undo needs is looked for while it is away.
const AWAY: Duration = Duration::from_secs(1);
/// How often a commit that met another change of the same rows is tried again.
const CONFLICTS: u32 = 20;

type Ran<T> = std::result::Result<T, Interrupted>;

/// A step that failed, and why.
struct Failed {
    at: usize,
    error: Error,
}

/// One run of an operation.
pub(crate) struct Run<'a> {
    pub flow: &'a Arc<Inner>,
    pub shared: Arc<Shared>,
    pub workflow: Arc<Workflow>,
    /// When the call was accepted, in microseconds since 1970.
    pub began: i64,
}

impl Run<'_> {
    /// Runs it as far as it goes here.
    pub async fn drive(self) -> Ran<()> {
        let cause = {
            let state = self.shared.state.lock();
            let back = undoing(&self.workflow, &state.operation);
            let why = || Error::internal("an operation is undone for no reason");
            back.then(|| state.operation.error.clone().map_or_else(why, Error::from))
        };
        match cause {
            Some(cause) => Box::pin(self.back(cause)).await?,
            None => {
                if let Some(failed) = self.forward().await? {
                    Box::pin(self.turn_back(failed)).await?;
                }
            }
        }
        let (workflow, state) = {
            let state = self.shared.state.lock();
            (state.operation.workflow.clone(), state.operation.state())
        };
        if state == OperationState::Stuck {
            return Ok(());
        }
        let took = Duration::from_micros(u64::try_from(time::now_micros() - self.began).unwrap_or(0));
        metrics::ended(&workflow, state.as_str_name(), took);
        tracing::info!(state = state.as_str_name(), ?took, "operation ended");
        Ok(())
    }

    /// Ends an operation that was cancelled while it waited for its resource: none of its steps ran, so only what the call wrote
    /// is taken back, by the undo of the first step. It stays queued until its one commit, since another operation has the
    /// resource. False where that does not work now.
    pub async fn end_waiting(self) -> Ran<bool> {
        if let Some(undo) = &self.workflow.steps[0].undo
            && self.try_undo(0, undo).await?.is_err()
        {
            return Ok(false);
        }
        self.shared.prepare(|state| {
            state.operation.set_state(OperationState::Cancelled);
            state.operation.error = Some((&cancelled()).into());
            state.operation.end_time = Some(time::now());
        });
        match self.end("end-waiting").await {
            Ok(()) => {
                metrics::ended(&self.workflow.definition.name, OperationState::Cancelled.as_str_name(), Duration::ZERO);
                Ok(true)
            }
            Err(error) if out_of_hand(&error) => Err(Interrupted(error)),
            Err(error) => {
                tracing::warn!(%error, "a cancelled operation waits on");
                Ok(false)
            }
        }
    }

    /// Whether the point of no return was passed.
    fn past(&self, operation: &Operation) -> bool {
        past(&self.workflow, operation)
    }

    fn context(&self, step: usize, undoing: bool) -> Context {
        let uses = Arc::clone(&self.workflow.steps[step].uses);
        Context { shared: Arc::clone(&self.shared), step, undoing, uses }
    }

    /// Runs the steps that are not done. Answers which one failed.
    async fn forward(&self) -> Ran<Option<Failed>> {
        let count = self.workflow.steps.len();
        let first = {
            let state = self.shared.state.lock();
            state.operation.steps.iter().position(|step| step.state() != OperationStepState::Done).unwrap_or(count)
        };
        for at in first..count {
            // one that was done before an operator inserted another in front of it
            let done = self.shared.state.lock().operation.steps[at].state() == OperationStepState::Done;
            if done {
                continue;
            }
            if let Err(error) = self.step(at).await? {
                return Ok(Some(Failed { at, error }));
            }
        }
        self.shared.prepare(|state| {
            state.operation.set_state(OperationState::Succeeded);
            state.operation.error = None;
            state.operation.end_time = Some(time::now());
        });
        match Box::pin(self.end("end-operation")).await {
            Ok(()) => Ok(None),
            Err(error) if out_of_hand(&error) => Err(Interrupted(error)),
            // the rows of the last commit refused: the last step did not do its work
            Err(error) => {
                self.shared.settle(|state| {
                    state.operation.set_state(OperationState::Running);
                    state.operation.end_time = None;
                });
                self.shared.step(count - 1, |step| step.set_state(OperationStepState::Failed));
                Ok(Some(Failed { at: count - 1, error }))
            }
        }
    }

    /// Runs one step, as often as its definition allows.
    async fn step(&self, at: usize) -> Ran<Result<()>> {
        let named = &self.workflow.definition.steps[at];
        let past = self.workflow.definition.steps[..=at].iter().any(|step| step.point_of_no_return);
        let cancel = &self.shared.live.cancel;
        if !past && cancel.is_cancelled() {
            return Ok(Err(cancelled()));
        }
        if named.point_of_no_return
            && let Err(error) = Box::pin(self.pass(at)).await?
        {
            return Ok(Err(error));
        }
        let retry = if past { LAST_RETRY } else { named.retry };
        let mut tried = 0;
        loop {
            tried += 1;
            let Err(error) = self.try_step(at, past).await? else { return Ok(Ok(())) };
            if waits(&error) {
                // the step is not to blame: it has as many tries as before
                tried -= 1;
            }
            let again = (past || error.kind().retryable() || waits(&error))
                && tried < retry.attempts
                && error.reason() != "DEADLINE"
                && !(past && debt::host_is_away(&error));
            if !again {
                return Ok(Err(error));
            }
            metrics::retried(&self.workflow.definition.name);
            tracing::debug!(step = named.step, tried, %error, "step is tried again");
            let wait = error.retry().unwrap_or_else(|| retry.wait(tried)).min(Duration::from_secs(5));
            self.shared.change(|state| {
                if let Some(step) = state.operation.steps.get_mut(at) {
                    step.message = format!("tried again: {}", error.message());
                }
                let event = state.note(Event::StepRetried);
                event.step.clone_from(&named.step);
                event.attempt = i32::try_from(tried).unwrap_or(i32::MAX);
                event.message = format!("tried again in {wait:?}");
            });
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = cancel.cancelled(), if !past => return Ok(Err(cancelled())),
            }
        }
    }

    /// Passes the point of no return: from here on a successor must go forward, so it must know. A cancel that was accepted before
    /// is kept; from this commit on none is accepted.
    async fn pass(&self, at: usize) -> Ran<Result<()>> {
        let passed = self.past(&self.shared.state.lock().operation);
        if passed {
            return Ok(Ok(()));
        }
        if self.shared.live.cancel.is_cancelled() {
            return Ok(Err(cancelled()));
        }
        let name = self.workflow.definition.steps[at].step.clone();
        // told once it is durable
        self.shared.prepare(|state| {
            if let Some(step) = state.operation.steps.get_mut(at) {
                step.set_state(OperationStepState::Running);
            }
            state.note(Event::PointOfNoReturn).step = name;
        });
        let passed = self.commit_with(
            "point-of-no-return",
            move |_, _, saved| {
                if saved.cancel { Err(cancelled()) } else { Ok(()) }
            },
        );
        match passed.await {
            Ok(()) => {
                self.shared.settle(|_| ());
                Ok(Ok(()))
            }
            Err(error) if out_of_hand(&error) => Err(Interrupted(error)),
            Err(error) => {
                self.shared.settle(|state| {
                    if let Some(step) = state.operation.steps.get_mut(at) {
                        step.set_state(OperationStepState::Pending);
                    }
                    state.timeline.take_back(Event::PointOfNoReturn);
                });
                Ok(Err(error))
            }
        }
    }

    /// One try of a step.
    async fn try_step(&self, at: usize, past: bool) -> Ran<Result<()>> {
        stopping(self.flow)?;
        let named = &self.workflow.definition.steps[at];
        let attempt = self.shared.attempt(at, Event::StepStarted, |step| {
            step.set_state(OperationStepState::Running);
            step.attempts += 1;
            step.start_time.get_or_insert_with(time::now);
        });
        let work = run_step(&self.workflow.steps[at], self.context(at, false), &named.step);
        let (left, limit) = self.time_left(at);
        let result = if past {
            let longest = named.deadline().unwrap_or(NO_END).min(NO_END);
            tokio::time::timeout(longest, work).await.unwrap_or_else(|_| Err(no_end(&named.step, longest)))
        } else {
            let result = tokio::select! {
                biased;
                () = self.shared.live.cancel.cancelled() => Err(cancelled()),
                result = work => result,
                () = tokio::time::sleep(left) => Err(too_late(limit, &named.step, &self.workflow.definition.name)),
            };
            if result.is_err() {
                Box::pin(self.shared.cancel_awaited()).await;
            }
            result
        };
        match result {
            Ok(()) => {
                self.shared.attempted(at, &attempt, Event::StepDone, None, |step| {
                    step.set_state(OperationStepState::Done);
                    step.percent = 100;
                    step.end_time = Some(time::now());
                });
                Ok(Ok(()))
            }
            Err(error) if error.reason() == "FENCED" && error.kind() == Kind::Aborted => Err(Interrupted(error)),
            Err(error) => {
                self.shared.attempted(at, &attempt, Event::StepFailed, Some(&error), |_| ());
                Ok(Err(error))
            }
        }
    }

    /// How long a step may still take, and which limit that is: the step's own or the workflow's.
    fn time_left(&self, at: usize) -> (Duration, Limit) {
        let left = |from: i64, limit: Duration| {
            let until = from.saturating_add(i64::try_from(limit.as_micros()).unwrap_or(i64::MAX));
            Duration::from_micros(u64::try_from(until.saturating_sub(time::now_micros())).unwrap_or(0))
        };
        let whole = Duration::from_secs(self.workflow.definition.deadline_seconds);
        let of_workflow = (left(self.began, whole), Limit::Workflow(whole));
        let Some(own) = self.workflow.definition.steps[at].deadline() else { return of_workflow };
        let began = self.shared.state.lock().operation.steps[at].start_time.as_ref().map(time::to_micros);
        let of_step = (left(began.unwrap_or_else(time::now_micros), own), Limit::Step(own));
        if of_step.0 < of_workflow.0 { of_step } else { of_workflow }
    }

    /// Goes back from a step that failed; or lets the operation rest where it is past the point of no return.
    async fn turn_back(&self, failed: Failed) -> Ran<()> {
        let Failed { at, error } = failed;
        let past = self.shared.change(|state| {
            let past = self.past(&state.operation);
            if let Some(step) = state.operation.steps.get_mut(at) {
                // one that did not begin leaves nothing to undo, and no point of no return behind it
                if step.state() != OperationStepState::Pending {
                    step.set_state(OperationStepState::Failed);
                }
                step.end_time = Some(time::now());
                step.message = error.message().to_owned();
            }
            past
        });
        if past {
            self.shared.change(|state| {
                // rows that were refused would be refused again: the step writes them anew
                state.pending.clear();
                state.operation.error = Some((&error).into());
            });
            return self.rest(at, false, error).await;
        }
        tracing::info!(%error, "operation is undone");
        self.shared.change(|state| {
            state.pending.clear();
            state.operation.set_state(OperationState::Undoing);
            state.operation.error = Some((&error).into());
            state.note(Event::UndoBegan).message = error.to_string();
        });
        // The change of course must be durable first: a successor must not go forward over what is half undone.
        match self.commit("begin-undo").await {
            Ok(()) => {}
            Err(refused) if out_of_hand(&refused) => return Err(Interrupted(refused)),
            Err(refused) => {
                tracing::error!(%error, %refused, "what an operation failed with cannot be written down");
                let plain = Error::new(
                    error.kind(),
                    "UNSPEAKABLE",
                    "the operation failed for a reason that the database refuses",
                );
                self.shared.change(|state| {
                    state.operation.steps.iter_mut().for_each(|step| step.message.clear());
                    state.operation.error = Some((&plain).into());
                    state.timeline.take_back(Event::UndoBegan);
                });
                self.commit("begin-undo").await.map_err(Interrupted)?;
            }
        }
        self.back(error).await
    }

    /// Undoes what was done, from the step that failed backwards.
    async fn back(&self, cause: Error) -> Ran<()> {
        let last = {
            let state = self.shared.state.lock();
            let ran = state.operation.steps.iter().rposition(|step| {
                matches!(
                    step.state(),
                    OperationStepState::Done | OperationStepState::Running | OperationStepState::Failed
                )
            });
            // that the point of no return was reached would be durable
            let steps = &self.workflow.definition.steps;
            let count = steps.iter().position(|step| step.point_of_no_return).unwrap_or(steps.len());
            undo_from(ran, count, state.fresh)
        };
        for at in (0..=last).rev() {
            let undone = self.shared.state.lock().operation.steps.get(at).map(|step| step.state());
            if undone == Some(OperationStepState::Undone) {
                continue;
            }
            if let Some(undo) = &self.workflow.steps[at].undo
                && let Err(error) = self.undo(at, undo).await?
            {
                return self.rest(at, true, error).await;
            }
            self.shared.step(at, |step| step.set_state(OperationStepState::Undone));
        }
        self.shared.prepare(|state| {
            let cancelled = cause.kind() == Kind::Cancelled;
            let end = if cancelled { OperationState::Cancelled } else { OperationState::Failed };
            state.operation.set_state(end);
            state.operation.end_time = Some(time::now());
        });
        match self.end("end-undo").await {
            Ok(()) => Ok(()),
            Err(error) if out_of_hand(&error) => Err(Interrupted(error)),
            Err(error) => {
                tracing::error!(%error, "the last rows of an undo were refused");
                // what they belong to is not undone: the next time begins from there
                self.shared.settle(|state| {
                    state.pending.clear();
                    for step in state.operation.steps.iter_mut().take(last + 1) {
                        step.set_state(OperationStepState::Failed);
                    }
                    state.operation.end_time = None;
                });
                self.rest(last, true, error).await
            }
        }
    }

    /// Undoes one step, trying again what may pass.
    async fn undo(&self, at: usize, undo: &registry::Run) -> Ran<Result<()>> {
        let name = &self.workflow.definition.steps[at].step;
        let mut tried = 0;
        loop {
            tried += 1;
            let Err(error) = self.try_undo(at, undo).await? else { return Ok(Ok(())) };
            tracing::warn!(step = %name, tried, %error, "a step cannot be undone yet");
            if waits(&error) {
                tried -= 1;
                tokio::time::sleep(AWAY).await;
                continue;
            }
            // a host that is away does not come back within a few tries
            if tried >= UNDO_RETRY.attempts || debt::host_is_away(&error) {
                return Ok(Err(error));
            }
            tokio::time::sleep(UNDO_RETRY.wait(tried)).await;
        }
    }

    /// One try to undo a step.
    async fn try_undo(&self, at: usize, undo: &registry::Run) -> Ran<Result<()>> {
        stopping(self.flow)?;
        let name = &self.workflow.definition.steps[at].step;
        let attempt = self.shared.attempt(at, Event::StepUndoStarted, |_| ());
        let span = tracing::info_span!("undo", step = %name);
        let work = tracing::Instrument::instrument(undo(self.context(at, true)), span);
        match tokio::time::timeout(NO_END, work).await.unwrap_or_else(|_| Err(no_end(name, NO_END))) {
            Ok(()) => {
                self.shared.attempted(at, &attempt, Event::StepUndoDone, None, |_| ());
                Ok(Ok(()))
            }
            Err(error) if error.reason() == "FENCED" => Err(Interrupted(error)),
            Err(error) => {
                self.shared.attempted(at, &attempt, Event::StepUndoFailed, Some(&error), |step| {
                    step.message = format!("not undone yet: {}", error.message());
                });
                Ok(Err(error))
            }
        }
    }

    /// Lets the operation rest, and notes what it owes; it is looked after again.
    async fn rest(&self, at: usize, undoing: bool, error: Error) -> Ran<()> {
        let step = self.workflow.definition.steps[at].step.clone();
        let (uuid, resource) = (self.shared.uuid, self.shared.resource);
        tracing::error!(operation = %uuid, %resource, step, undoing, %error, "operation is stuck");
        // told once it is durable: who sees it may ask for another try
        let operation = self.shared.prepare(|state| {
            state.operation.set_state(OperationState::Stuck);
            let event = state.note(Event::Stuck);
            event.step.clone_from(&step);
            event.message = error.to_string();
            state.operation.clone()
        });
        let rest = Arc::new(Rest { step, undoing, error });
        self.commit_with("rest-operation", move |conn, _, _| debt::owe(conn, &operation, &rest))
            .await
            .map_err(Interrupted)?;
        self.shared.settle(|state| state.owes = true);
        Ok(())
    }

    /// The last commit, after which whoever watches is told how it ended, exactly as it stands in the database.
    async fn end(&self, name: &'static str) -> Result<()> {
        let uuid = self.shared.uuid;
        let (may_be_cancelled, owes) = {
            let mut state = self.shared.state.lock();
            let end = state.operation.state();
            let event = state.note(Event::Ended);
            event.message = crate::api::short(end);
            (end == OperationState::Succeeded && !self.past(&state.operation), state.owes)
        };
        let settle = move |conn: &mut Conn, _: &Change, saved: Saved| {
            // a cancel that was accepted before this commit is kept
            if may_be_cancelled && saved.cancel {
                return Err(cancelled());
            }
            if owes {
                debt::settle(conn, uuid)?;
            }
            Ok(saved)
        };
        match self.commit_with(name, settle).await {
            Ok(saved) => {
                let mut state = self.shared.state.lock();
                state.untold = false;
                state.operation.generation = saved.generation;
                state.operation.update_time = Some(time::from_micros(saved.time));
                let operation = state.operation.clone();
                self.flow.callbacks.ended(&operation);
                self.shared.live.end(operation);
                Ok(())
            }
            Err(error) => {
                self.shared.state.lock().timeline.take_back(Event::Ended);
                Err(error)
            }
        }
    }

    /// A commit of the engine's own.
    async fn commit(&self, name: &'static str) -> Result<()> {
        self.commit_with(name, |_, _, _| Ok(())).await
    }

    /// A commit that waits for a database that is away, since there is nothing better to do.
    async fn commit_with<T, F>(&self, name: &'static str, write: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Conn, &Change, Saved) -> Result<T> + Clone + Send + 'static,
    {
        let mut conflicts = 0;
        loop {
            match self.shared.commit_seeing(name, write.clone()).await {
                // another change of the same rows came first; the closures read them again
                Err(error) if error.kind() == Kind::Aborted && error.reason() != "FENCED" && conflicts < CONFLICTS => {
                    conflicts += 1;
                    tokio::time::sleep(Duration::from_millis(5 * u64::from(conflicts))).await;
                }
                Err(error) if (error.kind() == Kind::Unavailable || waits(&error)) && self.flow.may_start().is_ok() => {
                    tracing::warn!(%error, "an operation waits for the database");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                result => return result,
            }
        }
    }
}

/// From which step an undo goes backwards; `ran`: the last that ran as far as this instance knows; `fresh`: whether no other
/// instance can have run any. Steps need no commit of their own, so whoever took the operation over under way does not know how far
/// the one before it came, and undoes all: an undo bears a step that never ran. What waited in a lane until this instance had it
/// is fresh, whoever had it before: its turn is durable before its first step.
pub(crate) fn undo_from(ran: Option<usize>, count: usize, fresh: bool) -> usize {
    if fresh { ran.unwrap_or(0) } else { count.saturating_sub(1) }
}

async fn run_step(step: &Step, context: Context, name: &str) -> Result<()> {
    let span = tracing::info_span!("step", step = %name);
    tracing::Instrument::instrument((step.run)(context.clone()), span).await?;
    context.has_given()
}

/// Whether a commit failed in a way after which the operation is its next owner's, or this instance's once it may work again:
/// [`Run::commit_with`] gives up on a database that is away only when this instance may not go on.
fn out_of_hand(error: &Error) -> bool {
    error.reason() == "FENCED" || error.kind() == Kind::Unavailable || waits(error)
}

/// Whether what failed is the ground that all steps stand on: the database is away, or an instance that is asked cannot prove its
/// membership. That is waited for, as long as the operation has time.
fn waits(error: &Error) -> bool {
    gyre_store::is_away(error) || error.reason() == "NO_LEASE"
}

fn no_end(step: &str, limit: Duration) -> Error {
    Error::new(Kind::DeadlineExceeded, "STEP_TIMEOUT", format!("step {step} did not end within {limit:?}"))
}

/// Which limit a step ran into.
#[derive(Debug, Clone, Copy)]
enum Limit {
    Step(Duration),
    Workflow(Duration),
}

fn too_late(limit: Limit, step: &str, workflow: &str) -> Error {
    let text = match limit {
        Limit::Step(limit) => format!("step {step} of {workflow} did not end within {} s", limit.as_secs()),
        Limit::Workflow(limit) => format!("{workflow} did not end within {} s", limit.as_secs()),
    };
    Error::new(Kind::DeadlineExceeded, "DEADLINE", text)
}

fn cancelled() -> Error {
    Error::new(Kind::Cancelled, "CANCELLED", "the operation was cancelled")
}
