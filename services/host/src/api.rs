//! The calls: decode, ask who calls, do it, encode. One file a resource.

mod cluster;
mod console;
mod host;
mod placement;
mod task;
mod zone;

use std::sync::Arc;

use gyre_model::{Error, Result, Uuid, parse_uuid};
use gyre_proto::host::v1::cluster_service_server::ClusterServiceServer;
use gyre_proto::host::v1::host_service_server::HostServiceServer;
use gyre_proto::host::v1::host_task_service_server::HostTaskServiceServer;
use gyre_proto::host::v1::placement_service_server::PlacementServiceServer;
use gyre_proto::host::v1::zone_service_server::ZoneServiceServer;
use tonic::service::Routes;

use crate::Inner;

/// The calls of this service.
#[derive(Clone)]
pub(crate) struct Api(Arc<Inner>);

/// All of them.
pub(crate) fn routes(inner: &Arc<Inner>) -> Routes {
    let api = Api(Arc::clone(inner));
    let routes = Routes::new(ZoneServiceServer::new(api.clone()))
        .add_service(ClusterServiceServer::new(api.clone()))
        .add_service(HostServiceServer::new(api.clone()))
        .add_service(PlacementServiceServer::new(api.clone()))
        .add_service(HostTaskServiceServer::new(api));
    inner.flow.answer(routes)
}

/// The UUID in a field.
fn uuid(field: &str, text: &str) -> Result<Uuid> {
    parse_uuid(text).ok_or_else(|| Error::invalid(field, format!("must be a UUID, got {text:?}")))
}

/// The UUID of what is to be made: what the caller or the mesh chose, or else a new one.
fn new_uuid(field: &str, text: &str) -> Result<Uuid> {
    if text.is_empty() { Ok(Uuid::new_v4()) } else { uuid(field, text) }
}
