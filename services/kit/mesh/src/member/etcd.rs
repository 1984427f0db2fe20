//! Membership in etcd.
//!
//! Theory:
//! 1. A member is a key `/gyre/v1/members/<service>/<instance>` under a lease of its process. All members of a process share the
//!    instance and the lease.
//! 2. The keeper (`keeper`) asks for the lease again every third of its time. What it asks for, and until when the answers prove
//!    the lease by our own clock, [`super::lease`] decides. When etcd says that the lease is gone, it takes a new one and
//!    registers the same instance again.
//! 3. The watcher (`watcher`) lists the prefix, then watches from the next revision. What that makes of the members,
//!    [`super::roster`] decides. While etcd is away the members stay as they were: reads go on.
//!
//! 4. When etcd comes back after all leases ran out, or without its data, everybody is gone for a moment and registers anew. Who
//!    cannot prove its own membership, or is not there itself, therefore holds on to the others for a while (`watcher`): the ring
//!    does not flap.
//!
//! The clock is the one that goes on while the machine sleeps (`CLOCK_BOOTTIME`), and `SIGSTOP` stops no clock: a process that was
//! paused either way finds its lease run out when it wakes. What is not solved: a virtual machine that its host pauses sees no
//! time pass, and a process may be paused between its look at the clock and its deed. The database's fences stand behind both.
//!
//! The client crate does not reopen streams, and a call may hang on a member of etcd that died: everything has its own timeout
//! here. HTTP/2 pings are sent every 10 s and only while calls are open; etcd closes the connection of whoever pings more.

mod keeper;
mod watcher;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use etcd_client::{Client, ConnectOptions, TlsOptions};
use gyre_model::{Error, Result};
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::lease::{Lease, Moment};
use super::{Member, Membership, Views};
use crate::reason;
use crate::tls::Identity;
use keeper::{Command, Keeper};
use watcher::Watcher;

/// Where members stand.
pub const PREFIX: &str = "/gyre/v1/members/";
/// How long a call to etcd may take.
const CALL: Duration = Duration::from_secs(3);
/// How long a process waits for etcd at its start, and to become a member.
const PATIENCE: Duration = Duration::from_secs(30);

/// For how long no watch can be opened before this process counts as cut off.
const DEAF: Duration = Duration::from_millis(1_500);

/// Where etcd is, and how long a membership lasts after its process died.
#[derive(Clone)]
pub struct Config {
    endpoints: Vec<String>,
    ttl: Duration,
    tls: Option<TlsOptions>,
}

impl Config {
    /// With an identity, endpoints with `https://` are called over mutual TLS.
    pub fn new(endpoints: Vec<String>, ttl: Duration, identity: Option<&Identity>) -> Self {
        let secure = endpoints.iter().any(|endpoint| endpoint.starts_with("https://"));
        let tls = identity.filter(|_| secure).map(Identity::client);
        Self { endpoints, ttl: ttl.max(Duration::from_secs(1)), tls }
    }

    async fn client(&self) -> anyhow::Result<Client> {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(Duration::from_secs(1))
            .with_tcp_keepalive(Duration::from_secs(10))
            .with_keep_alive(Duration::from_secs(10), Duration::from_secs(5))
            .with_keep_alive_while_idle(false);
        if let Some(tls) = &self.tls {
            options = options.with_tls(tls.clone());
        }
        Client::connect(&self.endpoints, Some(options)).await.with_context(|| format!("etcd at {:?}", self.endpoints))
    }
}

/// What [`Lease`] says, for whoever asks before each step: by our own clock, and without a lock.
#[derive(Debug)]
struct Proof {
    born: Duration,
    /// Microseconds since `born`; 0: not held.
    until: AtomicU64,
    /// Microseconds since `born` (and one) when the watch broke that was not opened again; 0: it stands.
    broken: AtomicU64,
}

/// The time since the machine started, its sleep included.
fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

impl Proof {
    fn new() -> Self {
        Self { born: since_boot(), until: AtomicU64::new(0), broken: AtomicU64::new(0) }
    }

    fn now(&self) -> Moment {
        since_boot().saturating_sub(self.born)
    }

    fn publish(&self, lease: &Lease) {
        self.until.store(u64::try_from(lease.until().as_micros()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// The watch of the members broke; it stays at the first time.
    fn broke(&self) {
        let now = u64::try_from(self.now().as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        // an earlier break counts
        let _ = self.broken.compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire);
    }

    /// etcd was heard again.
    fn heard(&self) {
        self.broken.store(0, Ordering::Release);
    }

    /// Whether the members are not heard of, for longer than an etcd takes that only changes its leader.
    fn deaf(&self) -> bool {
        match self.broken.load(Ordering::Acquire) {
            0 => false,
            since => self.now().as_micros() > u128::from(since) + DEAF.as_micros(),
        }
    }

    fn holds(&self) -> bool {
        self.now().as_micros() < u128::from(self.until.load(Ordering::Acquire))
    }
}

/// What keeper and watcher both know.
struct Shared {
    views: Views,
    proof: Proof,
    /// Members that this process wants to be.
    wanted: Mutex<Vec<Member>>,
}

impl Shared {
    /// Whether this process wants to be a member and cannot prove that it is.
    fn unproved(&self) -> bool {
        !self.proof.holds() && !self.wanted.lock().is_empty()
    }
}

/// Membership in etcd.
pub struct EtcdMembership {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    _stop: DropGuard,
}

impl EtcdMembership {
    /// Sees the members, and goes on seeing them until it is dropped.
    ///
    /// # Errors
    /// When etcd does not answer for half a minute.
    pub async fn connect(config: Config) -> anyhow::Result<Self> {
        let client = config.client().await?;
        let shared = Arc::new(Shared { views: Views::default(), proof: Proof::new(), wanted: Mutex::default() });
        let (commands, received) = mpsc::channel(16);
        let stop = CancellationToken::new();

        let mut watcher = Watcher::new(client.clone(), shared.clone(), commands.downgrade());
        tokio::time::timeout(PATIENCE, watcher.list_until_done())
            .await
            .with_context(|| format!("etcd at {:?} did not answer", config.endpoints))?;
        let keeper = Keeper::new(client, shared.clone(), config.ttl);
        tokio::spawn(stop.clone().run_until_cancelled_owned(watcher.run()));
        tokio::spawn(stop.clone().run_until_cancelled_owned(keeper.run(received)));
        Ok(Self { shared, commands, _stop: stop.drop_guard() })
    }

    /// Asks the keeper for something and waits for it.
    async fn ask(&self, command: impl FnOnce(oneshot::Sender<()>) -> Command) -> Result<()> {
        let gone = || Error::unavailable(reason::LEASE_LOST, "the keeper of the lease ended");
        let (done, wait) = oneshot::channel();
        self.commands.send(command(done)).await.map_err(|_| gone())?;
        wait.await.map_err(|_| gone())
    }

    /// Waits until the own view says so.
    async fn seen(&self, members: &[Member], there: bool) {
        let mut views = self.shared.views.watch();
        let as_wanted =
            views.wait_for(|view| members.iter().all(|member| view.has(&member.service, member.uuid) == there));
        // The sender lives in `self.shared`: this does not fail.
        let _ = as_wanted.await;
    }
}

#[async_trait::async_trait]
impl Membership for EtcdMembership {
    fn views(&self) -> &Views {
        &self.shared.views
    }

    async fn join(&self, members: Vec<Member>) -> Result<()> {
        self.shared.wanted.lock().extend(members.iter().cloned());
        let joined = async {
            self.ask(Command::Join).await?;
            self.seen(&members, true).await;
            Ok(())
        };
        tokio::time::timeout(PATIENCE, joined)
            .await
            .unwrap_or_else(|_| Err(Error::unavailable(reason::LEASE_LOST, "etcd did not take the membership in time")))
    }

    async fn leave(&self) {
        let members = std::mem::take(&mut *self.shared.wanted.lock());
        if members.is_empty() {
            return;
        }
        let left = async {
            // Where the keeper is gone, so is the lease, soon.
            let _ = self.ask(Command::Leave).await;
            self.seen(&members, false).await;
        };
        if tokio::time::timeout(CALL, left).await.is_err() {
            tracing::warn!("etcd did not confirm that this process left; its lease will run out");
        }
    }

    fn lease_valid(&self) -> bool {
        self.shared.proof.holds()
    }

    fn cut_off(&self) -> bool {
        self.shared.unproved() || self.shared.proof.deaf()
    }
}

/// An etcd call with its own timeout.
async fn call<T>(
    what: &'static str,
    limit: Duration,
    work: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, Failed> {
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Failed { what, error: Some(error) }),
        Err(_) => Err(Failed { what, error: None }),
    }
}

/// An etcd call that failed.
#[derive(Debug)]
struct Failed {
    what: &'static str,
    /// None: it did not answer in time.
    error: Option<etcd_client::Error>,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.error {
            Some(error) => write!(formatter, "{}: {error}", self.what),
            None => write!(formatter, "{}: no answer in time", self.what),
        }
    }
}
