//! Offerings: rows only, but for their deletion.

use gyre_flow::{Delete, once};
use gyre_mesh::serve::caller;
use gyre_proto::ListRequest;
use gyre_proto::common::v1::Operation;
use gyre_proto::vm::v1::instance_offering_service_server::InstanceOfferingService;
use gyre_proto::vm::v1::{
    CreateInstanceOfferingRequest, DeleteInstanceOfferingRequest, GetInstanceOfferingRequest, InstanceOffering,
    ListInstanceOfferingsRequest, ListInstanceOfferingsResponse, UpdateInstanceOfferingRequest,
};
use tonic::{Request, Response, Status};

use super::{Api, given, new_uuid, uuid};

const KIND: &str = "instance-offering";

#[tonic::async_trait]
impl InstanceOfferingService for Api {
    async fn create_instance_offering(
        &self,
        request: Request<CreateInstanceOfferingRequest>,
    ) -> Result<Response<InstanceOffering>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut offering = given("instance_offering", request.instance_offering.clone())?;
        offering.uuid = new_uuid(&offering.uuid).to_string();
        let id = request.request_id.clone();
        let made = once(&self.inner.store, caller, "CreateInstanceOffering", &id, &request, move |conn, change| {
            gyre_query::insert(conn, change, &offering)
        });
        Ok(Response::new(made.await?))
    }

    async fn get_instance_offering(
        &self,
        request: Request<GetInstanceOfferingRequest>,
    ) -> Result<Response<InstanceOffering>, Status> {
        let caller = caller(&request)?;
        let uuid = uuid(KIND, &request.get_ref().uuid)?;
        let read = self.inner.store.read("offering-get", move |conn| gyre_query::get(conn, &caller, uuid));
        Ok(Response::new(read.await?))
    }

    async fn list_instance_offerings(
        &self,
        request: Request<ListInstanceOfferingsRequest>,
    ) -> Result<Response<ListInstanceOfferingsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let read =
            self.inner.store.search("offering-list", move |conn| gyre_query::list(conn, &caller, request.page()));
        Ok(Response::new(read.await?))
    }

    async fn update_instance_offering(
        &self,
        request: Request<UpdateInstanceOfferingRequest>,
    ) -> Result<Response<InstanceOffering>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let patch = given("instance_offering", request.instance_offering.clone())?;
        let uuid = uuid(KIND, &patch.uuid)?;
        let (id, mask) = (request.request_id.clone(), request.update_mask.clone());
        let changed = once(&self.inner.store, caller, "UpdateInstanceOffering", &id, &request, move |conn, change| {
            let current: InstanceOffering = gyre_query::get(conn, &caller, uuid)?;
            let offering = gyre_query::apply_mask(&current, &patch, mask.as_ref())?;
            gyre_query::update_from(conn, change, &current, &offering)
        });
        Ok(Response::new(changed.await?))
    }

    async fn delete_instance_offering(
        &self,
        request: Request<DeleteInstanceOfferingRequest>,
    ) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let delete = Delete { caller, workflow: "delete-instance-offering", request: &request, binned: false };
        Ok(Response::new(self.inner.flow.delete(delete, |_, _: &InstanceOffering| Ok(())).await?))
    }
}
