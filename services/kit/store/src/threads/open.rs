//! Opening connections.

use std::sync::Arc;
use std::time::Duration;

use diesel::Connection;
use gyre_model::{Error, Kind, Result};

use super::Watch;
use crate::StoreConfig;
use crate::conn::{Conn, Dialect, Inner};
use crate::memo::Memo;

/// How long SQLite's connections wait for one another.
pub(super) const BUSY: Duration = Duration::from_secs(1);

/// Opens connections.
#[derive(Clone)]
pub(crate) struct Opener {
    target: Target,
    #[cfg(feature = "faults")]
    pub(crate) gate: crate::faults::Gate,
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "SQLite connects at once"))]
    connect_timeout: Duration,
    memo: Arc<Memo>,
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only a server is told"))]
    longest_run: Duration,
}

#[derive(Clone)]
enum Target {
    #[cfg(feature = "sqlite")]
    Sqlite(crate::file::File),
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
    pub fn new(config: &StoreConfig) -> Result<Self> {
        let url = config.url.as_str();
        let target = match url.split_once("://") {
            #[cfg(feature = "sqlite")]
            Some(("sqlite", path)) if !path.is_empty() => Target::Sqlite(crate::file::File::new(path)),
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
            memo: Arc::default(),
            longest_run: config.longest_run,
        })
    }

    pub fn dialect(&self) -> Dialect {
        match self.target {
            #[cfg(feature = "sqlite")]
            Target::Sqlite(_) => Dialect::Sqlite,
            #[cfg(feature = "postgres")]
            Target::Postgres(_) => Dialect::Postgres,
        }
    }

    /// How long the write-ahead log of a SQLite file is, in bytes.
    pub fn log_length(&self) -> u64 {
        match &self.target {
            #[cfg(feature = "sqlite")]
            Target::Sqlite(file) => file.log_length(),
            #[cfg(feature = "postgres")]
            Target::Postgres(_) => 0,
        }
    }

    /// The write-ahead log of a connection to a SQLite file, to be flushed; none of a database in memory.
    ///
    /// # Errors
    /// The log cannot be made or opened.
    pub fn log(&self, conn: &mut Conn) -> Result<Option<std::fs::File>> {
        match &self.target {
            #[cfg(feature = "sqlite")]
            Target::Sqlite(file) => {
                // it is there from the first look into the database on
                conn.query_one(crate::Sql::new("SELECT count(*) FROM sqlite_schema"))?;
                file.open_log()
            }
            #[cfg(feature = "postgres")]
            Target::Postgres(_) => Ok(None),
        }
    }

    /// Whether the database is still where it was: SQLite goes on with a file that nobody can find any more.
    pub fn still_there(&self) -> Result<()> {
        match &self.target {
            #[cfg(feature = "sqlite")]
            Target::Sqlite(file) => file.still_there(),
            #[cfg(feature = "postgres")]
            Target::Postgres(_) => Ok(()),
        }
    }

    /// Opens one; what it asks the server on the way is watched, too.
    pub fn open(&self, writes: bool, watch: Option<&Arc<Watch>>) -> Result<Conn> {
        let mut conn = self.connect(writes, watch)?;
        conn.memo = Arc::clone(&self.memo);
        #[cfg(feature = "faults")]
        {
            conn.gate = Some(self.gate.clone());
        }
        Ok(conn)
    }

    #[cfg_attr(not(feature = "postgres"), allow(unused_variables, reason = "SQLite is not watched"))]
    fn connect(&self, writes: bool, watch: Option<&Arc<Watch>>) -> Result<Conn> {
        match &self.target {
            #[cfg(feature = "sqlite")]
            Target::Sqlite(file) => {
                let path = file.path();
                file.may_open()?;
                // SQLite takes another page cache before all else only
                super::pages::install();
                super::interrupt::install()?;
                let inner = diesel::sqlite::SqliteConnection::establish(path).map_err(|error| {
                    let text = format!(
                        "cannot open the database {path}: {error}; check that the folder is there and writable"
                    );
                    Error::unavailable("DATABASE_AWAY", text)
                })?;
                let mut conn = Conn::new(Inner::Sqlite(inner));
                // Another process that holds the file does not make callers wait for long; see the theory.
                conn.batch(&format!("PRAGMA busy_timeout = {}", BUSY.as_millis()))?;
                // the writer is told otherwise where its log is flushed apart
                conn.batch(
                    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; \
                     PRAGMA cache_size = -8192; PRAGMA case_sensitive_like = ON;",
                )?;
                if writes {
                    // many changes at once touch the same pages again and again, those of indexes above all
                    conn.batch("PRAGMA cache_size = -65536")?;
                } else {
                    conn.batch("PRAGMA query_only = ON")?;
                }
                file.opened()?;
                Ok(conn)
            }
            #[cfg(feature = "postgres")]
            Target::Postgres(url) => {
                let separator = if url.contains('?') { '&' } else { '?' };
                // A connection that is cut without a word ends within some seconds in the kernel, too.
                let url = format!(
                    "{url}{separator}connect_timeout={}&application_name=gyre&keepalives_idle=2&keepalives_interval=1&\
                     keepalives_count=3&tcp_user_timeout=4000",
                    self.connect_timeout.as_secs().max(1)
                );
                let inner = diesel::pg::PgConnection::establish(&url).map_err(|error| {
                    // the first line has the address and the reason, and never a password
                    let why = error.to_string().lines().next().unwrap_or_default().to_owned();
                    Error::unavailable("DATABASE_AWAY", format!("cannot connect to the database: {why}"))
                })?;
                let mut conn = Conn::new(Inner::Postgres(inner));
                conn.watch = watch.cloned();
                // The server gives up on a statement, a lock, a silent transaction or a client that is gone rather than hold
                // its rows for long.
                conn.batch(&format!(
                    "SET statement_timeout = {}; SET lock_timeout = '2s'; SET idle_in_transaction_session_timeout = '10s'; \
                     SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; \
                     SET tcp_user_timeout = 10000; SET TIME ZONE 'UTC'",
                    i32::try_from(self.longest_run.as_millis()).unwrap_or(i32::MAX)
                ))?;
                if let Some(watch) = watch
                    && let Some(row) = conn.query_one(crate::Sql::new("SELECT CAST(pg_backend_pid() AS bigint)"))?
                {
                    watch.connected(row.int(0)?);
                }
                Ok(conn)
            }
        }
    }

    /// Whether the server answers somebody new.
    pub fn answers(&self) -> bool {
        match self.open(false, None) {
            Ok(mut conn) => conn.batch("SELECT 1").is_ok(),
            Err(error) => refused_by_server(&error),
        }
    }
}

/// Whether it was the server that refused a connection: then it is up, unless it says that it is not.
pub(super) fn refused_by_server(error: &Error) -> bool {
    error.message().contains("FATAL:") && !error.message().contains("the database system is")
}
