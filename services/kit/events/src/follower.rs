//! Follows the log once in a process, for all that want to know.
//!
//! # Theory
//! - One task reads the log while anybody is subscribed, and no longer. It is woken by commits of this process
//!   ([`Store::log_commits`]), and looks by itself every [`PERIOD`] for those of others.
//! - A subscriber is entered into the index of its kind, and of its account where rows of others cannot concern it. What is asked of
//!   a row is asked here, once a row: the images are parsed once, and whoever is not concerned is not woken.
//! - Each subscriber has a queue of its own with room for [`ROOM`] rows. Whoever does not take them ends: the others do not wait.
//! - [`Subscription::begin`] is the place that the follower had reached when the subscription was entered: rows behind it come
//!   through the queue, none twice and none left out. What is before it is the subscriber's to read.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use gyre_mesh::tasks::Tasks;
use gyre_model::catalog::Scope;
use gyre_model::{Error, Kind, Result, Uuid};
use gyre_query::table::by_kind;
use gyre_store::Store;
use parking_lot::Mutex;
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::matcher::{Matcher, is_shared};
use crate::metrics;
use crate::position::Position;
use crate::row::{self, CHANGE, Image, Row};

/// How often it looks for rows of other processes.
const PERIOD: Duration = Duration::from_millis(20);
/// How long it waits while the database is away.
const AWAY: Duration = Duration::from_millis(500);
/// Rows that are read at once.
const PAGE: usize = 1_000;
/// Rows that a subscriber's queue holds.
const ROOM: usize = 1_000;
/// Most subscribers of a process.
const MOST: usize = 20_000;

/// What a subscriber wants.
#[derive(Debug)]
pub enum Interest {
    /// Rows that bring a resource of this kind into a list, change it there, or take it out.
    Matching(&'static str, Arc<Matcher>),
    /// All rows that touch resources of these kinds, whatever they say; of kinds that accounts own, only those of one account where
    /// it is named.
    Touching(Vec<&'static str>, Option<Uuid>),
    /// All rows.
    All,
}

/// A row that concerns a subscriber.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The row.
    pub row: Arc<Row>,
    /// The place after it.
    pub place: Position,
    /// Where the batch began that it is part of.
    pub(crate) begin: Position,
    /// Whether the resource was in the list before.
    pub was: bool,
    /// Whether it is now.
    pub is: bool,
}

struct Subscriber {
    interest: Interest,
    queue: Sender<Delivery>,
    slow: Arc<AtomicBool>,
}

/// The subscribers of one kind.
#[derive(Default)]
struct OfKind {
    everybody: Vec<u64>,
    by_account: HashMap<Uuid, Vec<u64>>,
}

#[derive(Default)]
struct State {
    /// How far it has read; nothing while nobody reads.
    head: Option<Position>,
    /// Which of the tasks that followed one another reads.
    turn: u64,
    next: u64,
    subscribers: HashMap<u64, Subscriber>,
    kinds: BTreeMap<&'static str, OfKind>,
    all: Vec<u64>,
}

/// Follows the log of one database in this process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Follower(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    starting: tokio::sync::Mutex<()>,
}

/// Somebody who is told of rows, until it is dropped.
pub struct Subscription {
    inner: Weak<Inner>,
    id: u64,
    queue: Receiver<Delivery>,
    slow: Arc<AtomicBool>,
    /// The place after which rows come.
    pub begin: Position,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.upgrade() {
            inner.state.lock().remove(self.id);
        }
    }
}

impl Subscription {
    /// The next row; an error where it ends.
    ///
    /// # Errors
    /// `TOO_SLOW` where rows were not taken in time; `UNAVAILABLE` where nobody follows any longer.
    pub async fn next(&mut self) -> Result<Delivery> {
        match self.queue.recv().await {
            Some(delivery) => Ok(delivery),
            None if self.slow.load(Ordering::Acquire) => Err(too_slow()),
            None => Err(stopped()),
        }
    }

    /// The next row, if it is there already.
    pub fn try_next(&mut self) -> Option<Delivery> {
        self.queue.try_recv().ok()
    }

    /// How far the follower has read: every row before that concerns this one is in its queue, or was.
    pub fn reached(&self) -> Option<Position> {
        self.inner.upgrade()?.state.lock().head.clone()
    }
}

fn too_slow() -> Error {
    let text = format!("more than {ROOM} changes waited to be taken");
    Error::new(Kind::ResourceExhausted, "TOO_SLOW", text)
}

fn stopped() -> Error {
    Error::unavailable("FOLLOWER_STOPPED", "this instance does not follow the log any longer: watch again")
}

impl State {
    fn add(&mut self, subscriber: Subscriber) -> u64 {
        let id = self.next;
        self.next += 1;
        match &subscriber.interest {
            Interest::Matching(kind, matcher) => {
                let kind = self.kinds.entry(*kind).or_default();
                match matcher.account() {
                    Some(account) => kind.by_account.entry(account).or_default().push(id),
                    None => kind.everybody.push(id),
                }
            }
            Interest::Touching(kinds, _) => {
                for kind in kinds {
                    self.kinds.entry(*kind).or_default().everybody.push(id);
                }
            }
            Interest::All => self.all.push(id),
        }
        self.subscribers.insert(id, subscriber);
        metrics::subscribers(self.subscribers.len());
        id
    }

    fn remove(&mut self, id: u64) {
        let Some(subscriber) = self.subscribers.remove(&id) else { return };
        let kinds: &[&'static str] = match &subscriber.interest {
            Interest::Matching(kind, _) => std::slice::from_ref(kind),
            Interest::Touching(kinds, _) => kinds,
            Interest::All => &[],
        };
        for kind in kinds {
            let Some(of_kind) = self.kinds.get_mut(kind) else { continue };
            of_kind.everybody.retain(|known| *known != id);
            if let Interest::Matching(_, matcher) = &subscriber.interest
                && let Some(account) = matcher.account()
                && let Some(ids) = of_kind.by_account.get_mut(&account)
            {
                ids.retain(|known| *known != id);
                if ids.is_empty() {
                    of_kind.by_account.remove(&account);
                }
            }
            if of_kind.everybody.is_empty() && of_kind.by_account.is_empty() {
                self.kinds.remove(kind);
            }
        }
        self.all.retain(|known| *known != id);
        metrics::subscribers(self.subscribers.len());
    }

    /// Tells all that a row concerns.
    fn tell(&mut self, row: &Arc<Row>, place: &Position, begin: &Position) {
        let mut slow = Vec::new();
        let mut send = |id: u64, subscriber: &Subscriber, was: bool, is: bool| {
            let delivery = Delivery { row: Arc::clone(row), place: place.clone(), begin: begin.clone(), was, is };
            if let Err(error) = subscriber.queue.try_send(delivery) {
                if matches!(error, mpsc::error::TrySendError::Full(_)) {
                    metrics::slow();
                    subscriber.slow.store(true, Ordering::Release);
                }
                slow.push(id);
            }
        };
        for id in &self.all {
            if let Some(subscriber) = self.subscribers.get(id) {
                send(*id, subscriber, false, true);
            }
        }
        if row.is_change()
            && let Some(of_kind) = self.kinds.get(row.kind)
        {
            let (before, after) = (row.before(), row.after());
            let table = by_kind(row.kind);
            let accounts = [before, after].map(|image| image.and_then(|image| owner(row, image)));
            let shared = [before, after].into_iter().flatten().any(|image| is_shared(table, image));
            let mut ask = |id: &u64| {
                let Some(subscriber) = self.subscribers.get(id) else { return };
                let (was, is) = match &subscriber.interest {
                    Interest::Matching(_, matcher) => {
                        let has = |image: Option<&Image>| image.is_some_and(|image| matcher.has(image));
                        (has(before), has(after))
                    }
                    Interest::Touching(_, account) => {
                        let foreign = table.scope() == Scope::Account
                            && !table.has_shared()
                            && account.is_some_and(|account| !accounts.contains(&Some(account)));
                        (!foreign, !foreign)
                    }
                    Interest::All => (true, true),
                };
                if was || is {
                    send(*id, subscriber, was, is);
                }
            };
            of_kind.everybody.iter().for_each(&mut ask);
            if shared {
                of_kind.by_account.values().flatten().for_each(&mut ask);
            } else {
                for (at, account) in accounts.iter().enumerate() {
                    if at > 0 && accounts[0] == *account {
                        continue;
                    }
                    if let Some(ids) = account.and_then(|account| of_kind.by_account.get(&account)) {
                        ids.iter().for_each(&mut ask);
                    }
                }
            }
        }
        // the row is something new itself; and operations and debts have no images of their own
        let of_operation = matches!(row.action.as_str(), "BEGIN" | "END");
        for (kind, there) in [(CHANGE, true), ("operation", of_operation), ("debt", of_operation)] {
            let Some(of_kind) = self.kinds.get(kind).filter(|_| there) else { continue };
            let mut ask = |id: &u64| {
                let Some(subscriber) = self.subscribers.get(id) else { return };
                let concerned = match &subscriber.interest {
                    Interest::Matching(CHANGE, matcher) => row.change().is_some_and(|image| matcher.has(image)),
                    Interest::Matching(..) => false,
                    // an operation on what no account owns may be an account's all the same
                    Interest::Touching(_, account) => {
                        account.is_none() || row.account.is_none_or(|row| Some(row) == *account)
                    }
                    Interest::All => true,
                };
                if concerned {
                    send(*id, subscriber, false, true);
                }
            };
            of_kind.everybody.iter().for_each(&mut ask);
            if let Some(ids) = row.account.and_then(|account| of_kind.by_account.get(&account)) {
                ids.iter().for_each(&mut ask);
            }
        }
        for id in slow {
            self.remove(id);
        }
    }
}

/// The account that owned a resource then.
fn owner(row: &Row, image: &Image) -> Option<Uuid> {
    by_kind(row.kind).owner(row.uuid, &image.message)
}

impl Follower {
    /// The one of this database in this process.
    pub fn of(store: &Store) -> Self {
        Self::clone(&store.companion(Self::default))
    }

    /// Enters a subscriber. The task that follows is one of `tasks` where it is not there yet.
    ///
    /// # Errors
    /// The database's; `TOO_MANY_WATCHERS`.
    pub async fn subscribe(&self, tasks: &Tasks, store: &Store, interest: Interest) -> Result<Subscription> {
        let _starting = self.0.starting.lock().await;
        let (queue, received) = mpsc::channel(ROOM);
        let slow = Arc::new(AtomicBool::new(false));
        let subscriber = Subscriber { interest, queue, slow: Arc::clone(&slow) };
        let mut found = None;
        loop {
            {
                let mut state = self.0.state.lock();
                if state.subscribers.len() >= MOST {
                    let text = format!("this instance has {MOST} watchers: try again, or end some");
                    return Err(
                        Error::new(Kind::ResourceExhausted, "TOO_MANY_WATCHERS", text).retry_after(PERIOD * 100)
                    );
                }
                let begins = state.head.is_none();
                if begins {
                    state.head = found.take();
                }
                if let Some(begin) = state.head.clone() {
                    // in the same breath as the head: a task that finds nobody ends
                    let id = state.add(subscriber);
                    if begins {
                        state.turn += 1;
                        let driver = Driver { inner: Arc::clone(&self.0), turn: state.turn };
                        // ended at once where the process stops, which takes the lock
                        drop(state);
                        tasks.spawn_until_stop("follow-log", driver.drive(store.clone()));
                    }
                    return Ok(Subscription { inner: Arc::downgrade(&self.0), id, queue: received, slow, begin });
                }
            }
            found = Some(store.read("log-head", row::head).await?);
        }
    }
}

/// The task that follows. However it ends, whoever waits hears of it.
struct Driver {
    inner: Arc<Inner>,
    turn: u64,
}

impl Drop for Driver {
    fn drop(&mut self) {
        let mut state = self.inner.state.lock();
        // whoever came when it had nobody to read for has another
        if state.turn == self.turn {
            *state = State { next: state.next, turn: state.turn, ..State::default() };
            metrics::subscribers(0);
        }
    }
}

impl Driver {
    async fn drive(self, store: Store) {
        let mut commits = store.log_commits();
        loop {
            // what is committed from here on wakes, also while it reads
            commits.borrow_and_update();
            let Some(place) = self.inner.state.lock().head.clone() else { return };
            let begin = place.clone();
            let read = move |conn: &mut gyre_store::Conn| row::after(conn, &begin, row::Only::default(), PAGE);
            let wait = match store.read("follow-log", read).await {
                Ok(page) => {
                    let began = Instant::now();
                    let (more, count) = (page.more, page.rows.len());
                    {
                        let mut state = self.inner.state.lock();
                        for (row, after) in page.rows {
                            state.tell(&Arc::new(row), &after, &place);
                        }
                        state.head = Some(page.next);
                        if state.subscribers.is_empty() {
                            // under the lock: whoever subscribes next finds nobody, and starts anew
                            state.head = None;
                            return;
                        }
                    }
                    if count > 0 {
                        metrics::followed(count, began.elapsed());
                    }
                    if more {
                        continue;
                    }
                    PERIOD
                }
                Err(error) => {
                    tracing::debug!(%error, "the log cannot be read now");
                    AWAY
                }
            };
            tokio::select! {
                // a store that is gone wakes nobody any more
                changed = commits.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}
