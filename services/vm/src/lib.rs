//! Machines, their interfaces and their offerings.
//!
//! # Theory
//! - A machine's record is owned by the owner of its UUID; all work on it meets in that instance's lane ([`gyre_flow`]).
//! - What a machine is (its row), what is being done to it (its operation) and what the host says (reports) are three things.
//!   The state in the row moves by the table in [`state`] only; an operation moves it at its begin and at its end, a report
//!   moves it only while no operation is under way, by the rules in [`rules`].
//! - A machine that is off holds no processors and no memory of a host; it keeps its root volume, which on local storage ties it
//!   to its host, and its addresses.
//! - An interface stands in its machine's row, from which the work is done, and as a row of its own, for who looks for it; both are
//!   written in one transaction (`store`).
//! - The service makes nothing itself: room comes from `host`, the root volume from `storage`, addresses from `network`, and the
//!   host's agent does the rest. Each of them recognizes a repeat by the machine's, the volume's or the interface's UUID, all of
//!   which are chosen before the operation is durable.

mod api;
mod look;
mod metrics;
mod reconcile;
pub mod rules;
pub mod state;
mod store;
mod tags;
mod workflows;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gyre_flow::Flow;
use gyre_mesh::tasks::Activator;
use gyre_mesh::{Mesh, MeshChannel};
use gyre_model::Result;
use gyre_proto::host::v1::host_task_service_client::HostTaskServiceClient;
use gyre_proto::host::v1::placement_service_client::PlacementServiceClient;
use gyre_proto::network::v1::address_service_client::AddressServiceClient;
use gyre_proto::storage::v1::volume_service_client::VolumeServiceClient;
use gyre_proto::vm::v1::instance_offering_service_server::InstanceOfferingServiceServer;
use gyre_proto::vm::v1::machine_report_service_server::MachineReportServiceServer;
use gyre_proto::vm::v1::nic_service_server::NicServiceServer;
use gyre_proto::vm::v1::vm_service_server::VmServiceServer;
use gyre_query::settings;
use gyre_store::Store;
use tonic::service::Routes;

/// The service's name in the mesh.
pub const NAME: &str = "vm";

/// What an operator may set.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long a guest may take to shut down when the call does not say.
    pub grace: Duration,
    /// How long a host may take to start or restart a machine.
    pub start_limit: Duration,
    /// How often machines that are off are looked through for room that they still hold.
    pub reconcile_period: Duration,
    /// The directory of files that change workflows.
    pub workflows: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(30),
            start_limit: Duration::from_secs(120),
            reconcile_period: Duration::from_secs(60),
            workflows: None,
        }
    }
}

/// The service in one process. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub flow: Flow,
    pub mesh: Mesh,
    pub store: Store,
    pub config: Config,
    /// Wakes the look for room that stopped machines hold.
    pub settle: Activator,
}

impl Inner {
    pub fn placement(&self) -> PlacementServiceClient<MeshChannel> {
        PlacementServiceClient::new(self.mesh.channel("host"))
    }

    pub fn hosts(&self) -> HostTaskServiceClient<MeshChannel> {
        HostTaskServiceClient::new(self.mesh.channel("host"))
    }

    pub fn volumes(&self) -> VolumeServiceClient<MeshChannel> {
        VolumeServiceClient::new(self.mesh.channel("storage"))
    }

    pub fn addresses(&self) -> AddressServiceClient<MeshChannel> {
        AddressServiceClient::new(self.mesh.channel("network"))
    }
}

impl Service {
    /// Registers the workflows and starts the background work.
    ///
    /// # Errors
    /// A workflow that does not fit its steps.
    pub async fn start(mesh: Mesh, store: Store, config: Config) -> Result<Self> {
        tags::register();
        settings::process_default(workflows::STOP_GRACE, settings::print_duration(config.grace));
        settings::process_default(workflows::START_LIMIT, settings::print_duration(config.start_limit));
        let flow = Flow::new(NAME, mesh.clone(), store.clone());
        let inner = Arc::new(Inner { flow: flow.clone(), mesh, store, config, settle: Activator::default() });
        let directory = inner.config.workflows.as_deref();
        flow.register_with(workflows::steps(&inner), workflows::DEFINITIONS, directory)?;
        flow.start();
        flow.empty_bins(inner.config.reconcile_period);
        reconcile::start(&inner);
        Ok(Self { inner })
    }

    /// The engine that runs its workflows.
    pub fn flow(&self) -> &Flow {
        &self.inner.flow
    }
}

impl gyre_flow::process::Service for Service {
    const NAME: &'static str = NAME;

    fn routes(&self) -> Routes {
        let api = api::Api::new(Arc::clone(&self.inner));
        let routes = Routes::new(VmServiceServer::new(api.clone()))
            .add_service(NicServiceServer::new(api.clone()))
            .add_service(InstanceOfferingServiceServer::new(api.clone()))
            .add_service(MachineReportServiceServer::new(api));
        self.inner.flow.answer(routes)
    }

    async fn shutdown(&self, limit: Duration) {
        self.inner.flow.shutdown(limit).await;
    }
}
