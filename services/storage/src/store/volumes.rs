//! Volumes: their rows, and the room that goes with them.

use std::cmp::Reverse;

use gyre_model::{Caller, Error, Kind, Result, Uuid, time};
use gyre_proto::host::v1::{Host, HostState};
use gyre_proto::storage::v1::{PrimaryStorage, Volume, VolumeState, VolumeType};
use gyre_query::Change;
use gyre_store::Conn;

use super::primary_storages::candidates;
use super::{Hold, SYSTEM, held, hold, modify, opt_uuid, uuid_of};
use crate::drivers::{self, Room};

/// What disks are counted in.
const SECTOR: i64 = 512;

fn no_room(bytes: i64, host: Uuid, seen: &[(&PrimaryStorage, Room)]) -> Error {
    let text = format!(
        "no primary storage has room for {bytes} bytes on host {host}: delete volumes there, or choose a smaller size or another host"
    );
    let error = Error::new(Kind::ResourceExhausted, "NO_STORAGE_ROOM", text)
        .with("host_uuid", host.to_string())
        .with("needed_bytes", bytes.to_string());
    seen.iter().fold(error, |error, (storage, room)| {
        let left = format!("needs {bytes} bytes, has {} of {} left", room.free(), room.capacity);
        error.with(storage.uuid.as_str(), left)
    })
}

/// Takes room for a volume on a host in the emptiest of the candidates, and answers which. Nothing where none that is prepared
/// there has room, and some are not prepared yet.
///
/// # Errors
/// `NO_STORAGE_ROOM`, with the numbers of each.
pub(super) fn place(conn: &mut Conn, from: &[PrimaryStorage], host: Uuid, bytes: i64) -> Result<Option<Uuid>> {
    let (mut prepared, mut unprepared) = (Vec::new(), false);
    for storage in from {
        match drivers::of(storage)?.look(conn, storage, host)? {
            Some(room) => prepared.push((storage, room)),
            None => unprepared = true,
        }
    }
    prepared.sort_by_key(|(_, room)| Reverse(room.free()));
    for (storage, _) in &prepared {
        let uuid = uuid_of("primary_storage_uuid", &storage.uuid)?;
        if drivers::of(storage)?.take(conn, uuid, host, bytes)? {
            return Ok(Some(uuid));
        }
    }
    if unprepared { Ok(None) } else { Err(no_room(bytes, host, &prepared)) }
}

/// Writes a new volume with its room. On a host where no candidate is prepared yet, it is written without, and a step takes the
/// room ([`settle`]).
pub(super) fn insert(conn: &mut Conn, change: &Change, volume: Volume, from: &[PrimaryStorage]) -> Result<()> {
    let storage = place(conn, from, uuid_of("host_uuid", &volume.host_uuid)?, volume.size_bytes)?;
    insert_row(conn, change, volume, storage).map(drop)
}

/// The same where its room is taken already.
pub(super) fn insert_row(
    conn: &mut Conn,
    change: &Change,
    mut volume: Volume,
    storage: Option<Uuid>,
) -> Result<Volume> {
    volume.primary_storage_uuid = storage.map(|storage| storage.to_string()).unwrap_or_default();
    volume.set_state(VolumeState::Creating);
    volume.path.clear();
    gyre_query::insert(conn, change, &volume)
}

/// Takes the room of a volume that was written without.
pub(crate) fn settle(conn: &mut Conn, change: &Change, uuid: Uuid, from: &[PrimaryStorage]) -> Result<Option<Uuid>> {
    let before: Volume = hold(conn, uuid)?;
    let storage = place(conn, from, uuid_of("host_uuid", &before.host_uuid)?, before.size_bytes)?;
    if let Some(storage) = storage {
        let volume = Volume { primary_storage_uuid: storage.to_string(), ..before.clone() };
        gyre_query::update_from(conn, change, &before, &volume)?;
    }
    Ok(storage)
}

/// Writes a new data volume.
pub(crate) fn insert_data(conn: &mut Conn, change: &Change, asked: Volume, uuid: Uuid) -> Result<()> {
    let host: Host = gyre_query::get(conn, &SYSTEM, uuid_of("volume.host_uuid", &asked.host_uuid)?)?;
    if host.state() != HostState::Enabled {
        let text = format!("host {} ({}) takes nothing new: name another, or enable it", host.uuid, host.name);
        return Err(Error::new(Kind::FailedPrecondition, "HOST_DISABLED", text));
    }
    let named = opt_uuid("volume.primary_storage_uuid", &asked.primary_storage_uuid)?;
    let from = candidates(conn, uuid_of("cluster_uuid", &host.cluster_uuid)?, named)?;
    let mut volume = Volume {
        uuid: uuid.to_string(),
        account_uuid: change.caller.account_uuid.to_string(),
        size_bytes: sectors(asked.size_bytes),
        image_uuid: String::new(),
        vm_uuid: String::new(),
        ..asked
    };
    volume.set_type(VolumeType::Data);
    insert(conn, change, volume, &from)
}

/// Whole sectors: what agents make.
pub(super) fn sectors(bytes: i64) -> i64 {
    bytes.saturating_add(SECTOR - 1) / SECTOR * SECTOR
}

/// Says that a volume can be used. One that is gone is an error: nothing may use what nobody counts.
pub(crate) fn ready(conn: &mut Conn, change: &Change, uuid: Uuid, path: &str) -> Result<()> {
    let row = modify::<Volume>(conn, change, uuid, |volume| {
        volume.set_state(VolumeState::Ready);
        path.clone_into(&mut volume.path);
    })?;
    row.map(|_| ()).ok_or_else(|| Error::internal(format!("volume {uuid} went away while it was made")))
}

/// Refuses to delete what belongs to a machine: such volumes go with it.
///
/// # Errors
/// `NOT_FOUND`, `VOLUME_IS_ROOT`, `VOLUME_ATTACHED`.
pub(crate) fn check_deletable(conn: &mut Conn, caller: &Caller, uuid: Uuid) -> Result<()> {
    let volume: Volume = gyre_query::get(conn, caller, uuid)?;
    let vm = &volume.vm_uuid;
    let refuse =
        |reason, text: String| Err(Error::new(Kind::FailedPrecondition, reason, text).with("vm_uuid", vm.as_str()));
    if volume.r#type() == VolumeType::Root {
        return refuse(
            "VOLUME_IS_ROOT",
            format!("volume {uuid} is the root volume of machine {vm}: it goes with the machine"),
        );
    }
    if !vm.is_empty() {
        return refuse("VOLUME_ATTACHED", format!("volume {uuid} is attached to machine {vm}: detach it first"));
    }
    Ok(())
}

fn wrong_state(volume: &Volume, remedy: &str) -> Error {
    let state = volume.state().as_str_name().trim_start_matches("VOLUME_STATE_").to_lowercase();
    let text = format!("volume {} is {state}: {remedy}", volume.uuid);
    Error::new(Kind::FailedPrecondition, "WRONG_STATE", text).with("state", state)
}

/// Whether a deletion puts a volume into the bin, where it has one: not one that is half deleted.
pub(crate) fn can_be_recovered(volume: &Volume) -> bool {
    volume.state() != VolumeState::Deleting
}

/// Refuses to put a volume into the bin that is not whole.
pub(crate) fn check_binnable(volume: &Volume) -> Result<()> {
    match volume.state() {
        VolumeState::Ready => Ok(()),
        VolumeState::Destroyed => {
            Err(wrong_state(volume, "it is in the bin already; recover it, or say expunge to delete it for good"))
        }
        VolumeState::Unspecified | VolumeState::Creating | VolumeState::Deleting => {
            Err(wrong_state(volume, "only what is ready can be put in the bin; say expunge"))
        }
    }
}

/// Refuses what must be in the bin and is not.
pub(crate) fn check_binned(volume: &Volume) -> Result<()> {
    match volume.state() {
        VolumeState::Destroyed => Ok(()),
        _ => Err(wrong_state(volume, "this can be done when it is destroyed, which is in the bin")),
    }
}

/// Refuses to expunge what is not in the bin. What was half deleted when that failed goes, too.
pub(crate) fn check_expungeable(volume: &Volume) -> Result<()> {
    if volume.state() == VolumeState::Deleting { Ok(()) } else { check_binned(volume) }
}

/// Puts a volume into the bin. One that is there already is fine.
pub(crate) fn bin(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    let before: Volume = hold(conn, uuid)?;
    let mut volume = before.clone();
    if volume.state() == VolumeState::Destroyed {
        return Ok(());
    }
    check_deletable(conn, &SYSTEM, uuid)?;
    check_binnable(&volume)?;
    volume.set_state(VolumeState::Destroyed);
    volume.destroy_time = Some(time::now());
    gyre_query::update_from(conn, change, &before, &volume).map(drop)
}

/// Takes a volume out of the bin. One that is ready is fine.
pub(crate) fn recover(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    let before: Volume = hold(conn, uuid)?;
    let mut volume = before.clone();
    if volume.state() == VolumeState::Ready {
        return Ok(());
    }
    check_binned(&volume)?;
    volume.set_state(VolumeState::Ready);
    volume.destroy_time = None;
    gyre_query::update_from(conn, change, &before, &volume).map(drop)
}

/// Puts a volume into a state. One that is gone is fine.
pub(crate) fn set_state(conn: &mut Conn, change: &Change, uuid: Uuid, state: VolumeState) -> Result<()> {
    let Some(before) = held::<Volume>(conn, uuid, Hold::Alone)? else { return Ok(()) };
    if before.state() != state {
        let mut volume = before.clone();
        volume.set_state(state);
        gyre_query::update_from(conn, change, &before, &volume)?;
    }
    Ok(())
}

/// Deletes a volume's row and gives its room back. One that is gone is fine.
pub(crate) fn remove(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    held::<Volume>(conn, uuid, Hold::Alone)?.map_or(Ok(()), |volume| remove_row(conn, change, &volume))
}

/// The same for a volume that is held.
pub(super) fn remove_row(conn: &mut Conn, change: &Change, volume: &Volume) -> Result<()> {
    if let Some(storage) = opt_uuid("primary_storage_uuid", &volume.primary_storage_uuid)? {
        let host = uuid_of("host_uuid", &volume.host_uuid)?;
        let row: PrimaryStorage = gyre_query::get(conn, &SYSTEM, storage)?;
        drivers::of(&row)?.give_back(conn, storage, host, volume.size_bytes)?;
    }
    gyre_query::delete_from(conn, change, volume).map(drop)
}
