//! Volumes: the calls.

use gyre_flow::{Delete, busy};
use gyre_mesh::serve::caller;
use gyre_proto::common::v1::Operation;
use gyre_proto::storage::v1::volume_service_server::VolumeService;
use gyre_proto::storage::v1::{
    CreateRootVolumeRequest, CreateVolumeRequest, DeleteVolumeRequest, DestroyVolumeRequest, GetVolumeRequest,
    ListVolumesRequest, ListVolumesResponse, SweepVolumeRequest, UpdateVolumeRequest, Volume,
};
use tonic::{Code, Request, Response, Status};

use super::{Api, Patch};
use crate::store::volumes::{self, RootBefore};
use crate::store::{new_uuid, uuid_of};

#[tonic::async_trait]
impl VolumeService for Api {
    async fn create_volume(&self, request: Request<CreateVolumeRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let asked = request.volume.clone().unwrap_or_default();
        let uuid = new_uuid(&asked.uuid)?;
        let wish = (request.request_id.as_str(), &request);
        self.submit((caller, "create-volume"), uuid, wish, move |conn, change| {
            volumes::insert_data(conn, change, asked, uuid)
        })
        .await
    }

    async fn get_volume(&self, request: Request<GetVolumeRequest>) -> Result<Response<Volume>, Status> {
        self.get(caller(&request)?, &request.get_ref().uuid).await
    }

    async fn list_volumes(
        &self,
        request: Request<ListVolumesRequest>,
    ) -> Result<Response<ListVolumesResponse>, Status> {
        self.list(caller(&request)?, request.into_inner()).await
    }

    async fn update_volume(&self, request: Request<UpdateVolumeRequest>) -> Result<Response<Volume>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let patch = Patch {
            resource: request.volume.clone().unwrap_or_default(),
            mask: request.update_mask.clone(),
            request_id: &request.request_id,
        };
        self.update(caller, "UpdateVolume", &request, patch, |_, _, _: &mut Volume| Ok(())).await
    }

    async fn delete_volume(&self, request: Request<DeleteVolumeRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let uuid = uuid_of("uuid", &request.uuid)?;
        let delete = Delete { caller, workflow: "delete-volume", request: &request, binned: false };
        Ok(Response::new(
            self.flow
                .delete(
                    delete,
                    move |conn, _: &Volume| {
                        if busy(conn, uuid)? { Ok(()) } else { volumes::check_deletable(conn, &caller, uuid) }
                    },
                )
                .await?,
        ))
    }

    async fn create_root_volume(
        &self,
        request: Request<CreateRootVolumeRequest>,
    ) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let uuid = uuid_of("volume_uuid", &request.volume_uuid)?;
        let mut last = Status::internal("a root volume was neither there nor made");
        // twice: the same volume may be asked for at the same moment, and the first to write it is answered to both
        for _ in 0..2 {
            let asked = request.clone();
            let before =
                self.flow.store().read("root-volume-find", move |conn| volumes::root_before(conn, &asked, uuid));
            let wish = (request.request_id.as_str(), &request);
            match before.await? {
                RootBefore::Made(operation) => return Ok(Response::new(*operation)),
                RootBefore::Forgotten => {
                    return self.submit((caller, "confirm-volume"), uuid, wish, |_, _| Ok(())).await;
                }
                RootBefore::Nothing => {
                    let asked = request.clone();
                    let rows = move |conn: &mut _, change: &_| volumes::insert_root(conn, change, &asked, uuid);
                    match self.submit((caller, "create-root-volume"), uuid, wish, rows).await {
                        Err(status) if status.code() == Code::AlreadyExists => last = status,
                        answer => return answer,
                    }
                }
            }
        }
        Err(last)
    }

    async fn destroy_volume(&self, request: Request<DestroyVolumeRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let uuid = uuid_of("volume_uuid", &request.volume_uuid)?;
        let wish = (request.request_id.as_str(), &request);
        // whatever is there when its turn comes
        self.submit((caller, "destroy-volume"), uuid, wish, |_, _| Ok(())).await
    }

    async fn sweep_volume(&self, request: Request<SweepVolumeRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let uuid = uuid_of("volume_uuid", &request.volume_uuid)?;
        let wish = (request.request_id.as_str(), &request);
        self.submit((caller, "sweep-volume"), uuid, wish, |_, _| Ok(())).await
    }
}
