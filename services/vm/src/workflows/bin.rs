//! Into the bin, out of it, and gone for good.

use std::sync::Arc;

use gyre_flow::Context;
use gyre_model::{Result, time};
use gyre_proto::vm::v1::{Vm, VmState};

use super::create::{release_room, remove_root_volume};
use super::power::{BEFORE, begin, begin_for_good, remove_from, shut_down};
use super::{uuid, vm_that_goes};
use crate::Inner;
use crate::state::Event;
use crate::store::{vm_delete, vm_move};

pub(super) async fn begin_destroy(_: Arc<Inner>, context: Context) -> Result<()> {
    begin(&context, Event::Destroy).await
}

/// Shuts a machine down that was not off.
pub(super) async fn stop(inner: Arc<Inner>, context: Context) -> Result<()> {
    if context.need(&BEFORE)? == i32::from(VmState::Stopped) {
        return Ok(());
    }
    match shut_down(&inner, &context, false, 0).await {
        // what a host runs of a machine that should be off is stopped there when it is back: the rule `running-but-off`
        Err(error) if gyre_flow::delete::host_is_away(&error) && forced(&context)? => {
            context.progress(100, "its host is away: it is stopped there when that is back");
            Ok(())
        }
        stopped => stopped,
    }
}

pub(super) async fn bin(inner: Arc<Inner>, context: Context) -> Result<()> {
    release_room(&inner, &context).await?;
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| {
        let binned = |vm: &mut Vm| {
            vm.destroy_time.get_or_insert_with(time::now);
        };
        vm_move(conn, change, uuid, Event::Binned, binned)
    });
    Ok(())
}

pub(super) async fn recover(_: Arc<Inner>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| vm_move(conn, change, uuid, Event::Recover, |vm| vm.destroy_time = None));
    Ok(())
}

pub(super) async fn begin_expunge(_: Arc<Inner>, context: Context) -> Result<()> {
    begin_for_good(&context, Event::Expunge).await
}

pub(super) async fn begin_erase(_: Arc<Inner>, context: Context) -> Result<()> {
    begin_for_good(&context, Event::Erase).await
}

/// Gives back what a machine that was not off held.
pub(super) async fn give_room_back(inner: Arc<Inner>, context: Context) -> Result<()> {
    release_room(&inner, &context).await
}

/// Whether the deletion goes on past a host that is away.
fn forced(context: &Context) -> Result<bool> {
    Ok(context.deletion()?.force)
}

pub(super) async fn remove(inner: Arc<Inner>, context: Context) -> Result<()> {
    match vm_that_goes(&context).await? {
        Some(vm) if !vm.host_uuid.is_empty() => {
            let host = uuid("a host", &vm.host_uuid)?;
            match remove_from(&inner, &context, host, &vm).await {
                // what a host has and no row knows is removed there when it is back: the rule `gone-but-there`
                Err(error) if gyre_flow::delete::host_is_away(&error) && forced(&context)? => {
                    context.progress(100, format!("host {host} is away: it is removed there when that is back"));
                    Ok(())
                }
                removed => removed,
            }
        }
        _ => Ok(()),
    }
}

pub(super) async fn destroy_volume(inner: Arc<Inner>, context: Context) -> Result<()> {
    match vm_that_goes(&context).await? {
        Some(vm) => remove_root_volume(&inner, &context, &vm, forced(&context)?).await,
        None => Ok(()),
    }
}

pub(super) async fn forget(_: Arc<Inner>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| vm_delete(conn, change, uuid));
    Ok(())
}
