//! The rows of machines: making and deleting one with its interfaces, and moving one along its table of states.

use gyre_model::{Caller, Error, Kind, Result, Uuid};
use gyre_proto::vm::v1::{Vm, VmState};
use gyre_query::Change;
use gyre_store::Conn;

use super::nic::{nics_agree, nics_insert};
use crate::state::{self, Event};

/// The state does not permit what was asked for.
pub fn wrong_state(vm: &Vm, event: Event) -> Error {
    let allowed: Vec<_> =
        state::STATES.into_iter().filter(|from| state::next(*from, event).is_some()).map(state::name).collect();
    Error::new(
        Kind::FailedPrecondition,
        "WRONG_STATE",
        format!("vm {} is {}; this can be done when it is {}", vm.uuid, state::name(vm.state()), allowed.join(" or ")),
    )
    .with("state", state::name(vm.state()))
}

/// Writes a new machine.
pub fn vm_insert(conn: &mut Conn, change: &Change, vm: &Vm) -> Result<()> {
    let vm = gyre_query::insert(conn, change, vm)?;
    nics_insert(conn, change, &vm)
}

/// Deletes a machine. One that is not there any more is fine.
pub fn vm_delete(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    let vm = Vm { uuid: uuid.to_string(), ..Vm::default() };
    nics_agree(conn, change, &vm, &[])?;
    gyre_query::delete::<Vm>(conn, change, uuid).map(|_| ())
}

/// Moves a machine by an event, with further changes to its row.
pub fn vm_move(
    conn: &mut Conn,
    change: &Change,
    uuid: Uuid,
    event: Event,
    further: impl FnOnce(&mut Vm),
) -> Result<()> {
    let before: Vm = gyre_query::get(conn, &Caller::system(), uuid)?;
    let to = state::next(before.state(), event).ok_or_else(|| wrong_state(&before, event))?;
    let mut vm = before.clone();
    vm.set_state(to);
    vm.state_reason.clear();
    further(&mut vm);
    if vm != before {
        gyre_query::update_from(conn, change, &before, &vm)?;
    }
    // what goes takes its interfaces along: nobody needs their rows to agree any more
    if to == VmState::Expunging { Ok(()) } else { nics_agree(conn, change, &vm, &vm.nics) }
}

/// Puts a machine back into the state that it had, from one on its way. One that is not there any more is fine.
pub fn vm_restore(conn: &mut Conn, change: &Change, uuid: Uuid, to: VmState) -> Result<()> {
    if let Some(before) = gyre_query::find::<Vm>(conn, &Caller::system(), uuid)?
        && state::ON_ITS_WAY.contains(&before.state())
    {
        let mut vm = before.clone();
        vm.set_state(to);
        gyre_query::update_from(conn, change, &before, &vm)?;
    }
    Ok(())
}
