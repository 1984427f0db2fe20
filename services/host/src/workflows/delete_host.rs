//! Removing a host: nothing may come any more, then what is on it is deleted, then its agent is let go, so that it can be added
//! again, and the row goes. An agent that does not answer holds nothing up. What other tables have of the
//! host alone (room on local primary storage) goes with the row.

use std::sync::Arc;

use gyre_flow::{Context, Var};
use gyre_model::{Caller, Error, Result};
use gyre_proto::Resource as _;
use gyre_proto::host::v1::{Host, HostState};

use crate::Inner;
use crate::store::host::change_host;
use crate::store::references;

/// Whether the host was enabled before.
pub(super) const WAS: Var<bool> = Var::new("was_enabled");

/// Disables the host, so that nothing is placed on it any more.
pub(super) async fn close(_: Arc<Inner>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    // durable with the change itself; a step that runs again finds the host disabled by itself
    if context.get(&WAS)?.is_none() {
        let read = move |conn: &mut _| gyre_query::get::<Host>(conn, &Caller::system(), uuid);
        let was = context.read("host-get", read).await?.state() == HostState::Enabled;
        context.set(&WAS, &was)?;
    }
    context
        .commit("host-close", move |conn, change| {
            let written = change_host(conn, change, uuid, |_, host| {
                let enabled = host.state() == HostState::Enabled;
                host.set_state(HostState::Disabled);
                Ok(enabled)
            })?;
            written.map(drop).ok_or_else(|| Error::not_found("host", uuid))
        })
        .await
}

pub(super) async fn reopen(_: Arc<Inner>, context: Context) -> Result<()> {
    if context.get(&WAS)?.unwrap_or(false) {
        let uuid = context.resource_uuid();
        context.on_commit(move |conn, change| {
            let enable = |_: &mut _, host: &mut Host| {
                host.set_state(HostState::Enabled);
                Ok(true)
            };
            change_host(conn, change, uuid, enable).map(drop)
        });
    }
    Ok(())
}

pub(super) async fn remove(inner: Arc<Inner>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    inner.sessions.release(uuid).await;
    context.on_commit(move |conn, change| {
        references::host_has_no_claims(conn, uuid)?;
        gyre_flow::delete::remove(conn, change, Host::KIND, uuid).map(drop)
    });
    Ok(())
}

pub(super) async fn keep(inner: Arc<Inner>, context: Context) -> Result<()> {
    inner.sessions.restore(context.resource_uuid());
    Ok(())
}
