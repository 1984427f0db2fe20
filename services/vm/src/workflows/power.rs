//! Starting, stopping and restarting.

use std::sync::Arc;
use std::time::Duration;

use gyre_flow::{Context, Var};
use gyre_model::{Caller, Error, Kind, Result, parse_uuid};
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{
    MachineDisk, MachineNic, MachineSpec, RebootMachine, RemoveMachine, StartMachine, StopMachine,
};
use gyre_proto::host::v1::ReservePlacementRequest;
use gyre_proto::network::v1::L3Network;
use gyre_proto::storage::v1::Volume;
use gyre_proto::vm::v1::{RebootVmRequest, StopVmRequest, Vm, VmState};
use gyre_query::settings;
use gyre_store::Conn;

use super::create::{ADDRESSES, Address, CALL, PLACE, Place, dns, fill_in, host_of, release_room};
use super::{uuid, vm, vm_if_any};
use crate::Inner;
use crate::state::{Event, next};
use crate::store::{vm_move, vm_restore, wrong_state};
use crate::tags::HOSTNAME;

/// The setting: how long a guest may take to shut down.
pub(crate) const STOP_GRACE: &str = "vm.stop-grace";
/// The setting: how long a host may take to start a machine.
pub(crate) const START_LIMIT: &str = "vm.start-limit";

/// What pulling a plug may take beyond the guest's grace.
const PLUG: Duration = Duration::from_secs(60);

/// The state from which the operation took the machine.
pub(super) const BEFORE: Var<i32> = Var::new("before");

/// Moves the machine by the event that begins an operation, and remembers where it came from.
pub(super) async fn begin(context: &Context, event: Event) -> Result<()> {
    let uuid = context.resource_uuid();
    look(context, event).await?;
    context.commit("vm-begin", move |conn, change| vm_move(conn, change, uuid, event, |_| ())).await
}

/// The same where a point of no return follows before anything is done: the machine moves in that commit, or not at all.
pub(super) async fn begin_for_good(context: &Context, event: Event) -> Result<()> {
    let uuid = context.resource_uuid();
    look(context, event).await?;
    context.on_commit(move |conn, change| vm_move(conn, change, uuid, event, |_| ()));
    Ok(())
}

/// Sees that the event is allowed, and remembers where the machine came from.
async fn look(context: &Context, event: Event) -> Result<()> {
    let before = vm(context).await?;
    let to = next(before.state(), event).ok_or_else(|| wrong_state(&before, event))?;
    if context.get(&BEFORE)?.is_none() {
        // a repeat may find the state that this step made: the first one tells the truth
        let from = if before.state() == to { VmState::Unknown } else { before.state() };
        context.set(&BEFORE, &i32::from(from))?;
    }
    Ok(())
}

/// Puts the machine back into the state from which the operation took it.
pub(super) async fn restore(_: Arc<Inner>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    if let Some(before) = context.get(&BEFORE)?.and_then(|state| VmState::try_from(state).ok()) {
        context.on_commit(move |conn, change| vm_restore(conn, change, uuid, before));
    }
    Ok(())
}

pub(super) async fn begin_start(_: Arc<Inner>, context: Context) -> Result<()> {
    begin(&context, Event::Start).await
}

pub(super) async fn begin_stop(_: Arc<Inner>, context: Context) -> Result<()> {
    begin(&context, Event::Stop).await
}

pub(super) async fn begin_reboot(_: Arc<Inner>, context: Context) -> Result<()> {
    begin(&context, Event::Reboot).await
}

/// Takes room on the host that holds the root volume.
pub(super) async fn reserve(inner: Arc<Inner>, context: Context) -> Result<()> {
    let vm = vm(&context).await?;
    let request = ReservePlacementRequest {
        claim_uuid: vm.uuid.clone(),
        cpu_count: vm.cpu_count,
        memory_bytes: vm.memory_bytes,
        host_uuid: vm.host_uuid.clone(),
        ..ReservePlacementRequest::default()
    };
    let got = inner.placement().reserve_placement(context.request(request, CALL)).await?.into_inner();
    context.set(&PLACE, &Place { host: got.host_uuid, cluster: got.cluster_uuid, root: String::new() })
}

pub(super) async fn unreserve(inner: Arc<Inner>, context: Context) -> Result<()> {
    match being_started(&context).await? {
        Some(_) => release_room(&inner, &context).await,
        None => Ok(()),
    }
}

/// What the agent must know to start the machine, beyond its row.
struct Parts {
    /// Where its root volume is.
    root: String,
    /// The name servers of its interfaces, in their order.
    dns: Vec<Vec<String>>,
}

/// Reads them, as far as the operation has not found them out: a network's name servers are those of now where it took no address.
fn parts(conn: &mut Conn, vm: &Vm, root: String, addresses: &[Address]) -> Result<Parts> {
    let system = Caller::system();
    let root = match root.as_str() {
        "" => {
            let found: Option<Volume> = gyre_query::find(conn, &system, uuid("a root volume", &vm.root_volume_uuid)?)?;
            let gone = || {
                let text = format!("the root volume of vm {} is gone", vm.uuid);
                Error::new(Kind::FailedPrecondition, "NO_ROOT_VOLUME", text)
            };
            found.ok_or_else(gone)?.path
        }
        _ => root,
    };
    let mut servers = Vec::with_capacity(vm.nics.len());
    for nic in &vm.nics {
        servers.push(match (dns(addresses, &nic.uuid), parse_uuid(&nic.l3_network_uuid)) {
            (None, Some(network)) => {
                let network: Option<L3Network> = gyre_query::find(conn, &system, network)?;
                network.map(|network| network.dns).unwrap_or_default()
            }
            (known, _) => known.unwrap_or_default(),
        });
    }
    Ok(Parts { root, dns: servers })
}

fn spec(vm: &Vm, parts: Parts) -> MachineSpec {
    let nics = vm.nics.iter().zip(parts.dns).map(|(nic, dns)| MachineNic {
        nic_uuid: nic.uuid.clone(),
        mac: nic.mac.clone(),
        bridge: nic.bridge.clone(),
        address: nic.address.clone(),
        gateway: nic.gateway.clone(),
        prefix_length: nic.prefix_length,
        dns,
    });
    MachineSpec {
        vm_uuid: vm.uuid.clone(),
        name: vm.name.clone(),
        cpu_count: vm.cpu_count,
        memory_bytes: vm.memory_bytes,
        disks: vec![MachineDisk { volume_uuid: vm.root_volume_uuid.clone(), path: parts.root }],
        nics: nics.collect(),
        hostname: gyre_query::tags::value(&vm.tags, HOSTNAME).unwrap_or_default().to_owned(),
    }
}

/// Starts the machine on its host. The row says that it runs with the operation's last commit.
pub(super) async fn start(inner: Arc<Inner>, context: Context) -> Result<()> {
    let (addresses, place) = (context.get(&ADDRESSES)?.unwrap_or_default(), context.need(&PLACE)?);
    let (uuid, default) = (context.resource_uuid(), inner.config.start_limit);
    let (took, at) = (addresses.clone(), place.clone());
    let read = move |conn: &mut Conn| {
        let mut vm: Vm = gyre_query::get(conn, &Caller::system(), uuid)?;
        fill_in(&mut vm, &took, &at);
        let parts = parts(conn, &vm, at.root, &took)?;
        let limit = settings::duration(conn, START_LIMIT, Some(("vm", uuid)), default)?;
        Ok((vm, parts, limit))
    };
    let (vm, parts, limit) = context.read("vm-start", read).await?;
    let host = host_of(&context, &vm)?;
    let machine = Some(spec(&vm, parts));
    context.run_task(host, Work::StartMachine(StartMachine { machine }), limit).await?;
    context.on_commit(move |conn, change| {
        let filled = |vm: &mut Vm| fill_in(vm, &addresses, &place);
        vm_move(conn, change, uuid, Event::Running, filled)
    });
    Ok(())
}

/// Takes back what a start may have done: kills what runs, and removes the machine's files on the host, which a start makes anew.
pub(super) async fn unstart(inner: Arc<Inner>, context: Context) -> Result<()> {
    let Some(vm) = being_started(&context).await? else { return Ok(()) };
    // no host yet: the machine was never asked to start
    if vm.host_uuid.is_empty() && context.get(&PLACE)?.is_none() {
        return Ok(());
    }
    let host = host_of(&context, &vm)?;
    remove_from(&inner, &context, host, &vm).await
}

/// The machine, where its state says that it is being made or started. Before that state is durable nothing touches a host; so in
/// any other state this operation has done nothing there, and what runs is another's.
async fn being_started(context: &Context) -> Result<Option<Vm>> {
    let vm = vm_if_any(context).await?;
    Ok(vm.filter(|vm| matches!(vm.state(), VmState::Creating | VmState::Starting)))
}

/// Removes a machine from a host, whatever is there of it.
pub(super) async fn remove_from(inner: &Inner, context: &Context, host: gyre_model::Uuid, vm: &Vm) -> Result<()> {
    let work = Work::RemoveMachine(RemoveMachine { vm_uuid: vm.uuid.clone() });
    context.run_task(host, work, inner.config.start_limit).await.map(|_| ())
}

/// A grace in whole seconds: what the request says, or else the setting.
pub(super) async fn grace(inner: &Inner, context: &Context, seconds: i32) -> Result<i32> {
    if seconds != 0 {
        return Ok(seconds);
    }
    let (vm, default) = (context.resource_uuid(), inner.config.grace);
    let read = move |conn: &mut Conn| settings::duration(conn, STOP_GRACE, Some(("vm", vm)), default);
    let grace = context.read("vm-stop-grace", read).await?;
    Ok(i32::try_from(grace.as_secs()).unwrap_or(i32::MAX).max(1))
}

/// How long a host may take to start a machine.
pub(super) async fn start_limit(inner: &Inner, context: &Context) -> Result<Duration> {
    let (vm, default) = (context.resource_uuid(), inner.config.start_limit);
    let read = move |conn: &mut Conn| settings::duration(conn, START_LIMIT, Some(("vm", vm)), default);
    context.read("vm-start-limit", read).await
}

fn limit(seconds: i32) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0)) + PLUG
}

/// Shuts the machine down on its host.
pub(super) async fn shut_down(inner: &Inner, context: &Context, force: bool, seconds: i32) -> Result<()> {
    let vm = vm(context).await?;
    let host = host_of(context, &vm)?;
    let grace_seconds = grace(inner, context, seconds).await?;
    let work = Work::StopMachine(StopMachine { vm_uuid: vm.uuid, force, grace_seconds });
    context.run_task(host, work, limit(grace_seconds)).await.map(|_| ())
}

pub(super) async fn stop(inner: Arc<Inner>, context: Context) -> Result<()> {
    let request: StopVmRequest = context.input()?;
    shut_down(&inner, &context, request.force, request.grace_seconds).await
}

pub(super) async fn release(inner: Arc<Inner>, context: Context) -> Result<()> {
    release_room(&inner, &context).await?;
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| vm_move(conn, change, uuid, Event::Off, |_| ()));
    Ok(())
}

/// Gives back the room of a machine that went off by itself. In the machine's lane, so that no start takes room meanwhile.
pub(super) async fn settle(inner: Arc<Inner>, context: Context) -> Result<()> {
    match vm_if_any(&context).await?.map(|vm| vm.state()) {
        Some(VmState::Stopped | VmState::Destroyed) => release_room(&inner, &context).await,
        _ => Ok(()),
    }
}

pub(super) async fn reboot(inner: Arc<Inner>, context: Context) -> Result<()> {
    let request: RebootVmRequest = context.input()?;
    let vm = vm(&context).await?;
    let (asked, addresses) = (vm.clone(), context.get(&ADDRESSES)?.unwrap_or_default());
    let parts = context.read("vm-parts", move |conn| parts(conn, &asked, String::new(), &addresses)).await?;
    let machine = Some(spec(&vm, parts));
    let host = host_of(&context, &vm)?;
    let grace_seconds = grace(&inner, &context, request.grace_seconds).await?;
    let work = Work::RebootMachine(RebootMachine { machine, force: request.force, grace_seconds });
    context.run_task(host, work, limit(grace_seconds) + start_limit(&inner, &context).await?).await?;
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| vm_move(conn, change, uuid, Event::Running, |_| ()));
    Ok(())
}
