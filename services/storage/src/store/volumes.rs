//! Volumes: their rows, and the room that goes with them.

use std::cmp::Reverse;

use gyre_model::{Caller, Error, Kind, Result, Uuid};
use gyre_proto::common::v1::Operation;
use gyre_proto::host::v1::{Host, HostState};
use gyre_proto::storage::v1::{CreateRootVolumeRequest, PrimaryStorage, Volume, VolumeState, VolumeType};
use gyre_query::Change;
use gyre_store::{Conn, Sql};

use super::primary_storages::candidates;
use super::{SYSTEM, images, lock, modify, opt_uuid, uuid_of};
use crate::drivers::{self, Room};

/// What disks are counted in.
const SECTOR: i64 = 512;
/// The largest disk.
const LARGEST: i64 = 70_368_744_177_664;
/// The most characters of a name.
const LONGEST_NAME: usize = 64;

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
fn place(conn: &mut Conn, from: &[PrimaryStorage], host: Uuid, bytes: i64) -> Result<Option<Uuid>> {
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
fn insert(conn: &mut Conn, change: &Change, mut volume: Volume, from: &[PrimaryStorage]) -> Result<()> {
    let host = uuid_of("host_uuid", &volume.host_uuid)?;
    let storage = place(conn, from, host, volume.size_bytes)?;
    volume.primary_storage_uuid = storage.map(|storage| storage.to_string()).unwrap_or_default();
    volume.set_state(VolumeState::Creating);
    volume.path.clear();
    gyre_query::insert(conn, change, &volume)?;
    Ok(())
}

/// Takes the room of a volume that was written without.
pub(crate) fn settle(conn: &mut Conn, change: &Change, uuid: Uuid, from: &[PrimaryStorage]) -> Result<Option<Uuid>> {
    lock::<Volume>(conn, uuid)?;
    let volume: Volume = gyre_query::get(conn, &SYSTEM, uuid)?;
    let storage = place(conn, from, uuid_of("host_uuid", &volume.host_uuid)?, volume.size_bytes)?;
    if let Some(storage) = storage {
        gyre_query::update(conn, change, &Volume { primary_storage_uuid: storage.to_string(), ..volume })?;
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
fn sectors(bytes: i64) -> i64 {
    bytes.saturating_add(SECTOR - 1) / SECTOR * SECTOR
}

/// Writes a machine's new root volume.
///
/// # Errors
/// `NOT_FOUND` of host or image, `IMAGE_NOT_READY`, `VOLUME_TOO_SMALL`, `NO_PRIMARY_STORAGE`, `NO_STORAGE_ROOM`.
pub(crate) fn insert_root(conn: &mut Conn, change: &Change, asked: &CreateRootVolumeRequest, uuid: Uuid) -> Result<()> {
    if asked.size_bytes < 0 || asked.size_bytes > LARGEST {
        let fault = format!("must be between 0 and {LARGEST}, got {}", asked.size_bytes);
        return Err(Error::invalid("size_bytes", fault));
    }
    let host: Host = gyre_query::get(conn, &SYSTEM, uuid_of("host_uuid", &asked.host_uuid)?)?;
    let cluster = uuid_of("cluster_uuid", &asked.cluster_uuid)?;
    if uuid_of("cluster_uuid", &host.cluster_uuid)? != cluster {
        return Err(Error::invalid("host_uuid", format!("host {} is not in cluster {cluster}", host.uuid)));
    }
    let image = images::hold_ready(conn, &change.caller, uuid_of("image_uuid", &asked.image_uuid)?)?;
    let least = image.size_bytes;
    if asked.size_bytes != 0 && asked.size_bytes < least {
        let text = format!(
            "a volume of {} bytes does not hold image {}, whose disk has {least}: ask for that much at least, or for 0",
            asked.size_bytes, image.uuid
        );
        return Err(Error::new(Kind::InvalidArgument, "VOLUME_TOO_SMALL", text)
            .violation("size_bytes", format!("must be at least {least}, got {}", asked.size_bytes))
            .with("image_bytes", least.to_string()));
    }
    let from = candidates(conn, cluster, None)?;
    let name = if asked.name.is_empty() { "root" } else { asked.name.as_str() };
    let mut volume = Volume {
        uuid: uuid.to_string(),
        name: name.chars().take(LONGEST_NAME).collect(),
        account_uuid: change.caller.account_uuid.to_string(),
        host_uuid: host.uuid,
        size_bytes: sectors(asked.size_bytes.max(least)),
        image_uuid: image.uuid,
        vm_uuid: asked.vm_uuid.clone(),
        ..Volume::default()
    };
    volume.set_type(VolumeType::Root);
    insert(conn, change, volume, &from)
}

/// What became of a wish for a root volume that was made before.
pub(crate) enum RootBefore {
    /// Nothing is there: it is new, or was undone.
    Nothing,
    /// This operation makes or made it.
    Made(Box<Operation>),
    /// It is there, and its operation is forgotten.
    Forgotten,
}

/// Looks whether a root volume was asked for before.
///
/// # Errors
/// `VOLUME_EXISTS` where the UUID is another volume's, `VOLUME_BEING_DELETED`.
pub(crate) fn root_before(conn: &mut Conn, asked: &CreateRootVolumeRequest, uuid: Uuid) -> Result<RootBefore> {
    let Some(volume) = gyre_query::find::<Volume>(conn, &SYSTEM, uuid)? else { return Ok(RootBefore::Nothing) };
    let vm = uuid_of("vm_uuid", &asked.vm_uuid)?;
    if volume.r#type() != VolumeType::Root || opt_uuid("vm_uuid", &volume.vm_uuid)? != Some(vm) {
        let text = format!("volume {uuid} is there already, and is not the root volume of machine {vm}");
        return Err(Error::new(Kind::AlreadyExists, "VOLUME_EXISTS", text).with("uuid", uuid.to_string()));
    }
    if volume.state() == VolumeState::Deleting {
        let text = format!("volume {uuid} is being deleted: wait until it is gone");
        return Err(Error::new(Kind::Aborted, "VOLUME_BEING_DELETED", text).with("uuid", uuid.to_string()));
    }
    let latest = Sql::new("workflow = 'create-root-volume' AND resource_uuid = ")
        .bind(uuid)
        .sql(" ORDER BY create_time DESC, uuid LIMIT 1");
    let operation = gyre_query::select::<Operation>(conn, latest)?.into_iter().next();
    Ok(operation.map_or(RootBefore::Forgotten, |operation| RootBefore::Made(Box::new(operation))))
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

/// Puts a volume into a state. One that is gone is fine.
pub(crate) fn set_state(conn: &mut Conn, change: &Change, uuid: Uuid, state: VolumeState) -> Result<()> {
    let before: Option<Volume> = gyre_query::find(conn, &SYSTEM, uuid)?;
    if before.is_some_and(|before| before.state() != state) {
        modify::<Volume>(conn, change, uuid, |volume| volume.set_state(state))?;
    }
    Ok(())
}

/// Deletes a volume's row and gives its room back. One that is gone is fine.
pub(crate) fn remove(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    if !lock::<Volume>(conn, uuid)? {
        return Ok(());
    }
    let volume: Volume = gyre_query::get(conn, &SYSTEM, uuid)?;
    if let Some(storage) = opt_uuid("primary_storage_uuid", &volume.primary_storage_uuid)? {
        let host = uuid_of("host_uuid", &volume.host_uuid)?;
        let row: PrimaryStorage = gyre_query::get(conn, &SYSTEM, storage)?;
        drivers::of(&row)?.give_back(conn, storage, host, volume.size_bytes)?;
    }
    gyre_query::delete::<Volume>(conn, change, uuid)?;
    Ok(())
}
