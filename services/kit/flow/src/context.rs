//! What a step has at hand. Cheap to clone; steps take it by value.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use gyre_mesh::MeshChannel;
use gyre_mesh::telemetry::propagate;
use gyre_model::{Acting, Caller, Error, Result, Uuid, time};
use gyre_proto::common::v1::Operation;
use gyre_proto::{Message, Named};
use gyre_query::Change;
use gyre_store::Conn;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::shared::{Pending, Shared};
use crate::var::{How, Uses, Var};
use crate::{Flow, Submit};

/// Where the full name of the request's message lies among the variables: no variable of Rust has such a name.
pub(crate) const INPUT: &str = "gyre/request";

/// What a step has at hand.
#[derive(Clone)]
pub struct Context {
    pub(crate) shared: Arc<Shared>,
    pub(crate) step: usize,
    pub(crate) undoing: bool,
    /// What the step says of variables.
    pub(crate) uses: Arc<Uses>,
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

    /// Writes rows now, together with where the operation stands, under its fence. The closure may run again where it was undone with
    /// one that shared its transaction.
    ///
    /// # Errors
    /// What the closure answers; `FENCED` where another instance has taken the operation.
    pub async fn commit<T, F>(&self, name: &'static str, write: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Conn, &Change) -> Result<T> + Send + 'static,
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

    /// What a step of this operation has kept in memory ([`Context::keep`]), where this process ran it.
    pub fn kept<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(self.shared.state.lock().kept.as_ref()?).downcast().ok()
    }

    /// Keeps something in memory for later steps: what was read, and cannot change while the operation goes on. It is a saving and nothing
    /// to rely on, since another process that goes on does not have it. One thing is kept at a time.
    pub fn keep<T: Any + Send + Sync>(&self, value: T) -> Arc<T> {
        let value = Arc::new(value);
        self.shared.state.lock().kept = Some(Arc::clone(&value) as Arc<dyn Any + Send + Sync>);
        value
    }

    /// Asks for another operation on a resource of this service, on Gyre's own behalf, once whatever is done next is over: what
    /// is owed after this one has ended. A repeat of the step asks for the same one.
    ///
    /// # Errors
    /// Those of [`Flow::submit`](crate::Flow::submit).
    pub async fn follow_up<M: Named>(&self, workflow: &'static str, resource: Uuid, input: &M) -> Result<Operation> {
        let flow = Flow::of(Arc::clone(&self.shared.flow));
        let key = self.key();
        let submit = Submit { caller: Caller::system(), workflow, resource, request_id: &key, input };
        Box::pin(flow.submit(submit, |_, _| Ok(()))).await
    }

    /// A channel to another service.
    pub(crate) fn channel(&self, service: &'static str) -> MeshChannel {
        self.shared.flow.mesh.channel(service)
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

    /// The trace that this operation belongs to, for work that leaves the process otherwise than by a call.
    pub fn trace_parent(&self) -> String {
        propagate::traceparent()
    }

    /// Now, in microseconds since 1970.
    pub fn now(&self) -> i64 {
        time::now_micros()
    }
}
