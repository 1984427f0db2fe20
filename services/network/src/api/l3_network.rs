//! L3 networks: rows only, but for their deletion.

use gyre_flow::{Delete, once};
use gyre_mesh::serve::caller;
use gyre_proto::ListRequest;
use gyre_proto::common::v1::Operation;
use gyre_proto::network::v1::l3_network_service_server::L3NetworkService;
use gyre_proto::network::v1::{
    CreateL3NetworkRequest, DeleteL3NetworkRequest, GetL3NetworkRequest, L2Network, L3Network, ListL3NetworksRequest,
    ListL3NetworksResponse, UpdateL3NetworkRequest,
};
use tonic::{Request, Response, Status};

use super::{Api, given, named, new_uuid, owner, uuid};
use crate::store::network;

const KIND: &str = "l3-network";

#[tonic::async_trait]
impl L3NetworkService for Api {
    async fn create_l3_network(&self, request: Request<CreateL3NetworkRequest>) -> Result<Response<L3Network>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut network = given("l3_network", request.l3_network.clone())?;
        network.uuid = new_uuid(&network.uuid).to_string();
        network.account_uuid = owner(&caller);
        let id = request.request_id.clone();
        let made = once(&self.inner.store, caller, "CreateL3Network", &id, &request, move |conn, change| {
            let field = "l3_network.l2_network_uuid";
            let wire: L2Network = named(conn, &caller, field, &network.l2_network_uuid, "L2_NETWORK_NOT_FOUND")?;
            network.l2_network_uuid = wire.uuid;
            gyre_query::insert(conn, change, &network)
        });
        Ok(Response::new(made.await?))
    }

    async fn get_l3_network(&self, request: Request<GetL3NetworkRequest>) -> Result<Response<L3Network>, Status> {
        let caller = caller(&request)?;
        let uuid = uuid(KIND, &request.get_ref().uuid)?;
        let read = self.inner.store.read("l3-network-get", move |conn| gyre_query::get(conn, &caller, uuid));
        Ok(Response::new(read.await?))
    }

    async fn list_l3_networks(
        &self,
        request: Request<ListL3NetworksRequest>,
    ) -> Result<Response<ListL3NetworksResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let read =
            self.inner.store.search("l3-network-list", move |conn| gyre_query::list(conn, &caller, request.page()));
        Ok(Response::new(read.await?))
    }

    async fn update_l3_network(&self, request: Request<UpdateL3NetworkRequest>) -> Result<Response<L3Network>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let patch = given("l3_network", request.l3_network.clone())?;
        let uuid = uuid(KIND, &patch.uuid)?;
        let (id, mask) = (request.request_id.clone(), request.update_mask.clone());
        let changed = once(&self.inner.store, caller, "UpdateL3Network", &id, &request, move |conn, change| {
            let current: L3Network = gyre_query::get(conn, &caller, uuid)?;
            let network = gyre_query::apply_mask(&current, &patch, mask.as_ref())?;
            gyre_query::update_from(conn, change, &current, &network)
        });
        Ok(Response::new(changed.await?))
    }

    async fn delete_l3_network(&self, request: Request<DeleteL3NetworkRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let delete = Delete { caller, workflow: "delete-l3-network", request: &request, binned: false };
        Ok(Response::new(self.inner.flow.delete(delete, network::l3_unused).await?))
    }
}
