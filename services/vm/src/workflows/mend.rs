//! Making a host what a machine's row says. See [`crate::rules`] for when; here the row is looked at again, since in the machine's
//! lane nothing else changes it.

use std::sync::Arc;
use std::time::Duration;

use gyre_flow::Context;
use gyre_model::Result;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{RemoveMachine, StopMachine};
use gyre_proto::vm::v1::{MendMachineRequest, Vm, VmState};

use super::power::grace;
use super::{uuid, vm_if_any};
use crate::Inner;
use crate::rules::Rule;

/// Stops a machine that runs although it should be off.
pub(super) async fn stop_again(inner: Arc<Inner>, context: Context) -> Result<()> {
    let request: MendMachineRequest = context.input()?;
    let Some(vm) = vm_if_any(&context).await? else { return Ok(()) };
    if !matches!(vm.state(), VmState::Stopped | VmState::Destroyed) || vm.host_uuid != request.host_uuid {
        return Ok(());
    }
    let grace_seconds = grace(&inner, &context, 0).await?;
    let work = Work::StopMachine(StopMachine { vm_uuid: vm.uuid, force: false, grace_seconds });
    let limit = Duration::from_secs(u64::try_from(grace_seconds).unwrap_or(0)) + inner.config.start_limit;
    context.run_task(uuid("a host", &request.host_uuid)?, work, limit).await.map(|_| ())
}

/// Whether a machine has no business on a host.
fn stray(vm: Option<&Vm>, request: &MendMachineRequest) -> bool {
    match vm {
        None => request.rule == Rule::GoneButThere.name(),
        Some(vm) => {
            request.rule == Rule::Moved.name() && vm.state() == VmState::Running && vm.host_uuid != request.host_uuid
        }
    }
}

/// Removes a machine from a host on which it should not be. Its volumes are not touched.
pub(super) async fn sweep(inner: Arc<Inner>, context: Context) -> Result<()> {
    let request: MendMachineRequest = context.input()?;
    if !stray(vm_if_any(&context).await?.as_ref(), &request) {
        return Ok(());
    }
    let work = Work::RemoveMachine(RemoveMachine { vm_uuid: request.vm_uuid });
    context.run_task(uuid("a host", &request.host_uuid)?, work, inner.config.start_limit).await.map(|_| ())
}
