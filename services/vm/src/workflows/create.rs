//! Making a machine. The row, its interfaces and its root volume's UUID are there already when the operation is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gyre_flow::{Context, Var};
use gyre_model::{Caller, Error, Kind, Result};
use gyre_proto::agent::v1::task_outcome;
use gyre_proto::host::v1::{ReleasePlacementRequest, ReservePlacementRequest, ReservePlacementResponse};
use gyre_proto::network::v1::{AllocateAddressRequest, ReleaseAddressRequest};
use gyre_proto::storage::v1::{
    ConfirmRootVolumeRequest, CreateRootVolumeRequest, DescribeRootRemovalRequest, DestroyVolumeRequest,
    ForgetRootVolumeRequest,
};
use gyre_proto::vm::v1::{CreateVmRequest, Vm};
use gyre_store::Conn;
use serde::{Deserialize, Serialize};

use super::{gone, uuid, vm_if_any, vm_that_goes};
use crate::store::vm_delete;
use crate::{Inner, tags};

/// How long a call that only writes rows may take.
pub(super) const CALL: Duration = Duration::from_secs(10);
/// How long a host may take to delete a file.
const FILE: Duration = Duration::from_secs(60);
/// Most hosts that are tried when storage refuses.
const MOST_HOSTS: usize = 20;
/// Why storage refuses a host although another may do.
const TRY_ANOTHER_HOST: [&str; 3] = ["NO_STORAGE_ROOM", "NO_PRIMARY_STORAGE", "DISK_FULL"];

/// What the machine's interfaces got.
pub(super) const ADDRESSES: Var<Vec<Address>> = Var::new("addresses");
/// Where the machine goes.
pub(super) const PLACE: Var<Place> = Var::new("place");
/// Whether a host may have been asked for the root volume's file.
pub(super) const ASKED: Var<bool> = Var::new("asked");
/// The hosts that have no storage for it, each with why.
pub(super) const EXCLUDED: Var<BTreeMap<String, String>> = Var::new("excluded");

/// What an interface got.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Address {
    nic: String,
    address: String,
    gateway: String,
    prefix_length: i32,
    bridge: String,
    cluster: String,
    dns: Vec<String>,
}

/// A host and its cluster, and where a new machine's root volume is on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Place {
    pub host: String,
    pub cluster: String,
    #[serde(default)]
    pub root: String,
}

pub(super) async fn record(_: Arc<Inner>, _: Context) -> Result<()> {
    // written with the operation itself
    Ok(())
}

pub(super) async fn forget(_: Arc<Inner>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| vm_delete(conn, change, uuid));
    Ok(())
}

pub(super) async fn addresses(inner: Arc<Inner>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    let read = move |conn: &mut Conn| {
        let vm: Vm = gyre_query::get(conn, &Caller::system(), uuid)?;
        let wished = tags::static_addresses(conn, &vm)?;
        Ok((vm, wished))
    };
    let (vm, mut wished) = context.read("vm-addresses", read).await?;
    let mut taken = Vec::new();
    for nic in &vm.nics {
        let request = AllocateAddressRequest {
            l3_network_uuid: nic.l3_network_uuid.clone(),
            nic_uuid: nic.uuid.clone(),
            vm_uuid: vm.uuid.clone(),
            address: wished.remove(&nic.uuid).unwrap_or_default(),
        };
        let got = inner.addresses().allocate_address(context.request(request, CALL)).await?.into_inner();
        taken.push(Address {
            nic: nic.uuid.clone(),
            address: got.address,
            gateway: got.gateway,
            prefix_length: got.prefix_length,
            bridge: got.bridge,
            cluster: got.cluster_uuid,
            dns: got.dns,
        });
    }
    let clusters: BTreeSet<_> = taken.iter().map(|address| address.cluster.as_str()).collect();
    if clusters.len() > 1 {
        return Err(Error::new(
            Kind::InvalidArgument,
            "NETWORKS_IN_DIFFERENT_CLUSTERS",
            "the networks of a machine must be in one cluster",
        )
        .violation("vm.l3_network_uuids", "must be networks of one cluster"));
    }
    context.set(&ADDRESSES, &taken)
}

pub(super) async fn release_addresses(inner: Arc<Inner>, context: Context) -> Result<()> {
    let Some(vm) = vm_that_goes(&context).await? else { return Ok(()) };
    for nic in &vm.nics {
        let (l3_network_uuid, nic_uuid) = (nic.l3_network_uuid.clone(), nic.uuid.clone());
        let request = ReleaseAddressRequest { l3_network_uuid, nic_uuid };
        match inner.addresses().release_address(context.request(request, CALL)).await.map_err(Error::from) {
            Ok(_) => {}
            Err(error) if gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Picks a host with room, and makes the root volume there. Where storage has no room on that host, the next one is tried.
pub(super) async fn place(inner: Arc<Inner>, context: Context) -> Result<()> {
    let wish = context.input::<CreateVmRequest>()?.vm.unwrap_or_default();
    let uuid = context.resource_uuid();
    let read = move |conn: &mut Conn| {
        let vm: Vm = gyre_query::get(conn, &Caller::system(), uuid)?;
        let hints = tags::hints(conn, &vm)?;
        Ok((vm, hints))
    };
    let (vm, hints) = context.read("vm-placement", read).await?;
    let addresses = context.need(&ADDRESSES)?;
    let cluster = addresses.first().map(|address| address.cluster.clone()).unwrap_or_default();
    if !vm.cluster_uuid.is_empty() && !cluster.is_empty() && cluster != vm.cluster_uuid {
        return Err(Error::invalid("vm.cluster_uuid", "must be the cluster of the machine's networks"));
    }
    let cluster = if cluster.is_empty() { vm.cluster_uuid.clone() } else { cluster };
    let mut excluded = context.get(&EXCLUDED)?.unwrap_or_default();
    loop {
        let request = ReservePlacementRequest {
            claim_uuid: vm.uuid.clone(),
            cpu_count: vm.cpu_count,
            memory_bytes: vm.memory_bytes,
            cluster_uuid: cluster.clone(),
            host_uuid: wish.host_uuid.clone(),
            cluster_uuids: hints.clusters.clone(),
            excluded: hints.excluded.clone().into_iter().chain(excluded.clone()).collect(),
            apart_tags: hints.apart.clone(),
            ..ReservePlacementRequest::default()
        };
        context.progress(10, "pick a host");
        let got = inner.placement().reserve_placement(context.request(request, CALL)).await?.into_inner();
        match root_volume(&inner, &context, &vm, &got).await {
            Ok(root) => return context.set(&PLACE, &Place { host: got.host_uuid, cluster: got.cluster_uuid, root }),
            Err(error) if TRY_ANOTHER_HOST.contains(&error.reason()) && excluded.len() < MOST_HOSTS => {
                excluded.insert(got.host_uuid, error.message().to_owned());
                // a repeat of this step must exclude the same hosts
                context.set(&EXCLUDED, &excluded)?;
                remove_root_volume(&inner, &context, &vm, false).await?;
                release_room(&inner, &context).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Makes the root volume within this operation, or by one of its own where storage says so. Answers where it is, where that is known.
async fn root_volume(inner: &Inner, context: &Context, vm: &Vm, place: &ReservePlacementResponse) -> Result<String> {
    context.progress(20, "make the root volume");
    let request = CreateRootVolumeRequest {
        volume_uuid: vm.root_volume_uuid.clone(),
        name: format!("root of {}", vm.name).chars().take(64).collect(),
        vm_uuid: vm.uuid.clone(),
        host_uuid: place.host_uuid.clone(),
        cluster_uuid: place.cluster_uuid.clone(),
        image_uuid: vm.image_uuid.clone(),
        size_bytes: vm.root_volume_bytes,
        // the volume's UUID makes a repeat known; an id would answer an attempt that failed before
        request_id: String::new(),
    };
    let mut volumes = inner.volumes();
    let told = volumes.allocate_root_volume(context.request(request.clone(), CALL)).await?.into_inner();
    if told.by_operation {
        context.set(&ASKED, &true)?;
        let operation = volumes.create_root_volume(context.request(request, CALL)).await?.into_inner();
        return context.await_operation("storage", operation).await.map(|_| String::new());
    }
    let Some(work) = told.task.and_then(|task| task.work) else { return Ok(told.path) };
    let (host, limit) = (uuid("a host", &place.host_uuid)?, u64::try_from(told.limit_seconds).unwrap_or_default());
    context.set(&ASKED, &true)?;
    let outcome = context.run_task_as("root-volume", host, work, Duration::from_secs(limit)).await?;
    let Some(task_outcome::Result::Volume(facts)) = outcome.result else {
        return Err(Error::internal("a host made a volume and told nothing of it"));
    };
    let (volume_uuid, vm_uuid) = (vm.root_volume_uuid.clone(), vm.uuid.clone());
    let request = ConfirmRootVolumeRequest { volume_uuid, vm_uuid, path: facts.path.clone() };
    volumes.confirm_root_volume(context.request(request, CALL)).await?;
    Ok(facts.path)
}

pub(super) async fn release_room(inner: &Inner, context: &Context) -> Result<()> {
    let request = ReleasePlacementRequest { claim_uuid: context.resource_uuid().to_string() };
    inner.placement().release_placement(context.request(request, CALL)).await?;
    Ok(())
}

/// Deletes a machine's root volume; by force also where its host is away, which owes the file then. One that is not there is fine.
pub(super) async fn delete_root_volume(inner: &Inner, context: &Context, vm: &Vm, force: bool) -> Result<()> {
    if vm.root_volume_uuid.is_empty() {
        return Ok(());
    }
    let request = DestroyVolumeRequest { volume_uuid: vm.root_volume_uuid.clone(), force, ..Default::default() };
    let operation = match inner.volumes().destroy_volume(context.request(request, CALL)).await.map_err(Error::from) {
        Ok(response) => response.into_inner(),
        Err(error) if gone(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    context.await_operation("storage", operation).await.map(|_| ())
}

/// Deletes the root volume of a machine that is past its deletion's point of no return, or is not made after all: within this operation,
/// since nobody else may use the volume. Where another works on the volume, where an operator has put steps into the workflow that destroys volumes, or by
/// force where its host is away, an operation of its own does it.
pub(super) async fn remove_root_volume(inner: &Inner, context: &Context, vm: &Vm, force: bool) -> Result<()> {
    if vm.root_volume_uuid.is_empty() {
        return Ok(());
    }
    let (volume_uuid, vm_uuid) = (vm.root_volume_uuid.clone(), vm.uuid.clone());
    let asked = DescribeRootRemovalRequest { volume_uuid: volume_uuid.clone(), vm_uuid: vm_uuid.clone() };
    let told = match inner.volumes().describe_root_removal(context.request(asked, CALL)).await.map_err(Error::from) {
        Ok(told) => told.into_inner(),
        Err(error) if gone(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    if told.by_operation {
        return delete_root_volume(inner, context, vm, force).await;
    }
    if let Some(work) = told.task.and_then(|task| task.work) {
        let host = uuid("a host", &told.host_uuid)?;
        match context.run_task_as("remove-root-volume", host, work, FILE).await {
            Ok(_) => {}
            Err(error) if force && gyre_flow::delete::host_is_away(&error) => {
                return delete_root_volume(inner, context, vm, force).await;
            }
            Err(error) => return Err(error),
        }
    }
    forget_root_volume(inner, context, vm).await
}

/// Has a root volume forgotten that has no file on any host.
async fn forget_root_volume(inner: &Inner, context: &Context, vm: &Vm) -> Result<()> {
    let request = ForgetRootVolumeRequest { volume_uuid: vm.root_volume_uuid.clone(), vm_uuid: vm.uuid.clone() };
    inner.volumes().forget_root_volume(context.request(request, CALL)).await?;
    Ok(())
}

pub(super) async fn unplace(inner: Arc<Inner>, context: Context) -> Result<()> {
    if let Some(vm) = vm_if_any(&context).await? {
        // an instance that took the operation over does not know what the one before it asked
        if context.may_have_run_before() || context.get(&ASKED)?.unwrap_or(false) {
            remove_root_volume(&inner, &context, &vm, false).await?;
        } else {
            forget_root_volume(&inner, &context, &vm).await?;
        }
    }
    release_room(&inner, &context).await
}

/// A machine's row with what the steps found out.
pub(super) fn fill_in(vm: &mut Vm, addresses: &[Address], place: &Place) {
    for nic in &mut vm.nics {
        if let Some(got) = addresses.iter().find(|address| address.nic == nic.uuid) {
            nic.address.clone_from(&got.address);
            nic.gateway.clone_from(&got.gateway);
            nic.prefix_length = got.prefix_length;
            nic.bridge.clone_from(&got.bridge);
        }
    }
    vm.addresses = vm.nics.iter().map(|nic| nic.address.clone()).collect();
    vm.host_uuid.clone_from(&place.host);
    vm.cluster_uuid.clone_from(&place.cluster);
}

/// The name servers that an interface was told of with its address.
pub(super) fn dns(addresses: &[Address], nic: &str) -> Option<Vec<String>> {
    addresses.iter().find(|address| address.nic == nic).map(|address| address.dns.clone())
}

/// The host of a machine that is placed.
pub(super) fn host_of(context: &Context, vm: &Vm) -> Result<gyre_model::Uuid> {
    match context.get(&PLACE)? {
        Some(place) => uuid("a host", &place.host),
        None => uuid("a host", &vm.host_uuid),
    }
}
