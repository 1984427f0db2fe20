//! The host service: zones, clusters, hosts, the sessions with their agents, and the room that machines take on them.
//!
//! # Theory
//! 1. **Three fields, three owners.** `state` of a host is what operators want (calls), `status` is what its session says
//!    (`sessions`), and the counters are what placements took (`placement`, guarded updates). None of them writes another's.
//! 2. **One session per host.** The instance that owns a host's UUID in the ring holds the session with its agent. A reconciler
//!    makes it so; the fence in `host_fence`, which grows with every session, makes sure: the agent cuts the older session, and
//!    the database takes no status from it.
//! 3. **A silent host is not a dead one at once.** Whatever comes from an agent is a sign of life. A host is declared
//!    disconnected when none came for `missed` heartbeats, however often its session broke and came back before.
//! 4. **Rows change when something changes.** No heartbeat is written; facts and status are compared first.
//! 5. **Tasks outlive sessions.** Who waits for a task waits on a board in memory (`sessions::board`); the task is sent again
//!    with the next session, and the agent joins it by its id.
//! 6. **Capacity is taken, not computed**: `used + x <= capacity` in the statement that takes it, with the claim's row in the
//!    same transaction. The sums can be checked against `host_placement` at any time.
//!
//! 7. **An agent binds itself to its first host** and refuses every other; only a simulator stands for many hosts at one address. So
//!    addresses are not compared here. Who removes a host lets its agent go, in the last session with it.
//!
//! Not solved: an agent that does not answer while its host is removed stays bound; adding it under another UUID needs its operator.

mod api;
mod capacity;
mod config;
mod metrics;
mod placement;
mod random;
mod sessions;
mod store;
mod work;
mod workflows;

pub use config::{Config, Widths};
pub use work::WorkKind;

use std::sync::Arc;
use std::time::Duration;

use gyre_flow::Flow;
use gyre_mesh::Mesh;
use gyre_model::Result;
use gyre_store::Store;
use tonic::service::Routes;

use sessions::Sessions;

/// The name of this service in the mesh.
pub const NAME: &str = "host";

/// The host service of one process.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

/// What handlers and steps share.
pub(crate) struct Inner {
    pub mesh: Mesh,
    pub store: Store,
    pub flow: Flow,
    pub sessions: Sessions,
    pub config: Arc<Config>,
    /// Hosts with room, as placements saw them last.
    pub recent: Arc<placement::Recent>,
}

impl Service {
    /// Registers workflows, starts background tasks.
    ///
    /// # Errors
    /// A workflow that does not fit its steps.
    pub async fn start(mesh: Mesh, store: Store, config: Config) -> Result<Self> {
        let config = Arc::new(config);
        let flow = Flow::new(NAME, mesh.clone(), store.clone());
        let sessions = Sessions::new(mesh.clone(), store.clone(), Arc::clone(&config));
        let inner = Arc::new(Inner { mesh, store, flow, sessions, config, recent: Arc::default() });
        workflows::register(&inner)?;
        let sessions = inner.sessions.clone();
        inner.flow.lane_source(move || sessions.lanes());
        inner.flow.start();
        inner.sessions.start();
        Ok(Self { inner })
    }

    /// The engine that runs its workflows.
    pub fn flow(&self) -> &Flow {
        &self.inner.flow
    }

    /// The calls.
    pub fn routes(&self) -> Routes {
        api::routes(&self.inner)
    }

    /// Refuses new work, ends background tasks.
    pub async fn shutdown(&self, limit: Duration) {
        self.inner.flow.shutdown(limit).await;
        self.inner.sessions.shutdown(limit).await;
    }
}

impl gyre_flow::process::Service for Service {
    const NAME: &'static str = NAME;

    fn routes(&self) -> Routes {
        Self::routes(self)
    }

    async fn shutdown(&self, limit: Duration) {
        Self::shutdown(self, limit).await;
    }
}
