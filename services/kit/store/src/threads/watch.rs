//! What a thread does now, seen from outside; and giving up on it.
//!
//! A thread that waits for the database sits in libpq and cannot be told anything: a server that is frozen keeps the connection
//! alive in its kernel, so no timeout of TCP ends that. The watchdog therefore answers the caller itself and leaves the thread
//! behind, and another takes its place. Should the server wake up, the thread finds that it was given up, runs no further
//! statement, and drops its connection, which undoes the transaction. What it cannot take back is a commit that was sent.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::job::{Ended, Finish, Waiting};
use crate::{error, metrics};

/// What a thread does.
enum Doing {
    Nothing,
    /// Runs a closure; its commit was not sent.
    Running(Arc<dyn Waiting>),
    /// Has sent a commit.
    Committing(Finish),
}

/// One thread with its connection.
pub(crate) struct Watch {
    born: Instant,
    /// When the present statement began, in microseconds since `born`, from 1 on; 0: none.
    statement: AtomicU64,
    given_up: AtomicBool,
    doing: Mutex<Doing>,
    health: Arc<Health>,
}

impl Watch {
    pub fn new(health: Arc<Health>) -> Self {
        Self {
            born: Instant::now(),
            statement: AtomicU64::new(0),
            given_up: AtomicBool::new(false),
            doing: Mutex::new(Doing::Nothing),
            health,
        }
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Notes that a statement begins. False where nobody waits for it any more.
    pub fn begin_statement(&self) -> bool {
        if self.given_up() {
            return false;
        }
        self.statement.store(self.micros().max(1), Ordering::Release);
        true
    }

    /// Notes that the database answered, if only with an error of its own.
    pub fn end_statement(&self, answered: bool) {
        self.statement.store(0, Ordering::Release);
        if answered {
            self.health.answered();
        }
    }

    /// For how long the database has owed an answer.
    pub fn owed(&self) -> Option<Duration> {
        let began = self.statement.load(Ordering::Acquire);
        (began > 0).then(|| Duration::from_micros(self.micros().saturating_sub(began)))
    }

    pub fn given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }

    fn swap(&self, to: Doing) -> Option<Doing> {
        let mut doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        // looked at under the lock, so that exactly one side answers
        (!self.given_up()).then(|| std::mem::replace(&mut *doing, to))
    }

    /// Begins a closure.
    pub fn running(&self, waiting: &Arc<dyn Waiting>) {
        self.swap(Doing::Running(Arc::clone(waiting)));
    }

    /// From now on the outcome is open. False where the thread was given up, and must not commit.
    pub fn committing(&self, finish: Finish) -> bool {
        self.swap(Doing::Committing(finish)).is_some()
    }

    /// Ends what was begun; answers the way of its answer where it was not used.
    pub fn done(&self) -> Option<Finish> {
        match self.swap(Doing::Nothing)? {
            Doing::Committing(finish) => Some(finish),
            Doing::Nothing | Doing::Running(_) => None,
        }
    }

    /// Gives up on the thread and answers in its place.
    pub fn give_up(&self) {
        let doing = {
            let mut doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
            self.given_up.store(true, Ordering::Release);
            std::mem::replace(&mut *doing, Doing::Nothing)
        };
        metrics::given_up();
        match doing {
            Doing::Nothing => {}
            Doing::Running(waiting) => {
                metrics::refused("DATABASE_AWAY");
                waiting.refuse(error::away());
            }
            Doing::Committing(finish) => finish(&Ended::Unknown(error::unknown())),
        }
    }
}

/// Whether the database answers, as the threads find it.
pub(crate) struct Health {
    born: Instant,
    /// When it answered last, in microseconds since `born`.
    last: AtomicU64,
    /// Grows whenever a connection was lost: others that are older may be dead too.
    losses: AtomicU64,
    down: Mutex<Option<Instant>>,
}

impl Health {
    pub fn new() -> Self {
        metrics::up(true);
        Self { born: Instant::now(), last: AtomicU64::new(0), losses: AtomicU64::new(0), down: Mutex::default() }
    }

    /// A statement was answered.
    fn answered(&self) {
        self.last.store(u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Whether a statement was answered after a moment.
    pub fn answered_since(&self, moment: Instant) -> bool {
        self.born + Duration::from_micros(self.last.load(Ordering::Acquire)) > moment
    }

    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    pub fn lost(&self) {
        self.losses.fetch_add(1, Ordering::AcqRel);
    }

    /// Since when it is away.
    pub fn down_since(&self) -> Option<Instant> {
        *self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn down(&self, why: &str) {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        if down.is_none() {
            *down = Some(Instant::now());
            metrics::up(false);
            tracing::warn!(why, "the database is away");
        }
    }

    pub fn up(&self) {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = down.take() {
            metrics::up(true);
            tracing::info!(away_for = ?since.elapsed(), "the database answers again");
        }
    }
}
