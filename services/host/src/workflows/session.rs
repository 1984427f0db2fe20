//! Waiting for a session, as steps do it.

use std::time::Duration;

use gyre_model::{Caller, Error, Kind, Result, Uuid};
use gyre_proto::host::v1::{Host, HostStatus};
use tokio::time::Instant;

use crate::Inner;
use crate::sessions::LinkStatus;

/// How often somebody who waits looks again, where nothing wakes them: the link may be another, or another instance's.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Which session a step waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Any.
    Any,
    /// One that is opened from now on.
    New,
}

/// Waits until a session with a host is open.
///
/// # Errors
/// Why there is none: what the agent refused, or `AGENT_UNREACHABLE` after the connect timeout.
pub(super) async fn await_session(inner: &Inner, host: Uuid, wanted: Wanted) -> Result<()> {
    let until = Instant::now() + inner.config.connect_timeout;
    let mut link = inner.sessions.link(host).await?;
    let mut before = link.status().borrow().clone();
    if wanted == Wanted::New {
        link.renew();
    }
    let mut failed = None;
    while Instant::now() < until {
        let mut status = link.status();
        let news = status.wait_for(|status| {
            let refused = status.failed.as_ref().is_some_and(|error| !error.kind().retryable());
            status.up && (wanted == Wanted::Any || status.opened > before.opened)
                || refused && (wanted == Wanted::Any || status.failures > before.failures)
        });
        let look_again = until.min(Instant::now() + LOOK_AGAIN);
        if let Ok(Ok(now)) = tokio::time::timeout_at(look_again, news).await {
            return match &now.failed {
                Some(error) if !now.up => Err(error.clone()),
                _ => Ok(()),
            };
        }
        failed = link.status().borrow().failed.clone().or(failed);
        if !inner.mesh.owns(crate::NAME, host) && elsewhere(inner, host).await? {
            return Ok(());
        }
        if link.stopped().is_cancelled() {
            // an address that was changed, or a ring that moved back: the new link knows nothing of the sessions of the old one
            link = inner.sessions.link(host).await?;
            before = LinkStatus::default();
        }
    }
    Err(unreachable(&link.name(), &link.address, host, failed.as_ref(), inner.config.connect_timeout))
}

/// Whether the instance that owns the host now says that it is connected.
async fn elsewhere(inner: &Inner, host: Uuid) -> Result<bool> {
    let read = move |conn: &mut gyre_store::Conn| gyre_query::get::<Host>(conn, &Caller::system(), host);
    Ok(inner.store.read("host-status", read).await?.status() == HostStatus::Connected)
}

fn unreachable(name: &str, address: &str, host: Uuid, cause: Option<&Error>, limit: Duration) -> Error {
    let cause = cause.map(|error| format!(": {}", error.message())).unwrap_or_default();
    Error::new(
        Kind::Unavailable,
        "AGENT_UNREACHABLE",
        format!(
            "no session with the agent of host {name} at {address} within {limit:?}{cause}; check the address, and that the \
             agent runs and trusts this deployment's certificates"
        ),
    )
    .with("host_uuid", host.to_string())
    .with("address", address)
}
