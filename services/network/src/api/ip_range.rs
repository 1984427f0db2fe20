//! IP ranges: rows only, but for their deletion.

use gyre_flow::{Delete, once};
use gyre_mesh::serve::caller;
use gyre_proto::ListRequest;
use gyre_proto::common::v1::Operation;
use gyre_proto::network::v1::ip_range_service_server::IpRangeService;
use gyre_proto::network::v1::{
    CreateIpRangeRequest, DeleteIpRangeRequest, GetIpRangeRequest, IpRange, ListIpRangesRequest, ListIpRangesResponse,
};
use tonic::{Request, Response, Status};

use super::{Api, given, new_uuid, uuid};
use crate::store::range;

const KIND: &str = "ip-range";

#[tonic::async_trait]
impl IpRangeService for Api {
    async fn create_ip_range(&self, request: Request<CreateIpRangeRequest>) -> Result<Response<IpRange>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut range = given("ip_range", request.ip_range.clone())?;
        range.uuid = new_uuid(&range.uuid).to_string();
        let id = request.request_id.clone();
        let made = once(&self.inner.store, caller, "CreateIpRange", &id, &request, move |conn, change| {
            range::range_insert(conn, change, &caller, range)
        });
        Ok(Response::new(made.await?))
    }

    async fn get_ip_range(&self, request: Request<GetIpRangeRequest>) -> Result<Response<IpRange>, Status> {
        let caller = caller(&request)?;
        let uuid = uuid(KIND, &request.get_ref().uuid)?;
        let read = self.inner.store.read("ip-range-get", move |conn| gyre_query::get(conn, &caller, uuid));
        Ok(Response::new(read.await?))
    }

    async fn list_ip_ranges(
        &self,
        request: Request<ListIpRangesRequest>,
    ) -> Result<Response<ListIpRangesResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let read =
            self.inner.store.search("ip-range-list", move |conn| gyre_query::list(conn, &caller, request.page()));
        Ok(Response::new(read.await?))
    }

    async fn delete_ip_range(&self, request: Request<DeleteIpRangeRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let delete = Delete { caller, workflow: "delete-ip-range", request: &request, binned: false };
        Ok(Response::new(self.inner.flow.delete(delete, range::range_unused).await?))
    }
}
