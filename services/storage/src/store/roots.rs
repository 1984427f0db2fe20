//! Root volumes of machines, which are made and deleted with them.
//!
//! 1. The operation that makes a machine makes its root volume, too: it has it written down with its room ([`allocate`]), has the host
//!    make the file, and says that it is there ([`confirm`]). One that deletes a machine, or undoes its making, has the host delete the
//!    file ([`root_removal`]) and has the volume forgotten ([`forget_root`]). Each is one transaction under that operation's fence.
//! 2. Where that cannot be, an operation of the volume's own does it ([`insert_root`]): the host's storage is to be prepared first, another
//!    operation works on the volume, or an operator has put steps into its workflow.
//! 3. Nothing but the machine's operation works on such a volume: calls refuse to delete it, and what works on it by an operation is
//!    seen ([`gyre_flow::busy`]).

use gyre_model::{Error, Kind, Result, Uuid, parse_uuid};
use gyre_proto::agent::v1::task::Work;
use gyre_proto::common::v1::Operation;
use gyre_proto::host::v1::{Host, HostStatus};
use gyre_proto::storage::v1::{CreateRootVolumeRequest, Image, PrimaryStorage, Volume, VolumeState, VolumeType};
use gyre_query::Change;
use gyre_store::{Conn, Sql};

use super::primary_storages::candidates;
use super::volumes::{insert, insert_row, place, remove_row, sectors};
use super::{Hold, SYSTEM, held, images, opt_uuid, uuid_of};
use crate::drivers;
use crate::hosts;

/// The largest disk.
const LARGEST: i64 = 70_368_744_177_664;
/// The most characters of a name.
const LONGEST_NAME: usize = 64;

/// Writes a machine's new root volume.
///
/// # Errors
/// `NOT_FOUND` of host or image, `IMAGE_NOT_READY`, `VOLUME_TOO_SMALL`, `NO_PRIMARY_STORAGE`, `NO_STORAGE_ROOM`.
pub(crate) fn insert_root(conn: &mut Conn, change: &Change, asked: &CreateRootVolumeRequest, uuid: Uuid) -> Result<()> {
    let Wanted { volume, from, .. } = wanted(conn, change, asked, uuid)?;
    insert(conn, change, volume, &from)
}

/// A root volume as it is to be written.
struct Wanted {
    volume: Volume,
    image: Image,
    host: Host,
    from: Vec<PrimaryStorage>,
}

fn wanted(conn: &mut Conn, change: &Change, asked: &CreateRootVolumeRequest, uuid: Uuid) -> Result<Wanted> {
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
        host_uuid: host.uuid.clone(),
        size_bytes: sectors(asked.size_bytes.max(least)),
        image_uuid: image.uuid.clone(),
        vm_uuid: asked.vm_uuid.clone(),
        ..Volume::default()
    };
    volume.set_type(VolumeType::Root);
    Ok(Wanted { volume, image, host, from })
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
    let found = gyre_query::find(conn, &SYSTEM, uuid)?;
    if the_one_asked_for(asked, found)?.is_none() {
        return Ok(RootBefore::Nothing);
    }
    let latest = Sql::new("workflow = 'create-root-volume' AND resource_uuid = ")
        .bind(uuid)
        .sql(" ORDER BY create_time DESC, uuid LIMIT 1");
    let operation = gyre_query::select::<Operation>(conn, latest)?.into_iter().next();
    Ok(operation.map_or(RootBefore::Forgotten, |operation| RootBefore::Made(Box::new(operation))))
}

/// What was found under the UUID of a root volume that is asked for, where it is that.
fn the_one_asked_for(asked: &CreateRootVolumeRequest, found: Option<Volume>) -> Result<Option<Volume>> {
    let Some(volume) = found else { return Ok(None) };
    let uuid = &volume.uuid;
    let vm = uuid_of("vm_uuid", &asked.vm_uuid)?;
    if volume.r#type() != VolumeType::Root || opt_uuid("vm_uuid", &volume.vm_uuid)? != Some(vm) {
        let text = format!("volume {uuid} is there already, and is not the root volume of machine {vm}");
        return Err(Error::new(Kind::AlreadyExists, "VOLUME_EXISTS", text).with("uuid", uuid.to_string()));
    }
    if volume.state() == VolumeState::Deleting {
        let text = format!("volume {uuid} is being deleted: wait until it is gone");
        return Err(Error::new(Kind::Aborted, "VOLUME_BEING_DELETED", text).with("uuid", uuid.to_string()));
    }
    Ok(Some(volume))
}

/// What makes a root volume within the operation that makes its machine.
pub(crate) enum Allocated {
    /// An operation of its own; nothing is written.
    ByOperation,
    /// This work on its host.
    Make(Work),
    /// It is there already, at this path.
    There(String),
}

/// Writes a machine's new root volume with its room, where the host is ready for it, and tells what makes its file.
///
/// # Errors
/// As [`insert_root`] and [`root_before`]; `HOST_NOT_CONNECTED`.
pub(crate) fn allocate(
    conn: &mut Conn,
    change: &Change,
    asked: &CreateRootVolumeRequest,
    uuid: Uuid,
) -> Result<Allocated> {
    let found = held(conn, uuid, Hold::Alone)?;
    if let Some(volume) = the_one_asked_for(asked, found)? {
        let busy = gyre_flow::busy(conn, uuid)?;
        let storage = opt_uuid("primary_storage_uuid", &volume.primary_storage_uuid)?;
        let Some(storage) = storage.filter(|_| !busy) else { return Ok(Allocated::ByOperation) };
        if volume.state() == VolumeState::Ready {
            return Ok(Allocated::There(volume.path));
        }
        let storage: PrimaryStorage = gyre_query::get(conn, &SYSTEM, storage)?;
        let source = images::source(conn, uuid_of("image_uuid", &volume.image_uuid)?)?;
        return Ok(Allocated::Make(drivers::of(&storage)?.create_volume(&storage, &volume, Some(source))));
    }
    let Wanted { volume, image, host, from } = wanted(conn, change, asked, uuid)?;
    let host_uuid = uuid_of("host_uuid", &host.uuid)?;
    if host.status() != HostStatus::Connected {
        return Err(hosts::not_connected(host_uuid, Some(&host)));
    }
    let Some(place) = place(conn, &from, host_uuid, volume.size_bytes)? else { return Ok(Allocated::ByOperation) };
    let storage = from.iter().find(|storage| parse_uuid(&storage.uuid) == Some(place));
    let storage = storage.ok_or_else(|| Error::internal("room was taken in a storage that was not asked for"))?;
    let volume = insert_row(conn, change, volume, Some(place))?;
    let source = images::source_of(conn, image)?;
    Ok(Allocated::Make(drivers::of(storage)?.create_volume(storage, &volume, Some(source))))
}

/// Says that the file of a machine's root volume is there. Again is fine.
///
/// # Errors
/// As [`root_of`]; an internal one where it is gone, since nothing may use what nobody counts.
pub(crate) fn confirm(conn: &mut Conn, change: &Change, uuid: Uuid, vm: Uuid, path: &str) -> Result<()> {
    let before = root_of(vm, held(conn, uuid, Hold::Alone)?)?;
    let before = before.ok_or_else(|| Error::internal(format!("volume {uuid} went away while it was made")))?;
    if before.state() == VolumeState::Deleting {
        let text = format!("volume {uuid} is being deleted");
        return Err(Error::new(Kind::Aborted, "VOLUME_BEING_DELETED", text).with("uuid", uuid.to_string()));
    }
    let mut volume = before.clone();
    volume.set_state(VolumeState::Ready);
    path.clone_into(&mut volume.path);
    if volume != before {
        gyre_query::update_from(conn, change, &before, &volume)?;
    }
    Ok(())
}

/// What was found as a machine's root volume, where it is that.
///
/// # Errors
/// `VOLUME_NOT_ITS_ROOT` for any other volume.
fn root_of(vm: Uuid, found: Option<Volume>) -> Result<Option<Volume>> {
    let Some(volume) = found else { return Ok(None) };
    if volume.r#type() == VolumeType::Root && opt_uuid("vm_uuid", &volume.vm_uuid)? == Some(vm) {
        return Ok(Some(volume));
    }
    let text = format!("volume {} is not the root volume of machine {vm}", volume.uuid);
    Err(Error::new(Kind::FailedPrecondition, "VOLUME_NOT_ITS_ROOT", text))
}

/// What deletes a machine's root volume: whether an operation works on it, and where it has a file, the host and the host's work.
///
/// # Errors
/// `NOT_FOUND`, those of [`root_of`].
pub(crate) fn root_removal(conn: &mut Conn, uuid: Uuid, vm: Uuid) -> Result<(bool, Option<(Uuid, Work)>)> {
    let volume =
        root_of(vm, gyre_query::find(conn, &SYSTEM, uuid)?)?.ok_or_else(|| Error::not_found("volume", uuid))?;
    let busy = gyre_flow::busy(conn, uuid)?;
    let Some(storage) = opt_uuid("primary_storage_uuid", &volume.primary_storage_uuid)? else {
        return Ok((busy, None));
    };
    let storage: PrimaryStorage = gyre_query::get(conn, &SYSTEM, storage)?;
    let work = drivers::of(&storage)?.delete_volume(&storage, &volume);
    Ok((busy, Some((uuid_of("host_uuid", &volume.host_uuid)?, work))))
}

/// Forgets a machine's root volume whose file is deleted. One that is gone is fine.
///
/// # Errors
/// `VOLUME_BUSY` where an operation works on it; those of [`root_of`].
pub(crate) fn forget_root(conn: &mut Conn, change: &Change, uuid: Uuid, vm: Uuid) -> Result<()> {
    let Some(volume) = root_of(vm, held(conn, uuid, Hold::Alone)?)? else { return Ok(()) };
    if gyre_flow::busy(conn, uuid)? {
        let text = format!("an operation works on volume {uuid}: it is forgotten after that");
        return Err(Error::new(Kind::Aborted, "VOLUME_BUSY", text));
    }
    remove_row(conn, change, &volume)
}
