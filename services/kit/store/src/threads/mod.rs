//! The threads that connections live on.
//!
//! SQLite: one writer, which takes the closures that wait (at most [`BATCH`]) into one transaction, one that waits for the disk
//! ([`durable`]), one that copies the log into the file ([`wal`]), and some readers. PostgreSQL: equal threads, each with a connection and one transaction at a time. A thread opens its
//! connection before it takes a job, so that no job waits in the hands of a thread that cannot do it; one that fails to waits a
//! little longer every time. [`watchdog`] looks after all of them.

mod durable;
pub(crate) mod interrupt;
mod job;
mod open;
#[cfg(feature = "sqlite")]
mod pages;
mod queue;
mod transaction;
mod wal;
mod watch;
mod watchdog;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gyre_model::{Error, Result};

use crate::conn::{Conn, Dialect};
use crate::{StoreConfig, error, metrics, stopped};

pub(crate) use durable::Durable;
pub(crate) use job::{Along, Around, Job};
use open::Opener;
use queue::Queue;
use wal::{Copying, Wal};
use watch::Health;
pub(crate) use watch::Watch;
use watchdog::{PATIENCE, Watchdog};

/// Most closures that share a commit. Many wait for the disk together then; who comes alone waits for nobody.
const BATCH: usize = 512;
/// One of so many connections, and at least one, is left to what is short.
const RESERVED: usize = 4;
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
    longest_run: Duration,
    longest_log: u64,
    durable: Durable,
    copying: Arc<Copying>,
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
        self.0.copying.close();
    }

    pub(crate) fn start(config: &StoreConfig) -> Result<Self> {
        let opener = Opener::new(config)?;
        let dialect = opener.dialect();
        let connections = config.connections.max(2);
        let share = connections - connections.div_ceil(RESERVED);
        let (writes, reads) = match dialect {
            Dialect::Sqlite => (Queue::new("write", config.queue, 0), Queue::new("read", config.queue, share)),
            Dialect::Postgres => {
                let all = Queue::new("all", config.queue, share);
                (all.clone(), all)
            }
        };
        // the first connection tells a wrong URL, or a database that is not there, at once
        let mut first = opener.open(true, None)?;
        let pool = Arc::new(Pool {
            opener,
            writes,
            reads,
            health: Arc::new(Health::new()),
            longest_wait: config.longest_wait,
            longest_run: config.longest_run,
            longest_log: config.longest_log,
            durable: Durable::default(),
            copying: Arc::default(),
            threads: Mutex::default(),
        });
        let threads = Self(pool);
        let pool = &threads.0;
        match dialect {
            Dialect::Sqlite => {
                let worker = Worker::new(pool, pool.writes.clone(), true);
                worker.opened(&mut first)?;
                spawn("store-writer", move || worker.run_sqlite(Some(first)))?;
                let (durable, writes, health) = (pool.durable.clone(), pool.writes.clone(), Arc::clone(&pool.health));
                spawn("store-disk", move || durable.run(|| writes.poke(), |error| health.down(error.message())))?;
                if pool.durable.is_apart() {
                    let pool = Arc::downgrade(pool);
                    spawn("store-copier", move || wal::copy(&pool))?;
                }
                for _ in 0..connections {
                    let worker = Worker::new(pool, pool.reads.clone(), false);
                    spawn("store-reader", move || worker.run_sqlite(None))?;
                }
            }
            Dialect::Postgres => {
                // the rest follow when they are needed
                let mut first = Some(first);
                for _ in 0..connections {
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
        let queue = match job.around {
            Around::Nothing | Around::Search => &self.0.reads,
            Around::Transaction | Around::Bare => &self.0.writes,
        };
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

    /// The threads with reads that nobody waits for.
    fn forsaken(&self) -> Vec<Arc<Watch>> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().filter(|watch| watch.forsaken()).map(Arc::clone).collect()
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
    longest_run: Duration,
    longest_log: u64,
    durable: Durable,
    copying: Arc<Copying>,
}

impl Worker {
    fn new(pool: &Pool, queue: Queue, writes: bool) -> Self {
        let (opener, health) = (pool.opener.clone(), Arc::clone(&pool.health));
        let (longest_run, longest_log, durable) = (pool.longest_run, pool.longest_log, pool.durable.clone());
        let copying = Arc::clone(&pool.copying);
        Self { opener, queue, health, writes, longest_run, longest_log, durable, copying }
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

    fn run_sqlite(&self, conn: Option<Conn>) {
        self.work_sqlite(conn);
        if self.writes {
            self.durable.close();
        }
    }

    fn work_sqlite(&self, mut conn: Option<Conn>) {
        let mut wal = Wal::new(self.longest_log);
        let mut habits = transaction::Habits::default();
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
                Around::Nothing | Around::Search => {
                    #[cfg(feature = "sqlite")]
                    conn.map(job.around == Around::Search);
                    transaction::read(conn, job, self.longest_run, &self.durable);
                }
                Around::Bare => {
                    transaction::none(conn, job, &self.durable);
                    wal.look(conn, &self.copying, &self.durable, || self.opener.log_length());
                }
                Around::Transaction => {
                    let next = |wait| self.queue.next_transaction(|| wait && self.durable.flushing());
                    transaction::group(conn, job, BATCH, &mut habits, &self.durable, next);
                    wal.look(conn, &self.copying, &self.durable, || self.opener.log_length());
                }
            }
        }
    }

    /// A connection is there: the disk is waited for apart from what it writes, where there is a log to wait for.
    fn opened(&self, conn: &mut Conn) -> Result<()> {
        if self.writes {
            let log = self.opener.log(conn)?;
            if log.is_some() {
                conn.batch("PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0")?;
            }
            self.durable.attach(log)?;
        }
        Ok(())
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
            None => self.opener.open(self.writes, None).and_then(|mut opened| {
                self.opened(&mut opened)?;
                metrics::connected();
                *conn = Some(opened);
                Ok(())
            }),
        };
        let opened = opened.and_then(|()| self.durable.sound());
        match &opened {
            Ok(()) => self.health.up(),
            Err(error) => self.health.down(error.message()),
        }
        opened
    }
}
