//! The workflows of machines: their definitions, and the steps that they are made of.

mod bin;
mod create;
mod mend;
mod power;

use std::sync::Arc;

use gyre_flow::{Context, Steps};
use gyre_model::{Caller, Error, Kind, Result, Uuid, parse_uuid};
use gyre_proto::vm::v1::{Vm, VmState};

use crate::Inner;
use create::{ADDRESSES, ASKED, EXCLUDED, PLACE};
use power::BEFORE;

/// The definitions, one file each.
pub(crate) const DEFINITIONS: &[&str] = &[
    include_str!("create-vm.yaml"),
    include_str!("start-vm.yaml"),
    include_str!("stop-vm.yaml"),
    include_str!("reboot-vm.yaml"),
    include_str!("destroy-vm.yaml"),
    include_str!("recover-vm.yaml"),
    include_str!("expunge-vm.yaml"),
    include_str!("delete-vm.yaml"),
    include_str!("delete-instance-offering.yaml"),
    include_str!("settle-vm.yaml"),
    include_str!("stop-again-vm.yaml"),
    include_str!("sweep-vm.yaml"),
];

pub(crate) use power::{START_LIMIT, STOP_GRACE};

/// The steps.
pub(crate) fn steps(inner: &Arc<Inner>) -> Steps {
    Steps::new()
        .deleting()
        .step("record", inner, create::record, create::forget)
        .step("addresses", inner, create::addresses, create::release_addresses)
        .gives(&ADDRESSES)
        .step("place", inner, create::place, create::unplace)
        .needs(&ADDRESSES)
        .notes(&EXCLUDED)
        .notes(&ASKED)
        .gives(&PLACE)
        .step("start", inner, power::start, power::unstart)
        .needs(&PLACE)
        .may_use(&ADDRESSES)
        .step("begin-start", inner, power::begin_start, power::restore)
        .gives(&BEFORE)
        .step("reserve", inner, power::reserve, power::unreserve)
        .gives(&PLACE)
        .step("begin-stop", inner, power::begin_stop, power::restore)
        .gives(&BEFORE)
        .without_undo("stop", inner, power::stop)
        .may_use(&PLACE)
        .without_undo("release", inner, power::release)
        .step("begin-reboot", inner, power::begin_reboot, power::restore)
        .gives(&BEFORE)
        .without_undo("reboot", inner, power::reboot)
        .may_use(&ADDRESSES)
        .may_use(&PLACE)
        .step("begin-destroy", inner, bin::begin_destroy, power::restore)
        .gives(&BEFORE)
        .without_undo("stop-for-bin", inner, bin::stop)
        .needs(&BEFORE)
        .may_use(&PLACE)
        .without_undo("bin", inner, bin::bin)
        .without_undo("recover", inner, bin::recover)
        .step("begin-expunge", inner, bin::begin_expunge, power::restore)
        .gives(&BEFORE)
        .step("begin-erase", inner, bin::begin_erase, power::restore)
        .gives(&BEFORE)
        .without_undo("remove", inner, bin::remove)
        .without_undo("give-room-back", inner, bin::give_room_back)
        .without_undo("destroy-volume", inner, bin::destroy_volume)
        .without_undo("release-addresses", inner, create::release_addresses)
        .without_undo("forget", inner, bin::forget)
        .without_undo("settle", inner, power::settle)
        .without_undo("stop-again", inner, mend::stop_again)
        .without_undo("sweep", inner, mend::sweep)
}

/// The machine that an operation works on.
async fn vm(context: &Context) -> Result<Vm> {
    let uuid = context.resource_uuid();
    context.read("vm-get", move |conn| gyre_query::get(conn, &Caller::system(), uuid)).await
}

/// The machine, if it is still there.
async fn vm_if_any(context: &Context) -> Result<Option<Vm>> {
    let uuid = context.resource_uuid();
    context.read("vm-find", move |conn| gyre_query::find(conn, &Caller::system(), uuid)).await
}

/// The machine, if it is still there, as [`vm_if_any`] answers it: read once where it is past its point of no return, since nobody changes
/// its host, its volume or its interfaces any more.
async fn vm_that_goes(context: &Context) -> Result<Option<Arc<Vm>>> {
    if let Some(vm) = context.kept::<Vm>() {
        return Ok(Some(vm));
    }
    let vm = vm_if_any(context).await?;
    Ok(vm.map(|vm| if vm.state() == VmState::Expunging { context.keep(vm) } else { Arc::new(vm) }))
}

/// A reference that must be there.
fn uuid(what: &str, text: &str) -> Result<Uuid> {
    parse_uuid(text).ok_or_else(|| Error::internal(format!("a machine without {what}: {text:?}")))
}

/// Whether what was to be removed is gone already.
fn gone(error: &Error) -> bool {
    error.kind() == Kind::NotFound
}
