//! The threads that connections live on.
//!
//! SQLite: one writer, which gathers the closures that wait (at most [`BATCH`]) into one transaction with a savepoint for each,
//! and some readers. PostgreSQL: equal threads, each with a connection and one transaction at a time. A thread whose connection
//! is lost opens another for the next job.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::Connection;
use gyre_model::{Error, Kind, Result};
use tokio::sync::oneshot;

use crate::conn::{Conn, Dialect, Inner};
use crate::error::DbError;
use crate::{StoreConfig, stopped};

/// Most closures that share a commit.
const BATCH: usize = 256;

type Finish = Box<dyn FnOnce(Result<()>) + Send>;
type Run = Box<dyn FnOnce(&mut Conn) -> (Result<()>, Finish) + Send>;

/// What a job needs around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Around {
    /// Nothing: it reads.
    Nothing,
    /// A transaction.
    Transaction,
    /// A connection that may write, without a transaction: migrations make their own.
    Bare,
}

/// A closure on its way to a connection, and the way of its answer.
pub(crate) struct Job {
    name: &'static str,
    around: Around,
    run: Run,
    /// Whether whoever asked has gone.
    abandoned: Box<dyn Fn() -> bool + Send>,
    refuse: Box<dyn FnOnce(Error) -> Finish + Send>,
}

impl Job {
    pub(crate) fn new<T, F>(name: &'static str, write: bool, run: F, answer: oneshot::Sender<Result<T>>) -> Self
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        Self::with(name, if write { Around::Transaction } else { Around::Nothing }, run, answer)
    }

    pub(crate) fn bare<T, F>(name: &'static str, run: F, answer: oneshot::Sender<Result<T>>) -> Self
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        Self::with(name, Around::Bare, run, answer)
    }

    fn with<T, F>(name: &'static str, around: Around, run: F, answer: oneshot::Sender<Result<T>>) -> Self
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        // Either the closure runs and its finisher answers, or it is refused and the refusal does: both hold the same sender.
        let answer = Arc::new(Mutex::new(Some(answer)));
        let (refused, waiting) = (Arc::clone(&answer), Arc::clone(&answer));
        let send = |answer: &Mutex<Option<oneshot::Sender<Result<T>>>>, result: Result<T>| {
            if let Some(answer) = answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
                // whoever asked may have gone
                let _ = answer.send(result);
            }
        };
        Self {
            name,
            around,
            run: Box::new(move |conn| {
                let result =
                    catch_unwind(AssertUnwindSafe(|| run(conn))).unwrap_or_else(|panic| Err(panicked(name, &*panic)));
                let outcome = match &result {
                    Ok(_) => Ok(()),
                    Err(error) => Err(error.clone()),
                };
                let finish: Finish = Box::new(move |commit: Result<()>| send(&answer, commit.and(result)));
                (outcome, finish)
            }),
            abandoned: Box::new(move || {
                let answer = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                answer.as_ref().is_some_and(oneshot::Sender::is_closed)
            }),
            refuse: Box::new(move |error| Box::new(move |_| send(&refused, Err(error)))),
        }
    }

    fn refuse(self, error: Error) {
        (self.refuse)(error)(Ok(()));
    }
}

fn panicked(name: &str, panic: &(dyn Any + Send)) -> Error {
    let text =
        panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    Error::internal(format!("{name} panicked: {}", text.unwrap_or_default()))
}

/// The ways to the threads. Dropping them ends the threads once their queues are empty.
pub(crate) struct Threads {
    dialect: Dialect,
    writes: Sender<Job>,
    reads: Sender<Job>,
    #[cfg(feature = "faults")]
    gate: crate::faults::Gate,
}

impl Threads {
    pub(crate) fn start(config: &StoreConfig) -> Result<Self> {
        let opener = Opener::new(config)?;
        let dialect = opener.dialect();
        #[cfg(feature = "faults")]
        let gate = opener.gate.clone();
        let (writes, write_jobs) = channel();
        match dialect {
            Dialect::Sqlite => {
                let (reads, read_jobs) = channel();
                let writer = opener.open(true)?;
                spawn("store-writer", opener.clone(), writer, true, Queue::new(write_jobs))?;
                let queue = Queue::new(read_jobs);
                for _ in 0..config.connections.max(1) {
                    spawn("store-reader", opener.clone(), opener.open(false)?, false, queue.clone())?;
                }
                Ok(Self {
                    dialect,
                    writes,
                    reads,
                    #[cfg(feature = "faults")]
                    gate,
                })
            }
            Dialect::Postgres => {
                let queue = Queue::new(write_jobs);
                // the first connection tells a wrong URL at once; the rest follow when they are needed
                let mut first = Some(opener.open(true)?);
                for _ in 0..config.connections.max(1) {
                    spawn_lazy("store", opener.clone(), first.take(), true, queue.clone())?;
                }
                Ok(Self {
                    dialect,
                    reads: writes.clone(),
                    writes,
                    #[cfg(feature = "faults")]
                    gate,
                })
            }
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    #[cfg(feature = "faults")]
    pub(crate) fn gate(&self) -> crate::faults::Gate {
        self.gate.clone()
    }

    pub(crate) fn send(&self, job: Job) -> Result<()> {
        let way = if job.around == Around::Nothing { &self.reads } else { &self.writes };
        way.send(job).map_err(|_| stopped())
    }
}

#[derive(Clone)]
struct Queue(Arc<Mutex<Receiver<Job>>>);

impl Queue {
    fn new(jobs: Receiver<Job>) -> Self {
        Self(Arc::new(Mutex::new(jobs)))
    }

    /// The next job that somebody still waits for.
    fn next(&self) -> Option<Job> {
        let jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let job = jobs.recv().ok()?;
            if !(job.abandoned)() {
                return Some(job);
            }
        }
    }

    /// Those that wait already and fit into the same commit.
    fn more(&self, batch: &mut Vec<Job>) {
        let jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while batch.len() < BATCH {
            match jobs.try_recv() {
                Ok(job) => {
                    let last = job.around == Around::Bare;
                    batch.push(job);
                    if last {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
    }
}

fn spawn(name: &str, opener: Opener, conn: Conn, writes: bool, queue: Queue) -> Result<()> {
    spawn_lazy(name, opener, Some(conn), writes, queue)
}

fn spawn_lazy(name: &str, opener: Opener, conn: Option<Conn>, writes: bool, queue: Queue) -> Result<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || work(&opener, conn, writes, &queue))
        .map(|_| ())
        .map_err(|error| Error::internal(format!("cannot start a thread of the store: {error}")))
}

fn work(opener: &Opener, mut conn: Option<Conn>, writes: bool, queue: &Queue) {
    while let Some(job) = queue.next() {
        if conn.as_ref().is_none_or(|conn| conn.lost) {
            conn = match opener.open(writes) {
                Ok(conn) => Some(conn),
                Err(error) => {
                    job.refuse(error);
                    continue;
                }
            };
        }
        let Some(conn) = conn.as_mut() else { continue };
        match job.around {
            Around::Nothing | Around::Bare => {
                let (_, finish) = (job.run)(conn);
                finish(Ok(()));
            }
            Around::Transaction if opener.dialect() == Dialect::Sqlite => {
                let mut batch = vec![job];
                queue.more(&mut batch);
                let bare = batch.pop_if(|job| job.around == Around::Bare);
                group(conn, batch);
                if let Some(job) = bare {
                    let (_, finish) = (job.run)(conn);
                    finish(Ok(()));
                }
            }
            Around::Transaction => single(conn, job),
        }
    }
}

/// One job in one transaction.
fn single(conn: &mut Conn, job: Job) {
    if let Err(error) = conn.batch("BEGIN") {
        return job.refuse(error.into());
    }
    let name = job.name;
    let (outcome, finish) = (job.run)(conn);
    let ended = if outcome.is_ok() { conn.batch("COMMIT") } else { conn.batch("ROLLBACK") };
    if outcome.is_ok()
        && let Err(error) = &ended
    {
        tracing::warn!(name, %error, "commit failed");
        conn.lost = true;
    }
    finish(if outcome.is_ok() { ended.map_err(Error::from) } else { Ok(()) });
}

/// Several jobs in one transaction, each in its savepoint. A lone job needs none.
fn group(conn: &mut Conn, batch: Vec<Job>) {
    if let Err(error) = conn.batch("BEGIN IMMEDIATE") {
        let error = Error::from(error);
        for job in batch {
            job.refuse(error.clone());
        }
        return;
    }
    let mut finishers = Vec::with_capacity(batch.len());
    let mut failed: Option<DbError> = None;
    for job in batch {
        if let Some(error) = &failed {
            job.refuse(Error::unavailable("DATABASE_AWAY", error.to_string()));
            continue;
        }
        if let Err(error) = conn.batch("SAVEPOINT job") {
            job.refuse(Error::unavailable("DATABASE_AWAY", error.to_string()));
            failed = Some(error);
            continue;
        }
        let (outcome, finish) = (job.run)(conn);
        let ended = match outcome {
            Ok(()) => conn.batch("RELEASE job"),
            Err(_) => conn.batch("ROLLBACK TO job; RELEASE job"),
        };
        // SQLite ends the whole transaction on some errors (a full disk, an I/O error)
        failed = ended.err();
        finishers.push(finish);
    }
    let commit = match failed {
        None => conn.batch("COMMIT"),
        Some(error) => Err(error),
    };
    if let Err(error) = &commit {
        tracing::warn!(%error, "group commit failed");
        // there may be no transaction left to roll back
        let _ = conn.batch("ROLLBACK");
    }
    let commit = commit.map_err(Error::from);
    for finish in finishers {
        finish(commit.clone());
    }
}

/// Opens connections.
#[derive(Clone)]
struct Opener {
    target: Target,
    #[cfg(feature = "faults")]
    gate: crate::faults::Gate,
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "SQLite connects at once"))]
    connect_timeout: Duration,
}

#[derive(Clone)]
enum Target {
    #[cfg(feature = "sqlite")]
    Sqlite(String),
    #[cfg(feature = "postgres")]
    Postgres(String),
}

fn bad_url(url: &str, why: &str) -> Error {
    // what stands before the @ may be a password
    let shown = url.rsplit_once('@').map_or(url, |(_, rest)| rest);
    Error::new(
        Kind::InvalidArgument,
        "DATABASE_URL",
        format!("database URL …{shown:?}: {why}; use sqlite:///path/to/file or postgres://user@host/database"),
    )
}

impl Opener {
    fn new(config: &StoreConfig) -> Result<Self> {
        let url = config.url.as_str();
        let target = match url.split_once("://") {
            #[cfg(feature = "sqlite")]
            Some(("sqlite", path)) if !path.is_empty() => Target::Sqlite(path.to_owned()),
            #[cfg(feature = "postgres")]
            Some(("postgres" | "postgresql", _)) => Target::Postgres(url.to_owned()),
            #[cfg(not(feature = "postgres"))]
            Some(("postgres" | "postgresql", _)) => {
                return Err(bad_url(url, "this build has no PostgreSQL; build with the feature \"cluster\""));
            }
            _ => return Err(bad_url(url, "neither SQLite nor PostgreSQL")),
        };
        Ok(Self {
            target,
            #[cfg(feature = "faults")]
            gate: crate::faults::Gate::new(),
            connect_timeout: config.connect_timeout,
        })
    }

    fn dialect(&self) -> Dialect {
        match self.target {
            #[cfg(feature = "sqlite")]
            Target::Sqlite(_) => Dialect::Sqlite,
            #[cfg(feature = "postgres")]
            Target::Postgres(_) => Dialect::Postgres,
        }
    }

    fn open(&self, writes: bool) -> Result<Conn> {
        match &self.target {
            #[cfg(feature = "sqlite")]
            Target::Sqlite(path) => {
                let inner = diesel::sqlite::SqliteConnection::establish(path).map_err(|error| {
                    Error::new(
                        Kind::Unavailable,
                        "DATABASE_AWAY",
                        format!(
                            "cannot open the database {path}: {error}; check that the folder is there and writable"
                        ),
                    )
                })?;
                let mut conn = Conn {
                    inner: Inner::Sqlite(inner),
                    lost: false,
                    #[cfg(feature = "faults")]
                    gate: self.gate.clone(),
                };
                conn.batch(
                    "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                     PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192; PRAGMA case_sensitive_like = ON;",
                )?;
                if !writes {
                    conn.batch("PRAGMA query_only = ON")?;
                }
                Ok(conn)
            }
            #[cfg(feature = "postgres")]
            Target::Postgres(url) => {
                let separator = if url.contains('?') { '&' } else { '?' };
                // the server gives up on a statement or a silent transaction rather than hold its rows for ever
                let url = format!(
                    "{url}{separator}connect_timeout={}&application_name=gyre&keepalives_idle=5&keepalives_interval=2&\
                     keepalives_count=3&tcp_user_timeout=10000",
                    self.connect_timeout.as_secs().max(1)
                );
                let inner = diesel::pg::PgConnection::establish(&url).map_err(|error| {
                    tracing::warn!(%error, "cannot connect to the database");
                    Error::unavailable("DATABASE_AWAY", "the database does not answer; try again")
                })?;
                let mut conn = Conn {
                    inner: Inner::Postgres(inner),
                    lost: false,
                    #[cfg(feature = "faults")]
                    gate: self.gate.clone(),
                };
                conn.batch(
                    "SET statement_timeout = '30s'; SET idle_in_transaction_session_timeout = '30s'; SET TIME ZONE 'UTC'",
                )?;
                let _ = writes;
                Ok(conn)
            }
        }
    }
}
