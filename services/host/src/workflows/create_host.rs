//! Adding a host. The session that it opens writes facts, capacity and status itself, as it does whenever it is opened.

use std::sync::Arc;

use gyre_flow::Context;
use gyre_model::{Error, Result};
use gyre_proto::host::v1::{Host, HostState};

use super::session::{Wanted, await_session};
use crate::Inner;
use crate::store::host::change_host;

/// The row came with the operation.
pub(super) async fn record(inner: Arc<Inner>, context: Context) -> Result<()> {
    // a host of this UUID may have been removed a moment ago
    inner.sessions.restore(context.resource_uuid());
    Ok(())
}

/// Nothing is left of it, but for the fence that the agent may have seen.
pub(super) async fn forget(inner: Arc<Inner>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    // the agent may have bound itself to this host
    inner.sessions.release(uuid).await;
    context.on_commit(move |conn, change| gyre_query::delete::<Host>(conn, change, uuid).map(drop));
    Ok(())
}

pub(super) async fn connect(inner: Arc<Inner>, context: Context) -> Result<()> {
    await_session(&inner, context.resource_uuid(), Wanted::Any).await
}

pub(super) async fn ready(_: Arc<Inner>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| {
        let written = change_host(conn, change, uuid, |_, host| {
            host.set_state(HostState::Enabled);
            Ok(true)
        })?;
        written.map(drop).ok_or_else(|| Error::not_found("host", uuid))
    });
    Ok(())
}
