//! Machines.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use gyre_flow::{Delete, Submit, bin, once};
use gyre_mesh::serve::caller;
use gyre_model::id::ordered_uuid;
use gyre_model::{Caller, Error, Kind, Result, Uuid};
use gyre_proto::agent::v1 as agent;
use gyre_proto::common::v1::Operation;
use gyre_proto::host::v1::{Cluster, Host, ReadConsoleRequest, WriteConsoleRequest};
use gyre_proto::network::v1::L3Network;
use gyre_proto::storage::v1::{Image, ImageState};
use gyre_proto::vm::v1::vm_service_server::VmService;
use gyre_proto::vm::v1::{
    CreateVmRequest, DeleteVmRequest, ExpungeVmRequest, GetVmRequest, InstanceOffering, ListVmsRequest,
    ListVmsResponse, ReadVmConsoleRequest, ReadVmConsoleResponse, RebootVmRequest, RecoverVmRequest, StartVmRequest,
    StopVmRequest, UpdateVmRequest, Vm, VmNic, VmState, WriteVmConsoleRequest, WriteVmConsoleResponse,
};
use gyre_proto::{ListRequest, Named};
use gyre_store::Conn;
use tonic::{Request, Response, Status};

use gyre_query::request::named;

use super::{Api, given, new_uuid, uuid};
use crate::state::Event;
use crate::store;

const KIND: &str = "vm";

/// What a machine refers to, checked and filled in.
fn complete(conn: &mut Conn, caller: &Caller, mut vm: Vm) -> Result<Vm> {
    if vm.instance_offering_uuid.is_empty() {
        let mut error: Option<Error> = None;
        for (field, missing) in [("vm.cpu_count", vm.cpu_count == 0), ("vm.memory_bytes", vm.memory_bytes == 0)] {
            if missing {
                let what = "must be given where there is no instance_offering_uuid";
                error = Some(match error {
                    None => Error::invalid(field, what),
                    Some(error) => error.violation(field, what),
                });
            }
        }
        error.map_or(Ok(()), Err)?;
    } else {
        let offering: InstanceOffering = named(
            conn,
            caller,
            "vm.instance_offering_uuid",
            &vm.instance_offering_uuid,
            "INSTANCE_OFFERING_NOT_FOUND",
        )?;
        if vm.cpu_count != 0 || vm.memory_bytes != 0 {
            return Err(Error::invalid(
                "vm.instance_offering_uuid",
                "must not be given together with cpu_count or memory_bytes",
            ));
        }
        (vm.cpu_count, vm.memory_bytes) = (offering.cpu_count, offering.memory_bytes);
    }
    let image: Image = named(conn, caller, "vm.image_uuid", &vm.image_uuid, "IMAGE_NOT_FOUND")?;
    if image.state() == ImageState::Destroyed {
        return Err(bin::in_bin(&image, &image.name));
    }
    if image.state() != ImageState::Ready {
        return Err(Error::new(
            Kind::FailedPrecondition,
            "IMAGE_NOT_READY",
            format!("image {} ({}) is not ready yet: wait for its operation to end", image.uuid, image.name),
        ));
    }
    if vm.root_volume_bytes != 0 && vm.root_volume_bytes < image.size_bytes {
        return Err(Error::new(
            Kind::InvalidArgument,
            "VOLUME_TOO_SMALL",
            format!("the root volume must have at least the image's {} bytes", image.size_bytes),
        )
        .violation(
            "vm.root_volume_bytes",
            format!("must be 0 or at least {}, got {}", image.size_bytes, vm.root_volume_bytes),
        ));
    }
    // UUIDs as the resources have them, however the caller wrote them
    for (network, nic) in vm.l3_network_uuids.iter_mut().zip(&mut vm.nics) {
        let found: L3Network = named(conn, caller, "vm.l3_network_uuids", network, "L3_NETWORK_NOT_FOUND")?;
        network.clone_from(&found.uuid);
        nic.l3_network_uuid = found.uuid;
    }
    if !vm.cluster_uuid.is_empty() {
        let found: Cluster = named(conn, caller, "vm.cluster_uuid", &vm.cluster_uuid, "CLUSTER_NOT_FOUND")?;
        vm.cluster_uuid = found.uuid;
    }
    if !vm.host_uuid.is_empty() {
        let host: Host = named(conn, caller, "vm.host_uuid", &vm.host_uuid, "HOST_NOT_FOUND")?;
        if !vm.cluster_uuid.is_empty() && vm.cluster_uuid != host.cluster_uuid {
            return Err(Error::invalid("vm.host_uuid", format!("host {} is not in that cluster", host.uuid)));
        }
    }
    Ok(vm)
}

/// The hardware address of an interface: locally administered, from its UUID.
fn mac(nic: Uuid) -> String {
    let bytes = nic.as_bytes();
    let [a, b, c] = [bytes[13], bytes[14], bytes[15]];
    format!("fa:16:{:02x}:{a:02x}:{b:02x}:{c:02x}", bytes[12])
}

impl Api {
    /// Submits work on a machine that is there: moves it by the event at once where nothing is under way.
    async fn work<M: Named>(
        &self,
        caller: Caller,
        workflow: &'static str,
        event: Event,
        text: &str,
        request_id: &str,
        input: &M,
    ) -> Result<Operation> {
        let uuid = uuid(KIND, text)?;
        let submit = Submit { caller, workflow, resource: uuid, request_id, input };
        self.inner
            .flow
            .submit(submit, move |conn, _| {
                let vm: Vm = gyre_query::get(conn, &caller, uuid)?;
                // what waits before this may change the state: then the first step looks when its turn comes
                if !gyre_flow::busy(conn, uuid)? && crate::state::next(vm.state(), event).is_none() {
                    return Err(store::wrong_state(&vm, event));
                }
                Ok(())
            })
            .await
    }

    async fn vm(&self, caller: Caller, text: &str) -> Result<Vm> {
        let uuid = uuid(KIND, text)?;
        self.inner.store.read("vm-get", move |conn| gyre_query::get(conn, &caller, uuid)).await
    }

    /// A machine whose console can be reached.
    async fn vm_with_console(&self, caller: Caller, text: &str) -> Result<Vm> {
        let vm = self.vm(caller, text).await?;
        if vm.host_uuid.is_empty() {
            return Err(Error::new(
                Kind::FailedPrecondition,
                "NO_CONSOLE",
                format!("vm {} is on no host yet: wait until it is running", vm.uuid),
            ));
        }
        Ok(vm)
    }
}

#[tonic::async_trait]
impl VmService for Api {
    async fn create_vm(&self, request: Request<CreateVmRequest>) -> std::result::Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut vm = given("vm", request.vm.clone())?;
        let uuid = new_uuid(&vm.uuid);
        if !vm.host_uuid.is_empty() && !caller.admin {
            return Err(Error::new(
                Kind::PermissionDenied,
                "ADMIN_ONLY",
                "only administrators choose a host: leave vm.host_uuid empty",
            )
            .into());
        }
        vm = Vm {
            uuid: uuid.to_string(),
            account_uuid: caller.account_uuid.to_string(),
            root_volume_uuid: ordered_uuid().to_string(),
            nics: vm
                .l3_network_uuids
                .iter()
                .map(|network| {
                    // without order: agents name tap devices by the beginning
                    let nic = Uuid::new_v4();
                    VmNic { uuid: nic.to_string(), l3_network_uuid: network.clone(), mac: mac(nic), ..VmNic::default() }
                })
                .collect(),
            addresses: Vec::new(),
            destroy_time: None,
            state_reason: String::new(),
            state: VmState::Creating.into(),
            ..vm
        };
        let submit =
            Submit { caller, workflow: "create-vm", resource: uuid, request_id: &request.request_id, input: &request };
        let operation = self
            .inner
            .flow
            .submit(submit, move |conn, change| {
                let vm = complete(conn, &caller, vm)?;
                // where it was asked for stays in the request; the row says where it is
                let vm = Vm { host_uuid: String::new(), ..vm };
                store::vm_insert(conn, change, &vm)
            })
            .await?;
        Ok(Response::new(operation))
    }

    async fn get_vm(&self, request: Request<GetVmRequest>) -> std::result::Result<Response<Vm>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(self.vm(caller, &request.get_ref().uuid).await?))
    }

    async fn list_vms(
        &self,
        request: Request<ListVmsRequest>,
    ) -> std::result::Result<Response<ListVmsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let read = self.inner.store.search("vm-list", move |conn| gyre_query::list(conn, &caller, request.page()));
        Ok(Response::new(read.await?))
    }

    async fn update_vm(&self, request: Request<UpdateVmRequest>) -> std::result::Result<Response<Vm>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let patch = given("vm", request.vm.clone())?;
        let uuid = uuid(KIND, &patch.uuid)?;
        let (id, mask) = (request.request_id.clone(), request.update_mask.clone());
        let changed = once(&self.inner.store, caller, "UpdateVm", &id, &request, move |conn, change| {
            let current: Vm = gyre_query::get(conn, &caller, uuid)?;
            let vm = gyre_query::apply_mask(&current, &patch, mask.as_ref())?;
            gyre_query::update_from(conn, change, &current, &vm)
        });
        Ok(Response::new(changed.await?))
    }

    async fn delete_vm(&self, request: Request<DeleteVmRequest>) -> std::result::Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let uuid = uuid(KIND, &request.uuid)?;
        // where nothing stays in the bin, nothing is put there
        let expunge = request.expunge || !self.inner.flow.has_bin::<Vm>(uuid).await?;
        let (workflow, event) = if expunge { ("delete-vm", Event::Erase) } else { ("destroy-vm", Event::Destroy) };
        let delete = Delete { caller, workflow, request: &request, binned: !expunge };
        let check = move |conn: &mut Conn, vm: &Vm| {
            // what waits before this may change the state: then the first step looks when its turn comes
            if crate::state::next(vm.state(), event).is_none() && !gyre_flow::busy(conn, uuid)? {
                return Err(store::wrong_state(vm, event));
            }
            Ok(())
        };
        Ok(Response::new(self.inner.flow.delete(delete, check).await?))
    }

    async fn start_vm(&self, request: Request<StartVmRequest>) -> std::result::Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let work = self.work(caller, "start-vm", Event::Start, &request.uuid, &request.request_id, &request);
        Ok(Response::new(work.await?))
    }

    async fn stop_vm(&self, request: Request<StopVmRequest>) -> std::result::Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let work = self.work(caller, "stop-vm", Event::Stop, &request.uuid, &request.request_id, &request);
        Ok(Response::new(work.await?))
    }

    async fn reboot_vm(&self, request: Request<RebootVmRequest>) -> std::result::Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let work = self.work(caller, "reboot-vm", Event::Reboot, &request.uuid, &request.request_id, &request);
        Ok(Response::new(work.await?))
    }

    async fn recover_vm(&self, request: Request<RecoverVmRequest>) -> std::result::Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let work = self.work(caller, "recover-vm", Event::Recover, &request.uuid, &request.request_id, &request);
        Ok(Response::new(work.await?))
    }

    async fn expunge_vm(&self, request: Request<ExpungeVmRequest>) -> std::result::Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let work = self.work(caller, "expunge-vm", Event::Expunge, &request.uuid, &request.request_id, &request);
        Ok(Response::new(work.await?))
    }

    type ReadVmConsoleStream = Pin<Box<dyn Stream<Item = std::result::Result<ReadVmConsoleResponse, Status>> + Send>>;

    async fn read_vm_console(
        &self,
        request: Request<ReadVmConsoleRequest>,
    ) -> std::result::Result<Response<Self::ReadVmConsoleStream>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let vm = self.vm_with_console(caller, &request.uuid).await?;
        let console = agent::ReadConsoleRequest {
            host_uuid: vm.host_uuid.clone(),
            vm_uuid: vm.uuid.clone(),
            tail_bytes: request.tail_bytes,
            follow: request.follow,
        };
        let request = ReadConsoleRequest { host_uuid: vm.host_uuid, console: Some(console) };
        let output = self.inner.hosts().read_console(caller.request(request)).await?.into_inner();
        let output = output.map(|piece| piece.map(|piece| ReadVmConsoleResponse { data: piece.data }));
        Ok(Response::new(Box::pin(output)))
    }

    async fn write_vm_console(
        &self,
        request: Request<WriteVmConsoleRequest>,
    ) -> std::result::Result<Response<WriteVmConsoleResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let vm = self.vm_with_console(caller, &request.uuid).await?;
        let console = agent::WriteConsoleRequest {
            host_uuid: vm.host_uuid.clone(),
            vm_uuid: vm.uuid.clone(),
            data: request.data,
        };
        let mut routed = caller.request(WriteConsoleRequest { host_uuid: vm.host_uuid, console: Some(console) });
        routed.set_timeout(Duration::from_secs(10));
        self.inner.hosts().write_console(routed).await?;
        Ok(Response::new(WriteVmConsoleResponse {}))
    }
}
