//! Making a machine. The row, its interfaces and its root volume's UUID are there already when the operation is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gyre_flow::{Context, Var};
use gyre_model::{Error, Kind, Result};
use gyre_proto::host::v1::{ReleasePlacementRequest, ReservePlacementRequest, ReservePlacementResponse};
use gyre_proto::network::v1::{AllocateAddressRequest, ReleaseAddressRequest};
use gyre_proto::storage::v1::{CreateRootVolumeRequest, DestroyVolumeRequest};
use gyre_proto::vm::v1::{CreateVmRequest, Vm};
use serde::{Deserialize, Serialize};

use super::{gone, uuid, vm, vm_if_any};
use crate::store::vm_delete;
use crate::{Inner, tags};

/// How long a call that only writes rows may take.
pub(super) const CALL: Duration = Duration::from_secs(10);
/// Most hosts that are tried when storage refuses.
const MOST_HOSTS: usize = 20;
/// Why storage refuses a host although another may do.
const TRY_ANOTHER_HOST: [&str; 3] = ["NO_STORAGE_ROOM", "NO_PRIMARY_STORAGE", "DISK_FULL"];

/// What the machine's interfaces got.
pub(super) const ADDRESSES: Var<Vec<Address>> = Var::new("addresses");
/// Where the machine goes.
pub(super) const PLACE: Var<Place> = Var::new("place");
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

/// A host and its cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Place {
    pub host: String,
    pub cluster: String,
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
    let vm = vm(&context).await?;
    let asked = vm.clone();
    let mut wished = context.read("vm-static-addresses", move |conn| tags::static_addresses(conn, &asked)).await?;
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
    let Some(vm) = vm_if_any(&context).await? else { return Ok(()) };
    for nic in vm.nics {
        let request = ReleaseAddressRequest { l3_network_uuid: nic.l3_network_uuid, nic_uuid: nic.uuid };
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
    let vm = vm(&context).await?;
    let addresses = context.need(&ADDRESSES)?;
    let cluster = addresses.first().map(|address| address.cluster.clone()).unwrap_or_default();
    if !vm.cluster_uuid.is_empty() && !cluster.is_empty() && cluster != vm.cluster_uuid {
        return Err(Error::invalid("vm.cluster_uuid", "must be the cluster of the machine's networks"));
    }
    let cluster = if cluster.is_empty() { vm.cluster_uuid.clone() } else { cluster };
    let asked = vm.clone();
    let hints = context.read("vm-placement-hints", move |conn| tags::hints(conn, &asked)).await?;
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
            Ok(()) => return context.set(&PLACE, &Place { host: got.host_uuid, cluster: got.cluster_uuid }),
            Err(error) if TRY_ANOTHER_HOST.contains(&error.reason()) && excluded.len() < MOST_HOSTS => {
                excluded.insert(got.host_uuid, error.message().to_owned());
                // a repeat of this step must exclude the same hosts
                context.set(&EXCLUDED, &excluded)?;
                release_room(&inner, &context).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn root_volume(inner: &Inner, context: &Context, vm: &Vm, place: &ReservePlacementResponse) -> Result<()> {
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
    let operation = inner.volumes().create_root_volume(context.request(request, CALL)).await?.into_inner();
    context.await_operation("storage", operation).await.map(|_| ())
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

pub(super) async fn unplace(inner: Arc<Inner>, context: Context) -> Result<()> {
    if let Some(vm) = vm_if_any(&context).await? {
        delete_root_volume(&inner, &context, &vm, false).await?;
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

/// The name servers of an interface, which are the network's and not the row's.
pub(super) fn dns(addresses: &[Address], nic: &str) -> Vec<String> {
    addresses.iter().find(|address| address.nic == nic).map(|address| address.dns.clone()).unwrap_or_default()
}

/// The host of a machine that is placed.
pub(super) fn host_of(context: &Context, vm: &Vm) -> Result<gyre_model::Uuid> {
    match context.get(&PLACE)? {
        Some(place) => uuid("a host", &place.host),
        None => uuid("a host", &vm.host_uuid),
    }
}
