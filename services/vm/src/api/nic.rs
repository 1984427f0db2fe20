//! Interfaces: read and named here; they come and go with their machines.

use gyre_flow::once;
use gyre_mesh::serve::caller;
use gyre_proto::ListRequest;
use gyre_proto::vm::v1::nic_service_server::NicService;
use gyre_proto::vm::v1::{GetNicRequest, ListNicsRequest, ListNicsResponse, Nic, UpdateNicRequest};
use tonic::{Request, Response, Status};

use super::{Api, given, uuid};

const KIND: &str = "nic";

#[tonic::async_trait]
impl NicService for Api {
    async fn get_nic(&self, request: Request<GetNicRequest>) -> Result<Response<Nic>, Status> {
        let caller = caller(&request)?;
        let uuid = uuid(KIND, &request.get_ref().uuid)?;
        let read = self.inner.store.read("nic-get", move |conn| gyre_query::get(conn, &caller, uuid));
        Ok(Response::new(read.await?))
    }

    async fn list_nics(&self, request: Request<ListNicsRequest>) -> Result<Response<ListNicsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let read = self.inner.store.search("nic-list", move |conn| gyre_query::list(conn, &caller, request.page()));
        Ok(Response::new(read.await?))
    }

    async fn update_nic(&self, request: Request<UpdateNicRequest>) -> Result<Response<Nic>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let patch = given("nic", request.nic.clone())?;
        let uuid = uuid(KIND, &patch.uuid)?;
        let (id, mask) = (request.request_id.clone(), request.update_mask.clone());
        let changed = once(&self.inner.store, caller, "UpdateNic", &id, &request, move |conn, change| {
            let current: Nic = gyre_query::get(conn, &caller, uuid)?;
            let nic = gyre_query::apply_mask(&current, &patch, mask.as_ref())?;
            gyre_query::update_from(conn, change, &current, &nic)
        });
        Ok(Response::new(changed.await?))
    }
}
