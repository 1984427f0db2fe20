//! Images: the calls.

use gyre_flow::{Delete, busy};
use gyre_mesh::serve::caller;
use gyre_proto::common::v1::Operation;
use gyre_proto::storage::v1::image_service_server::ImageService;
use gyre_proto::storage::v1::{
    CreateImageRequest, DeleteImageRequest, GetImageRequest, Image, ListImagesRequest, ListImagesResponse,
    SweepImageRequest, UpdateImageRequest, UploadImageRequest,
};
use tonic::{Request, Response, Status, Streaming};

use super::{Api, Patch};
use crate::store::{images, new_uuid, uuid_of};

#[tonic::async_trait]
impl ImageService for Api {
    async fn create_image(&self, request: Request<CreateImageRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let asked = request.image.clone().unwrap_or_default();
        let uuid = new_uuid(&asked.uuid)?;
        let image = images::fresh(asked, uuid, &caller)?;
        let workflow = if image.url == images::UPLOAD { "await-upload" } else { "create-image" };
        let wish = (request.request_id.as_str(), &request);
        self.submit((caller, workflow), uuid, wish, move |conn, change| images::insert(conn, change, &image)).await
    }

    async fn get_image(&self, request: Request<GetImageRequest>) -> Result<Response<Image>, Status> {
        self.get(caller(&request)?, &request.get_ref().uuid).await
    }

    async fn list_images(&self, request: Request<ListImagesRequest>) -> Result<Response<ListImagesResponse>, Status> {
        self.list(caller(&request)?, request.into_inner()).await
    }

    async fn update_image(&self, request: Request<UpdateImageRequest>) -> Result<Response<Image>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let patch = Patch {
            resource: request.image.clone().unwrap_or_default(),
            mask: request.update_mask.clone(),
            request_id: &request.request_id,
        };
        self.update(caller, "UpdateImage", &request, patch, move |conn, before: &Image, after: &mut Image| {
            images::own(conn, &caller, uuid_of("image.uuid", &before.uuid)?)?;
            images::check_sharing(&caller, before.shared, after.shared)
        })
        .await
    }

    async fn delete_image(&self, request: Request<DeleteImageRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let uuid = uuid_of("uuid", &request.uuid)?;
        self.uploads.check_none(uuid)?;
        let delete = Delete { caller, workflow: "delete-image", request: &request, binned: false };
        Ok(Response::new(
            self.flow
                .delete(delete, move |conn, _: &Image| {
                    images::own(conn, &caller, uuid)?;
                    if busy(conn, uuid)? { Ok(()) } else { images::check_unused(conn, uuid) }
                })
                .await?,
        ))
    }

    async fn upload_image(
        &self,
        request: Request<Streaming<UploadImageRequest>>,
    ) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(self.receive_upload(caller, request.into_inner()).await?))
    }

    async fn sweep_image(&self, request: Request<SweepImageRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let uuid = uuid_of("image_uuid", &request.image_uuid)?;
        let wish = (request.request_id.as_str(), &request);
        self.submit((caller, "sweep-image"), uuid, wish, |_, _| Ok(())).await
    }
}
