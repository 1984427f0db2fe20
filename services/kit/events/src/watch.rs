//! A watcher of a list: what is in it, and then what comes in, changes there, and leaves.
//!
//! # Theory
//! - It subscribes first, at a place of the log, and reads the list afterwards, page by page. So what it reads may be newer than
//!   that place, and the rows behind it may tell again what was read. Until a place that was behind all rows when the last page was
//!   read, it therefore remembers which generation of each resource it sent, and tells only of later ones. That place passed,
//!   rows alone decide: each says what was before and after, so nothing about the list has to be remembered.
//! - Where the filter goes through references ([`Mode::Asking`]) only the database can tell. Then the list's UUIDs and generations are
//!   remembered: rows of the list's kind are asked about one by one, a row of another kind on a path makes it read all again, at
//!   most every [`AGAIN`].
//! - With a position it reads the log from there to where the follower is, and goes on with the follower's rows behind it. A watcher
//!   of the second sort cannot: it begins anew, and says so (`RESET`).
//! - Each event from `SYNCED` on has the position that one goes on from after it: before, the list was not told whole. From time to time,
//!   and when nothing happens, an event `PROGRESS` has the
//!   newest one, and shows that the stream lives.
//! - A watcher is driven by whoever reads its stream, and has no task of its own. Whoever does not read is ended by the follower.

mod asking;
mod event;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use gyre_mesh::tasks::Tasks;
use gyre_model::{Caller, Error, Result, Uuid, catalog};
use gyre_proto::common::v1::{WatchEventType, WatchResponse};
use gyre_query::filter::{Predicate, kinds_on_paths};
use gyre_query::stream;
use gyre_query::table::{Table, by_kind};
use gyre_store::Store;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::follower::{Delivery, Follower, Interest, Subscription};
use crate::matcher::Matcher;
use crate::position::Position;
use crate::row::{self, CHANGE, Row};

use asking::{Asking, Left};
use event::{changed, event, found};

/// Resources that are read at once.
const PAGE: usize = 500;
/// Rows of the log that are read at once by who goes on from a position.
const LOG_PAGE: usize = 1_000;
/// How often a watcher hears that its stream lives.
pub const BEAT: Duration = Duration::from_secs(10);
/// How soon the list is read again after a change of something on a path.
const AGAIN: Duration = Duration::from_millis(200);
/// How long nothing that is known waits to be sent with what follows.
const TOGETHER: usize = 256;

/// What is watched.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Who watches.
    pub caller: Caller,
    /// The kind.
    pub kind: &'static str,
    /// Which resources of it.
    pub filter: String,
    /// Where to go on from, if not from the beginning.
    pub position: Option<Position>,
}

/// How it is found out what a row means.
enum Mode {
    /// From the row itself.
    Rows(Arc<Matcher>),
    /// By asking the database.
    Asking(Asking),
}

/// How far it is.
enum Stage {
    /// The log is to be read from the database.
    CatchUp,
    /// What is there is read, after this resource.
    Snapshot(Option<Uuid>),
    /// Rows come from the follower.
    Live,
}

/// What was sent while the list was read, until this place of the log.
struct Sent {
    generations: HashMap<Uuid, i64>,
    until: Position,
}

/// A watcher.
pub struct Watcher {
    store: Store,
    wanted: Wanted,
    table: &'static Table,
    mode: Mode,
    stage: Stage,
    subscription: Subscription,
    /// The place that was told last, or that all that is ready leads to.
    place: Position,
    sent: Option<Sent>,
    ready: VecDeque<WatchResponse>,
    beat: Instant,
    stop: CancellationToken,
    over: bool,
}

impl Watcher {
    /// Begins to watch.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a filter that is wrong, `POSITION_EXPIRED` for a place that the log no longer has, the database's.
    pub async fn begin(tasks: &Tasks, store: &Store, wanted: Wanted) -> Result<Self> {
        let (kind, table) = (wanted.kind, by_kind(wanted.kind));
        let predicate =
            if written_by_query(kind) { Predicate::compile(table, &wanted.caller, &wanted.filter)? } else { None };
        let (mode, interest) = match predicate {
            Some(predicate) => {
                let matcher = Arc::new(Matcher::new(table, wanted.caller, Some(predicate)));
                (Mode::Rows(Arc::clone(&matcher)), Interest::Matching(kind, matcher))
            }
            None if kind == CHANGE => {
                let text = "changes are watched by their own attributes: leave paths away";
                return Err(Error::invalid("filter", text));
            }
            None => {
                let others = kinds_on_paths(kind, &wanted.filter)?;
                // rows of other accounts concern only administrators
                let only = (!wanted.caller.admin).then_some(wanted.caller.account_uuid);
                let kinds = others.iter().copied().filter(|other| *other != kind).chain([kind]).collect();
                // refused before anything is told, where it is wrong
                let (caller, filter) = (wanted.caller, wanted.filter.clone());
                let check = move |conn: &mut gyre_store::Conn| {
                    stream::among(conn, &caller, kind, &filter, &[Uuid::nil()]).map(drop)
                };
                store.search("watch-check", check).await?;
                (Mode::Asking(Asking::new(others.contains(&kind))), Interest::Touching(kinds, only))
            }
        };
        if let Some(position) = wanted.position.clone() {
            store.read("watch-position", move |conn| row::check(conn, &position)).await?;
        }
        let subscription = Follower::of(store).subscribe(tasks, store, interest).await?;
        let begin = subscription.begin.clone();
        let mut ready = VecDeque::new();
        let (place, stage) = match (wanted.position.clone(), &mode) {
            // what it reads from the log is newer than where the follower was: it covers all up to there
            (Some(position), Mode::Rows(_)) => (position, Stage::CatchUp),
            (None, Mode::Rows(_)) if kind == CHANGE => {
                ready.push_back(event(WatchEventType::Synced, Some(&begin)));
                (begin, Stage::Live)
            }
            (position, _) => {
                if position.is_some() {
                    ready.push_back(event(WatchEventType::Reset, None));
                }
                (begin, Stage::Snapshot(None))
            }
        };
        Ok(Self {
            store: store.clone(),
            wanted,
            table,
            mode,
            stage,
            subscription,
            place,
            sent: None,
            ready,
            beat: Instant::now() + BEAT,
            stop: tasks.stopping(),
            over: false,
        })
    }

    /// The next event; nothing after an error.
    pub async fn next(&mut self) -> Option<Result<WatchResponse>> {
        if self.over {
            return None;
        }
        let stop = self.stop.clone();
        let next = match stop.run_until_cancelled(self.step()).await {
            Some(next) => next,
            None => Err(Error::unavailable("SHUTTING_DOWN", "this instance stops: watch again from the last position")),
        };
        self.over = next.is_err();
        Some(next.map_err(|error| self.told(error)))
    }

    /// An error with where to go on.
    fn told(&self, error: Error) -> Error {
        match error.reason() {
            "TOO_SLOW" => {
                let text = format!("{}: watch again, with position {}", error.message(), self.place);
                Error::new(error.kind(), "TOO_SLOW", text).with("position", self.place.to_string())
            }
            _ => error,
        }
    }

    async fn step(&mut self) -> Result<WatchResponse> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                self.beat = Instant::now() + BEAT;
                return Ok(ready);
            }
            match self.stage {
                Stage::CatchUp => self.catch_up().await?,
                Stage::Snapshot(after) => self.snapshot(after).await?,
                Stage::Live => self.live().await?,
            }
        }
    }

    /// Reads a page of the log.
    async fn catch_up(&mut self) -> Result<()> {
        let (place, kind) = (self.place.clone(), (self.wanted.kind != CHANGE).then_some(self.wanted.kind));
        let read =
            move |conn: &mut gyre_store::Conn| row::after(conn, &place, row::Only { kind, account: None }, LOG_PAGE);
        let page = self.store.read("watch-log", read).await?;
        let Mode::Rows(matcher) = &self.mode else {
            return Err(Error::internal("a list that is asked for in the log"));
        };
        for (row, place) in page.rows {
            let (was, is) = judge(matcher, &row, self.wanted.kind);
            if was || is {
                self.ready.extend(changed(self.table, matcher, &row, &place, was, is));
            }
        }
        self.place = page.next;
        if !page.more {
            self.stage = Stage::Live;
            self.ready.push_back(event(WatchEventType::Synced, Some(&self.place)));
        }
        Ok(())
    }

    /// Reads a page of the list.
    async fn snapshot(&mut self, after: Option<Uuid>) -> Result<()> {
        let Wanted { caller, kind, filter, .. } = self.wanted.clone();
        let read = move |conn: &mut gyre_store::Conn| {
            let page = stream::page(conn, &caller, kind, &filter, after, PAGE)?;
            // behind all rows that the page can show
            Ok((page, row::head(conn)?))
        };
        let (page, until) = self.store.search("watch-list", read).await?;
        let more = page.len() == PAGE;
        let last = page.last().map(|found| found.uuid);
        let sent = self.sent.get_or_insert_with(|| Sent { generations: HashMap::new(), until: until.clone() });
        sent.until = until;
        for found in &page {
            sent.generations.insert(found.uuid, found.generation);
        }
        if let Mode::Asking(asking) = &mut self.mode {
            asking.known.extend(page.iter().map(|found| (found.uuid, found.generation)));
            asking.bounded()?;
        }
        for one in page {
            self.ready.push_back(found(self.table, WatchEventType::Snapshot, None, one));
        }
        self.stage = if more {
            Stage::Snapshot(last)
        } else {
            self.ready.push_back(event(WatchEventType::Synced, Some(&self.place)));
            Stage::Live
        };
        Ok(())
    }

    /// Waits for rows, and makes events of them.
    async fn live(&mut self) -> Result<()> {
        let (beat, again) = (self.beat, self.again());
        tokio::select! {
            biased;
            delivery = self.subscription.next() => {
                self.take(&delivery?);
                let mut taken = 1;
                while taken < TOGETHER && let Some(delivery) = self.subscription.try_next() {
                    self.take(&delivery);
                    taken += 1;
                }
                self.ask().await
            }
            () = sleep_until(again.unwrap_or(beat)), if again.is_some() => self.ask_all().await,
            () = sleep_until(beat) => {
                // first how far the follower is: all that concerns us up to there is in the queue by now
                if let Some(reached) = self.subscription.reached() {
                    match self.subscription.try_next() {
                        Some(delivery) => {
                            self.take(&delivery);
                            return self.ask().await;
                        }
                        None => self.reach(reached),
                    }
                }
                self.ready.push_back(event(WatchEventType::Progress, Some(&self.place)));
                Ok(())
            }
        }
    }

    /// Takes note that the follower is there, and that nothing on the way concerned us.
    fn reach(&mut self, place: Position) {
        if place.is_ahead_of(&self.place) {
            self.place = place;
        }
    }

    /// Takes a row.
    fn take(&mut self, delivery: &Delivery) {
        let Delivery { row, place, begin, was, is } = delivery;
        if self.place.covers(row.transaction, row.position) {
            return;
        }
        self.place = place.not_before(&self.place);
        if self.sent.as_ref().is_some_and(|sent| begin.is_behind_all_of(&sent.until)) {
            self.sent = None;
        }
        match &mut self.mode {
            Mode::Asking(asking) => asking.touch(row, self.wanted.kind),
            Mode::Rows(matcher) => {
                let (was, is) = match &mut self.sent {
                    Some(sent) => sent.judge(self.table, row, *is),
                    None => (*was, *is),
                };
                if was || is {
                    self.ready.extend(changed(self.table, matcher, row, &self.place, was, is));
                }
            }
        }
    }

    /// When the whole list is to be read again.
    fn again(&self) -> Option<Instant> {
        match &self.mode {
            Mode::Asking(asking) => asking.again(),
            Mode::Rows(_) => None,
        }
    }

    /// Asks the database about the resources that rows touched.
    async fn ask(&mut self) -> Result<()> {
        let Mode::Asking(asking) = &mut self.mode else { return Ok(()) };
        let touched = asking.touched();
        if touched.is_empty() {
            return Ok(());
        }
        let Wanted { caller, kind, filter, .. } = self.wanted.clone();
        let about = touched.clone();
        let read = move |conn: &mut gyre_store::Conn| stream::among(conn, &caller, kind, &filter, &about);
        let there = self.store.search("watch-ask", read).await?;
        let left = asking.left(&touched, &there);
        let left = if left.is_empty() {
            Left::new()
        } else {
            let read = move |conn: &mut gyre_store::Conn| asking::last_seen(conn, &caller, kind, &left);
            self.store.search("watch-left", read).await?
        };
        let events = asking.compare(self.table, &self.place, &touched, there, left);
        self.ready.extend(events);
        Ok(())
    }

    /// Reads the whole list again, and asks about what is new or changed in it.
    async fn ask_all(&mut self) -> Result<()> {
        let Mode::Asking(asking) = &mut self.mode else { return Ok(()) };
        asking.reading();
        let Wanted { caller, kind, filter, .. } = self.wanted.clone();
        let read = move |conn: &mut gyre_store::Conn| stream::keys(conn, &caller, kind, &filter, asking::MOST + 1);
        let keys = self.store.search("watch-keys", read).await?;
        asking.differ(&keys)?;
        self.ask().await
    }
}

impl Sent {
    /// What a row means for who was sent this: whether the resource is in the list for them, and whether it is now. Nothing where they
    /// were sent something later.
    fn judge(&mut self, table: &Table, row: &Row, is: bool) -> (bool, bool) {
        let known = self.generations.get(&row.uuid).copied();
        let generation = |image: Option<&row::Image>| image.map_or(0, |image| image.generation(table));
        let deleted = row.after().is_none();
        let news = if deleted { generation(row.before()) + 1 } else { generation(row.after()) };
        if known.is_some_and(|known| known >= news) {
            return (false, false);
        }
        if is {
            self.generations.insert(row.uuid, news);
        } else {
            self.generations.remove(&row.uuid);
        }
        (known.is_some(), is)
    }
}

/// Whether the resource of a row was in a list, and is.
fn judge(matcher: &Matcher, row: &Row, kind: &str) -> (bool, bool) {
    let has = |image: Option<&row::Image>| image.is_some_and(|image| matcher.has(image));
    if kind == CHANGE { (false, has(row.change())) } else { (has(row.before()), has(row.after())) }
}

/// Whether all changes of a kind come into the log with what was before and after: those of operations and debts, which the
/// engine writes itself, do not.
fn written_by_query(kind: &str) -> bool {
    !matches!(kind, "operation" | "debt")
}

/// The kind of this name or plural.
///
/// # Errors
/// `INVALID_ARGUMENT` that names those that there are.
pub fn kind_named(name: &str) -> Result<&'static str> {
    let found = catalog().kinds().find(|kind| kind.kind == name || kind.plural == name);
    found.map(|kind| kind.kind).ok_or_else(|| {
        let mut plurals: Vec<_> = catalog().kinds().map(|kind| kind.plural).collect();
        plurals.sort_unstable();
        Error::invalid("kind", format!("must be one of {}, got {name:?}", plurals.join(", ")))
    })
}
