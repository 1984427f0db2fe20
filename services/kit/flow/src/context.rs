//! What a step has at hand. Cheap to clone; steps take it by value.

use std::sync::Arc;
use std::time::Duration;

use gyre_mesh::telemetry::propagate;
use gyre_model::{Acting, Caller, Error, Kind, Result, Uuid, parse_uuid, time};
use gyre_proto::Message;
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::common::v1::{Operation, OperationState, OperationStep, OperationStepState, WatchOperationRequest};
use gyre_query::Change;
use gyre_store::Conn;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::Inner;
use crate::live::Live;
use crate::record::{self, Record};

/// Rows to write with a commit. It may run more than once, if the database goes away in a commit.
type RowWrite = Arc<dyn Fn(&mut Conn, &Change) -> Result<()> + Send + Sync>;

/// What a step has at hand.
#[derive(Clone)]
pub struct Context {
    pub(crate) shared: Arc<Shared>,
    pub(crate) step: usize,
    pub(crate) undoing: bool,
}

pub(crate) struct Shared {
    pub flow: Arc<Inner>,
    pub live: Arc<Live>,
    pub uuid: Uuid,
    pub resource: Uuid,
    pub caller: Caller,
    pub input: Vec<u8>,
    pub state: Mutex<State>,
}

/// What changes while an operation runs.
pub(crate) struct State {
    pub operation: Operation,
    pub vars: Map<String, Json>,
    pub pending: Vec<RowWrite>,
}

impl Shared {
    pub fn new(flow: Arc<Inner>, live: Arc<Live>, record: Record) -> Result<Self> {
        let Record { operation, input, vars, admin, .. } = record;
        let uuid = |text: &str| parse_uuid(text).ok_or_else(|| Error::internal("an operation without UUIDs"));
        Ok(Self {
            flow,
            live,
            uuid: uuid(&operation.uuid)?,
            resource: uuid(&operation.resource_uuid)?,
            caller: Caller::of(parse_uuid(&operation.account_uuid).unwrap_or_default(), admin),
            input,
            state: Mutex::new(State { operation, vars, pending: Vec::new() }),
        })
    }

    /// Changes the operation in memory and tells whoever watches.
    pub fn change<T>(&self, change: impl FnOnce(&mut Operation) -> T) -> T {
        let result = self.prepare(change);
        self.live.now.send_replace(self.state.lock().operation.clone());
        result
    }

    /// Changes the operation in memory alone: an end is told once it is durable, so that who hears of it can rely on it.
    pub fn prepare<T>(&self, change: impl FnOnce(&mut Operation) -> T) -> T {
        let mut state = self.state.lock();
        let result = change(&mut state.operation);
        let steps = &state.operation.steps;
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
        state.operation.percent = match state.operation.state() {
            OperationState::Succeeded => 100,
            // an operation that does not go forward any more says how far it came
            OperationState::Undoing | OperationState::Failed | OperationState::Cancelled => state.operation.percent,
            _ => percent.min(99),
        };
        result
    }

    pub fn step<T>(&self, at: usize, change: impl FnOnce(&mut OperationStep) -> T) -> Option<T> {
        self.change(|operation| operation.steps.get_mut(at).map(change))
    }

    /// Makes where the operation stands durable, with the rows that wait and those of the closure, under the fence.
    pub async fn commit<T, F>(&self, name: &'static str, write: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn, &Change) -> Result<T> + Send + 'static,
    {
        let (operation, vars, pending) = {
            let state = self.state.lock();
            (state.operation.clone(), state.vars.clone(), state.pending.clone())
        };
        let (uuid, change, written) = (self.uuid, Change::of(self.caller, self.uuid), pending.len());
        let result = self
            .flow
            .store
            .write(name, move |conn| {
                record::save(conn, uuid, &operation, &vars)?;
                for write in &pending {
                    write(conn, &change)?;
                }
                write(conn, &change)
            })
            .await?;
        self.state.lock().pending.drain(..written);
        Ok(result)
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
    /// It is there and of another type: a fault of Gyre's.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let found = self.shared.state.lock().vars.get(name).cloned();
        found.map(|value| serde_json::from_value(value).map_err(Error::internal)).transpose()
    }

    /// What an earlier step must have found out.
    ///
    /// # Errors
    /// It did not: a fault of Gyre's.
    pub fn need<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.get(name)?.ok_or_else(|| Error::internal(format!("no step has found out {name:?}")))
    }

    /// Keeps what this step found out for later ones. It becomes durable with the next commit.
    ///
    /// # Errors
    /// A value that has no JSON form: a fault of Gyre's.
    pub fn set<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let value = serde_json::to_value(value).map_err(Error::internal)?;
        self.shared.state.lock().vars.insert(name.to_owned(), value);
        Ok(())
    }

    /// Tells how far this step is, for whoever watches.
    pub fn progress(&self, percent: i32, message: impl Into<String>) {
        let message = message.into();
        self.shared.step(self.step, |step| {
            step.percent = percent.clamp(0, 100);
            if !message.is_empty() {
                step.message = message;
            }
        });
    }

    /// Writes rows in the operation's next commit, which for most steps is its last. Dropped if the operation fails before.
    pub fn on_commit(&self, write: impl Fn(&mut Conn, &Change) -> Result<()> + Send + Sync + 'static) {
        self.shared.state.lock().pending.push(Arc::new(write));
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
    pub async fn await_operation(&self, service: &'static str, operation: Operation) -> Result<Operation> {
        let channel = self.shared.flow.mesh.channel(service);
        let mut client = OperationServiceClient::new(channel);
        let uuid = operation.uuid.clone();
        let mut last = operation;
        let mut lost = 0;
        loop {
            if record::ended(last.state()) {
                return match last.error.take() {
                    Some(error) if last.state() != OperationState::Succeeded => Err(error.into()),
                    _ if last.state() == OperationState::Succeeded => Ok(last),
                    _ => Err(Error::new(Kind::Cancelled, "CANCELLED", format!("operation {uuid} was cancelled"))),
                };
            }
            if last.state() == OperationState::Stuck {
                return Err(Error::unavailable(
                    "OPERATION_STUCK",
                    format!("operation {uuid} is stuck and looked after again"),
                ));
            }
            let request = self.stream_request(WatchOperationRequest { uuid: uuid.clone() });
            match client.watch_operation(request).await {
                Ok(response) => {
                    let mut stream = response.into_inner();
                    lost += 1;
                    while let Ok(Some(next)) = stream.message().await {
                        lost = 0;
                        if next.state() == OperationState::Stuck {
                            last = next;
                            break;
                        }
                        let doing = next.steps.iter().find(|step| step.state() == OperationStepState::Running);
                        self.progress(next.percent, doing.map(|step| step.message.clone()).unwrap_or_default());
                        last = next;
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

    /// The trace that this operation belongs to, for work that leaves the process otherwise than by a call.
    pub fn trace_parent(&self) -> String {
        propagate::traceparent()
    }

    /// Now, in microseconds since 1970.
    pub fn now(&self) -> i64 {
        time::now_micros()
    }
}
