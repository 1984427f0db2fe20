//! The courier of one webhook: routes changes from the log into its queue, posts what is due, and records what became of it.
//!
//! It is one task; its tries run inside of it, a few at a time. What it knows beside the database: how far it has looked in the log (its
//! place is written when something is wanted, or once in a while), which lanes have a try under way, and how many tries failed
//! in a row. It ends when its webhook is gone, disabled, or another instance's, and its keeper starts another when that changes.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use gyre_events::{Position, row};
use gyre_flow::letters::{Failed, LONGEST_ERROR, Letter, Place, schedule};
use gyre_mesh::egress::Target;
use gyre_model::{Caller, Result, Uuid, time};
use gyre_proto::common::v1::Change as Logged;
use gyre_proto::identity::v1::{Webhook, WebhookState};
use gyre_query::{Change, settings};
use gyre_store::Conn;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::queue::{self, Due, Standing, Wanted, Work};
use super::rules::Rules;
use super::{GIVE_UP_AFTER, LOOK, MOST_WAITING, body, metrics};
use crate::{Inner, NAME};

/// Rows of the log that are read at once.
const PAGE: usize = 500;
/// Rows that it may pass over until it writes down how far it is.
const UNWRITTEN: usize = 5_000;
/// Tries of a webhook under way at once, and when the last ones failed.
const ABREAST: usize = 4;
const ABREAST_FAILING: usize = 1;
/// Failures in a row after which a webhook is FAILING.
const FAILING: u32 = 3;
/// Deliveries whose turn it is that are read at once.
const READY: usize = 64;
/// The pause after what cannot be read or recorded, and while all places for tries are taken.
const PAUSE: Duration = Duration::from_secs(1);
const NO_PLACE: Duration = Duration::from_millis(50);
/// How long tries under way may go on when the courier ends.
const GRACE: Duration = Duration::from_secs(2);
/// How long a change waits at most where nobody set `webhook.give-up-after`.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// What became of a try.
struct Tried {
    due: Due,
    /// The change, where it is still in the log.
    logged: Option<Logged>,
    /// What the receiver answered; an error where it was not asked.
    outcome: Result<Result<(), Failed>>,
}

/// One courier.
struct Courier {
    inner: Arc<Inner>,
    webhook: Uuid,
    /// How far it has looked, and how far the database knows.
    place: Option<(Position, Position)>,
    passed: usize,
    written: Instant,
    /// How many deliveries wait, as far as it knows.
    waiting: Option<i64>,
    /// Those whose turn it is; what is behind them in their lanes is found once they are gone.
    ready: VecDeque<Due>,
    tries: FuturesUnordered<BoxFuture<'static, Tried>>,
    lanes: HashSet<Uuid>,
    failures: u32,
    /// Whether the last try succeeded, and the webhook says so.
    arrives: bool,
}

/// Clears the mark that a courier runs, however it ends.
struct Running(Arc<AtomicBool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Works until the webhook may not send from here any more.
pub(super) async fn run(inner: Arc<Inner>, webhook: Uuid, wake: Arc<Notify>, running: Arc<AtomicBool>) {
    let _running = Running(running);
    let stop = inner.flow.tasks().stopping();
    let mut courier = Courier {
        inner,
        webhook,
        place: None,
        passed: 0,
        written: Instant::now(),
        waiting: None,
        ready: VecDeque::new(),
        tries: FuturesUnordered::new(),
        lanes: HashSet::new(),
        failures: 0,
        arrives: false,
    };
    while courier.may_send() {
        let until = match courier.round().await {
            Ok(Some(until)) => until,
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(%webhook, %error, "a webhook cannot be looked after now");
                Instant::now() + PAUSE
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            Some(tried) = courier.tries.next() => courier.take(tried).await,
            () = wake.notified() => {}
            () = sleep_until(until) => {}
        }
    }
    // what is cut here is posted again by the next courier
    let rest = async {
        while let Some(tried) = courier.tries.next().await {
            courier.take(tried).await;
        }
    };
    let _ = tokio::time::timeout(GRACE, rest).await;
}

impl Courier {
    fn may_send(&self) -> bool {
        let mesh = self.inner.flow.mesh();
        mesh.may_work() && mesh.owns(NAME, self.webhook)
    }

    /// Routes what is new, and begins to post what is due. Answers when to look again; nothing where the webhook may not send.
    async fn round(&mut self) -> Result<Option<Instant>> {
        let webhook = self.webhook;
        let Some(work) = self.inner.store.read("webhook-work", move |conn| queue::work(conn, webhook)).await? else {
            return Ok(None);
        };
        let waiting = match self.waiting {
            Some(waiting) => waiting,
            None => self.inner.store.read("webhook-waiting", move |conn| queue::waiting(conn, webhook)).await?,
        };
        self.waiting = Some(waiting);
        let more = waiting < MOST_WAITING && self.route(&work).await?;
        let abreast = if self.failures >= FAILING { ABREAST_FAILING } else { ABREAST };
        let mut until = Instant::now() + LOOK;
        if self.ready.is_empty() && self.tries.len() < abreast {
            let busy: Vec<Uuid> = self.lanes.iter().copied().collect();
            let due = self.inner.store.read("webhook-due", move |conn| queue::due(conn, webhook, &busy, READY));
            let (due, next) = due.await?;
            self.ready.extend(due);
            if let Some(next) = next {
                let wait = Duration::from_micros(u64::try_from(next - time::now_micros()).unwrap_or(0));
                until = until.min(Instant::now() + wait);
            }
        }
        while self.tries.len() < abreast
            && let Some(due) = self.ready.pop_front()
        {
            if let Err(due) = self.begin(&work, due) {
                self.ready.push_front(due);
                until = Instant::now() + NO_PLACE;
                break;
            }
        }
        Ok(Some(if more { Instant::now() } else { until }))
    }

    /// Reads a page of the log, and writes what is wanted as deliveries. Answers whether there may be more.
    async fn route(&mut self, work: &Work) -> Result<bool> {
        let Standing { webhook, account, admin } = work.standing;
        let (known, durable) = match &self.place {
            // another moved it: that one's place counts
            Some((known, durable)) if *durable == work.place => (known.clone(), durable.clone()),
            _ => (self.beginning(work).await?, work.place.clone()),
        };
        // its rules were looked at when it was written; what an older version let through, it wants nothing of
        let rules = Rules::of(&work.webhook, &Caller::of(account, admin))?;
        let (from, only) = (known.clone(), row::Only { kind: None, account: (!admin).then_some(account) });
        let read = move |conn: &mut Conn| {
            let page = row::after(conn, &from, only, PAGE)?;
            let wanted = page.rows.iter().filter(|(row, _)| rules.want(row)).map(|(row, _)| Wanted::of(row));
            Ok((wanted.collect::<Result<Vec<_>>>()?, page.rows.len(), page.next, page.more))
        };
        let (wanted, count, next, more) = self.inner.store.read("webhook-rows", read).await?;
        let new = i64::try_from(wanted.len()).unwrap_or(i64::MAX);
        self.passed += count;
        // a place that is far behind would make the next courier read much again
        let late = self.passed > UNWRITTEN || self.written.elapsed() >= LOOK;
        if wanted.is_empty() && !(late && next != durable) {
            self.place = Some((next, durable));
            return Ok(more);
        }
        let (from, to) = (durable, next.clone());
        let routed =
            self.inner.store.write_again("webhook-route", move |conn| queue::route(conn, webhook, &from, &to, &wanted));
        (self.passed, self.written) = (0, Instant::now());
        self.place = if routed.await? { Some((next.clone(), next)) } else { None };
        // what another routed is counted anew
        self.waiting = self.waiting.filter(|_| self.place.is_some()).map(|waiting| waiting.saturating_add(new));
        Ok(more || self.place.is_none())
    }

    /// Where it begins to read: where its webhook is, if the log still goes back so far.
    async fn beginning(&mut self, work: &Work) -> Result<Position> {
        let place = work.place.clone();
        let checked = self.inner.store.read("webhook-place", move |conn| row::check(conn, &place)).await;
        match checked {
            Ok(()) => Ok(work.place.clone()),
            Err(error) if error.reason() == "POSITION_EXPIRED" => {
                let webhook = self.webhook;
                tracing::error!(%webhook, %error, "a webhook missed changes that the log no longer has");
                self.inner.store.read("log-head", row::head).await
            }
            Err(error) => Err(error),
        }
    }

    /// Begins a try; answers the delivery where no place is free.
    fn begin(&mut self, work: &Work, due: Due) -> Result<(), Due> {
        let webhook = &work.webhook;
        let target = Target::parse(&webhook.url);
        let destination = target.as_ref().map(Target::destination).unwrap_or_default();
        let Some(place) = self.inner.webhooks.places.take(due.uuid, &destination) else { return Err(due) };
        self.lanes.insert(due.lane);
        let (inner, keys) = (Arc::clone(&self.inner), work.keys.clone());
        self.tries.push(Box::pin(async move {
            let _place: Place = place;
            let change = due.change;
            let logged = match inner.store.read("webhook-change", move |conn| queue::change(conn, change)).await {
                Ok(Some(logged)) => logged,
                Ok(None) => {
                    let outcome = Ok(Err(Failed::Try("the change is no longer in the log".to_owned())));
                    return Tried { due, logged: None, outcome };
                }
                Err(error) => return Tried { due, logged: None, outcome: Err(error) },
            };
            let letter = body::change(&logged).map(|body| Letter::sign(keys.valid(), logged.uuid.clone(), body));
            let posted = match (target, letter) {
                (Ok(target), Ok(letter)) => {
                    Ok(inner.webhooks.poster.post(&inner.flow.mesh().callbacks(), &target, letter).await)
                }
                (Err(must), _) => Ok(Err(Failed::Try(format!("the URL {must}")))),
                (_, Err(error)) => Err(error),
            };
            let outcome = match posted {
                // recorded here, beside the other tries
                Ok(Ok(())) => {
                    let done = due.clone();
                    inner.store.write("webhook-delivered", move |conn| queue::delivered(conn, &done)).await.map(Ok)
                }
                other => other,
            };
            Tried { due, logged: Some(logged), outcome }
        }));
        Ok(())
    }

    /// Records what became of a try, and gives its lane free.
    async fn take(&mut self, tried: Tried) {
        let lane = tried.due.lane;
        if let Err(error) = self.record(tried).await {
            let webhook = self.webhook;
            tracing::warn!(%webhook, %error, "a delivery cannot be read or recorded; it is made again");
            // what cannot be recorded must not be posted without end
            tokio::time::sleep(PAUSE).await;
        }
        self.lanes.remove(&lane);
    }

    async fn record(&mut self, Tried { due, logged, outcome }: Tried) -> Result<()> {
        let (webhook, store) = (self.webhook, self.inner.store.clone());
        match outcome? {
            Ok(()) => {
                metrics::tried("delivered");
                tracing::debug!(%webhook, change = %due.change, attempts = due.attempts + 1, "change delivered");
                self.waiting = self.waiting.map(|waiting| waiting - 1);
                self.failures = 0;
                // its state may be of another courier's making
                if !std::mem::replace(&mut self.arrives, true) {
                    store.write_again("webhook-active", move |conn| arrives(conn, webhook)).await?;
                }
                Ok(())
            }
            Err(Failed::Gone) => {
                metrics::tried("gone");
                tracing::warn!(%webhook, "the receiver answers 410 Gone: its webhook is disabled");
                store.write_again("webhook-disable", move |conn| disable(conn, webhook)).await
            }
            Err(Failed::Try(why)) => {
                self.failures += 1;
                self.arrives = false;
                let why: String = why.chars().take(LONGEST_ERROR).collect();
                let dead = self.fail(due, logged.unwrap_or_default(), why.clone()).await?;
                self.waiting = self.waiting.map(|waiting| waiting - i64::from(dead));
                metrics::tried(if dead { "gave_up" } else { "failed" });
                if self.failures < FAILING {
                    return Ok(());
                }
                store.write_again("webhook-failing", move |conn| fails(conn, webhook, &why)).await
            }
        }
    }

    /// Records a try that failed. Answers whether it was the last.
    async fn fail(&mut self, due: Due, logged: Logged, why: String) -> Result<bool> {
        let webhook = self.webhook;
        let record = move |conn: &mut Conn| {
            let patience = settings::duration(conn, GIVE_UP_AFTER, Some(("webhook", webhook)), PATIENCE)?;
            let until = due.since.saturating_add(i64::try_from(patience.as_micros()).unwrap_or(i64::MAX));
            let expired = logged.uuid.is_empty();
            let next = schedule::next(due.uuid, due.attempts + 1, until, time::now_micros()).filter(|_| !expired);
            let Some(next) = next else {
                tracing::warn!(%webhook, change = %due.change, attempts = due.attempts + 1, error = why, "delivery given up");
                let Some(work) = queue::work(conn, webhook)? else { return Ok(true) };
                queue::give_up(conn, &work.standing, &due, &logged, &why)?;
                return Ok(true);
            };
            tracing::info!(%webhook, change = %due.change, attempts = due.attempts + 1, error = why, "delivery failed; it is tried again");
            queue::failed(conn, &due, next)?;
            Ok(false)
        };
        self.inner.store.write_again("webhook-failed", record).await
    }
}

/// Changes the webhook where it is otherwise than it should be.
fn change(conn: &mut Conn, uuid: Uuid, change: impl FnOnce(&mut Webhook) -> bool) -> Result<bool> {
    let Some(before) = gyre_query::find::<Webhook>(conn, &Caller::system(), uuid)? else { return Ok(false) };
    let mut webhook = before.clone();
    if !change(&mut webhook) {
        return Ok(false);
    }
    gyre_query::update_from(conn, &Change::by(Caller::system()), &before, &webhook)?;
    Ok(true)
}

/// Notes that what the webhook sends arrives again; then all that waits is tried at once.
fn arrives(conn: &mut Conn, uuid: Uuid) -> Result<()> {
    let again = change(conn, uuid, |webhook| {
        let was = webhook.state() == WebhookState::Failing;
        if was {
            webhook.set_state(WebhookState::Active);
            webhook.last_error.clear();
            webhook.failing_since = None;
        }
        was
    })?;
    if again { queue::hurry(conn, uuid) } else { Ok(()) }
}

/// Notes that it does not.
fn fails(conn: &mut Conn, uuid: Uuid, why: &str) -> Result<()> {
    let change = change(conn, uuid, |webhook| {
        let was = webhook.state() == WebhookState::Active;
        if was {
            webhook.set_state(WebhookState::Failing);
            webhook.last_error = why.to_owned();
            webhook.failing_since = Some(time::now());
        }
        was
    });
    change.map(drop)
}

/// Disables a webhook whose receiver wants nothing more.
fn disable(conn: &mut Conn, uuid: Uuid) -> Result<()> {
    let change = change(conn, uuid, |webhook| {
        webhook.disabled = true;
        webhook.set_state(WebhookState::Disabled);
        webhook.last_error = "the receiver answers 410 Gone".to_owned();
        true
    });
    change.map(drop)
}
