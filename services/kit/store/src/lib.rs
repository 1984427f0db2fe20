//! The database: PostgreSQL for clusters, SQLite for one machine, behind one code path that the URL's scheme picks.
//!
//! # Theory
//! - Connections live on the store's own threads; nothing asynchronous ever waits inside one. [`Store::read`] and
//!   [`Store::write`] carry a closure there and its answer back.
//! - A write is one transaction. On SQLite one thread writes: it takes whatever closures wait, runs them one after the other, and
//!   commits them together (`threads::transaction`). A closure that fails is rolled back alone; its neighbours are not touched.
//!   Nobody hears of a write, nor reads it, before it is on disk (`threads::durable`). On PostgreSQL a small pool of threads has one
//!   transaction each.
//! - A closure may run on any thread, and must not call anybody else: no RPC, no file, no waiting while a transaction is open.
//! - Statements are [`Sql`] fragments: text with bound values, prepared once for each text. Rows come back as [`Row`]s. The
//!   dialects differ so little in what Gyre says that one text serves both; [`Conn::dialect`] tells where it does not.
//! - Whoever calls is answered. A database that is away is `UNAVAILABLE`, `DATABASE_AWAY`, within two seconds, whether the call
//!   waits for a connection, for a statement or for a commit, and whether the server is gone, cut off or frozen (`threads`); it is
//!   connected to again by itself. One that has too much to do is `RESOURCE_EXHAUSTED`, `DATABASE_BUSY`.
//! - Such an error means that nothing was changed, with one exception: a commit that was sent and got no answer may have
//!   happened. [`outcome_unknown`] tells it apart; [`Store::commit`] is for whoever can find out.
//! - What reads ends after `longest_run` (`DEADLINE_EXCEEDED`, `DATABASE_SLOW`), and soon after its caller has gone: who drops what
//!   [`Store::read`] answered needs nothing more, be it that a client's connection broke or that its deadline passed. SQLite is
//!   interrupted (`threads::interrupt`), PostgreSQL is told to cancel (`threads::watch`).
//! - What may take long ([`Store::search`]) never has all connections: some are left for what is short. Accounts take turns at all of
//!   them, and one that floods the database makes its own calls wait (`threads::queue`).
//! - Not solved: a single connection that is stuck on a server that answers others is given up only 5 s after the
//!   server's own limit for a statement; SQLite's disk is not watched: one that hangs makes its callers wait, those who read
//!   what was just written too; and a caller who goes does not end a write.

mod conn;
mod error;
#[cfg(feature = "faults")]
pub mod faults;
#[cfg(feature = "sqlite")]
mod file;
mod memo;
pub mod metrics;
mod migrate;
mod row;
mod sql;
#[cfg(feature = "testing")]
pub mod testing;
mod threads;
mod value;

pub use conn::{Conn, Dialect};
pub use error::{DbError, DbResult, is_away, outcome_unknown};
pub use memo::Memo;
pub use row::Row;
pub use sql::Sql;
pub use value::{Type, Value};

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gyre_model::{Error, Kind, Result};
use tokio::sync::{oneshot, watch};

use threads::{Along, Around, Job, Threads};

/// How to reach the database.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// `sqlite:///path/to/file` or `postgres://user:password@host/database`.
    pub url: String,
    /// Threads that read (SQLite), or all connections (PostgreSQL); at least two. A quarter of them is left to what is short.
    pub connections: usize,
    /// How long a connection to PostgreSQL may take.
    pub connect_timeout: Duration,
    /// Most reads, and most writes, of new work that wait for a connection; one account has its part of them.
    pub queue: usize,
    /// How long they wait at most.
    pub longest_wait: Duration,
    /// How long a statement may take at most: one that reads (SQLite), or any (PostgreSQL).
    pub longest_run: Duration,
    /// How long SQLite's write-ahead log may be before readers are made to let go of it, in bytes.
    pub longest_log: u64,
}

impl StoreConfig {
    /// The defaults for a URL: 4 readers for SQLite, 8 connections for PostgreSQL, 2 s to connect; 10 000 may wait, for 10 s, and
    /// a statement may take 30 s; 64 MiB of log.
    pub fn new(url: impl Into<String>) -> Self {
        let url = url.into();
        let connections = if url.starts_with("sqlite:") { 4 } else { 8 };
        Self {
            url,
            connections,
            connect_timeout: Duration::from_secs(2),
            queue: 10_000,
            longest_wait: Duration::from_secs(10),
            longest_run: Duration::from_secs(30),
            longest_log: 64 << 20,
        }
    }
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    threads: Arc<Threads>,
    log: Arc<watch::Sender<u64>>,
    companions: Arc<Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>,
}

impl Store {
    /// Opens the database. Run [`Store::migrate`] before the first use of a new one.
    ///
    /// # Errors
    /// A URL of another scheme, a back end that was not built in, a database that does not answer.
    pub fn open(config: &StoreConfig) -> Result<Self> {
        Ok(Self {
            threads: Arc::new(Threads::start(config)?),
            log: Arc::new(watch::Sender::new(0)),
            companions: Arc::default(),
        })
    }

    /// Reads: several statements may see different moments. What callers have a say in, and what looks through a table, goes by
    /// [`Store::search`].
    ///
    /// # Errors
    /// What the closure answers, or that the database is away, or has too much to do, or took too long.
    pub fn read<T, F>(&self, name: &'static str, run: F) -> impl Future<Output = Result<T>> + Send + use<'_, T, F>
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        let done = self.submit(name, Around::Nothing, run);
        async { done.await?.certain() }
    }

    /// Reads what may take long, such as a list: as [`Store::read`], but never on the last connections that are free.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn search<T, F>(&self, name: &'static str, run: F) -> impl Future<Output = Result<T>> + Send + use<'_, T, F>
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        let done = self.submit(name, Around::Search, run);
        async { done.await?.certain() }
    }

    /// Writes in one transaction, and answers once it is durable. The closure's error undoes it.
    ///
    /// # Errors
    /// What the closure answers, or that the database is away or has too much to do: nothing was changed then, unless
    /// [`outcome_unknown`] says that it may have been.
    pub fn write<T, F>(&self, name: &'static str, run: F) -> impl Future<Output = Result<T>> + Send + use<'_, T, F>
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        let done = self.submit(name, Around::Transaction, run);
        async { done.await?.certain() }
    }

    /// Writes as [`Store::write`] does, and runs the closure again where another transaction was in its way (a deadlock, a
    /// serialization failure, a lock that was not to be had), or where it was undone with a closure that shared its transaction.
    /// Only the last answer counts. It is cheaper than [`Store::write`] where many write.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn write_again<T, F>(&self, name: &'static str, run: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Conn) -> Result<T> + Send + Sync + 'static,
    {
        let run = Arc::new(run);
        let mut tried = 0;
        loop {
            let run = Arc::clone(&run);
            match self.commit(name, move |conn| run(conn)).await.and_then(Committed::certain) {
                Err(error) if again(&error) && tried < CONFLICTS => {
                    tried += 1;
                    metrics::retried(name);
                    tokio::time::sleep(pause(tried)).await;
                }
                result => return result,
            }
        }
    }

    /// Writes as [`Store::write`] does, for whoever can find out by itself whether a commit happened that got no answer. The closure may
    /// run again where it was undone with one that shared its transaction.
    ///
    /// # Errors
    /// As [`Store::write`]; but nothing was changed.
    pub fn commit<T, F>(
        &self,
        name: &'static str,
        run: F,
    ) -> impl Future<Output = Result<Committed<T>>> + Send + use<'_, T, F>
    where
        T: Send + 'static,
        F: Fn(&mut Conn) -> Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Job::again(name, run, answer, self.along());
        async move {
            self.threads.send(job);
            answered.await.unwrap_or_else(|_| Err(stopped()))
        }
    }

    /// The closure is boxed before anything waits: an `async` function would keep room for it, and for all that it holds, in the
    /// future of whoever calls, once for each of the functions on the way here.
    fn submit<T, F>(
        &self,
        name: &'static str,
        around: Around,
        run: F,
    ) -> impl Future<Output = Result<Committed<T>>> + Send + use<'_, T, F>
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let along = match around {
            Around::Transaction => self.along(),
            Around::Nothing | Around::Search | Around::Bare => {
                Along { behalf: gyre_model::behalf::current(), ..Along::default() }
            }
        };
        let job = Job::new(name, around, run, answer, along);
        async move {
            self.threads.send(job);
            answered.await.unwrap_or_else(|_| Err(stopped()))
        }
    }

    /// What goes along with a closure that writes, in the task that asks for it.
    fn along(&self) -> Along {
        let (behalf, origin) = (gyre_model::behalf::current(), gyre_model::origin::current());
        Along { behalf, origin, log: Some(Arc::clone(&self.log)) }
    }

    /// Brings the schema up to date. Answers the migrations that ran.
    ///
    /// # Errors
    /// A migration that failed; those before it stay.
    pub async fn migrate(&self) -> Result<Vec<String>> {
        self.submit("migrate", Around::Bare, migrate::run).await?.certain()
    }

    /// What this process has once for this database, of a type; made by whoever asks first. It must not hold on to the store.
    pub fn companion<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut companions = self.companions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = companions.get(&TypeId::of::<T>()).and_then(|known| Arc::clone(known).downcast().ok()) {
            return known;
        }
        let made = Arc::new(make());
        companions.insert(TypeId::of::<T>(), Arc::clone(&made) as Arc<dyn Any + Send + Sync>);
        made
    }

    /// Wakes after each commit of this process that wrote into the log of changes, with how many there were.
    pub fn log_commits(&self) -> watch::Receiver<u64> {
        self.log.subscribe()
    }

    /// Which database it is.
    pub fn dialect(&self) -> Dialect {
        self.threads.dialect()
    }
}

/// What became of a write.
#[derive(Debug)]
pub enum Committed<T> {
    /// It is durable.
    Done(T),
    /// Its commit was sent and no answer came: what the closure answered, and what to tell a caller who cannot find out.
    Unknown(T, Error),
}

impl<T> Committed<T> {
    /// Only what is certain.
    ///
    /// # Errors
    /// That it is not.
    pub fn certain(self) -> Result<T> {
        match self {
            Self::Done(value) => Ok(value),
            Self::Unknown(_, error) => Err(error),
        }
    }
}

/// How often a transaction is run again after a conflict.
const CONFLICTS: u32 = 6;

/// Whether the same transaction may succeed when it is run again.
fn again(error: &Error) -> bool {
    error.kind() == Kind::Aborted && error.reason() == "CONFLICT"
}

/// The wait before it is: twice as long every time, and by chance different for those that met.
fn pause(tried: u32) -> Duration {
    use std::hash::{BuildHasher as _, RandomState};
    let longest = 4_000_u64 << tried.min(6);
    Duration::from_micros(longest / 2 + RandomState::new().hash_one(tried) % (longest / 2))
}

fn stopped() -> Error {
    Error::new(Kind::Unavailable, "STORE_STOPPED", "the store is shutting down")
}
