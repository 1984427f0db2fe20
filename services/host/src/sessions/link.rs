//! A link: all that this instance has of one host, and the task that keeps a session open.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use gyre_flow::fence;
use gyre_model::{Caller, Error, Kind, Result, Uuid};
use gyre_proto::agent::v1::Task;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::board::{Board, News};
use super::connect::{self, Connected};
use super::report::Reporter;
use super::{Shared, not_connected, release, session};
use crate::config::Config;
use crate::metrics;
use crate::random::Random;
use crate::store::host::{self, HostPlace, Written};
use crate::work::WorkKind;

/// The wait before a status is written again that the database did not take.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// How often a host is tried at least before its silence counts.
const TRIES_IN_GRACE: u32 = 3;

/// How a link stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct LinkStatus {
    /// Sessions opened so far.
    pub opened: u64,
    /// Tries so far that failed.
    pub failures: u64,
    /// Whether one is open.
    pub up: bool,
    /// Why the host was declared disconnected, while it is.
    pub disconnected: Option<String>,
    /// Why the last try to open a session failed.
    pub failed: Option<Error>,
}

/// All that this instance has of a host.
pub(crate) struct Link {
    pub host: Uuid,
    pub address: Arc<str>,
    /// When it was made: later than what a reconciler read before.
    pub born: Instant,
    pub board: Board,
    pub reporter: Reporter,
    name: Mutex<Arc<str>>,
    status: watch::Sender<LinkStatus>,
    stop: CancellationToken,
    renew: Notify,
    releasing: CancellationToken,
    /// The fence taken last; 0 for none.
    fence: AtomicI64,
    /// A fence that no agent has seen; 0 for none.
    unused: AtomicI64,
    _owned: metrics::Counted,
}

impl Link {
    pub fn new(place: &HostPlace, config: &Config) -> Self {
        Self {
            host: place.uuid,
            address: place.address.as_str().into(),
            born: Instant::now(),
            board: Board::new(config.widths.clone(), config.outcome_keep, Instant::now()),
            reporter: Reporter::new(place.uuid),
            name: Mutex::new(place.name.as_str().into()),
            status: watch::channel(LinkStatus::default()).0,
            stop: CancellationToken::new(),
            renew: Notify::new(),
            releasing: CancellationToken::new(),
            fence: AtomicI64::new(0),
            unused: AtomicI64::new(0),
            _owned: metrics::owned(),
        }
    }

    /// The host's name.
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.name.lock())
    }

    pub fn rename(&self, name: &str) {
        let mut now = self.name.lock();
        if **now != *name {
            *now = name.into();
        }
    }

    /// How it stands, now and later.
    pub fn status(&self) -> watch::Receiver<LinkStatus> {
        self.status.subscribe()
    }

    /// Ends it.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether it was ended.
    pub fn stopped(&self) -> &CancellationToken {
        &self.stop
    }

    /// Lets the agent go, and ends.
    pub fn release(&self) {
        self.releasing.cancel();
    }

    /// Whether the agent is to be let go.
    pub fn releasing(&self) -> &CancellationToken {
        &self.releasing
    }

    /// Opens the session anew, now.
    pub fn renew(&self) {
        self.renew.notify_one();
    }

    /// Waits until somebody wants the session opened anew.
    pub async fn renewed(&self) {
        self.renew.notified().await;
    }

    /// Puts a task up, or joins the one with its id.
    ///
    /// # Errors
    /// `HOST_NOT_CONNECTED` for a host that was declared disconnected, `HOST_MOVED` for a link that has ended.
    pub fn join(&self, task: Task, kind: WorkKind) -> Result<watch::Receiver<News>> {
        if let Some(why) = &self.status.borrow().disconnected {
            return Err(not_connected(self.host, &self.name(), why));
        }
        let news = self.board.join(task, kind);
        if self.stop.is_cancelled() {
            // the link ended meanwhile: nobody will send what was put up
            self.board.fail_all(&moved(self.host));
        }
        Ok(news)
    }

    /// Asks to stop a task, for an operation with this fence. A host that is away is told when it comes back.
    ///
    /// # Errors
    /// `HOST_MOVED` for a link that has ended.
    pub fn cancel(&self, task: &str, fence: i64) -> Result<()> {
        self.board.cancel(task, fence);
        if self.stop.is_cancelled() { Err(moved(self.host)) } else { Ok(()) }
    }

    /// The fence for the next session: one that was taken and not used, or the next.
    pub async fn next_fence(&self, shared: &Shared) -> Result<i64> {
        let kept = self.unused.load(Ordering::Relaxed);
        if kept != 0 {
            return Ok(kept);
        }
        let host = self.host;
        let fence = shared.store.write("host-fence-take", move |conn| host::take_fence(conn, host)).await?;
        self.fence.store(fence, Ordering::Relaxed);
        self.unused.store(fence, Ordering::Relaxed);
        Ok(fence)
    }

    /// The fence taken last.
    pub fn fence(&self) -> i64 {
        self.fence.load(Ordering::Relaxed)
    }

    /// There is something to be sent.
    pub fn poke(&self) {
        self.board.poke();
    }

    /// An agent has seen the fence.
    pub fn fence_used(&self) {
        self.unused.store(0, Ordering::Relaxed);
    }
}

/// Nothing more will be heard of a host here.
fn moved(host: Uuid) -> Error {
    Error::unavailable("HOST_MOVED", format!("another instance looks after host {host} now; join the task there"))
        .with("host_uuid", host.to_string())
}

/// Starts the task of a link.
pub(super) fn start(shared: &Arc<Shared>, link: &Arc<Link>) {
    let (worker, own) = (Arc::clone(shared), Arc::clone(link));
    let span = tracing::info_span!(parent: None, "link", host = %link.host);
    shared.tasks.spawn(
        "host-link",
        async move {
            let stopping = worker.tasks.stopping();
            let keeper = Keeper::new(&worker, &own);
            tokio::select! {
                biased;
                () = own.stop.cancelled() => {}
                () = stopping.cancelled() => {}
                () = keeper.keep() => {}
            }
            own.stop.cancel();
            own.status.send_modify(|status| status.up = false);
            own.board.fail_all(&moved(own.host));
            worker.forget(&own);
            tracing::debug!("link ended");
        }
        .instrument(span),
    );
}

/// Keeps a session open.
struct Keeper<'a> {
    shared: &'a Arc<Shared>,
    link: &'a Arc<Link>,
    random: Random,
    /// The last sign of life.
    alive: Instant,
    /// When the host counts as disconnected; nothing once it was declared so.
    declare_at: Option<Instant>,
    wait: Duration,
}

impl<'a> Keeper<'a> {
    fn new(shared: &'a Arc<Shared>, link: &'a Arc<Link>) -> Self {
        let alive = Instant::now();
        let declare_at = Some(alive + shared.config.grace());
        Self { shared, link, random: Random::new(), alive, declare_at, wait: shared.config.reconnect_first }
    }

    async fn keep(mut self) {
        let config = Arc::clone(&self.shared.config);
        loop {
            if !self.shared.may_hold(self.link.host) {
                if !self.shared.mesh.owns(crate::NAME, self.link.host) || self.link.releasing.is_cancelled() {
                    return;
                }
                // the lease is in doubt: nothing is started until it is proved, and who was not called is not silent
                tokio::time::sleep(config.reconnect_first).await;
                self.declare_at = self.declare_at.map(|_| Instant::now() + config.grace());
                continue;
            }
            if self.link.releasing.is_cancelled() {
                return release::anew(self.shared, self.link).await;
            }
            let greeted = self.meanwhile(connect::greet(self.shared, self.link)).await;
            let opened = match greeted {
                Ok(greeted) => connect::admit(self.shared, self.link, greeted).await,
                Err(error) => Err(error),
            };
            match opened {
                Ok(Some(connected)) => {
                    if self.work(connected).await {
                        return;
                    }
                }
                // the row is gone
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(%error, address = %self.link.address, "no session");
                    // the agent answered, whoever else it listens to
                    if error.reason() == "FENCED" {
                        self.alive = Instant::now();
                        self.declare_at = self.declare_at.map(|_| self.alive + config.grace());
                    }
                    self.link.status.send_modify(|status| {
                        status.failures += 1;
                        status.failed = Some(error);
                    });
                }
            }
            self.tidy();
            let wait = self.random.jitter(self.wait.min(self.longest_wait()));
            self.wait = (self.wait * 2).min(self.longest_wait());
            let link = self.link;
            let waited = async {
                tokio::select! {
                    () = tokio::time::sleep(wait) => false,
                    () = link.renewed() => true,
                    () = link.releasing.cancelled() => true,
                }
            };
            if self.meanwhile(waited).await {
                self.wait = config.reconnect_first;
            }
        }
    }

    /// The longest wait between two tries: a host that is not given up yet is tried a few times more before it is.
    fn longest_wait(&self) -> Duration {
        let config = &self.shared.config;
        match self.declare_at {
            Some(_) => config.reconnect_longest.min(config.grace() / TRIES_IN_GRACE),
            None => config.reconnect_longest,
        }
    }

    /// Before tasks are sent again: takes those from the board whose operations have gone on without them.
    async fn give_up_what_is_over(&self) {
        let unfinished = self.link.board.unfinished();
        if unfinished.is_empty() {
            return;
        }
        let over = self.shared.store.read("task-fences", move |conn| {
            let mut over = Vec::new();
            for (id, acting) in unfinished {
                match fence::glance(conn, &Caller::system().acting(acting)) {
                    Ok(()) => {}
                    Err(error) if error.reason() == "FENCED" => over.push(id),
                    Err(error) => return Err(error),
                }
            }
            Ok(over)
        });
        match over.await {
            Ok(over) if over.is_empty() => {}
            Ok(over) => {
                tracing::info!(host = %self.link.host, tasks = ?over, "tasks of operations that went on without them are not sent again");
                let why = Error::new(Kind::Aborted, "FENCED", "the operation went on without this task");
                self.link.board.give_up(&over, &why);
            }
            // the session's own fence was taken from the database a moment ago; the agent's fences stand behind this look
            Err(error) => tracing::warn!(host = %self.link.host, %error, "cannot look which tasks are over"),
        }
    }

    /// Works an open session to its end. Answers whether it was the last.
    async fn work(&mut self, connected: Connected) -> bool {
        let _counted = metrics::session_opened();
        let fence = connected.fence;
        tracing::info!(fence, name = %self.link.name(), "session open");
        self.declare_at = None;
        self.link.reporter.opened(self.shared, self.link, connected.hello);
        self.give_up_what_is_over().await;
        self.link.board.session_up();
        // a wish that came before this session is fulfilled by it
        let _ = self.link.renewed().now_or_never();
        self.link.status.send_modify(|status| {
            status.opened += 1;
            status.up = true;
            status.disconnected = None;
            status.failed = None;
        });
        let began = Instant::now();
        let ended = session::work(self.shared, self.link, connected.session, fence).await;
        tracing::info!(fence, why = %ended.why, "session over");
        self.link.reporter.closed();
        self.link.board.session_down(Instant::now());
        self.alive = ended.alive;
        self.declare_at = Some(ended.alive + self.shared.config.grace());
        // one that says hello and nothing else is asked less and less often
        if ended.renew || ended.lived && began.elapsed() > self.shared.config.grace() {
            self.wait = self.shared.config.reconnect_first;
        }
        self.link.status.send_modify(|status| {
            status.up = false;
            status.failed = Some(super::not_connected(self.link.host, &self.link.name(), &ended.why));
        });
        ended.released
    }

    /// Goes on with something, and declares the host disconnected when it has been silent for too long meanwhile.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            let Some(at) = self.declare_at else { return work.await };
            tokio::select! {
                biased;
                result = &mut work => return result,
                () = tokio::time::sleep_until(at.into()) => self.declare().await,
            }
        }
    }

    /// Declares the host disconnected: in the database, to the machines' service, and to those who ask for tasks.
    async fn declare(&mut self) {
        let (shared, link) = (self.shared, self.link);
        let failed = link.status.borrow().failed.as_ref().map(|error| error.message().to_owned());
        let silent = format!("no sign of life for {:.1} s", self.alive.elapsed().as_secs_f64());
        let why = failed.map_or_else(|| silent.clone(), |failed| format!("{silent}; {failed}"));
        let (uuid, fence, reason) = (link.host, link.fence(), why.clone());
        let written = shared
            .store
            .write_again("host-disconnected", move |conn| host::write_disconnected(conn, uuid, fence, &reason))
            .await;
        match written {
            Ok(Written::Changed | Written::Same) => {
                tracing::warn!(name = %link.name(), why, "host disconnected");
                metrics::host_disconnected();
                link.reporter.disconnected(shared, link);
                link.status.send_modify(|status| status.disconnected = Some(why));
                self.declare_at = None;
            }
            // a newer session elsewhere, or no row: not ours to say
            Ok(Written::Fenced | Written::Gone) => self.declare_at = None,
            Err(error) => {
                tracing::warn!(%error, "cannot write that a host is disconnected");
                self.declare_at = Some(Instant::now() + WRITE_AGAIN);
            }
        }
    }

    /// Keeps the board small while there is no session, and those who wait from waiting for ever.
    fn tidy(&self) {
        let now = Instant::now();
        let board = &self.link.board;
        board.sweep(now);
        if board
            .down_since()
            .is_some_and(|since| now.saturating_duration_since(since) > self.shared.config.task_patience)
        {
            let why = self.link.status.borrow().disconnected.clone();
            let why = why.unwrap_or_else(|| "its session did not come back in time".to_owned());
            board.fail_all(&not_connected(self.link.host, &self.link.name(), &why));
        }
    }
}
