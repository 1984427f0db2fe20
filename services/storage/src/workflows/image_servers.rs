//! Steps of image servers.

use std::sync::Arc;
use std::time::Duration;

use gyre_flow::{Context, Steps};
use gyre_model::{Result, Uuid};
use gyre_proto::agent::v1::PrepareStorage;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::storage::v1::{Image, ImageServer};

use super::nothing;
use crate::hosts::{self, Limits};
use crate::store::{SYSTEM, image_servers, opt_uuid, uuid_of};

/// How long a look that is not needed may take.
const GLANCE: Duration = Duration::from_secs(5);

pub(super) fn add(steps: Steps, limits: &Arc<Limits>) -> Steps {
    steps
        .step("record-image-server", limits, nothing, unrecord)
        .without_undo("prepare-folder", limits, prepare_folder)
        .without_undo("remove-image-server", limits, remove)
        .without_undo("measure-image-server", limits, measure)
}

async fn unrecord(_: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| image_servers::remove(conn, change, uuid));
    Ok(())
}

/// Makes the folder ready, and writes how much room is there in the last commit.
async fn look(context: &Context, server: Uuid, limit: Duration) -> Result<()> {
    let row: ImageServer = context.read("image-server-get", move |conn| gyre_query::get(conn, &SYSTEM, server)).await?;
    let host = uuid_of("host_uuid", &row.host_uuid)?;
    let work = Work::PrepareStorage(PrepareStorage { path: row.path });
    let facts = hosts::storage_facts(hosts::look(context, host, work, limit).await?)?;
    context.on_commit(move |conn, change| image_servers::measured(conn, change, server, &facts));
    Ok(())
}

async fn prepare_folder(limits: Arc<Limits>, context: Context) -> Result<()> {
    look(&context, context.resource_uuid(), limits.task).await
}

/// Looks how much room an image left on its server. What is written there is a hint, so a host that does not answer is no
/// reason to fail.
async fn measure(limits: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    let image: Option<Image> = context.read("image-find", move |conn| gyre_query::find(conn, &SYSTEM, uuid)).await?;
    let Some(image) = image else { return Ok(()) };
    if let Some(server) = opt_uuid("image_server_uuid", &image.image_server_uuid)?
        && let Err(error) = look(&context, server, limits.task.min(GLANCE)).await
    {
        tracing::info!(image_server = %server, %error, "cannot look how much room an image server has");
    }
    Ok(())
}

async fn remove(_: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| image_servers::remove(conn, change, uuid));
    Ok(())
}
