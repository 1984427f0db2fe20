//! What a thread does now, seen from outside; and giving up on it.
//!
//! A thread that waits for the database sits in libpq and cannot be told anything: a server that is frozen keeps the connection
//! alive in its kernel, so no timeout of TCP ends that. The watchdog therefore answers the caller itself and leaves the thread
//! behind, and another takes its place. Should the server wake up, the thread finds that it was given up, runs no further
//! statement, and drops its connection, which undoes the transaction. What it cannot take back is a commit that was sent.
//!
//! A read that nobody waits for any more is ended by the server itself: another connection asks it to cancel the statement. That
//! must not hit the thread's next job. So whoever asks holds a lock meanwhile, under which it looks whether it is still the same
//! read, and the thread begins nothing else before it had that lock. A server that was told to cancel what is over by then forgets it
//! before it reads the next statement.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::job::{Around, Ended, Finish, Job, Waiting};
use super::queue::Place;
use crate::conn::Conn;
use crate::error::DbResult;
use crate::{Sql, error, metrics};

/// What a thread does.
enum Doing {
    Nothing,
    /// Runs a closure; its commit was not sent.
    Running(Running),
    /// Has sent a commit.
    Committing(Finish),
}

struct Running {
    waiting: Arc<dyn Waiting>,
    reads: bool,
    /// Given back when it ends, or when the thread is given up.
    _place: Option<Place>,
}

impl Running {
    fn forsaken(&self) -> bool {
        self.reads && self.waiting.gone()
    }
}

/// One thread with its connection.
pub(crate) struct Watch {
    born: Instant,
    /// When the present statement began, in microseconds since `born`, from 1 on; 0: none.
    statement: AtomicU64,
    given_up: AtomicBool,
    doing: Mutex<Doing>,
    /// What the server calls the connection.
    backend: AtomicI64,
    /// Held by whoever has what runs here cancelled.
    cancelling: Mutex<()>,
    health: Arc<Health>,
}

impl Watch {
    pub fn new(health: Arc<Health>) -> Self {
        Self {
            born: Instant::now(),
            statement: AtomicU64::new(0),
            given_up: AtomicBool::new(false),
            doing: Mutex::new(Doing::Nothing),
            backend: AtomicI64::new(0),
            cancelling: Mutex::new(()),
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
    pub fn running(&self, job: &mut Job) {
        let reads = matches!(job.around, Around::Nothing | Around::Search);
        let (waiting, place) = (Arc::clone(&job.waiting), job.place.take());
        self.swap(Doing::Running(Running { waiting, reads, _place: place }));
    }

    /// Notes what the server calls the connection.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "SQLite has no server"))]
    pub fn connected(&self, backend: i64) {
        self.backend.store(backend, Ordering::Release);
    }

    /// Whether it runs a read that nobody waits for.
    pub fn forsaken(&self) -> bool {
        let doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(&*doing, Doing::Running(running) if running.forsaken())
    }

    /// Has the server end the statement of such a read.
    ///
    /// # Errors
    /// What the database says.
    pub fn cancel(&self, through: &mut Conn) -> DbResult<()> {
        let _still = self.cancelling.lock().unwrap_or_else(PoisonError::into_inner);
        if self.forsaken() {
            let backend = self.backend.load(Ordering::Acquire);
            let cancel = Sql::new("SELECT pg_cancel_backend(CAST(").bind(backend).sql(" AS integer))");
            through.query(cancel)?;
            metrics::cancelled();
        }
        Ok(())
    }

    /// From now on the outcome is open. False where the thread was given up, and must not commit.
    pub fn committing(&self, finish: Finish) -> bool {
        self.swap(Doing::Committing(finish)).is_some()
    }

    /// Ends what was begun; answers the way of its answer where it was not used.
    pub fn done(&self) -> Option<Finish> {
        let done = self.swap(Doing::Nothing)?;
        // whoever had it cancelled meanwhile is waited for
        drop(self.cancelling.lock().unwrap_or_else(PoisonError::into_inner));
        match done {
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
            Doing::Running(running) => {
                metrics::refused("DATABASE_AWAY");
                running.waiting.refuse(error::away());
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
