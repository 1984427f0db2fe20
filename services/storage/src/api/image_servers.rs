//! Image servers: the calls.

use gyre_flow::Delete;
use gyre_mesh::serve::caller;
use gyre_proto::common::v1::Operation;
use gyre_proto::storage::v1::image_server_service_server::ImageServerService;
use gyre_proto::storage::v1::{
    CreateImageServerRequest, DeleteImageServerRequest, GetImageServerRequest, ImageServer, ListImageServersRequest,
    ListImageServersResponse, UpdateImageServerRequest,
};
use tonic::{Request, Response, Status};

use super::{Api, Patch};
use crate::store::{image_servers, new_uuid};

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
        let delete = Delete { caller, workflow: "delete-image-server", request: &request, binned: false };
        Ok(Response::new(self.flow.delete(delete, |_, _: &ImageServer| Ok(())).await?))
    }
}
