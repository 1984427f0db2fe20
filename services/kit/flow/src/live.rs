//! Operations that this process works on or has in a lane: what watchers see, and how they are told to stop.
//!
//! What watchers see is one shared copy, made when the first of them looks after a change: a step that changes the operation costs no
//! copy, and several changes between two looks cost one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use gyre_model::{Caller, Error, Kind, Result, Uuid, parse_uuid};
use gyre_proto::common::v1::{Operation, OperationTimeline};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics;
use crate::queue::Class;
use crate::record::Record;
use crate::shared::Shared;

/// When to come again where an account has too many under way.
const COME_AGAIN: Duration = Duration::from_secs(5);

/// What watchers see.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The operation, progress included.
    pub operation: Arc<Operation>,
    /// Whether it is not worked on here any more: nothing new will be seen.
    pub left: bool,
}

/// An operation in this process.
pub(crate) struct Live {
    seen: watch::Sender<Seen>,
    /// Whether the operation changed since it was last copied for watchers.
    stale: AtomicBool,
    running: Mutex<Weak<Shared>>,
    /// Tells it to stop and undo itself.
    pub cancel: CancellationToken,
    /// What the engine needs to begin, until it does. Whoever lets it begin or end holds the lock.
    pub turn: tokio::sync::Mutex<Option<Record>>,
    /// The resource that it works on.
    pub resource: Uuid,
    /// On whose behalf.
    pub class: Class,
    /// The account that it counts for: of what accounts themselves began.
    counts: Option<Uuid>,
    /// Since when it is here.
    pub since: Instant,
}

impl Live {
    fn new(record: Record, counts: Option<Uuid>) -> Self {
        let seen = Seen { operation: Arc::new(record.operation.clone()), left: false };
        Self {
            seen: watch::channel(seen).0,
            stale: AtomicBool::new(false),
            running: Mutex::default(),
            cancel: CancellationToken::new(),
            resource: parse_uuid(&record.operation.resource_uuid).unwrap_or_default(),
            class: record.class(),
            counts,
            since: Instant::now(),
            turn: tokio::sync::Mutex::new(Some(record)),
        }
    }

    /// The operation as it is now.
    pub fn now(&self) -> Arc<Operation> {
        self.refresh();
        Arc::clone(&self.seen.borrow().operation)
    }

    /// Tells of changes; what is shown is brought up to date by [`Live::refresh`].
    pub fn watch(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    /// Brings what is shown up to date.
    pub fn refresh(&self) {
        if self.stale.load(Ordering::Acquire)
            && let Some(shared) = self.shared()
        {
            shared.show_if_stale();
        }
    }

    /// What the engine has of it while it runs.
    pub fn shared(&self) -> Option<Arc<Shared>> {
        self.running.lock().upgrade()
    }

    /// Whether it has begun.
    pub fn begun(&self) -> bool {
        self.running.lock().strong_count() > 0
    }

    /// What happened to it; nothing where only the database knows.
    pub fn timeline(&self) -> Option<OperationTimeline> {
        if let Some(shared) = self.shared() {
            return Some(shared.state.lock().told());
        }
        let waiting = self.turn.try_lock().ok()?;
        waiting.as_ref().map(|record| record.timeline.to_message(0))
    }

    /// It runs with this.
    pub fn runs_with(&self, shared: &Arc<Shared>) {
        *self.running.lock() = Arc::downgrade(shared);
    }

    /// Notes a change, and wakes those who watch.
    pub fn changed(&self) {
        self.stale.store(true, Ordering::Release);
        if self.seen.receiver_count() > 0 {
            self.seen.send_modify(|_| ());
        }
    }

    /// Whether a change was not shown.
    pub fn stale(&self) -> bool {
        self.stale.load(Ordering::Acquire)
    }

    /// Makes the copy that is shown. Those who watch were woken when it changed.
    pub fn copy(&self, operation: Operation) {
        self.stale.store(false, Ordering::Release);
        self.seen.send_if_modified(|seen| {
            seen.operation = Arc::new(operation);
            false
        });
    }

    /// Shows how the operation ended.
    pub fn end(&self, operation: Operation) {
        self.copy(operation);
        self.seen.send_modify(|_| ());
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct LiveOperations {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    all: HashMap<Uuid, Arc<Live>>,
    /// How many each account itself began.
    accounts: HashMap<Uuid, usize>,
}

impl LiveOperations {
    /// Whether a caller may begin another one, of so many at most. What an operation asks for is not refused: it must come to its
    /// end.
    pub fn check(&self, caller: &Caller, most: usize) -> Result<()> {
        if caller.acting.is_some() || caller.account_uuid.is_nil() {
            return Ok(());
        }
        let held = self.state.lock().accounts.get(&caller.account_uuid).copied().unwrap_or(0);
        if held < most {
            return Ok(());
        }
        metrics::crowded();
        let text = format!(
            "{held} operations of this account are under way here, and nothing was begun: try again when some have ended, or \
             wait for each before beginning the next"
        );
        Err(Error::new(Kind::ResourceExhausted, "TOO_MANY_OPERATIONS", text).retry_after(COME_AGAIN))
    }

    /// Adds one; `counts`: the account that began it, and may not begin too many. Nothing where it is there already.
    pub fn add(&self, uuid: Uuid, record: Record, counts: Option<Uuid>) -> Option<Arc<Live>> {
        let mut state = self.state.lock();
        if state.all.contains_key(&uuid) {
            return None;
        }
        let live = Arc::new(Live::new(record, counts));
        state.all.insert(uuid, Arc::clone(&live));
        if let Some(account) = counts {
            *state.accounts.entry(account).or_default() += 1;
        }
        Some(live)
    }

    pub fn get(&self, uuid: Uuid) -> Option<Arc<Live>> {
        self.state.lock().all.get(&uuid).cloned()
    }

    /// Takes one out, and tells whoever watches to look elsewhere.
    pub fn remove(&self, uuid: Uuid) {
        let mut state = self.state.lock();
        let Some(live) = state.all.remove(&uuid) else { return };
        if let Some(account) = live.counts
            && let Some(held) = state.accounts.get_mut(&account)
        {
            *held -= 1;
            if *held == 0 {
                state.accounts.remove(&account);
            }
        }
        drop(state);
        live.seen.send_modify(|seen| seen.left = true);
    }

    pub fn has(&self, uuid: Uuid) -> bool {
        self.state.lock().all.contains_key(&uuid)
    }

    /// All of them, as they are at this moment.
    pub fn all(&self) -> Vec<(Uuid, Arc<Live>)> {
        self.state.lock().all.iter().map(|(uuid, live)| (*uuid, Arc::clone(live))).collect()
    }
}
