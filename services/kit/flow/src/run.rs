//! Running one operation: forward through its steps, or back.

use std::sync::Arc;
use std::time::Duration;

use gyre_model::{Error, Kind, Result, time};
use gyre_proto::common::v1::{Operation, OperationState, OperationStepState};
use gyre_query::Change;
use gyre_store::{Conn, Sql};

use crate::Inner;
use crate::context::{Context, Shared};
use crate::definition::Retry;
use crate::engine::{Interrupted, stopping, undoing};
use crate::metrics;
use crate::record;
use crate::registry::{Step, Workflow};

/// How an undo is tried again before the operation rests as `STUCK`.
const UNDO_RETRY: Retry = Retry { attempts: 6, first_ms: 100 };
/// How a step past the point of no return is tried again before the operation rests as `STUCK`.
const LAST_RETRY: Retry = Retry { attempts: 10, first_ms: 100 };
/// How long an undo, or a step past the point of no return, may take before it is tried again.
const NO_END: Duration = Duration::from_secs(600);
/// How often a commit that met another change of the same rows is tried again.
const CONFLICTS: u32 = 20;

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
    pub async fn drive(self) -> std::result::Result<(), Interrupted> {
        let back = {
            let state = self.shared.state.lock();
            undoing(&state.operation) && !self.past(&state.operation)
        };
        let failed = if back {
            let error = self.shared.state.lock().operation.error.clone();
            Some(error.map_or_else(|| Error::internal("an operation is undone for no reason"), Error::from))
        } else {
            self.forward().await?
        };
        if let Some(error) = failed {
            self.back(error, back).await?;
        }
        let operation = self.shared.state.lock().operation.clone();
        if operation.state() == OperationState::Stuck {
            return Ok(());
        }
        let took = Duration::from_micros(u64::try_from(time::now_micros() - self.began).unwrap_or(0));
        metrics::ended(&operation.workflow, operation.state().as_str_name(), took);
        tracing::info!(state = operation.state().as_str_name(), ?took, "operation ended");
        Ok(())
    }

    /// Whether the point of no return was passed.
    fn past(&self, operation: &Operation) -> bool {
        self.workflow
            .definition
            .steps
            .iter()
            .zip(&operation.steps)
            .any(|(named, step)| named.point_of_no_return && step.state() != OperationStepState::Pending)
    }

    fn context(&self, step: usize, undoing: bool) -> Context {
        Context { shared: Arc::clone(&self.shared), step, undoing }
    }

    /// Runs the steps that are not done. Answers why one failed, with its state set so.
    async fn forward(&self) -> std::result::Result<Option<Error>, Interrupted> {
        let count = self.workflow.steps.len();
        let first = {
            let state = self.shared.state.lock();
            state.operation.steps.iter().position(|step| step.state() != OperationStepState::Done).unwrap_or(count)
        };
        for at in first..count {
            if let Err(error) = self.step(at).await? {
                self.shared.step(at, |step| {
                    step.set_state(OperationStepState::Failed);
                    step.end_time = Some(time::now());
                    step.message = error.message().to_owned();
                });
                return Ok(Some(error));
            }
        }
        self.shared.prepare(|operation| {
            operation.set_state(OperationState::Succeeded);
            operation.error = None;
            operation.end_time = Some(time::now());
        });
        match self.end("end-operation").await {
            Ok(()) => Ok(None),
            Err(error) if error.reason() == "FENCED" => Err(Interrupted(error)),
            // the rows of the last commit refused: the last step did not do its work
            Err(error) => {
                self.shared.change(|operation| {
                    operation.set_state(OperationState::Running);
                    operation.end_time = None;
                });
                self.shared.step(count - 1, |step| step.set_state(OperationStepState::Failed));
                Ok(Some(error))
            }
        }
    }

    async fn step(&self, at: usize) -> std::result::Result<Result<()>, Interrupted> {
        let named = &self.workflow.definition.steps[at];
        let step = &self.workflow.steps[at];
        let past = self.workflow.definition.steps[..=at].iter().any(|step| step.point_of_no_return);
        let cancel = &self.shared.live.cancel;
        if !past && cancel.is_cancelled() {
            return Ok(Err(cancelled()));
        }
        if named.point_of_no_return {
            // from here on a successor must go forward, so it must know
            self.shared.step(at, |step| step.set_state(OperationStepState::Running));
            if let Err(error) = self.commit("point-of-no-return").await {
                return if error.reason() == "FENCED" { Err(Interrupted(error)) } else { Ok(Err(error)) };
            }
        }
        let retry = if past { LAST_RETRY } else { named.retry };
        let mut tried = 0;
        loop {
            stopping(self.flow)?;
            tried += 1;
            self.shared.step(at, |step| {
                step.set_state(OperationStepState::Running);
                step.attempts += 1;
                step.percent = 0;
                step.start_time.get_or_insert_with(time::now);
            });
            let left = self.time_left();
            let work = run_step(step, self.context(at, false), &named.step);
            let result = if past {
                tokio::time::timeout(NO_END, work).await.unwrap_or_else(|_| Err(no_end(&named.step)))
            } else {
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => Err(cancelled()),
                    result = work => result,
                    () = tokio::time::sleep(left) => Err(self.too_late()),
                }
            };
            let error = match result {
                Ok(()) => {
                    self.shared.step(at, |step| {
                        step.set_state(OperationStepState::Done);
                        step.percent = 100;
                        step.end_time = Some(time::now());
                    });
                    return Ok(Ok(()));
                }
                Err(error) => error,
            };
            if error.reason() == "FENCED" && error.kind() == Kind::Aborted {
                return Err(Interrupted(error));
            }
            let again = (past || error.kind().retryable()) && tried < retry.attempts && error.reason() != "DEADLINE";
            if !again {
                return Ok(Err(error));
            }
            metrics::retried(&self.workflow.definition.name);
            tracing::debug!(step = named.step, tried, %error, "step is tried again");
            self.shared.step(at, |step| step.message = format!("tried again: {}", error.message()));
            let wait = error.retry().unwrap_or_else(|| retry.wait(tried)).min(Duration::from_secs(5));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = cancel.cancelled(), if !past => return Ok(Err(cancelled())),
            }
        }
    }

    fn time_left(&self) -> Duration {
        let limit =
            i64::try_from(self.workflow.definition.deadline_seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let left = self.began.saturating_add(limit) - time::now_micros();
        Duration::from_micros(u64::try_from(left).unwrap_or(0))
    }

    fn too_late(&self) -> Error {
        Error::new(
            Kind::DeadlineExceeded,
            "DEADLINE",
            format!(
                "{} did not end within {} s",
                self.workflow.definition.name, self.workflow.definition.deadline_seconds
            ),
        )
    }

    /// Undoes what was done, from the step that failed backwards; or lets the operation rest where that is not possible.
    async fn back(&self, error: Error, resumed: bool) -> std::result::Result<(), Interrupted> {
        let past = {
            let state = self.shared.state.lock();
            self.past(&state.operation)
        };
        if past {
            return self.rest(Some(&error)).await;
        }
        self.shared.state.lock().pending.clear();
        if !resumed {
            tracing::info!(%error, "operation is undone");
            self.shared.change(|operation| {
                operation.set_state(OperationState::Undoing);
                operation.error = Some((&error).into());
            });
            // The change of course must be durable first: a successor must not go forward over what is half undone.
            self.commit("begin-undo").await.map_err(Interrupted)?;
        }
        let last = {
            let state = self.shared.state.lock();
            state.operation.steps.iter().rposition(|step| {
                matches!(
                    step.state(),
                    OperationStepState::Done | OperationStepState::Running | OperationStepState::Failed
                )
            })
        };
        for at in (0..=last.unwrap_or(0)).rev() {
            let undone = self.shared.state.lock().operation.steps.get(at).map(|step| step.state());
            if undone == Some(OperationStepState::Undone) {
                continue;
            }
            if let Some(undo) = &self.workflow.steps[at].undo
                && !self.undo(at, undo).await?
            {
                return self.rest(None).await;
            }
            self.shared.step(at, |step| step.set_state(OperationStepState::Undone));
        }
        self.shared.prepare(|operation| {
            let state =
                if error.kind() == Kind::Cancelled { OperationState::Cancelled } else { OperationState::Failed };
            operation.set_state(state);
            operation.end_time = Some(time::now());
        });
        match self.end("end-undo").await {
            Ok(()) => Ok(()),
            Err(error) if error.reason() == "FENCED" => Err(Interrupted(error)),
            Err(error) => {
                tracing::error!(%error, "the last rows of an undo were refused");
                self.shared.state.lock().pending.clear();
                // what they belong to is not undone: the next time begins from there
                self.shared.change(|operation| {
                    for step in operation.steps.iter_mut().take(last.unwrap_or(0) + 1) {
                        step.set_state(OperationStepState::Failed);
                    }
                    operation.end_time = None;
                });
                self.rest(None).await
            }
        }
    }

    async fn undo(&self, at: usize, undo: &crate::registry::Run) -> std::result::Result<bool, Interrupted> {
        let name = &self.workflow.definition.steps[at].step;
        for tried in 1..=UNDO_RETRY.attempts {
            stopping(self.flow)?;
            let span = tracing::info_span!("undo", step = %name);
            let work = tracing::Instrument::instrument(undo(self.context(at, true)), span);
            match tokio::time::timeout(NO_END, work).await.unwrap_or_else(|_| Err(no_end(name))) {
                Ok(()) => return Ok(true),
                Err(error) if error.reason() == "FENCED" => return Err(Interrupted(error)),
                Err(error) => {
                    tracing::warn!(step = %name, tried, %error, "a step cannot be undone yet");
                    self.shared.step(at, |step| step.message = format!("not undone yet: {}", error.message()));
                    if tried < UNDO_RETRY.attempts {
                        tokio::time::sleep(UNDO_RETRY.wait(tried)).await;
                    }
                }
            }
        }
        Ok(false)
    }

    /// Lets the operation rest; it is looked after again.
    async fn rest(&self, error: Option<&Error>) -> std::result::Result<(), Interrupted> {
        self.shared.change(|operation| {
            operation.set_state(OperationState::Stuck);
            if let Some(error) = error {
                operation.error = Some(error.into());
            }
        });
        tracing::error!(operation = %self.shared.uuid, resource = %self.shared.resource, "operation is stuck");
        self.commit("rest-operation").await.map_err(Interrupted)
    }

    /// The last commit, after which whoever watches is told how it ended, exactly as it stands in the database.
    async fn end(&self, name: &'static str) -> Result<()> {
        let uuid = self.shared.uuid;
        let may_be_cancelled = {
            let state = self.shared.state.lock();
            state.operation.state() == OperationState::Succeeded && !self.past(&state.operation)
        };
        let read = move |conn: &mut Conn| {
            // a cancel that was accepted before this commit is kept
            if may_be_cancelled && record::is_cancelled(conn, uuid)? {
                return Err(cancelled());
            }
            let found: Vec<Operation> = gyre_query::select(conn, Sql::new("uuid = ").bind(uuid))?;
            found.into_iter().next().ok_or_else(|| Error::internal("an operation went away under its own commit"))
        };
        let operation = self.commit_with(name, move |conn, _| read(conn)).await?;
        self.shared.state.lock().operation = operation.clone();
        self.shared.live.now.send_replace(operation);
        Ok(())
    }

    /// A commit of the engine's own.
    async fn commit(&self, name: &'static str) -> Result<()> {
        self.commit_with(name, |_, _| Ok(())).await
    }

    /// A commit that waits for a database that is away, since there is nothing better to do.
    async fn commit_with<T, F>(&self, name: &'static str, write: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Conn, &Change) -> Result<T> + Clone + Send + 'static,
    {
        let mut conflicts = 0;
        loop {
            match self.shared.commit(name, write.clone()).await {
                // another change of the same rows came first; the closures read them again
                Err(error) if error.kind() == Kind::Aborted && error.reason() != "FENCED" && conflicts < CONFLICTS => {
                    conflicts += 1;
                    tokio::time::sleep(Duration::from_millis(5 * u64::from(conflicts))).await;
                }
                Err(error) if error.kind() == Kind::Unavailable && self.flow.may_start().is_ok() => {
                    tracing::warn!(%error, "an operation waits for the database");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                result => return result,
            }
        }
    }
}

async fn run_step(step: &Step, context: Context, name: &str) -> Result<()> {
    let span = tracing::info_span!("step", step = %name);
    tracing::Instrument::instrument((step.run)(context), span).await
}

fn no_end(step: &str) -> Error {
    Error::new(Kind::DeadlineExceeded, "STEP_TIMEOUT", format!("step {step} did not end within {NO_END:?}"))
}

fn cancelled() -> Error {
    Error::new(Kind::Cancelled, "CANCELLED", "the operation was cancelled")
}
