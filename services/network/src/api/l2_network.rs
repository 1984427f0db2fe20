//! L2 networks: rows only, but for their deletion.

use gyre_flow::{Delete, once};
use gyre_mesh::serve::caller;
use gyre_proto::ListRequest;
use gyre_proto::common::v1::Operation;
use gyre_proto::host::v1::Cluster;
use gyre_proto::network::v1::l2_network_service_server::L2NetworkService;
use gyre_proto::network::v1::{
    CreateL2NetworkRequest, DeleteL2NetworkRequest, GetL2NetworkRequest, L2Network, ListL2NetworksRequest,
    ListL2NetworksResponse, UpdateL2NetworkRequest,
};
use tonic::{Request, Response, Status};

use super::{Api, given, named, new_uuid, uuid};
use crate::store::network;

const KIND: &str = "l2-network";

#[tonic::async_trait]
impl L2NetworkService for Api {
    async fn create_l2_network(&self, request: Request<CreateL2NetworkRequest>) -> Result<Response<L2Network>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut network = given("l2_network", request.l2_network.clone())?;
        network.uuid = new_uuid(&network.uuid).to_string();
        let id = request.request_id.clone();
        let made = once(&self.inner.store, caller, "CreateL2Network", &id, &request, move |conn, change| {
            let field = "l2_network.cluster_uuid";
            let cluster: Cluster = named(conn, &caller, field, &network.cluster_uuid, "CLUSTER_NOT_FOUND")?;
            network.cluster_uuid = cluster.uuid;
            network::l2_insert(conn, change, &network)
        });
        Ok(Response::new(made.await?))
    }

    async fn get_l2_network(&self, request: Request<GetL2NetworkRequest>) -> Result<Response<L2Network>, Status> {
        let caller = caller(&request)?;
        let uuid = uuid(KIND, &request.get_ref().uuid)?;
        let read = self.inner.store.read("l2-network-get", move |conn| gyre_query::get(conn, &caller, uuid));
        Ok(Response::new(read.await?))
    }

    async fn list_l2_networks(
        &self,
        request: Request<ListL2NetworksRequest>,
    ) -> Result<Response<ListL2NetworksResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let read =
            self.inner.store.search("l2-network-list", move |conn| gyre_query::list(conn, &caller, request.page()));
        Ok(Response::new(read.await?))
    }

    async fn update_l2_network(&self, request: Request<UpdateL2NetworkRequest>) -> Result<Response<L2Network>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let patch = given("l2_network", request.l2_network.clone())?;
        let uuid = uuid(KIND, &patch.uuid)?;
        let (id, mask) = (request.request_id.clone(), request.update_mask.clone());
        let changed = once(&self.inner.store, caller, "UpdateL2Network", &id, &request, move |conn, change| {
            let current: L2Network = gyre_query::get(conn, &caller, uuid)?;
            let network = gyre_query::apply_mask(&current, &patch, mask.as_ref())?;
            gyre_query::update_from(conn, change, &current, &network)
        });
        Ok(Response::new(changed.await?))
    }

    async fn delete_l2_network(&self, request: Request<DeleteL2NetworkRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let delete = Delete { caller, workflow: "delete-l2-network", request: &request, binned: false };
        Ok(Response::new(self.inner.flow.delete(delete, |_, _: &L2Network| Ok(())).await?))
    }
}
