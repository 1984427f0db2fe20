//! Room on hosts, for the machines' service.

use gyre_mesh::serve::caller;
use gyre_proto::host::v1::placement_service_server::PlacementService;
use gyre_proto::host::v1::{
    ReleasePlacementRequest, ReleasePlacementResponse, ReservePlacementRequest, ReservePlacementResponse,
};
use tonic::{Request, Response, Status};

use super::{Api, uuid};
use crate::placement::{self, Want};

#[tonic::async_trait]
impl PlacementService for Api {
    async fn reserve_placement(
        &self,
        request: Request<ReservePlacementRequest>,
    ) -> Result<Response<ReservePlacementResponse>, Status> {
        let caller = caller(&request)?;
        let want = Want::read(request.get_ref())?;
        Ok(Response::new(placement::reserve(&self.0.store, &self.0.recent, caller, want).await?.into()))
    }

    async fn release_placement(
        &self,
        request: Request<ReleasePlacementRequest>,
    ) -> Result<Response<ReleasePlacementResponse>, Status> {
        let claim = uuid("claim_uuid", &request.get_ref().claim_uuid)?;
        placement::release(&self.0.store, caller(&request)?, claim).await?;
        Ok(Response::new(ReleasePlacementResponse {}))
    }
}
