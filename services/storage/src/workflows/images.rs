//! Steps of images.

use std::sync::Arc;

use gyre_flow::{Context, Steps, Var};
use gyre_model::{Result, Uuid};
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{DeleteImage, FinishUpload, ImportImage};
use gyre_proto::storage::v1::{Image, ImageState, SweepImageRequest};

use super::nothing;
use crate::hosts::{self, ASKED, Limits};
use crate::store::images::{self, Place};
use crate::store::{SYSTEM, uuid_of};

/// The note of the state that an image was in before it was marked.
const WAS: Var<i32> = Var::new("was");

pub(super) fn add(steps: Steps, limits: &Arc<Limits>) -> Steps {
    steps
        .step("record-image", limits, nothing, unrecord)
        .step("import-image", limits, import, delete_what_came)
        .notes(&ASKED)
        .step("keep-upload", limits, keep_upload, give_up_upload)
        .notes(&ASKED)
        .step("mark-image-deleting", limits, mark_deleting, unmark)
        .notes(&WAS)
        .may_use(&ASKED)
        .without_undo("bin-image", limits, bin)
        .without_undo("recover-image", limits, recover)
        .step("mark-image-expunged", limits, mark_expunged, unmark)
        .notes(&WAS)
        .may_use(&ASKED)
        .without_undo("sweep-image", limits, sweep)
        .without_undo("delete-image-file", limits, delete_file)
        .notes(&ASKED)
}

async fn unrecord(_: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| images::remove(conn, change, uuid));
    Ok(())
}

/// The image and where it is kept; nothing where it is gone.
async fn find(context: &Context) -> Result<Option<(Image, Place)>> {
    let uuid = context.resource_uuid();
    context
        .read("image-place", move |conn| {
            let Some(image) = gyre_query::find::<Image>(conn, &SYSTEM, uuid)? else { return Ok(None) };
            let place = images::place(conn, &image)?;
            Ok(Some((image, place)))
        })
        .await
}

async fn get(context: &Context) -> Result<(Image, Place)> {
    let uuid = context.resource_uuid();
    find(context).await?.ok_or_else(|| gyre_model::Error::not_found("image", uuid))
}

async fn import(limits: Arc<Limits>, context: Context) -> Result<()> {
    let (image, place) = get(&context).await?;
    let work = Work::ImportImage(ImportImage {
        image_uuid: image.uuid.clone(),
        folder: place.folder,
        url: image.url.clone(),
        format: images::format_name(&image).to_owned(),
        sha256: image.sha256.clone(),
    });
    keep(&limits, &context, place.host, work).await
}

async fn keep_upload(limits: Arc<Limits>, context: Context) -> Result<()> {
    let (image, place) = get(&context).await?;
    let work = Work::FinishUpload(FinishUpload {
        image_uuid: image.uuid.clone(),
        folder: place.folder,
        format: images::format_name(&image).to_owned(),
        sha256: image.sha256.clone(),
    });
    keep(&limits, &context, place.host, work).await
}

/// Has the host check and keep an image, which is ready with the last commit.
async fn keep(limits: &Limits, context: &Context, host: Uuid, work: Work) -> Result<()> {
    let uuid = context.resource_uuid();
    let facts = hosts::image_facts(hosts::ask(context, host, work, limits.transfer).await?)?;
    context.on_commit(move |conn, change| images::ready(conn, change, uuid, &facts));
    Ok(())
}

fn deletion(uuid: Uuid, place: &Place) -> Work {
    Work::DeleteImage(DeleteImage { image_uuid: uuid.to_string(), folder: place.folder.clone() })
}

/// Deletes whatever of the image came to the host.
async fn delete_what_came(limits: Arc<Limits>, context: Context) -> Result<()> {
    if hosts::asked(&context)?
        && let Some((_, place)) = find(&context).await?
    {
        context.run_task(place.host, deletion(context.resource_uuid(), &place), limits.task).await?;
    }
    Ok(())
}

/// An upload that is not what it should be goes, with its row. One that nobody could look at is sent again.
async fn give_up_upload(limits: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    if hosts::asked(&context)? {
        delete_what_came(limits, context.clone()).await?;
        context.on_commit(move |conn, change| images::remove(conn, change, uuid));
    } else {
        context.on_commit(move |conn, change| images::set_state(conn, change, uuid, ImageState::Uploading));
    }
    Ok(())
}

async fn bin(_: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| images::bin(conn, change, uuid));
    Ok(())
}

async fn recover(_: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| images::recover(conn, change, uuid));
    Ok(())
}

async fn mark_deleting(_: Arc<Limits>, context: Context) -> Result<()> {
    mark(&context, false).await
}

async fn mark_expunged(_: Arc<Limits>, context: Context) -> Result<()> {
    mark(&context, true).await
}

/// Marks an image; where that is asked for, only one in the bin.
async fn mark(context: &Context, binned: bool) -> Result<()> {
    let uuid = context.resource_uuid();
    let image: Option<Image> = context.read("image-find", move |conn| gyre_query::find(conn, &SYSTEM, uuid)).await?;
    let Some(image) = image else { return Ok(()) };
    if image.state() == ImageState::Deleting {
        return Ok(());
    }
    context.set(&WAS, &i32::from(image.state()))?;
    context.commit("mark-image", move |conn, change| images::mark_deleting(conn, change, uuid, binned)).await
}

/// Takes the mark back, if the file is certainly there and it was this operation that marked it.
async fn unmark(_: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    let was = context.get(&WAS)?.and_then(|was| ImageState::try_from(was).ok());
    if let Some(was) = was
        && !hosts::asked(&context)?
    {
        context.on_commit(move |conn, change| images::set_state(conn, change, uuid, was));
    }
    Ok(())
}

/// Deletes the file of an image whose row is gone.
async fn sweep(limits: Arc<Limits>, context: Context) -> Result<()> {
    let request: SweepImageRequest = context.input()?;
    let work = Work::DeleteImage(DeleteImage { image_uuid: request.image_uuid, folder: request.folder });
    hosts::sweep(&context, uuid_of("host_uuid", &request.host_uuid)?, work, limits.task).await
}

async fn delete_file(limits: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    let Some((_, place)) = find(&context).await? else { return Ok(()) };
    if !hosts::delete_file(&context, place.host, deletion(uuid, &place), limits.task).await? {
        let owed = SweepImageRequest {
            image_uuid: uuid.to_string(),
            host_uuid: place.host.to_string(),
            folder: place.folder,
            ..SweepImageRequest::default()
        };
        context.follow_up("sweep-image", uuid, &owed).await?;
    }
    context.on_commit(move |conn, change| images::remove(conn, change, uuid));
    Ok(())
}
