//! Operations and durable workflows: work on one resource that either finishes or is undone, whoever dies on the way.
//!
//! # Theory
//! Who owns the record: the row in `operation` is written by the instance whose fence stands in it, and by nobody else. The
//! ground rules:
//!
//! 1. An operation is durable before its caller hears of it: [`Flow::submit`] writes it, the rows that its call makes, and the
//!    request id in one commit.
//! 2. All work on one resource meets at the resource's owner. One unique index says who has its turn: the database lets one
//!    operation run on a resource at a time. What does not get its turn at once waits in the resource's lane (a queue in
//!    memory); an owner that woke up too early meets the index. Who is next is decided when the resource is free: users before
//!    housekeeping, which is not passed over for ever ([`queue`]).
//! 3. Every later write of an operation names its fence, and finds no row once another instance took the next one. Then the
//!    loser stops where it is ([`Interrupted`](engine)), and writes nothing.
//! 4. A step runs at least once, and is idempotent under (operation, step): [`Context::key`] goes along with every call and
//!    task, so that whoever does the work recognizes a repeat.
//! 5. Outcomes of steps gather in memory and share the next commit: a workflow without faults costs two, the first and the last,
//!    however many steps it has. Which steps need their record before the next may start, and how they say so:
//!    - one that found something out which a repeat would find out otherwise, and which others rely on from then on (it drew
//!      at random, it read a state that it then changes itself): [`Context::commit`] in the step;
//!    - one whose doer cannot recognize a repeat: the same, before it asks;
//!    - one that cannot be undone: `point_of_no_return`, and the engine commits before it begins, since from then on a
//!      successor must go forward;
//!    - a step that failed: the change of course is committed before the first undo, since a successor that went forward
//!      again would do so over what is half undone.
//!
//!    That is enough: of all other steps a successor knows nothing, runs them again under the same key, and gets from their doer
//!    what the first run got; or undoes them, which bears a step that never ran. Rows that a step changes when all is well wait for
//!    the last commit with [`Context::on_commit`], so they are there with the end or not at all; those of a try that failed are
//!    dropped with it.
//! 6. When a step fails, undo runs backwards from that step, that step included, and must bear a step that never ran, ran half,
//!    or was undone before. Who took the operation over begins with the last step before the point of no return, since by rule 5 it
//!    does not know how far the one before it came. What cannot be undone rests as `STUCK`, and a row in `debt` says what it owes (`debt`): nothing
//!    that it holds is given back before. It is tried again when its time comes, when the host that it waits for is back, or when
//!    somebody asks. Past the point of no return there is no undo: the rest is tried until it succeeds, and may be owed too.
//! 7. An operation whose instance is gone from the ring is taken by the resource's owner, with the next fence (`recovery`;
//!    which ones is decided by [`choose`]). One whose instance is there is left alone, also when the ring moved its resource: it
//!    ends where it is, and calls about it go there.
//! 8. Progress is told to watchers from memory and is not written. What happened is kept as events (`timeline`) that become durable
//!    with whatever commit comes next.
//! 9. A step's calls and tasks carry its right to act: the operation, the fence and the direction. Whoever writes for it checks in
//!    the same transaction that the right still holds ([`fence`]), and agents refuse tasks of a lower one. So neither an instance that was
//!    replaced nor a step that was broken off by a cancel can change anything after the undo has passed.
//!
//! What stops each race: two submits (the lane, then the index), two takers (the compare-and-set of the fence), a submit twice
//! with one request id (the primary key of `request`), a cancel against the end (the last commit reads whether one was accepted), a
//! cancel of what waits against its turn (whoever lets it begin or end holds its lock; in another instance, the fence).

mod api;
mod audit;
pub mod bin;
mod callback;
mod check;
mod child;
mod compose;
mod context;
mod debt;
mod definition;
pub mod delete;
mod engine;
#[cfg(feature = "faults")]
pub mod faults;
pub mod fence;
mod lane;
mod layout;
pub mod letters;
mod live;
mod metrics;
mod overrides;
mod overview;
mod plugin;
pub mod process;
pub mod queue;
mod record;
mod recovery;
mod registry;
mod request;
mod run;
mod shape;
mod shared;
#[cfg(test)]
mod simulation;
mod submit;
mod task;
pub mod tidy;
mod timeline;
mod var;

pub use api::OperationApi;
pub use context::Context;
pub use delete::{Delete, Wanted};
pub use overview::{StepOverview, WorkflowOverview};
pub use record::busy;
pub use recovery::choose;
pub use registry::Steps;
pub use request::{once, once_new};
pub use submit::Submit;
pub use var::Var;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gyre_mesh::Mesh;
use gyre_mesh::tasks::{Activator, Tasks};
use gyre_model::{Error, Result};
use gyre_proto::common::v1::Lane;
use gyre_store::Store;
use parking_lot::RwLock;
use tokio::sync::Notify;

use lane::Lanes;
use live::LiveOperations;
use registry::Registry;

/// How often unfinished operations are looked for when nothing points at one.
const SCAN_PERIOD: Duration = Duration::from_secs(2);

/// The engine of one service in one process. Cheap to clone.
#[derive(Clone)]
pub struct Flow {
    inner: Arc<Inner>,
}

/// Tells of lanes that a service has beside those of its resources.
type LaneSource = Box<dyn Fn() -> Vec<Lane> + Send + Sync>;

pub(crate) struct Inner {
    pub service: &'static str,
    pub mesh: Mesh,
    pub store: Store,
    pub tasks: Tasks,
    pub registry: Registry,
    pub lanes: Lanes,
    pub live: LiveOperations,
    pub scan: Notify,
    pub lane_sources: RwLock<Vec<LaneSource>>,
    pub callbacks: callback::Callbacks,
    pub refusals: audit::refusals::Refusals,
    quiet: AtomicBool,
}

impl Flow {
    /// An engine without workflows.
    pub fn new(service: &'static str, mesh: Mesh, store: Store) -> Self {
        metrics::store();
        let tasks = Tasks::new();
        let refusals = audit::refusals::Refusals::start(&tasks, &mesh, &store);
        Self {
            inner: Arc::new(Inner {
                service,
                mesh,
                store,
                tasks,
                registry: Registry::default(),
                lanes: Lanes::default(),
                live: LiveOperations::default(),
                scan: Notify::new(),
                lane_sources: RwLock::default(),
                callbacks: callback::Callbacks::default(),
                refusals,
                quiet: AtomicBool::new(false),
            }),
        }
    }

    pub(crate) fn of(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// Adds the steps of a service and the workflows that are made of them, after checking one against the other.
    ///
    /// # Errors
    /// A definition that cannot be read, names a step that is not registered, or leaves a step without undo and
    /// without a reason, or needs what no step before it gives.
    pub fn register(&self, steps: Steps, definitions: &[&str]) -> Result<()> {
        self.register_with(steps, definitions, None)
    }

    /// The same, with the workflows changed as the files in an operator's directory say.
    ///
    /// # Errors
    /// Those of [`Flow::register`]; a file that cannot be read or does not fit, with its name, the place in it and the remedy.
    pub fn register_with(&self, steps: Steps, definitions: &[&str], directory: Option<&Path>) -> Result<()> {
        self.inner.registry.add(self.inner.service, &self.inner.mesh, &steps, definitions, directory)
    }

    /// Adds lanes that the service works beside those of its resources to what `ListLanes` answers. Service and instance are filled
    /// in.
    pub fn lane_source(&self, lanes: impl Fn() -> Vec<Lane> + Send + Sync + 'static) {
        self.inner.lane_sources.write().push(Box::new(lanes));
    }

    /// Starts to look for operations that somebody left unfinished, and for callbacks that are due.
    pub fn start(&self) {
        recovery::start(&self.inner);
        callback::start(&self.inner);
    }

    /// Whether an operator has put steps of plugins into a workflow.
    pub fn has_plugins(&self, workflow: &str) -> bool {
        let found = self.inner.registry.get(workflow);
        found.is_ok_and(|workflow| workflow.definition.steps.iter().any(|step| step.plugin.is_some()))
    }

    /// The tasks of this engine, for the service's own background work: they end with it.
    pub fn tasks(&self) -> &Tasks {
        &self.inner.tasks
    }

    /// Wakes a background task whenever members come or go: it may own what it did not own when it looked last, as after the start, when
    /// this instance is no member yet.
    pub fn wake_with_ring(&self, activator: Activator) {
        let mut views = self.mesh().views();
        self.tasks().spawn_until_stop("wake-with-ring", async move {
            while views.changed().await.is_ok() {
                activator.activate();
            }
        });
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The mesh.
    pub fn mesh(&self) -> &Mesh {
        &self.inner.mesh
    }

    /// Wakes the search for unfinished operations.
    pub fn wake(&self) {
        self.inner.scan.notify_one();
    }

    /// The calls about operations, for this process's services to answer.
    pub fn api(&self) -> OperationApi {
        OperationApi::new(self.clone())
    }

    /// Refuses new work; what runs gets to the end of its present step, and the rest is left to whoever takes over.
    pub async fn shutdown(&self, limit: Duration) {
        self.inner.quiet.store(true, Ordering::SeqCst);
        self.inner.tasks.shutdown(limit).await;
        self.inner.registry.clear();
        self.inner.lane_sources.write().clear();
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }
}

impl Inner {
    /// Whether new work may start here.
    pub fn may_start(&self) -> Result<()> {
        if self.quiet.load(Ordering::SeqCst) {
            return Err(Error::unavailable("SHUTTING_DOWN", "this instance is shutting down; try again"));
        }
        if !self.mesh.may_work() {
            return Err(Error::unavailable("NO_LEASE", "this instance cannot prove its membership; try again"));
        }
        Ok(())
    }
}
