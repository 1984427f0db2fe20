//! Networks, ranges of addresses, and the addresses that machines' interfaces have.
//!
//! # Theory
//! - An L2 network is a bridge on the hosts of a cluster; an L3 network is a subnet on it; its IP ranges are the parts of that
//!   subnet that Gyre gives out. All three are rows only: hosts hear of a network when a machine is plugged into it. Their
//!   deletions are operations all the same, since others may have to go before.
//! - Ranges of one L2 network never overlap, since its machines share a wire. Whoever adds a range holds the L2 network's row
//!   until its transaction ends, so two that come together are checked one after the other ([`rules`] decides, over a snapshot).
//! - An address in use is a row of `ip_address`, by its interface. Taking one ([`store::address`]) first takes room in the range
//!   with a guarded update of its counter, which holds the range's row; then looks for a gap; then writes the row. So the counter
//!   always equals the rows, and no two look for a gap in one range at the same time. The unique index stands behind that.
//! - An interface asks with its own UUID: the same again answers the same address, and giving back what is not there is fine.
//!   That is all that a workflow which was interrupted needs.
//! - Deleting a network or a range holds its row first, and then counts what is in use; what comes later finds it gone.

mod api;
mod rules;
mod store;
mod workflows;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gyre_flow::Flow;
use gyre_mesh::Mesh;
use gyre_model::Result;
use gyre_proto::network::v1::address_service_server::AddressServiceServer;
use gyre_proto::network::v1::ip_range_service_server::IpRangeServiceServer;
use gyre_proto::network::v1::l2_network_service_server::L2NetworkServiceServer;
use gyre_proto::network::v1::l3_network_service_server::L3NetworkServiceServer;
use gyre_store::Store;
use tonic::service::Routes;

/// The service's name in the mesh.
pub const NAME: &str = "network";

/// What an operator may set.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The directory of files that change workflows.
    pub workflows: Option<PathBuf>,
}

/// The service in one process. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub flow: Flow,
    pub store: Store,
}

impl Service {
    /// Registers the workflows.
    ///
    /// # Errors
    /// A workflow that does not fit its steps.
    pub async fn start(mesh: Mesh, store: Store, config: Config) -> Result<Self> {
        let flow = Flow::new(NAME, mesh, store.clone());
        let inner = Arc::new(Inner { flow, store });
        inner.flow.register_with(workflows::steps(&inner), workflows::DEFINITIONS, config.workflows.as_deref())?;
        inner.flow.start();
        Ok(Self { inner })
    }
}

impl gyre_flow::process::Service for Service {
    const NAME: &'static str = NAME;

    fn routes(&self) -> Routes {
        let api = api::Api::new(Arc::clone(&self.inner));
        let routes = Routes::new(L2NetworkServiceServer::new(api.clone()))
            .add_service(L3NetworkServiceServer::new(api.clone()))
            .add_service(IpRangeServiceServer::new(api.clone()))
            .add_service(AddressServiceServer::new(api));
        self.inner.flow.answer(routes)
    }

    async fn shutdown(&self, limit: Duration) {
        self.inner.flow.shutdown(limit).await;
    }
}
