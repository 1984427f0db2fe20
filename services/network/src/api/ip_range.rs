//! IP ranges: rows only.

use gyre_flow::once;
use gyre_mesh::serve::caller;
use gyre_proto::ListRequest;
use gyre_proto::network::v1::ip_range_service_server::IpRangeService;
use gyre_proto::network::v1::{
    CreateIpRangeRequest, DeleteIpRangeRequest, DeleteIpRangeResponse, GetIpRangeRequest, IpRange, ListIpRangesRequest,
    ListIpRangesResponse,
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
        let read = self.inner.store.read("ip-range-list", move |conn| gyre_query::list(conn, &caller, request.page()));
        Ok(Response::new(read.await?))
    }

    async fn delete_ip_range(
        &self,
        request: Request<DeleteIpRangeRequest>,
    ) -> Result<Response<DeleteIpRangeResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let uuid = uuid(KIND, &request.uuid)?;
        let id = request.request_id.clone();
        let deleted = once(&self.inner.store, caller, "DeleteIpRange", &id, &request, move |conn, change| {
            range::range_delete(conn, change, &caller, uuid)?;
            Ok(DeleteIpRangeResponse {})
        });
        Ok(Response::new(deleted.await?))
    }
}
