//! Primary storage: the calls.

use gyre_flow::Delete;
use gyre_mesh::serve::caller;
use gyre_proto::common::v1::Operation;
use gyre_proto::storage::v1::primary_storage_service_server::PrimaryStorageService;
use gyre_proto::storage::v1::{
    CreatePrimaryStorageRequest, DeletePrimaryStorageRequest, GetPrimaryStorageRequest, ListPrimaryStoragesRequest,
    ListPrimaryStoragesResponse, PrimaryStorage, UpdatePrimaryStorageRequest,
};
use tonic::{Request, Response, Status};

use super::{Api, Patch};
use crate::store::{new_uuid, primary_storages};

#[tonic::async_trait]
impl PrimaryStorageService for Api {
    async fn create_primary_storage(
        &self,
        request: Request<CreatePrimaryStorageRequest>,
    ) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let asked = request.primary_storage.clone().unwrap_or_default();
        let uuid = new_uuid(&asked.uuid)?;
        let storage = primary_storages::fresh(asked, uuid)?;
        let wish = (request.request_id.as_str(), &request);
        self.submit((caller, "create-primary-storage"), uuid, wish, move |conn, change| {
            primary_storages::insert(conn, change, &storage)
        })
        .await
    }

    async fn get_primary_storage(
        &self,
        request: Request<GetPrimaryStorageRequest>,
    ) -> Result<Response<PrimaryStorage>, Status> {
        self.get(caller(&request)?, &request.get_ref().uuid).await
    }

    async fn list_primary_storages(
        &self,
        request: Request<ListPrimaryStoragesRequest>,
    ) -> Result<Response<ListPrimaryStoragesResponse>, Status> {
        self.list(caller(&request)?, request.into_inner()).await
    }

    async fn update_primary_storage(
        &self,
        request: Request<UpdatePrimaryStorageRequest>,
    ) -> Result<Response<PrimaryStorage>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let patch = Patch {
            resource: request.primary_storage.clone().unwrap_or_default(),
            mask: request.update_mask.clone(),
            request_id: &request.request_id,
        };
        self.update(caller, "UpdatePrimaryStorage", &request, patch, |_, _, after: &mut PrimaryStorage| {
            after.overcommit = primary_storages::overcommit(after.overcommit)?;
            Ok(())
        })
        .await
    }

    async fn delete_primary_storage(
        &self,
        request: Request<DeletePrimaryStorageRequest>,
    ) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let delete = Delete { caller, workflow: "delete-primary-storage", request: &request, binned: false };
        Ok(Response::new(self.flow.delete(delete, |_, _: &PrimaryStorage| Ok(())).await?))
    }
}
