//! Opening a session: fence, stream, hello, and what the hello says put into the host's row.

use std::sync::Arc;

use gyre_model::{Error, Kind, Result};
use gyre_proto::agent::v1::agent_service_client::AgentServiceClient;
use gyre_proto::agent::v1::session_request::Message as Request;
use gyre_proto::agent::v1::session_response::Message as Response;
use gyre_proto::agent::v1::{AgentHello, ControllerHello, SessionRequest, SessionResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::release::release;
use super::{Link, Shared};
use crate::store::host::{self, Written};

/// Messages on their way to an agent.
const OUTGOING: usize = 16;
/// The largest message of an agent's: a hello names every machine and every task.
const LARGEST: usize = 64 << 20;

/// Both ways of a session.
pub(super) struct Streams {
    pub requests: mpsc::Sender<SessionRequest>,
    pub answers: Streaming<SessionResponse>,
}

/// An open session.
pub(super) struct Connected {
    pub fence: i64,
    pub hello: AgentHello,
    pub session: Streams,
}

/// What an agent said first in a session: its fence, its hello, and the streams.
pub(super) type Greeted = (i64, AgentHello, Streams);

/// Puts what the hello says into the host's row. Nothing where that is gone. Nobody may declare the host disconnected meanwhile: what
/// is found unchanged here is not written.
pub(super) async fn admit(shared: &Shared, link: &Arc<Link>, greeted: Greeted) -> Result<Option<Connected>> {
    let (fence, hello, session) = greeted;
    let facts = hello.facts.clone().unwrap_or_default();
    let (uuid, seen) = (link.host, facts.clone());
    // mostly nothing has changed: a read tells so without a place in the writer's queue
    let mut written = shared.store.read("host-facts-same", move |conn| host::facts_same(conn, uuid, &seen)).await?;
    if written == Written::Changed {
        written = shared
            .store
            .write_again("host-facts", move |conn| host::write_connected(conn, uuid, fence, &facts))
            .await?;
    }
    match written {
        Written::Changed | Written::Same => Ok(Some(Connected { fence, hello, session })),
        Written::Gone => {
            // this very session may have bound the agent
            release(shared, link, session, fence).await;
            Ok(None)
        }
        Written::Fenced => {
            Err(Error::new(Kind::Aborted, "FENCED", "another instance has opened a newer session with this host"))
        }
    }
}

/// Opens a session, and writes nothing of what the hello says. The fence is used up.
pub(super) async fn greet(shared: &Shared, link: &Link) -> Result<Greeted> {
    // outside of the limit, which is for the agent: after a restart thousands of hosts wait here for the database at once
    let fence = link.next_fence(shared).await?;
    let limit = shared.config.connect_timeout;
    let Ok(opened) = tokio::time::timeout(limit, hello(shared, link, fence)).await else {
        let text = format!("the agent at {} did not say hello within {limit:?}", link.address);
        return Err(Error::unavailable("AGENT_UNREACHABLE", text));
    };
    let opened = opened?;
    link.fence_used();
    Ok(opened)
}

async fn hello(shared: &Shared, link: &Link, fence: i64) -> Result<Greeted> {
    let (requests, outgoing) = mpsc::channel(OUTGOING);
    let hello = ControllerHello {
        host_uuid: link.host.to_string(),
        fence,
        instance_uuid: shared.mesh.instance().to_string(),
        heartbeat_ms: i32::try_from(shared.config.heartbeat.as_millis()).unwrap_or(i32::MAX),
    };
    let first = SessionRequest { message: Some(Request::Hello(hello)) };
    // there is room: it is the first
    let _ = requests.send(first).await;
    let channel = shared.mesh.channel("agent").at(Arc::clone(&link.address));
    let mut client = AgentServiceClient::new(channel).max_decoding_message_size(LARGEST);
    let refused = |status| {
        let error = Error::from(status);
        if error.reason() == "FENCED" {
            // this number is of no use any more
            link.fence_used();
        }
        // an answer without a reason of Gyre's comes from something else
        if error.reason() == error.kind().name() && !error.kind().retryable() {
            let text = format!("what answers at {} is no agent of Gyre: {}", link.address, error.message());
            return Error::new(Kind::FailedPrecondition, "NOT_AN_AGENT", text).with("address", link.address.as_ref());
        }
        error
    };
    let mut answers = client.session(ReceiverStream::new(outgoing)).await.map_err(refused)?.into_inner();
    let first = answers.message().await.map_err(refused)?;
    match first.and_then(|first| first.message) {
        Some(Response::Hello(hello)) => Ok((fence, hello, Streams { requests, answers })),
        _ => Err(Error::unavailable(
            "AGENT_UNREACHABLE",
            format!("what listens at {} did not begin with a hello; is it an agent?", link.address),
        )),
    }
}
