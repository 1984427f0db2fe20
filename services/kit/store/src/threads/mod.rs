//! The threads that connections live on.
//!
//! SQLite: one writer, which gathers the closures that wait (at most [`BATCH`]) into one transaction with a savepoint for each,
//! and some readers. PostgreSQL: equal threads, each with a connection and one transaction at a time. A thread opens its
//! connection before it takes a job, so that no job waits in the hands of a thread that cannot do it; one that fails to waits a
//! little longer every time. [`watchdog`] looks after all of them.

mod job;
mod open;
mod queue;
mod transaction;
mod watch;
mod watchdog;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gyre_model::{Error, Result};

use crate::conn::{Conn, Dialect};
use crate::{StoreConfig, error, metrics, stopped};

pub(crate) use job::{Along, Around, Job};
use open::Opener;
use queue::Queue;
use watch::Health;
pub(crate) use watch::Watch;
use watchdog::{PATIENCE, Watchdog};

/// Most closures that share a commit.
const BATCH: usize = 256;
/// A connection that nobody used for so long is asked whether it lives before a closure relies on it.
const UNUSED: Duration = Duration::from_secs(1);
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What the threads of one store share.
struct Pool {
    opener: Opener,
    writes: Queue,
    reads: Queue,
    health: Arc<Health>,
    longest_wait: Duration,
    /// The threads with a connection to PostgreSQL.
    threads: Mutex<Vec<Arc<Watch>>>,
}

/// The ways to the threads. Dropping them ends the threads once their queues are empty.
pub(crate) struct Threads(Arc<Pool>);

impl Drop for Threads {
    fn drop(&mut self) {
        self.close();
    }
}

impl Threads {
    /// Ends the threads once their queues are empty.
    pub(crate) fn close(&self) {
        self.0.writes.close();
        self.0.reads.close();
    }

    pub(crate) fn start(config: &StoreConfig) -> Result<Self> {
        let opener = Opener::new(config)?;
        let dialect = opener.dialect();
        let (writes, reads) = match dialect {
            Dialect::Sqlite => (Queue::new("write", config.queue), Queue::new("read", config.queue)),
            Dialect::Postgres => {
                let all = Queue::new("all", config.queue);
                (all.clone(), all)
            }
        };
        // the first connection tells a wrong URL, or a database that is not there, at once
        let first = opener.open(true, None)?;
        let pool = Arc::new(Pool {
            opener,
            writes,
            reads,
            health: Arc::new(Health::new()),
            longest_wait: config.longest_wait,
            threads: Mutex::default(),
        });
        let threads = Self(pool);
        let pool = &threads.0;
        match dialect {
            Dialect::Sqlite => {
                let worker = Worker::new(pool, pool.writes.clone(), true);
                spawn("store-writer", move || worker.run_sqlite(Some(first)))?;
                for _ in 0..config.connections.max(1) {
                    let worker = Worker::new(pool, pool.reads.clone(), false);
                    spawn("store-reader", move || worker.run_sqlite(None))?;
                }
            }
            Dialect::Postgres => {
                // the rest follow when they are needed
                let mut first = Some(first);
                for _ in 0..config.connections.max(1) {
                    pool.add(first.take())?;
                }
            }
        }
        let watchdog = Watchdog::new(pool);
        spawn("store-watchdog", move || watchdog.run())?;
        Ok(threads)
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.0.opener.dialect()
    }

    #[cfg(feature = "faults")]
    pub(crate) fn gate(&self) -> crate::faults::Gate {
        self.0.opener.gate.clone()
    }

    pub(crate) fn send(&self, job: Job) {
        if self.0.health.down_since().is_some_and(|since| since.elapsed() >= PATIENCE) && self.0.watches() {
            metrics::refused("DATABASE_AWAY");
            return job.refuse(error::away());
        }
        let queue = if job.around == Around::Nothing { &self.0.reads } else { &self.0.writes };
        if let Err(job) = queue.push(job) {
            metrics::refused("DATABASE_BUSY");
            job.refuse(error::busy("too many calls wait for it"));
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map(|_| ()).map_err(|error| Error::internal(format!("cannot start a thread of the store: {error}")))
}

impl Pool {
    /// Whether statements are watched: a file does not freeze.
    fn watches(&self) -> bool {
        self.opener.dialect() == Dialect::Postgres
    }

    /// Adds a thread for PostgreSQL.
    fn add(self: &Arc<Self>, conn: Option<Conn>) -> Result<()> {
        let watch = Arc::new(Watch::new(Arc::clone(&self.health)));
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&watch));
        let worker = Worker::new(self, self.writes.clone(), true);
        spawn("store", move || worker.run_postgres(conn, &watch))
    }

    /// Whether the database has owed an answer to one of the threads for so long.
    fn owed(&self, limit: Duration) -> bool {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().any(|watch| watch.owed().is_some_and(|owed| owed > limit))
    }

    /// Gives up on threads that the database has owed an answer for so long; others take their places.
    fn give_up_after(self: &Arc<Self>, limit: Duration) {
        let mut left = Vec::new();
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).retain(|watch| {
            let stays = watch.owed().is_none_or(|owed| owed <= limit);
            if !stays {
                left.push(Arc::clone(watch));
            }
            stays
        });
        for watch in left {
            watch.give_up();
            self.health.lost();
            if let Err(error) = self.add(None) {
                tracing::error!(%error, "a thread of the store was left behind and cannot be replaced");
            }
        }
    }
}

/// What a thread does.
struct Worker {
    opener: Opener,
    queue: Queue,
    health: Arc<Health>,
    writes: bool,
}

impl Worker {
    fn new(pool: &Pool, queue: Queue, writes: bool) -> Self {
        Self { opener: pool.opener.clone(), queue, health: Arc::clone(&pool.health), writes }
    }

    fn run_postgres(&self, mut conn: Option<Conn>, watch: &Arc<Watch>) {
        if let Some(conn) = &mut conn {
            conn.watch = Some(Arc::clone(watch));
        }
        let mut wait = FIRST_WAIT;
        let mut used = Instant::now();
        let mut losses = self.health.losses();
        while !watch.given_up() && self.queue.wait() {
            if conn.as_ref().is_some_and(|conn| conn.lost) {
                self.health.lost();
                conn = None;
            }
            if conn.is_none() {
                match self.opener.open(true, Some(watch)) {
                    Ok(opened) => {
                        conn = Some(opened);
                        losses = self.health.losses();
                        metrics::connected();
                        self.health.up();
                        wait = FIRST_WAIT;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "cannot connect to the database");
                        if !open::refused_by_server(&error) {
                            self.health.down(error.message());
                        }
                        self.queue.give_back();
                        std::thread::sleep(wait);
                        wait = (wait * 2).min(LONGEST_WAIT);
                        continue;
                    }
                }
            } else if used.elapsed() > UNUSED || losses != self.health.losses() {
                losses = self.health.losses();
                if let Some(conn) = &mut conn
                    && conn.batch("SELECT 1").is_err()
                {
                    conn.lost = true;
                    continue;
                }
            }
            let (Some(conn), Some(job)) = (conn.as_mut(), self.queue.pop()) else { continue };
            transaction::one(conn, watch, job);
            used = Instant::now();
        }
    }

    fn run_sqlite(&self, mut conn: Option<Conn>) {
        while self.queue.wait() {
            let ready = self.ready(&mut conn);
            let Some(job) = self.queue.pop() else { continue };
            let conn = match (ready, conn.as_mut()) {
                (Ok(()), Some(conn)) => conn,
                (Err(error), _) => {
                    job.refuse(error);
                    continue;
                }
                (Ok(()), None) => {
                    job.refuse(stopped());
                    continue;
                }
            };
            match job.around {
                Around::Nothing | Around::Bare => transaction::none(conn, job),
                Around::Transaction => {
                    let mut batch = vec![job];
                    self.queue.more(&mut batch, BATCH);
                    let bare = batch.pop_if(|job| job.around == Around::Bare);
                    transaction::group(conn, batch);
                    if let Some(job) = bare {
                        transaction::none(conn, job);
                    }
                }
            }
        }
    }

    /// Sees that there is a connection, and that its file is the one that everybody knows.
    fn ready(&self, conn: &mut Option<Conn>) -> Result<()> {
        if conn.as_ref().is_some_and(|conn| conn.lost) {
            *conn = None;
        }
        let opened = match conn {
            // whoever only reads may go on with a file that is gone: what it reads was true
            Some(_) if !self.writes => return Ok(()),
            Some(_) => self.opener.still_there(),
            None => self.opener.open(self.writes, None).map(|opened| {
                metrics::connected();
                *conn = Some(opened);
            }),
        };
        match &opened {
            Ok(()) => self.health.up(),
            Err(error) => self.health.down(error.message()),
        }
        opened
    }
}
