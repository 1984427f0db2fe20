//! Images: the calls.

use gyre_flow::{Delete, busy};
use gyre_mesh::serve::caller;
use gyre_proto::common::v1::Operation;
use gyre_proto::storage::v1::image_service_server::ImageService;
use gyre_proto::storage::v1::{
    CreateImageRequest, DeleteImageRequest, ExpungeImageRequest, GetImageRequest, Image, ListImagesRequest,
    ListImagesResponse, RecoverImageRequest, SweepImageRequest, UpdateImageRequest, UploadImageRequest,
};
use gyre_store::Conn;
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
        let binned = !request.expunge && self.goes_to_bin(uuid, images::can_be_recovered).await?;
        let workflow = if binned { "bin-image" } else { "delete-image" };
        let delete = Delete { caller, workflow, request: &request, binned };
        let check = move |conn: &mut Conn, image: &Image| {
            images::own(conn, &caller, uuid)?;
            match busy(conn, uuid)? {
                true => Ok(()),
                // what is being made from it goes on: the file stays
                false if binned => images::check_binnable(image),
                false => images::check_unused(conn, uuid),
            }
        };
        Ok(Response::new(self.flow.delete(delete, check).await?))
    }

    async fn recover_image(&self, request: Request<RecoverImageRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (uuid, wish) = (uuid_of("uuid", &request.uuid)?, (request.request_id.as_str(), &request));
        let check = move |conn: &mut Conn, image: &Image| {
            images::own(conn, &caller, uuid)?;
            images::check_binned(image)
        };
        self.work((caller, "recover-image"), &request.uuid, wish, check).await
    }

    async fn expunge_image(&self, request: Request<ExpungeImageRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (uuid, wish) = (uuid_of("uuid", &request.uuid)?, (request.request_id.as_str(), &request));
        let check = move |conn: &mut Conn, image: &Image| {
            images::own(conn, &caller, uuid)?;
            images::check_expungeable(image)
        };
        self.work((caller, "expunge-image"), &request.uuid, wish, check).await
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
