//! Steps of volumes.

use std::sync::Arc;

use gyre_flow::{Context, Steps, Var};
use gyre_model::{Error, Kind, Result, Uuid};
use gyre_proto::agent::v1::DeleteVolume;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::host::v1::Host;
use gyre_proto::storage::v1::{
    CreateVolumeRequest, PrimaryStorage, SweepVolumeRequest, Volume, VolumeState, VolumeType,
};

use super::nothing;
use crate::drivers;
use crate::hosts::{self, ASKED, Limits};
use crate::store::primary_storages::candidates;
use crate::store::volumes;
use crate::store::{SYSTEM, hold, images, opt_uuid, uuid_of};

/// The note of the state that a volume was in before it was marked.
const WAS: Var<i32> = Var::new("was");

pub(super) fn add(steps: Steps, limits: &Arc<Limits>) -> Steps {
    steps
        .step("record-volume", limits, nothing, unrecord)
        .without_undo("place-volume", limits, place)
        .step("make-volume", limits, make, unmake)
        .notes(&ASKED)
        .without_undo("confirm-volume", limits, confirm)
        .step("mark-volume-deleting", limits, mark_deleting, unmark)
        .notes(&WAS)
        .may_use(&ASKED)
        .step("mark-volume-destroyed", limits, mark_destroyed, unmark)
        .notes(&WAS)
        .may_use(&ASKED)
        .without_undo("bin-volume", limits, bin)
        .without_undo("recover-volume", limits, recover)
        .step("mark-volume-expunged", limits, mark_expunged, unmark)
        .notes(&WAS)
        .may_use(&ASKED)
        .without_undo("sweep-volume", limits, sweep)
        .without_undo("delete-volume-file", limits, delete_file)
        .notes(&ASKED)
}

async fn unrecord(_: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| volumes::remove(conn, change, uuid));
    Ok(())
}

async fn find(context: &Context) -> Result<Option<Volume>> {
    let uuid = context.resource_uuid();
    context.read("volume-find", move |conn| gyre_query::find(conn, &SYSTEM, uuid)).await
}

async fn get(context: &Context) -> Result<Volume> {
    find(context).await?.ok_or_else(|| Error::not_found("volume", context.resource_uuid()))
}

/// The primary storages that a volume may lie in.
async fn choice(context: &Context, volume: &Volume, host: Uuid) -> Result<Vec<PrimaryStorage>> {
    let named = match volume.r#type() {
        VolumeType::Data => context.input::<CreateVolumeRequest>()?.volume.unwrap_or_default().primary_storage_uuid,
        VolumeType::Root | VolumeType::Unspecified => String::new(),
    };
    let named = opt_uuid("primary_storage_uuid", &named)?;
    context
        .read("volume-candidates", move |conn| {
            let host: Host = gyre_query::get(conn, &SYSTEM, host)?;
            candidates(conn, uuid_of("cluster_uuid", &host.cluster_uuid)?, named)
        })
        .await
}

/// Takes the room of a volume on a host that came after its primary storage: the storages are prepared there one after the
/// other, until one has room.
async fn place(limits: Arc<Limits>, context: Context) -> Result<()> {
    let volume = get(&context).await?;
    if !volume.primary_storage_uuid.is_empty() {
        return Ok(());
    }
    let (uuid, host) = (context.resource_uuid(), uuid_of("host_uuid", &volume.host_uuid)?);
    let from = choice(&context, &volume, host).await?;
    let mut refused = None;
    for storage in &from {
        let driver = drivers::of(storage)?;
        let (look, at) = (storage.clone(), host);
        if context.read("storage-look", move |conn| driver.look(conn, &look, at)).await?.is_some() {
            continue;
        }
        let work = driver.prepare(storage);
        let facts =
            match context.run_task_as(&storage.uuid, host, work, limits.task).await.and_then(hosts::storage_facts) {
                Ok(facts) => facts,
                // another one may do
                Err(error) if !error.kind().retryable() => {
                    tracing::warn!(%host, storage = storage.uuid, %error, "cannot prepare a primary storage on a host");
                    refused = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
        let (one, all) = (uuid_of("primary_storage_uuid", &storage.uuid)?, from.clone());
        let taken = context
            .commit("place-volume", move |conn, change| {
                driver.prepared(conn, one, host, &facts)?;
                volumes::settle(conn, change, uuid, &all)
            })
            .await?;
        if taken.is_some() {
            return Ok(());
        }
    }
    // all are prepared now, by this step or by others meanwhile
    let all = from.clone();
    let last = context.commit("place-volume", move |conn, change| volumes::settle(conn, change, uuid, &all)).await?;
    match (last, refused) {
        (Some(_), _) => Ok(()),
        (None, Some(error)) => Err(error),
        (None, None) => {
            Err(Error::unavailable("HOST_NOT_PREPARED", format!("no primary storage is ready on host {host}")))
        }
    }
}

/// The work that makes or deletes a volume, and the host that does it. Nothing for a volume that has no place yet.
async fn work(
    context: &Context,
    volume: &Volume,
    of: impl FnOnce(&mut gyre_store::Conn, &dyn drivers::Driver, &PrimaryStorage) -> Result<Work> + Send + 'static,
) -> Result<Option<(Uuid, Work)>> {
    let Some(storage) = opt_uuid("primary_storage_uuid", &volume.primary_storage_uuid)? else { return Ok(None) };
    let host = uuid_of("host_uuid", &volume.host_uuid)?;
    context
        .read("volume-work", move |conn| {
            let storage: PrimaryStorage = gyre_query::get(conn, &SYSTEM, storage)?;
            Ok(Some((host, of(conn, drivers::of(&storage)?, &storage)?)))
        })
        .await
}

async fn make(limits: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    let volume = get(&context).await?;
    let made = volume.clone();
    let creation = work(&context, &volume, move |conn, driver, storage| {
        let image = opt_uuid("image_uuid", &made.image_uuid)?.map(|image| images::source(conn, image)).transpose()?;
        Ok(driver.create_volume(storage, &made, image))
    })
    .await?;
    let (host, creation) = creation.ok_or_else(|| Error::internal(format!("volume {uuid} has no room")))?;
    let limit = if volume.image_uuid.is_empty() { limits.task } else { limits.transfer };
    let path = hosts::volume_path(hosts::ask(&context, host, creation, limit).await?)?;
    context.on_commit(move |conn, change| volumes::ready(conn, change, uuid, &path));
    Ok(())
}

async fn deletion(context: &Context, volume: Volume) -> Result<Option<(Uuid, Work)>> {
    let gone = volume.clone();
    work(context, &volume, move |_, driver, storage| Ok(driver.delete_volume(storage, &gone))).await
}

/// Deletes whatever of the volume the host made.
async fn unmake(limits: Arc<Limits>, context: Context) -> Result<()> {
    if hosts::asked(&context)?
        && let Some(volume) = find(&context).await?
        && let Some((host, work)) = deletion(&context, volume).await?
    {
        context.run_task(host, work, limits.task).await?;
    }
    Ok(())
}

/// Deletes the file of a volume whose row is gone.
async fn sweep(limits: Arc<Limits>, context: Context) -> Result<()> {
    let request: SweepVolumeRequest = context.input()?;
    let work = Work::DeleteVolume(DeleteVolume { volume_uuid: request.volume_uuid, folder: request.folder });
    hosts::sweep(&context, uuid_of("host_uuid", &request.host_uuid)?, work, limits.task).await
}

async fn confirm(_: Arc<Limits>, context: Context) -> Result<()> {
    let volume = get(&context).await?;
    if volume.state() == VolumeState::Ready {
        return Ok(());
    }
    let text = format!("volume {} was being made or deleted by an operation that is not known any more", volume.uuid);
    Err(Error::new(Kind::FailedPrecondition, "VOLUME_NOT_READY", text))
}

async fn bin(_: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| volumes::bin(conn, change, uuid));
    Ok(())
}

async fn recover(_: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| volumes::recover(conn, change, uuid));
    Ok(())
}

/// What a volume must be to be marked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Must {
    /// Nobody's: neither a machine's root nor attached.
    BeLoose,
    /// In the bin.
    BeBinned,
    /// Whatever it is.
    Be,
}

/// Marks a volume, after a check in the same commit.
async fn mark(context: &Context, must: Must) -> Result<()> {
    let uuid = context.resource_uuid();
    let Some(volume) = find(context).await? else { return Ok(()) };
    if volume.state() == VolumeState::Deleting {
        return Ok(());
    }
    context.set(&WAS, &i32::from(volume.state()))?;
    context
        .commit("mark-volume", move |conn, change| {
            match must {
                Must::BeLoose => volumes::check_deletable(conn, &SYSTEM, uuid)?,
                Must::BeBinned => volumes::check_expungeable(&hold(conn, uuid)?)?,
                Must::Be => {}
            }
            volumes::set_state(conn, change, uuid, VolumeState::Deleting)
        })
        .await
}

async fn mark_deleting(_: Arc<Limits>, context: Context) -> Result<()> {
    mark(&context, Must::BeLoose).await
}

async fn mark_destroyed(_: Arc<Limits>, context: Context) -> Result<()> {
    mark(&context, Must::Be).await
}

async fn mark_expunged(_: Arc<Limits>, context: Context) -> Result<()> {
    mark(&context, Must::BeBinned).await
}

/// Takes the mark back, if the file is certainly there and it was this operation that marked it.
async fn unmark(_: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    let was = context.get(&WAS)?.and_then(|was| VolumeState::try_from(was).ok());
    if let Some(was) = was
        && !hosts::asked(&context)?
    {
        context.on_commit(move |conn, change| volumes::set_state(conn, change, uuid, was));
    }
    Ok(())
}

async fn delete_file(limits: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    let Some(volume) = find(&context).await? else { return Ok(()) };
    if let Some((host, work)) = deletion(&context, volume).await? {
        let folder = match &work {
            Work::DeleteVolume(deletion) => deletion.folder.clone(),
            _ => String::new(),
        };
        if !hosts::delete_file(&context, host, work, limits.task).await? {
            let owed = SweepVolumeRequest {
                volume_uuid: uuid.to_string(),
                host_uuid: host.to_string(),
                folder,
                ..SweepVolumeRequest::default()
            };
            context.follow_up("sweep-volume", uuid, &owed).await?;
        }
    }
    context.on_commit(move |conn, change| volumes::remove(conn, change, uuid));
    Ok(())
}
