//! Looks after the threads: nobody waits for longer than it makes sense.
//!
//! - Jobs that wait for too long are refused: with `DATABASE_AWAY` while the database is away, with `DATABASE_BUSY` while it
//!   has too much to do. What belongs to operations that have begun waits on in a busy one: it would only come again.
//! - A statement of PostgreSQL's that is owed for [`STALL`] may be slow, or the server may be gone or frozen: a new connection
//!   asks. Where that finds nothing within [`PROBE`], and no other statement was answered meanwhile, the database is away, and
//!   whoever waits for it is told. So a caller waits at most for the two together, and a slow statement is left alone.
//! - A read that nobody waits for any more is cancelled (`watch`).
//! - While the database is away it is asked again and again, so that its return is noticed without a call.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::{Pool, Queue};
use crate::error;
use crate::metrics;

const TICK: Duration = Duration::from_millis(100);
/// From when on a statement is looked into.
const STALL: Duration = Duration::from_millis(600);
/// How long a new connection may take to find that the server lives.
const PROBE: Duration = Duration::from_millis(1_100);
/// How often a server that is away is asked.
const ASK_AGAIN: Duration = Duration::from_millis(300);
/// How long a connection's attempt lasts at most, however it ends: libpq's bound and some more.
const PROBE_ENDS: Duration = Duration::from_millis(2_500);
/// How long a job waits for a database that is away.
pub(super) const PATIENCE: Duration = Duration::from_millis(1_500);
/// How much longer than it may a statement is waited for: the server should have ended it by itself before.
const NEVER: Duration = Duration::from_secs(5);

const ASKED: u8 = 0;
const ANSWERED: u8 = 1;
const REFUSED: u8 = 2;

/// A question to the server.
struct Probe {
    began: Instant,
    answer: Arc<AtomicU8>,
    judged: bool,
}

pub(super) struct Watchdog {
    pool: Weak<Pool>,
    probe: Option<Probe>,
    /// When the last question was settled.
    settled: Instant,
    /// Whether reads are being cancelled.
    cancels: Arc<AtomicBool>,
}

impl Watchdog {
    pub fn new(pool: &Arc<Pool>) -> Self {
        Self { pool: Arc::downgrade(pool), probe: None, settled: Instant::now(), cancels: Arc::default() }
    }

    /// Looks until the store is closed.
    pub fn run(mut self) {
        loop {
            std::thread::sleep(TICK);
            let Some(pool) = self.pool.upgrade() else { return };
            if pool.watches() {
                self.look(&pool);
            }
            for queue in [&pool.writes, &pool.reads] {
                expire(&pool, queue);
            }
        }
    }

    fn look(&mut self, pool: &Arc<Pool>) {
        let stalled = pool.owed(STALL) || pool.writes.oldest().is_some_and(|age| age > STALL);
        let down = pool.health.down_since().is_some();
        self.judge(pool);
        let free = self.probe.as_ref().is_none_or(|probe| probe.judged && probe.began.elapsed() > PROBE_ENDS);
        if (stalled || down) && free && self.settled.elapsed() > ASK_AGAIN {
            self.ask(pool);
        }
        let down = pool.health.down_since().is_some();
        if !down {
            self.cancel(pool);
        }
        pool.give_up_after(if down { STALL } else { pool.longest_run.saturating_add(NEVER) });
    }

    /// Ends reads that nobody needs, over a connection of its own: it may take a moment, and all others may be in use.
    fn cancel(&self, pool: &Arc<Pool>) {
        if self.cancels.load(Ordering::Acquire) {
            return;
        }
        let forsaken = pool.forsaken();
        if forsaken.is_empty() {
            return;
        }
        let (opener, cancels) = (pool.opener.clone(), Arc::clone(&self.cancels));
        cancels.store(true, Ordering::Release);
        let spawned = std::thread::Builder::new().name("store-cancel".to_owned()).spawn(move || {
            let cancelled =
                opener.open(false, None).map(|mut conn| forsaken.iter().try_for_each(|watch| watch.cancel(&mut conn)));
            if let Err(error) | Ok(Err(error)) = cancelled.map(|done| done.map_err(Into::into)) {
                tracing::debug!(%error, "reads cannot be cancelled");
            }
            cancels.store(false, Ordering::Release);
        });
        if let Err(error) = spawned {
            self.cancels.store(false, Ordering::Release);
            tracing::error!(%error, "cannot start a thread to cancel reads");
        }
    }

    fn ask(&mut self, pool: &Arc<Pool>) {
        let answer = Arc::new(AtomicU8::new(ASKED));
        let (opener, told) = (pool.opener.clone(), Arc::clone(&answer));
        let asked = std::thread::Builder::new().name("store-probe".to_owned()).spawn(move || {
            let found = if opener.answers() { ANSWERED } else { REFUSED };
            told.store(found, Ordering::Release);
        });
        match asked {
            Ok(_) => self.probe = Some(Probe { began: Instant::now(), answer, judged: false }),
            Err(error) => tracing::error!(%error, "cannot start a thread to ask the database"),
        }
    }

    fn judge(&mut self, pool: &Pool) {
        let Some(probe) = &mut self.probe else { return };
        match probe.answer.load(Ordering::Acquire) {
            ANSWERED => pool.health.up(),
            REFUSED if !probe.judged => pool.health.down("it refuses connections"),
            REFUSED => {}
            _ if probe.began.elapsed() <= PROBE || probe.judged => return,
            _ => {
                probe.judged = true;
                if !pool.health.answered_since(probe.began) {
                    pool.health.down("it answers nothing");
                }
                return;
            }
        }
        self.probe = None;
        self.settled = Instant::now();
    }
}

fn expire(pool: &Pool, queue: &Queue) {
    let now = Instant::now();
    let (patience, refusal) = match pool.health.down_since() {
        Some(since) if since.elapsed() >= PATIENCE => (Duration::ZERO, error::away()),
        Some(_) => (PATIENCE, error::away()),
        None => (pool.longest_wait, error::busy("it has too much to do")),
    };
    let Some(before) = now.checked_sub(patience) else { return };
    let away = refusal.reason() == "DATABASE_AWAY";
    for job in queue.expire(before, away) {
        metrics::refused(if away { "DATABASE_AWAY" } else { "DATABASE_BUSY" });
        tracing::debug!(name = job.name, %refusal, "a job is refused");
        job.refuse(refusal.clone());
    }
}
