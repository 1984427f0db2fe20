//! What the log of changes hears from a gateway: where a call came from, and which calls that would have changed something were
//! refused before they reached a service. Those go to any service in batches; what is too much, or finds nobody, is left out.

use std::net::IpAddr;
use std::time::Duration;

use gyre_mesh::MeshChannel;
use gyre_mesh::refused::is_refusal;
use gyre_model::catalog::MethodInfo;
use gyre_model::{Caller, Error, Uuid, origin, time};
use gyre_proto::common::v1::change_service_client::ChangeServiceClient;
use gyre_proto::common::v1::{RecordRefusalsRequest, RefusedCall};
use http::header::{HeaderMap, HeaderValue, USER_AGENT};
use parking_lot::Mutex;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_util::sync::CancellationToken;

use crate::front::Peer;

/// Most refusals that wait to be told.
const WAITING: usize = 256;
/// Most that are told at once.
const TOGETHER: usize = 50;
/// How long they are gathered: no more than [`TOGETHER`] are told in that time.
const GATHERED: Duration = Duration::from_millis(500);

/// Where a call came from.
#[derive(Debug, Clone)]
pub struct Source {
    client: IpAddr,
    agent: Option<HeaderValue>,
}

impl Source {
    /// Of a call that changes something; nothing of others, for which nobody asks.
    pub fn of(method: &MethodInfo, peer: Peer, headers: &HeaderMap) -> Option<Self> {
        method.request_id?;
        Some(Self { client: peer.address.ip(), agent: headers.get(USER_AGENT).cloned() })
    }

    /// Writes it into the headers of the call inside the mesh.
    pub fn write(&self, headers: &mut HeaderMap) {
        origin::write(headers, self.client, self.agent.as_ref());
    }
}

/// Refused calls on their way to a service.
#[derive(Debug)]
pub struct Refusals {
    sender: Sender<RefusedCall>,
    receiver: Mutex<Option<Receiver<RefusedCall>>>,
}

impl Refusals {
    /// None yet.
    pub fn new() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }

    /// Takes note of a call that a gateway refused to somebody who is known.
    pub fn note(
        &self,
        method: &MethodInfo,
        caller: &Caller,
        resource: Option<Uuid>,
        peer: Peer,
        headers: &HeaderMap,
        error: &Error,
    ) {
        if method.request_id.is_none() || !is_refusal(error) {
            return;
        }
        let text = |uuid: Option<Uuid>| uuid.map(|uuid| uuid.to_string()).unwrap_or_default();
        let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        let call = RefusedCall {
            path: method.path.to_owned(),
            account_uuid: caller.account_uuid.to_string(),
            api_key_uuid: text(caller.api_key_uuid),
            resource_uuid: text(resource),
            client_address: peer.address.ip().to_canonical().to_string(),
            user_agent: origin::cut(agent).to_owned(),
            request_id: String::new(),
            reason: error.reason().to_owned(),
            time: Some(time::now()),
        };
        if self.sender.try_send(call).is_err() {
            tracing::debug!(method = method.path, "a refused call is missing in the log of changes");
        }
    }

    /// Tells of them until the gateway stops.
    pub async fn tell(&self, channel: MeshChannel, stop: CancellationToken) {
        let Some(mut receiver) = self.receiver.lock().take() else { return };
        let mut client = ChangeServiceClient::new(channel);
        let telling = async {
            let mut calls = Vec::with_capacity(TOGETHER);
            while receiver.recv_many(&mut calls, TOGETHER).await > 0 {
                let request = RecordRefusalsRequest { calls: std::mem::take(&mut calls) };
                let mut request = Caller::system().request(request);
                request.set_timeout(GATHERED * 4);
                if let Err(status) = client.record_refusals(request).await {
                    tracing::debug!(%status, "refused calls are missing in the log of changes");
                }
                tokio::time::sleep(GATHERED).await;
            }
        };
        stop.run_until_cancelled(telling).await;
    }
}
