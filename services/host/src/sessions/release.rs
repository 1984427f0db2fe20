//! Letting an agent go: the last word of the last session with a host that is removed.

use std::sync::Arc;

use gyre_model::{Error, Result};
use gyre_proto::agent::v1::session_request::Message;
use gyre_proto::agent::v1::{ReleaseHost, SessionRequest};

use super::connect::{self, Streams};
use super::{Link, Shared};

/// Tells the agent that its host is removed, and waits until it has forgotten it. What does not work is written to the log: nobody can
/// do more about it than the operator of that agent.
pub(super) async fn release(shared: &Shared, link: &Arc<Link>, session: Streams, fence: i64) {
    let name = link.name();
    let result = match tokio::time::timeout(shared.config.connect_timeout, farewell(session)).await {
        Ok(result) => result,
        Err(_) => Err(Error::unavailable("AGENT_UNREACHABLE", "it did not answer in time")),
    };
    match result {
        Ok(()) => tracing::info!(fence, %name, "agent let go"),
        Err(error) => {
            tracing::warn!(fence, %name, address = %link.address, %error, "the agent stays bound to a host that is removed");
        }
    }
}

/// The same in a session that is opened for it. It is tried once: an agent that does not answer holds nothing up.
pub(super) async fn anew(shared: &Shared, link: &Arc<Link>) {
    match connect::greet(shared, link).await {
        Ok((fence, _, session)) => release(shared, link, session, fence).await,
        // it may never have been this host's, or be gone for good
        Err(error) => {
            tracing::info!(name = %link.name(), address = %link.address, %error, "no session to let the agent go in");
        }
    }
}

async fn farewell(session: Streams) -> Result<()> {
    let Streams { requests, mut answers } = session;
    let message = SessionRequest { message: Some(Message::Release(ReleaseHost {})) };
    // where the session is over already, the stream says why
    let _ = requests.send(message).await;
    loop {
        match answers.message().await.map_err(Error::from) {
            // news of a host that is no more
            Ok(Some(_)) => {}
            Ok(None) => return Err(Error::unavailable("AGENT_UNREACHABLE", "it ended the session without a word")),
            Err(error) if error.reason() == "RELEASED" => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
