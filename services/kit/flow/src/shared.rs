//! An operation under way, as the engine and its steps share it: what it is, what changed since its last commit, who is told of
//! that and when, and the commits.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gyre_model::{Caller, Error, Kind, Result, Uuid, parse_uuid};
use gyre_proto::common::v1::{
    Operation, OperationEvent, OperationEventKind, OperationState, OperationStep, OperationStepState, OperationTimeline,
};
use gyre_query::Change;
use gyre_store::{Committed, Conn};
use parking_lot::Mutex;
use serde_json::{Map, Value as Json};

use crate::live::Live;
use crate::record::{self, Record, Saved};
use crate::timeline::{self, Timeline};
use crate::{Inner, audit, metrics};

/// How often a database that is away is asked what became of a commit.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Rows to write with a commit. It may run more than once, if the database goes away in a commit.
type RowWrite = Arc<dyn Fn(&mut Conn, &Change) -> Result<()> + Send + Sync>;

/// Rows that wait for the next commit, and the try of a step that they come from.
#[derive(Clone)]
pub(crate) struct Pending {
    pub attempt: u64,
    pub write: RowWrite,
}

/// An operation under way.
pub(crate) struct Shared {
    pub flow: Arc<Inner>,
    pub live: Arc<Live>,
    pub uuid: Uuid,
    pub resource: Uuid,
    pub caller: Caller,
    pub input: Vec<u8>,
    pub state: Mutex<State>,
    /// Held over a commit until it is known what became of it.
    committing: tokio::sync::Mutex<()>,
}

/// What changes while an operation runs.
pub(crate) struct State {
    pub operation: Operation,
    pub vars: Map<String, Json>,
    pub pending: Vec<Pending>,
    pub timeline: Timeline,
    /// Whether a debt is in the database.
    pub owes: bool,
    /// Whether none of the steps can have run before this instance began.
    pub fresh: bool,
    /// Whether it holds something that was prepared and is not durable yet: nobody is shown it meanwhile.
    pub untold: bool,
    /// How many of the newest events came while it did: they are not told either.
    untold_events: usize,
    /// Counts tries of steps and undos.
    pub attempt: u64,
    /// The host of the present try's last task.
    pub host: Option<Uuid>,
    /// The operation of another service that the present step waits for: the service, and the UUID.
    pub awaited: Option<(&'static str, String)>,
    /// The tasks of the present try, by their hosts.
    pub tasks: Vec<(Uuid, String)>,
    /// What a step keeps in memory for later ones.
    pub kept: Option<Arc<dyn Any + Send + Sync>>,
}

impl State {
    /// Notes that something happened.
    pub fn note(&mut self, kind: OperationEventKind) -> &mut OperationEvent {
        let event = timeline::event(&self.operation, kind);
        self.untold_events += usize::from(self.untold);
        self.timeline.push(event)
    }

    /// What happened, as far as it may be told.
    pub fn told(&self) -> OperationTimeline {
        self.timeline.to_message(if self.untold { self.untold_events } else { 0 })
    }

    /// Notes that something happened to a step, in the present try.
    fn note_step(&mut self, at: usize, kind: OperationEventKind) -> &mut OperationEvent {
        let (step, attempt) = match self.operation.steps.get(at) {
            Some(step) => (step.name.clone(), step.attempts),
            None => (String::new(), 0),
        };
        let host_uuid = self.host.map(|host| host.to_string()).unwrap_or_default();
        let event = self.note(kind);
        *event = OperationEvent { step, attempt, host_uuid, ..std::mem::take(event) };
        event
    }

    /// Works out how far the operation is from how far its steps are.
    fn measure(&mut self) {
        let steps = &self.operation.steps;
        let sum: i32 = steps
            .iter()
            .map(|step| match step.state() {
                OperationStepState::Done => 100,
                OperationStepState::Running => step.percent.clamp(0, 99),
                OperationStepState::Unspecified
                | OperationStepState::Pending
                | OperationStepState::Failed
                | OperationStepState::Undone => 0,
            })
            .sum();
        let percent = sum / i32::try_from(steps.len().max(1)).unwrap_or(1);
        self.operation.percent = match self.operation.state() {
            OperationState::Succeeded => 100,
            // an operation that does not go forward any more says how far it came
            OperationState::Undoing | OperationState::Failed | OperationState::Cancelled => self.operation.percent,
            _ => percent.min(99),
        };
    }
}

/// One try of a step or its undo.
pub(crate) struct Attempt {
    number: u64,
    began: Instant,
}

impl Shared {
    pub fn new(flow: Arc<Inner>, live: Arc<Live>, record: Record) -> Result<Self> {
        let Record { operation, input, vars, admin, timeline, owes, fresh, .. } = record;
        let uuid = |text: &str| parse_uuid(text).ok_or_else(|| Error::internal("an operation without UUIDs"));
        Ok(Self {
            flow,
            live,
            uuid: uuid(&operation.uuid)?,
            resource: uuid(&operation.resource_uuid)?,
            caller: Caller::of(parse_uuid(&operation.account_uuid).unwrap_or_default(), admin),
            input,
            state: Mutex::new(State {
                operation,
                vars,
                pending: Vec::new(),
                timeline,
                owes,
                fresh,
                untold: false,
                untold_events: 0,
                attempt: 0,
                host: None,
                awaited: None,
                tasks: Vec::new(),
                kept: None,
            }),
            committing: tokio::sync::Mutex::default(),
        })
    }

    /// Shows the operation to watchers if it has changed.
    pub fn show_if_stale(&self) {
        self.show(&mut self.state.lock());
    }

    fn show(&self, state: &mut State) {
        if self.live.stale() && !state.untold {
            state.measure();
            self.live.copy(state.operation.clone());
        }
    }

    /// Changes the operation in memory and tells whoever watches.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let result = change(&mut state);
        self.live.changed();
        result
    }

    /// Changes the operation in memory alone: an end is told once it is durable, so that who hears of it can rely on it.
    pub fn prepare<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        self.show(&mut state);
        state.untold = true;
        state.untold_events = 0;
        let result = change(&mut state);
        state.measure();
        result
    }

    /// Changes the operation after what was prepared became durable, or was taken back: it may be told again.
    pub fn settle<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.change(|state| {
            state.untold = false;
            change(state)
        })
    }

    /// Changes a step.
    pub fn step<T>(&self, at: usize, change: impl FnOnce(&mut OperationStep) -> T) -> Option<T> {
        self.change(|state| state.operation.steps.get_mut(at).map(change))
    }

    /// A try of a step or its undo begins.
    pub fn attempt(&self, at: usize, kind: OperationEventKind, change: impl FnOnce(&mut OperationStep)) -> Attempt {
        self.change(|state| {
            state.attempt += 1;
            state.host = None;
            state.tasks.clear();
            state.operation.steps.get_mut(at).map(change);
            state.note_step(at, kind);
            Attempt { number: state.attempt, began: Instant::now() }
        })
    }

    /// It ended. Rows that a failed try left for the next commit are dropped: its repeat leaves them again.
    pub fn attempted(
        &self,
        at: usize,
        attempt: &Attempt,
        kind: OperationEventKind,
        failed: Option<&Error>,
        change: impl FnOnce(&mut OperationStep),
    ) {
        let took = attempt.began.elapsed();
        self.change(|state| {
            if failed.is_some() {
                state.pending.retain(|pending| pending.attempt != attempt.number);
            }
            state.operation.steps.get_mut(at).map(change);
            let host = failed.and_then(host_of);
            let event = state.note_step(at, kind);
            event.duration = Some(duration(took));
            if let Some(error) = failed {
                event.message = error.to_string();
            }
            if let (Some(host), true) = (host, event.host_uuid.is_empty()) {
                event.host_uuid = host.to_string();
            }
        });
    }

    /// Makes where the operation stands durable, with the rows that wait and those of the closure, under the fence. A commit
    /// that got no answer is looked for until the database tells. So an error means that nothing was written; but for `FENCED`,
    /// after which this instance does nothing more for the operation.
    pub async fn commit<T, F>(&self, name: &'static str, write: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Conn, &Change) -> Result<T> + Send + 'static,
    {
        self.commit_seeing(name, move |conn, change, _| write(conn, change)).await
    }

    /// The same for a closure that looks at what the operation's rows told when they were written.
    pub async fn commit_seeing<T, F>(&self, name: &'static str, write: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Conn, &Change, Saved) -> Result<T> + Send + 'static,
    {
        let _one_at_a_time = self.committing.lock().await;
        let commit = Uuid::new_v4();
        let (operation, vars, timeline, pending) = {
            let mut state = self.state.lock();
            state.measure();
            (state.operation.clone(), state.vars.clone(), state.timeline.to_bytes(), state.pending.clone())
        };
        let (uuid, change, written) = (self.uuid, Change::of(self.caller, self.uuid), pending.len());
        let outcome = self
            .flow
            .store
            .commit(name, move |conn| {
                let saved = record::save(conn, uuid, &operation, &vars, &timeline, commit)?;
                for pending in &pending {
                    (pending.write)(conn, &change)?;
                }
                let written = write(conn, &change, saved)?;
                audit::ended(conn, change.caller, &operation)?;
                Ok(written)
            })
            .await?;
        let result = match outcome {
            Committed::Done(result) => result,
            Committed::Unknown(result, error) => self.find_out(commit, error).await.map(|()| result)?,
        };
        self.state.lock().pending.drain(..written);
        metrics::committed(self.flow.service, name);
        Ok(result)
    }

    /// Whether a commit happened that got no answer: Ok if it did.
    async fn find_out(&self, commit: Uuid, unknown: Error) -> Result<()> {
        let uuid = self.uuid;
        loop {
            if self.flow.may_start().is_err() {
                // it must not be done again here, also if this instance may work again in a moment: whoever goes on with the
                // operation reads how it stands
                return Err(Error::new(
                    Kind::Aborted,
                    "FENCED",
                    format!("left to whoever goes on: {}", unknown.message()),
                ));
            }
            match self.flow.store.write("find-commit", move |conn| record::committed(conn, uuid, commit)).await {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    let text = "the database went away before a commit, and nothing was changed; try again";
                    return Err(Error::unavailable("DATABASE_AWAY", text));
                }
                Err(error) if gyre_store::is_away(&error) || error.kind() == Kind::Aborted => {
                    tracing::debug!(operation = %uuid, %error, "it is not known yet whether a commit happened");
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The host that an error is about.
pub(crate) fn host_of(error: &Error) -> Option<Uuid> {
    parse_uuid(error.metadata().get("host_uuid")?)
}

fn duration(time: Duration) -> gyre_proto::Duration {
    gyre_proto::Duration {
        seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(time.subsec_nanos()).unwrap_or(0),
    }
}
