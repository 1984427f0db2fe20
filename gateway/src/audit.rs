//! What the log of changes hears from a gateway: where a call came from, which calls that would have changed something were
//! refused before they reached a service, and who failed to sign in. Those go to any service in batches; what is too much, or finds
//! nobody, is left out. Of strangers, who cost nothing to be, there are few: [`STRANGERS_AT_ONCE`], and one more each second.

use std::net::IpAddr;
use std::time::{Duration, Instant};

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

/// Most calls of strangers that are told at once; each second adds one.
const STRANGERS_AT_ONCE: f64 = 20.0;

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
    /// How many strangers may be told of, and since when.
    strangers: Mutex<(f64, Instant)>,
}

/// A call that was refused, as its gateway knows it.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Which call.
    pub method: &'a MethodInfo,
    /// The resource that it names.
    pub resource: Option<Uuid>,
    /// Whether it only asks what would be: then its refusal is none of a change.
    pub dry: bool,
    /// Who is at the other end.
    pub peer: Peer,
    /// What it sent.
    pub headers: &'a HeaderMap,
}

impl Call<'_> {
    fn refused(&self, error: &Error) -> RefusedCall {
        let agent = self.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        RefusedCall {
            path: self.method.path.to_owned(),
            resource_uuid: text(self.resource),
            client_address: self.peer.address.ip().to_canonical().to_string(),
            user_agent: origin::cut(agent).to_owned(),
            reason: error.reason().to_owned(),
            time: Some(time::now()),
            ..RefusedCall::default()
        }
    }
}

fn text(uuid: Option<Uuid>) -> String {
    uuid.map(|uuid| uuid.to_string()).unwrap_or_default()
}

/// Whether a query asks what would be and not that it be.
pub fn is_dry(query: Option<&str>) -> bool {
    let says = |part: &str| matches!(part, "validateOnly=true" | "validate_only=true");
    query.is_some_and(|query| query.split('&').any(says))
}

impl Refusals {
    /// None yet.
    pub fn new() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let strangers = Mutex::new((STRANGERS_AT_ONCE, Instant::now()));
        Self { sender, receiver: Mutex::new(Some(receiver)), strangers }
    }

    /// Takes note of a call that a gateway refused to somebody who is known.
    pub fn note(&self, call: Call<'_>, caller: &Caller, error: &Error) {
        if call.method.request_id.is_none() || call.dry || !is_refusal(error) {
            return;
        }
        let (account_uuid, api_key_uuid) = (caller.account_uuid.to_string(), text(caller.api_key_uuid));
        self.send(RefusedCall { account_uuid, api_key_uuid, ..call.refused(error) });
    }

    /// Takes note of a call that was refused since nobody knows who makes it.
    pub fn note_stranger(&self, call: Call<'_>, error: &Error) {
        if call.method.request_id.is_some() && !call.dry && is_refusal(error) && self.one_more_stranger() {
            self.send(call.refused(error));
        }
    }

    /// Takes note of a sign-in that failed. The name only finds the account: what is none may be a password in the wrong field.
    pub fn note_sign_in(&self, call: Call<'_>, account: &str, error: &Error) {
        if is_refusal(error) && self.one_more_stranger() {
            self.send(RefusedCall { account_name: account.to_owned(), ..call.refused(error) });
        }
    }

    fn one_more_stranger(&self) -> bool {
        let mut strangers = self.strangers.lock();
        let (left, since) = *strangers;
        let left = (left + since.elapsed().as_secs_f64()).min(STRANGERS_AT_ONCE);
        let one_more = left >= 1.0;
        *strangers = (if one_more { left - 1.0 } else { left }, Instant::now());
        one_more
    }

    fn send(&self, call: RefusedCall) {
        let path = call.path.clone();
        if self.sender.try_send(call).is_err() {
            tracing::debug!(method = path, "a refused call is missing in the log of changes");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_strangers_few_are_told() {
        let refusals = Refusals::new();
        let told = (0..1000).filter(|_| refusals.one_more_stranger()).count();
        assert!((20..25).contains(&told), "{told}");
    }

    #[test]
    fn a_dry_run_is_known_by_its_query() {
        assert!(is_dry(Some("cascade=true&validateOnly=true")) && is_dry(Some("validate_only=true")));
        assert!(!is_dry(None) && !is_dry(Some("validateOnly=false")) && !is_dry(Some("cascade=true")));
    }
}
