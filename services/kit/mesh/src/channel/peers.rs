//! Connections to other processes: made when first needed, kept, and dropped when the peer is no member any more.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gyre_model::{Error, Result};
use http::{Request, Response};
use parking_lot::RwLock;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tower::ServiceExt as _;
use tower_service::Service as _;

use crate::member::View;
use crate::reason;

/// Connections to one peer: more than one, because one connection is one task on either side.
const CONNECTIONS: usize = 2;
/// How long a connection may take, and its handshake.
const CONNECT: Duration = Duration::from_secs(1);
/// How long a peer that could not be reached is passed over where another will do.
const SUSPECT: Duration = Duration::from_secs(1);
/// Connections are looked through for ones to drop when there are this many more than the last time.
const SLACK: usize = 32;

/// How closely it is felt whether a peer is alive. A peer that was stopped where it stands, or is cut off without a word, breaks
/// no connection by itself: its connection is broken here when it does not answer a ping, and what was under way goes elsewhere.
/// A handler that takes long is no such peer, since pings are answered below it.
#[derive(Debug, Clone, Copy)]
enum Pulse {
    /// A member: others wait for it.
    Member,
    /// Whoever is called by address alone, such as a host's agent, which may have much to do: its callers wait longer.
    Outsider,
}

impl Pulse {
    /// How often it is felt, and how long an answer may take.
    fn times(self) -> (Duration, Duration) {
        match self {
            Self::Member => (Duration::from_secs(1), Duration::from_millis(1_500)),
            Self::Outsider => (Duration::from_secs(5), Duration::from_secs(5)),
        }
    }
}

/// All connections of this process.
pub(crate) struct Peers {
    tls: Option<ClientTlsConfig>,
    born: Instant,
    all: RwLock<HashMap<Arc<str>, Arc<PeerConnection>>>,
}

/// The connections to one peer.
pub(crate) struct PeerConnection {
    address: Arc<str>,
    channels: [Channel; CONNECTIONS],
    turn: AtomicUsize,
    calls: AtomicUsize,
    /// Milliseconds since `born` until which it is passed over.
    suspect: AtomicU64,
    born: Instant,
}

impl fmt::Debug for PeerConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("PeerConnection").field(&self.address).finish()
    }
}

impl Peers {
    pub(crate) fn new(tls: Option<ClientTlsConfig>) -> Self {
        Self { tls, born: Instant::now(), all: RwLock::default() }
    }

    /// What this process shows of itself over TLS.
    pub(crate) fn tls(&self) -> Option<&ClientTlsConfig> {
        self.tls.as_ref()
    }

    /// The connection to an address.
    pub(crate) fn get(&self, address: &str, view: &View) -> Result<Arc<PeerConnection>> {
        if let Some(peer) = self.all.read().get(address) {
            return Ok(peer.clone());
        }
        let mut all = self.all.write();
        if let Some(peer) = all.get(address) {
            return Ok(peer.clone());
        }
        if all.len() >= view.all().count() + SLACK {
            all.retain(|known, peer| {
                Arc::strong_count(peer) > 1 || view.all().any(|member| *member.address == **known)
            });
        }
        let member = view.all().any(|member| *member.address == *address);
        let peer = Arc::new(self.open(address, if member { Pulse::Member } else { Pulse::Outsider })?);
        all.insert(peer.address.clone(), peer.clone());
        Ok(peer)
    }

    fn open(&self, address: &str, pulse: Pulse) -> Result<PeerConnection> {
        let (interval, timeout) = pulse.times();
        let unusable = |error: tonic::transport::Error| {
            Error::unavailable(reason::PEER_UNREACHABLE, format!("{address}: {}", chain(&error)))
        };
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
            .map_err(unusable)?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(8 << 20)
            // An error's details travel in headers: a refusal may name every host.
            .http2_max_header_list_size(256 << 10)
            // Other members' servers bear such pings.
            .http2_keep_alive_interval(interval)
            .keep_alive_timeout(timeout)
            .keep_alive_while_idle(true);
        if let Some(tls) = &self.tls {
            // a frozen peer's kernel takes the connection, and nobody its handshake
            endpoint = endpoint.tls_config(tls.clone().timeout(CONNECT)).map_err(unusable)?;
        }
        Ok(PeerConnection {
            address: address.into(),
            channels: std::array::from_fn(|_| endpoint.connect_lazy()),
            turn: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            suspect: AtomicU64::new(0),
            born: self.born,
        })
    }
}

/// Counts a call as under way.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn new(calls: &'a AtomicUsize) -> Self {
        calls.fetch_add(1, Ordering::Relaxed);
        Self(calls)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PeerConnection {
    /// Calls under way.
    pub(crate) fn load(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Whether it could not be reached a moment ago.
    pub(crate) fn suspect(&self) -> bool {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.suspect.load(Ordering::Relaxed) > now
    }

    /// Sends a call.
    ///
    /// # Errors
    /// `UNAVAILABLE` with the reason [`reason::PEER_UNREACHABLE`] where no answer came.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Body>> {
        let _under_way = UnderWay::new(&self.calls);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % CONNECTIONS;
        let mut channel = self.channels[turn].clone();
        let answered = async { channel.ready().await?.call(request).await }.await;
        match answered {
            Ok(response) => {
                self.suspect.store(0, Ordering::Relaxed);
                Ok(response)
            }
            Err(error) if ran_out(&error) => {
                let text = format!("{} did not answer in time", self.address);
                Err(Error::unavailable(reason::PEER_UNREACHABLE, text))
            }
            Err(error) => Err(self.unreachable(chain(&error))),
        }
    }

    /// What to say when the connection broke in the middle of an answer.
    pub(crate) fn lost(&self, status: &Status) -> Error {
        self.unreachable(status.message().to_owned())
    }

    fn unreachable(&self, cause: String) -> Error {
        let until = self.born.elapsed() + SUSPECT;
        self.suspect.store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let text = format!("{} did not answer: {cause}", self.address);
        Error::unavailable(reason::PEER_UNREACHABLE, text).with("address", self.address.as_ref())
    }
}

/// Whether tonic's timer ended the call: that says nothing of the peer.
fn ran_out(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<tonic::TimeoutExpired>() || error.source().is_some_and(ran_out)
}

/// An error with its causes.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
