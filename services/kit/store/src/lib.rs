//! The database: PostgreSQL for clusters, SQLite for one machine, behind one code path that the URL's scheme picks.
//!
//! # Theory
//! - Connections live on the store's own threads; nothing asynchronous ever waits inside one. [`Store::read`] and
//!   [`Store::write`] carry a closure there and its answer back.
//! - A write is one transaction. On SQLite one thread writes: it takes whatever closures wait, runs each in a savepoint of its
//!   own, and commits them together with full durability. A closure that fails is rolled back alone; its neighbours are not
//!   touched. Nobody hears of a write before it is on disk. On PostgreSQL a small pool of threads has one transaction each.
//! - A closure may run on any thread, and must not call anybody else: no RPC, no file, no waiting while a transaction is open.
//! - Statements are [`Sql`] fragments: text with bound values, prepared once for each text. Rows come back as [`Row`]s. The
//!   dialects differ so little in what Gyre says that one text serves both; [`Conn::dialect`] tells where it does not.
//! - A database that is away is `UNAVAILABLE` after [`StoreConfig::connect_timeout`], and is tried again with the next call.

mod conn;
mod error;
#[cfg(feature = "faults")]
pub mod faults;
mod migrate;
mod row;
mod sql;
mod threads;
mod value;

pub use conn::{Conn, Dialect};
pub use error::{DbError, DbResult};
pub use row::Row;
pub use sql::Sql;
pub use value::{Type, Value};

use std::sync::Arc;
use std::time::Duration;

use gyre_model::{Error, Kind, Result};
use tokio::sync::oneshot;

use threads::{Job, Threads};

/// How to reach the database.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// `sqlite:///path/to/file` or `postgres://user:password@host/database`.
    pub url: String,
    /// Threads that read (SQLite), or all connections (PostgreSQL).
    pub connections: usize,
    /// How long a connection to PostgreSQL may take.
    pub connect_timeout: Duration,
}

impl StoreConfig {
    /// The defaults for a URL: 2 readers for SQLite, 8 connections for PostgreSQL, 2 s to connect.
    pub fn new(url: impl Into<String>) -> Self {
        let url = url.into();
        let connections = if url.starts_with("sqlite:") { 2 } else { 8 };
        Self { url, connections, connect_timeout: Duration::from_secs(2) }
    }
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    threads: Arc<Threads>,
}

impl Store {
    /// Opens the database. Run [`Store::migrate`] before the first use of a new one.
    ///
    /// # Errors
    /// A URL of another scheme, a back end that was not built in, a database that does not answer.
    pub fn open(config: &StoreConfig) -> Result<Self> {
        Ok(Self { threads: Arc::new(Threads::start(config)?) })
    }

    /// Reads: several statements may see different moments.
    ///
    /// # Errors
    /// What the closure answers, or that the database is away.
    pub async fn read<T, F>(&self, name: &'static str, run: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        self.submit(name, false, run).await
    }

    /// Writes in one transaction, and answers once it is durable. The closure's error undoes it.
    ///
    /// # Errors
    /// What the closure answers, or that the database is away.
    pub async fn write<T, F>(&self, name: &'static str, run: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        self.submit(name, true, run).await
    }

    async fn submit<T, F>(&self, name: &'static str, write: bool, run: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.threads.send(Job::new(name, write, run, answer))?;
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Brings the schema up to date. Answers the migrations that ran.
    ///
    /// # Errors
    /// A migration that failed; those before it stay.
    pub async fn migrate(&self) -> Result<Vec<String>> {
        let (answer, answered) = oneshot::channel();
        self.threads.send(Job::bare("migrate", migrate::run, answer))?;
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Which database it is.
    pub fn dialect(&self) -> Dialect {
        self.threads.dialect()
    }
}

fn stopped() -> Error {
    Error::new(Kind::Unavailable, "STORE_STOPPED", "the store is shutting down")
}
