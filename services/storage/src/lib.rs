//! The storage service: where disks and images lie, and who takes how much room.
//!
//! # Theory
//! - Primary storage holds volumes, an image server holds images; both are folders that agents work. This service owns the rows
//!   and the room ([`store`]), and has the hosts' owners run tasks ([`hosts`]). Kinds of primary storage are [`drivers`].
//! - All that takes work is a workflow ([`workflows`]) on one resource, in that resource's lane. What two resources share is
//!   fenced in the database: room by guarded updates, an image that is being copied by its row's lock.
//!
//! Ground rules:
//! 1. A volume that names a primary storage has taken its size there; both change in one transaction.
//! 2. A create that fails leaves nothing: first the file goes, then row and room in one commit. Where the host cannot be reached,
//!    the operation rests as `STUCK` and keeps row and room, so that nothing is promised twice.
//! 3. A delete is marked before a host is asked. If it fails and the file is certainly there, the mark is taken back; if it may be
//!    gone, the mark stays, nobody uses the thing any more, and the delete can be asked for again. A root volume that goes with its
//!    machine needs no mark and no operation of its own: the machine's operation is past its point of no return, which says the same.
//! 4. What is in the bin keeps its file, row and room, and is used by nothing new: whoever would use it looks at its state under its row's
//!    lock. The way into the bin and out of it is one commit, in the resource's lane.
//! 5. Preparing a folder, making and deleting are idempotent on the host, so steps may run again.
//! 6. A shared image is seen by every account, and changed by its owner and administrators only.

mod api;
mod drivers;
mod hosts;
mod store;
mod totals;
mod workflows;

use std::path::PathBuf;
use std::time::Duration;

use gyre_flow::Flow;
use gyre_mesh::Mesh;
use gyre_mesh::tasks::Activator;
use gyre_model::Result;
use gyre_store::Store;
use tonic::service::Routes;

use api::Api;
use hosts::Limits;
use totals::Totals;

/// The name of this service in the mesh.
pub const NAME: &str = "storage";

/// What an operator may choose.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long a host may take to bring an image from elsewhere, or a volume whose image has to be cached first.
    pub transfer_limit: Duration,
    /// How long a host may take for any other task.
    pub task_limit: Duration,
    /// How long an upload may pause before it is given up.
    pub upload_pause: Duration,
    /// How often the totals of primary storages are compared with the sums over their hosts.
    pub totals_period: Duration,
    /// How often the bins are looked through for what is due.
    pub bin_period: Duration,
    /// The directory of files that change workflows.
    pub workflows: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            transfer_limit: Duration::from_secs(3600),
            task_limit: Duration::from_secs(60),
            upload_pause: Duration::from_secs(60),
            totals_period: Duration::from_secs(60),
            bin_period: Duration::from_secs(60),
            workflows: None,
        }
    }
}

/// The service in one process. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    flow: Flow,
    api: Api,
}

impl Service {
    /// Registers the workflows and starts the background tasks.
    ///
    /// # Errors
    /// A workflow that does not fit its steps.
    pub async fn start(mesh: Mesh, store: Store, config: Config) -> Result<Self> {
        let flow = Flow::new(NAME, mesh, store.clone());
        let limits = Limits { transfer: config.transfer_limit, task: config.task_limit };
        workflows::register(&flow, limits, config.workflows.as_deref())?;
        flow.start();
        flow.empty_bins(config.bin_period);
        flow.tasks().background("storage-totals", config.totals_period, Activator::default(), Totals::new(store));
        Ok(Self { api: Api::new(flow.clone(), limits, config.upload_pause), flow })
    }

    /// The engine that runs its workflows.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }
}

impl gyre_flow::process::Service for Service {
    const NAME: &'static str = NAME;

    fn routes(&self) -> Routes {
        self.api.routes()
    }

    async fn shutdown(&self, limit: Duration) {
        self.flow.shutdown(limit).await;
    }
}
