//! What a step has at hand. Cheap to clone; steps take it by value.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gyre_mesh::telemetry::propagate;
use gyre_model::{Acting, Caller, Error, Kind, Result, Uuid, parse_uuid, time};
use gyre_proto::Message;
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::common::v1::{
    CancelOperationRequest, Operation, OperationEvent, OperationEventKind, OperationState, OperationStep,
    OperationStepState, WatchOperationRequest,
};
use gyre_query::Change;
use gyre_store::{Committed, Conn};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::live::Live;
use crate::record::{self, Record};
use crate::timeline::{self, Timeline};
use crate::var::{How, Uses, Var};
use crate::{Inner, debt, metrics};

/// How often a database that is away is asked what became of a commit.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Where the full name of the request's message lies among the variables: no variable of Rust has such a name.
pub(crate) const INPUT: &str = "gyre/request";

/// How long a child or a host may take to accept a cancel.
pub(crate) const CANCEL: Duration = Duration::from_secs(2);

/// Rows to write with a commit. It may run more than once, if the database goes away in a commit.
type RowWrite = Arc<dyn Fn(&mut Conn, &Change) -> Result<()> + Send + Sync>;

/// Rows that wait for the next commit, and the try of a step that they come from.
#[derive(Clone)]
pub(crate) struct Pending {
    attempt: u64,
    write: RowWrite,
}

/// What a step has at hand.
#[derive(Clone)]
pub struct Context {
    pub(crate) shared: Arc<Shared>,
    pub(crate) step: usize,
    pub(crate) undoing: bool,
    /// What the step says of variables.
    pub(crate) uses: Arc<Uses>,
}

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
    /// Counts tries of steps and undos.
    attempt: u64,
    /// The host of the present try's last task.
    host: Option<Uuid>,
    /// The operation of another service that the present step waits for: the service, and the UUID.
    awaited: Option<(&'static str, String)>,
    /// The tasks of the present try, by their hosts.
    pub tasks: Vec<(Uuid, String)>,
}

impl State {
    /// Notes that something happened.
    pub fn note(&mut self, kind: OperationEventKind) -> &mut OperationEvent {
        let event = timeline::event(&self.operation, kind);
        self.timeline.push(event)
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
                attempt: 0,
                host: None,
                awaited: None,
                tasks: Vec::new(),
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
        F: FnOnce(&mut Conn, &Change) -> Result<T> + Send + 'static,
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
                record::save(conn, uuid, &operation, &vars, timeline, commit)?;
                for pending in &pending {
                    (pending.write)(conn, &change)?;
                }
                write(conn, &change)
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

impl Shared {
    /// Asks what a broken-off step waited for to stop, too: tasks on hosts, and the operation of another service. The undo comes
    /// after them in their lanes, and should not wait for work that nobody wants any more.
    pub async fn cancel_awaited(&self) {
        tokio::join!(self.cancel_tasks(), self.cancel_child());
    }

    /// An operation that cannot be asked, or is past its point of no return, goes on.
    async fn cancel_child(&self) {
        let Some((service, uuid)) = self.state.lock().awaited.take() else { return };
        let mut client = OperationServiceClient::new(self.flow.mesh.channel(service));
        let mut request = self.caller.request(CancelOperationRequest { uuid: uuid.clone() });
        request.set_timeout(CANCEL);
        if let Err(status) = client.cancel_operation(request).await {
            tracing::debug!(operation = %uuid, error = %Error::from(status), "a child goes on");
        }
    }
}

impl Context {
    /// The operation.
    pub fn operation_uuid(&self) -> Uuid {
        self.shared.uuid
    }

    /// The resource that it works on.
    pub fn resource_uuid(&self) -> Uuid {
        self.shared.resource
    }

    /// On whose behalf it runs, with the right of this step: what others write for it they write only while that right holds
    /// ([`fence`](crate::fence)).
    pub fn caller(&self) -> Caller {
        self.shared.caller.acting(self.acting())
    }

    /// The right of this step.
    pub(crate) fn acting(&self) -> Acting {
        Acting { operation: self.shared.uuid, fence: self.fence(), undoing: self.undoing }
    }

    /// The operation's fence.
    pub fn fence(&self) -> i64 {
        self.shared.state.lock().operation.fence
    }

    /// Whether this step may have run before without this instance knowing how far it came: an undo then cannot tell from what
    /// is noted whether there is something to undo.
    pub fn may_have_run_before(&self) -> bool {
        !self.shared.state.lock().fresh
    }

    /// The request that asked for it.
    ///
    /// # Errors
    /// Bytes that are no such message: a fault of Gyre's.
    pub fn input<M: Message + Default>(&self) -> Result<M> {
        M::decode(self.shared.input.as_slice()).map_err(Error::internal)
    }

    /// Names this step of this operation: goes along with whatever it asks others to do, so that they recognize a repeat. The
    /// undo of a step has a name of its own.
    pub fn key(&self) -> String {
        let name = self.shared.state.lock().operation.steps.get(self.step).map(|step| step.name.clone());
        format!("{}/{}{}", self.shared.uuid, name.unwrap_or_default(), if self.undoing { "/undo" } else { "" })
    }

    /// What an earlier step found out, or this one in an earlier run.
    ///
    /// # Errors
    /// The step does not say that it reads it; it is there and of another type: faults of Gyre's.
    pub fn get<T: DeserializeOwned>(&self, var: &Var<T>) -> Result<Option<T>> {
        if !self.uses.reads(var.name()) {
            return Err(self.undeclared("reads", var.name(), "needs or may_use"));
        }
        self.look_up(var.name()).map(|value| serde_json::from_value(value).map_err(Error::internal)).transpose()
    }

    /// What an earlier step must have found out. Not for an undo, which must bear that nothing ran.
    ///
    /// # Errors
    /// The step does not say that it needs it; it is not there: faults of Gyre's.
    pub fn need<T: DeserializeOwned>(&self, var: &Var<T>) -> Result<T> {
        if self.undoing || !self.uses.needs(var.name()) {
            return Err(self.undeclared("needs", var.name(), "needs (an undo may only get)"));
        }
        self.get(var)?.ok_or_else(|| Error::internal(format!("no step has found out {:?}", var.name())))
    }

    /// Keeps what this step found out. It becomes durable with the next commit.
    ///
    /// # Errors
    /// The step does not say that it writes it; a value that has no JSON form: faults of Gyre's.
    pub fn set<T: Serialize>(&self, var: &Var<T>, value: &T) -> Result<()> {
        if !self.uses.writes(var.name()) {
            return Err(self.undeclared("writes", var.name(), "gives or notes"));
        }
        self.put(var.name().to_owned(), serde_json::to_value(value).map_err(Error::internal)?);
        Ok(())
    }

    /// Whether all is there that the step says it gives: asked once it succeeded.
    pub(crate) fn has_given(&self) -> Result<()> {
        match self.uses.names(How::Gives).find(|name| self.look_up(name).is_none()) {
            Some(name) => Err(self.undeclared("does not give", name, "notes")),
            None => Ok(()),
        }
    }

    fn undeclared(&self, does: &str, var: &str, remedy: &str) -> Error {
        Error::internal(format!(
            "step {} {does} {var:?}, against what it declares: declare it with {remedy}",
            self.key()
        ))
    }

    pub(crate) fn look_up(&self, name: &str) -> Option<Json> {
        self.shared.state.lock().vars.get(name).cloned()
    }

    pub(crate) fn put(&self, name: String, value: Json) {
        self.shared.state.lock().vars.insert(name, value);
    }

    /// The operation as it is now.
    pub(crate) fn operation(&self) -> Operation {
        self.shared.state.lock().operation.clone()
    }

    /// The request with the name of its message, where the instance that accepted it wrote that down.
    pub(crate) fn input_message(&self) -> Result<(Option<String>, &[u8])> {
        let name = self.look_up(INPUT).map(|name| serde_json::from_value(name).map_err(Error::internal)).transpose()?;
        Ok((name, &self.shared.input))
    }

    /// Tells how far this step is, for whoever watches. It does not go back: a child or another try begins anew, the step does not.
    pub fn progress(&self, percent: i32, message: impl Into<String>) {
        let message = message.into();
        self.shared.step(self.step, |step| {
            step.percent = step.percent.max(percent.clamp(0, 100));
            if !message.is_empty() {
                step.message = message;
            }
        });
    }

    /// Writes rows in the operation's next commit, which for most steps is its last. Dropped if the operation fails before.
    /// So are those of a try that failed: the next try writes them again.
    pub fn on_commit(&self, write: impl Fn(&mut Conn, &Change) -> Result<()> + Send + Sync + 'static) {
        let mut state = self.shared.state.lock();
        let attempt = state.attempt;
        state.pending.push(Pending { attempt, write: Arc::new(write) });
    }

    /// Forgets the rows that wait of the present try, as the end of a try that failed does.
    #[cfg(feature = "faults")]
    pub(crate) fn afresh(self) -> Self {
        {
            let mut state = self.shared.state.lock();
            let attempt = state.attempt;
            state.pending.retain(|pending| pending.attempt != attempt);
        }
        self
    }

    /// Notes for the operation's timeline that a task of this step runs on a host.
    pub(crate) fn runs_on(&self, host: Uuid) {
        self.shared.state.lock().host = Some(host);
    }

    /// Writes rows now, together with where the operation stands, under its fence.
    ///
    /// # Errors
    /// What the closure answers; `FENCED` where another instance has taken the operation.
    pub async fn commit<T, F>(&self, name: &'static str, write: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn, &Change) -> Result<T> + Send + 'static,
    {
        self.shared.commit(name, write).await
    }

    /// Reads from the database.
    ///
    /// # Errors
    /// What the closure answers.
    pub async fn read<T, F>(&self, name: &'static str, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        self.shared.flow.store.read(name, read).await
    }

    /// A request to another service on the caller's behalf, bounded by this time.
    pub fn request<M>(&self, message: M, limit: Duration) -> tonic::Request<M> {
        let mut request = self.caller().request(message);
        request.set_timeout(limit);
        request
    }

    /// A request whose answer is a stream that may take as long as it takes.
    pub fn stream_request<M>(&self, message: M) -> tonic::Request<M> {
        self.caller().request(message)
    }

    /// Waits for an operation that this step asked another service for, and tells its progress as this step's.
    ///
    /// # Errors
    /// Why it failed; that the service does not answer.
    pub fn await_operation(
        &self,
        service: &'static str,
        operation: Operation,
    ) -> impl Future<Output = Result<Operation>> + Send + use<'_> {
        // boxed here, since what an async function is given takes room in its future, and once more in each that it calls
        let operation = Box::new(operation);
        async move {
            self.shared.state.lock().awaited = Some((service, operation.uuid.clone()));
            let ended = self.follow_operation(service, operation).await;
            self.shared.state.lock().awaited = None;
            ended
        }
    }

    async fn follow_operation(&self, service: &'static str, operation: Box<Operation>) -> Result<Operation> {
        let channel = self.shared.flow.mesh.channel(service);
        let mut client = OperationServiceClient::new(channel);
        let uuid = operation.uuid.clone();
        let mut last = operation;
        let mut lost = 0;
        loop {
            if record::ended(last.state()) {
                return match last.error.take() {
                    Some(error) if last.state() != OperationState::Succeeded => Err(error.into()),
                    _ if last.state() == OperationState::Succeeded => Ok(*last),
                    _ => Err(Error::new(Kind::Cancelled, "CANCELLED", format!("operation {uuid} was cancelled"))),
                };
            }
            if last.state() == OperationState::Stuck {
                return Err(self.stuck(&uuid).await);
            }
            let request = self.stream_request(WatchOperationRequest { uuid: uuid.clone() });
            match Box::pin(client.watch_operation(request)).await {
                Ok(response) => {
                    let mut stream = response.into_inner();
                    lost += 1;
                    while let Ok(Some(next)) = stream.message().await {
                        lost = 0;
                        if next.state() == OperationState::Stuck {
                            *last = next;
                            break;
                        }
                        let doing = next.steps.iter().find(|step| step.state() == OperationStepState::Running);
                        self.progress(next.percent, doing.map(|step| step.message.clone()).unwrap_or_default());
                        *last = next;
                    }
                }
                Err(status) => {
                    let error = Error::from(status);
                    lost += 1;
                    if !error.kind().retryable() || lost > 10 {
                        return Err(error);
                    }
                }
            }
            if !record::ended(last.state()) {
                // the stream broke: its owner may have changed
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Why an operation that this step waits for rests: where that is a host, this one waits for the same.
    async fn stuck(&self, uuid: &str) -> Error {
        let text = format!("operation {uuid} is stuck and looked after again");
        let error = Error::unavailable(debt::STUCK, text);
        let Some(uuid) = parse_uuid(uuid) else { return error };
        match self.read("debt-of-child", move |conn| debt::awaited_host(conn, uuid)).await {
            Ok(Some(host)) => error.with("host_uuid", host.to_string()).with(debt::AWAITS_HOST, "true"),
            Ok(None) | Err(_) => error,
        }
    }

    /// The trace that this operation belongs to, for work that leaves the process otherwise than by a call.
    pub fn trace_parent(&self) -> String {
        propagate::traceparent()
    }

    /// Now, in microseconds since 1970.
    pub fn now(&self) -> i64 {
        time::now_micros()
    }
}
