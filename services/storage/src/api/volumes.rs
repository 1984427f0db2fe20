//! Volumes: the calls.

use gyre_flow::{Delete, busy, fence};
use gyre_mesh::serve::caller;
use gyre_proto::agent::v1::Task;
use gyre_proto::common::v1::Operation;
use gyre_proto::storage::v1::volume_service_server::VolumeService;
use gyre_proto::storage::v1::{
    AllocateRootVolumeResponse, ConfirmRootVolumeRequest, ConfirmRootVolumeResponse, CreateRootVolumeRequest,
    CreateVolumeRequest, DeleteVolumeRequest, DescribeRootRemovalRequest, DescribeRootRemovalResponse,
    DestroyVolumeRequest, ExpungeVolumeRequest, ForgetRootVolumeRequest, ForgetRootVolumeResponse, GetVolumeRequest,
    ListVolumesRequest, ListVolumesResponse, RecoverVolumeRequest, SweepVolumeRequest, UpdateVolumeRequest, Volume,
};
use gyre_query::Change;
use gyre_store::Conn;
use tonic::{Code, Request, Response, Status};

use super::{Api, Patch};
use crate::store::roots::{self, Allocated, RootBefore};
use crate::store::{new_uuid, uuid_of, volumes};

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
        let binned = !request.expunge && self.goes_to_bin(uuid, volumes::can_be_recovered).await?;
        let workflow = if binned { "bin-volume" } else { "delete-volume" };
        let delete = Delete { caller, workflow, request: &request, binned };
        let check = move |conn: &mut Conn, volume: &Volume| {
            if busy(conn, uuid)? {
                return Ok(());
            }
            volumes::check_deletable(conn, &caller, uuid)?;
            if binned { volumes::check_binnable(volume) } else { Ok(()) }
        };
        Ok(Response::new(self.flow.delete(delete, check).await?))
    }

    async fn recover_volume(&self, request: Request<RecoverVolumeRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let wish = (request.request_id.as_str(), &request);
        self.work((caller, "recover-volume"), &request.uuid, wish, |_, volume| volumes::check_binned(volume)).await
    }

    async fn expunge_volume(&self, request: Request<ExpungeVolumeRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let wish = (request.request_id.as_str(), &request);
        self.work((caller, "expunge-volume"), &request.uuid, wish, |_, volume| volumes::check_expungeable(volume)).await
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
            let before = self.flow.store().read("root-volume-find", move |conn| roots::root_before(conn, &asked, uuid));
            let wish = (request.request_id.as_str(), &request);
            match before.await? {
                RootBefore::Made(operation) => return Ok(Response::new(*operation)),
                RootBefore::Forgotten => {
                    return self.submit((caller, "confirm-volume"), uuid, wish, |_, _| Ok(())).await;
                }
                RootBefore::Nothing => {
                    let asked = request.clone();
                    let rows = move |conn: &mut _, change: &_| roots::insert_root(conn, change, &asked, uuid);
                    match self.submit((caller, "create-root-volume"), uuid, wish, rows).await {
                        Err(status) if status.code() == Code::AlreadyExists => last = status,
                        answer => return answer,
                    }
                }
            }
        }
        Err(last)
    }

    async fn allocate_root_volume(
        &self,
        request: Request<CreateRootVolumeRequest>,
    ) -> Result<Response<AllocateRootVolumeResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let uuid = uuid_of("volume_uuid", &asked.volume_uuid)?;
        let by_operation = AllocateRootVolumeResponse { by_operation: true, ..AllocateRootVolumeResponse::default() };
        if self.flow.has_plugins("create-root-volume") {
            return Ok(Response::new(by_operation));
        }
        let allocated = self.flow.store().write_again("allocate-root-volume", move |conn| {
            fence::check(conn, &caller)?;
            roots::allocate(conn, &Change::by(caller), &asked, uuid)
        });
        Ok(Response::new(match allocated.await? {
            Allocated::ByOperation => by_operation,
            Allocated::Make(work) => AllocateRootVolumeResponse {
                task: Some(Task { work: Some(work), ..Task::default() }),
                limit_seconds: i64::try_from(self.limits.transfer.as_secs()).unwrap_or(i64::MAX),
                ..AllocateRootVolumeResponse::default()
            },
            Allocated::There(path) => AllocateRootVolumeResponse { path, ..AllocateRootVolumeResponse::default() },
        }))
    }

    async fn confirm_root_volume(
        &self,
        request: Request<ConfirmRootVolumeRequest>,
    ) -> Result<Response<ConfirmRootVolumeResponse>, Status> {
        let caller = caller(&request)?;
        let ConfirmRootVolumeRequest { volume_uuid, vm_uuid, path } = request.into_inner();
        let (uuid, vm) = (uuid_of("volume_uuid", &volume_uuid)?, uuid_of("vm_uuid", &vm_uuid)?);
        let confirmed = self.flow.store().write_again("confirm-root-volume", move |conn| {
            fence::check(conn, &caller)?;
            roots::confirm(conn, &Change::by(caller), uuid, vm, &path)
        });
        confirmed.await?;
        Ok(Response::new(ConfirmRootVolumeResponse {}))
    }

    async fn destroy_volume(&self, request: Request<DestroyVolumeRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let uuid = uuid_of("volume_uuid", &request.volume_uuid)?;
        let wish = (request.request_id.as_str(), &request);
        let force = request.force;
        // whatever is there when its turn comes
        let rows = move |conn: &mut Conn, change: &Change| match force {
            true => gyre_flow::delete::give_up(conn, change, uuid),
            false => Ok(()),
        };
        self.submit((caller, "destroy-volume"), uuid, wish, rows).await
    }

    async fn describe_root_removal(
        &self,
        request: Request<DescribeRootRemovalRequest>,
    ) -> Result<Response<DescribeRootRemovalResponse>, Status> {
        let request = request.into_inner();
        let (uuid, vm) = (uuid_of("volume_uuid", &request.volume_uuid)?, uuid_of("vm_uuid", &request.vm_uuid)?);
        let told = self.flow.store().read("root-removal", move |conn| roots::root_removal(conn, uuid, vm));
        let (busy, work) = told.await?;
        let (host, work) = work.unzip();
        Ok(Response::new(DescribeRootRemovalResponse {
            by_operation: busy || self.flow.has_plugins("destroy-volume"),
            host_uuid: host.map(|host| host.to_string()).unwrap_or_default(),
            task: work.map(|work| Task { work: Some(work), ..Task::default() }),
        }))
    }

    async fn forget_root_volume(
        &self,
        request: Request<ForgetRootVolumeRequest>,
    ) -> Result<Response<ForgetRootVolumeResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (uuid, vm) = (uuid_of("volume_uuid", &request.volume_uuid)?, uuid_of("vm_uuid", &request.vm_uuid)?);
        let forgotten = self.flow.store().write_again("forget-root-volume", move |conn| {
            fence::check(conn, &caller)?;
            roots::forget_root(conn, &Change::by(caller), uuid, vm)
        });
        forgotten.await?;
        Ok(Response::new(ForgetRootVolumeResponse {}))
    }

    async fn sweep_volume(&self, request: Request<SweepVolumeRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let uuid = uuid_of("volume_uuid", &request.volume_uuid)?;
        let wish = (request.request_id.as_str(), &request);
        self.submit((caller, "sweep-volume"), uuid, wish, |_, _| Ok(())).await
    }
}
