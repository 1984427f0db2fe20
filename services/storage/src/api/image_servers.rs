//! Image servers: the calls.

use gyre_flow::busy;
use gyre_mesh::serve::caller;
use gyre_proto::common::v1::Operation;
use gyre_proto::storage::v1::image_server_service_server::ImageServerService;
use gyre_proto::storage::v1::{
    CreateImageServerRequest, DeleteImageServerRequest, GetImageServerRequest, ImageServer, ListImageServersRequest,
    ListImageServersResponse, UpdateImageServerRequest,
};
use tonic::{Request, Response, Status};

use super::{Api, Patch};
use crate::store::{image_servers, new_uuid, uuid_of};

#[tonic::async_trait]
impl ImageServerService for Api {
    async fn create_image_server(
        &self,
        request: Request<CreateImageServerRequest>,
    ) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let asked = request.image_server.clone().unwrap_or_default();
        let uuid = new_uuid(&asked.uuid)?;
        let server = image_servers::fresh(asked, uuid);
        let wish = (request.request_id.as_str(), &request);
        self.submit((caller, "create-image-server"), uuid, wish, move |conn, change| {
            image_servers::insert(conn, change, &server)
        })
        .await
    }

    async fn get_image_server(&self, request: Request<GetImageServerRequest>) -> Result<Response<ImageServer>, Status> {
        self.get(caller(&request)?, &request.get_ref().uuid).await
    }

    async fn list_image_servers(
        &self,
        request: Request<ListImageServersRequest>,
    ) -> Result<Response<ListImageServersResponse>, Status> {
        self.list(caller(&request)?, request.into_inner()).await
    }

    async fn update_image_server(
        &self,
        request: Request<UpdateImageServerRequest>,
    ) -> Result<Response<ImageServer>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let patch = Patch {
            resource: request.image_server.clone().unwrap_or_default(),
            mask: request.update_mask.clone(),
            request_id: &request.request_id,
        };
        self.update(caller, "UpdateImageServer", &request, patch, |_, _, _: &mut ImageServer| Ok(())).await
    }

    async fn delete_image_server(
        &self,
        request: Request<DeleteImageServerRequest>,
    ) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let uuid = uuid_of("uuid", &request.uuid)?;
        let wish = (request.request_id.as_str(), &request);
        self.submit((caller, "delete-image-server"), uuid, wish, move |conn, _| {
            gyre_query::get::<ImageServer>(conn, &caller, uuid)?;
            if busy(conn, uuid)? { Ok(()) } else { image_servers::check_empty(conn, uuid) }
        })
        .await
    }
}
