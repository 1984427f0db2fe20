//! Zones: rows only, but for their deletion.

use gyre_flow::{Delete, once};
use gyre_mesh::serve::caller;
use gyre_proto::ListRequest;
use gyre_proto::common::v1::Operation;
use gyre_proto::host::v1::zone_service_server::ZoneService;
use gyre_proto::host::v1::{
    CreateZoneRequest, DeleteZoneRequest, GetZoneRequest, ListZonesRequest, ListZonesResponse, UpdateZoneRequest, Zone,
};
use tonic::{Request, Response, Status};

use super::{Api, new_uuid, uuid};

#[tonic::async_trait]
impl ZoneService for Api {
    async fn create_zone(&self, request: Request<CreateZoneRequest>) -> Result<Response<Zone>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut zone = request.zone.clone().unwrap_or_default();
        zone.uuid = new_uuid("zone.uuid", &zone.uuid)?.to_string();
        let insert = move |conn: &mut _, change: &_| gyre_query::insert(conn, change, &zone);
        Ok(Response::new(once(&self.0.store, caller, "CreateZone", &request.request_id, &request, insert).await?))
    }

    async fn get_zone(&self, request: Request<GetZoneRequest>) -> Result<Response<Zone>, Status> {
        let caller = caller(&request)?;
        let uuid = uuid("uuid", &request.get_ref().uuid)?;
        let read = move |conn: &mut _| gyre_query::get(conn, &caller, uuid);
        Ok(Response::new(self.0.store.read("zone-get", read).await?))
    }

    async fn list_zones(&self, request: Request<ListZonesRequest>) -> Result<Response<ListZonesResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let read = move |conn: &mut _| gyre_query::list(conn, &caller, request.page());
        Ok(Response::new(self.0.store.search("zone-list", read).await?))
    }

    async fn update_zone(&self, request: Request<UpdateZoneRequest>) -> Result<Response<Zone>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let patch = request.zone.clone().unwrap_or_default();
        let uuid = uuid("zone.uuid", &patch.uuid)?;
        let mask = request.update_mask.clone();
        let update = move |conn: &mut _, change: &_| {
            let now: Zone = gyre_query::get(conn, &caller, uuid)?;
            gyre_query::update_from(conn, change, &now, &gyre_query::apply_mask(&now, &patch, mask.as_ref())?)
        };
        Ok(Response::new(once(&self.0.store, caller, "UpdateZone", &request.request_id, &request, update).await?))
    }

    async fn delete_zone(&self, request: Request<DeleteZoneRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let delete = Delete { caller, workflow: "delete-zone", request: &request, binned: false };
        Ok(Response::new(self.0.flow.delete(delete, |_, _: &Zone| Ok(())).await?))
    }
}
