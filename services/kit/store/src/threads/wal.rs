//! Keeping SQLite's write-ahead log short.
//!
//! # Theory
//! 1. SQLite copies the log into the database file at the end of a commit that made it long, and waits for the disk then: nobody else's write
//!    goes on meanwhile. So a thread of its own, with a connection of its own, copies while the writer goes on ([`copy`]; a "passive"
//!    checkpoint, <https://sqlite.org/c3ref/wal_checkpoint_v2.html>).
//! 2. SQLite begins the log anew where all of it is copied and no reader looks into it. While the writer goes on there is no such moment, nor
//!    with readers all the time ("checkpoint starvation", <https://sqlite.org/wal.html>, section 6): the log would grow without end, and
//!    with it what every read costs that looks through it. So the writer makes that moment once the log is long: it copies
//!    what little is left, and waits while it writes nothing, so that whoever begins to read finds everything in the file.
//! 3. Reads are short, but for searches: it waits for [`PATIENCE`] at most, and tries again when the copier has been there once more, or,
//!    where the file is longer than it may be, with the next commit that is [`PAUSE`] away.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gyre_model::{Error, Result};

use super::{Durable, Pool};
use crate::conn::Conn;
use crate::error::{DbError, DbResult};
use crate::row::Row;
use crate::sql::Sql;

/// How long readers are waited for.
const PATIENCE: Duration = Duration::from_millis(50);
/// How often the log's file is looked at.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the copier looks whether something was committed.
const LOOK: Duration = Duration::from_millis(50);
/// So many pages of the log are copied at once: the same pages are written again and again, those of indexes above all.
const PAGES: i64 = 4_096;
/// A log of so many pages is begun anew.
const LONG: i64 = 3 * PAGES;

/// What the writer and the copier tell each other.
#[derive(Debug, Default)]
pub(super) struct Copying {
    commits: AtomicU64,
    anew: AtomicBool,
    closed: AtomicBool,
}

impl Copying {
    /// Something was committed.
    pub fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    /// Nothing more will be.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

/// Copies the log into the file whenever it has grown, until the store is closed.
pub(super) fn copy(pool: &Weak<Pool>) {
    let (mut conn, mut seen) = (None, 0);
    loop {
        std::thread::sleep(LOOK);
        let Some(pool) = pool.upgrade() else { return };
        if pool.copying.closed.load(Ordering::Relaxed) {
            return;
        }
        let commits = pool.copying.commits.load(Ordering::Relaxed);
        if commits == seen {
            continue;
        }
        seen = commits;
        match copy_once(&pool, &mut conn) {
            Ok(false) => {}
            Ok(true) => pool.copying.anew.store(true, Ordering::Relaxed),
            Err(error) => {
                conn = None;
                tracing::warn!(%error, "the write-ahead log cannot be copied into the database");
                drop(pool);
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// Copies what there is, if it is enough. Answers whether the log is long and so little of it is left that a reader cannot be holding the rest:
/// the writer would wait for that one in vain.
fn copy_once(pool: &Pool, conn: &mut Option<Conn>) -> Result<bool> {
    let conn = match conn {
        Some(conn) => conn,
        None => conn.insert(pool.opener.open(false, None)?),
    };
    let mut checkpoint = |how| checkpoint(conn, how).map_err(|error| failed(&pool.durable, error));
    let (log, copied) = checkpoint("NOOP")?;
    if log - copied < PAGES {
        return Ok(false);
    }
    let (log, copied) = checkpoint("PASSIVE")?;
    Ok(log >= LONG && log - copied < PAGES)
}

/// How many pages the log has then, and how many of them are copied.
fn checkpoint(conn: &mut Conn, how: &str) -> DbResult<(i64, i64)> {
    let row = conn.query_one(Sql::new(format!("PRAGMA wal_checkpoint({how})")))?;
    let pages = |row: &Row, at| row.int(at).unwrap_or(0);
    Ok(row.map_or((0, 0), |row| (pages(&row, 1), pages(&row, 2))))
}

/// When the writer looks at the log.
pub(super) struct Wal {
    next: Instant,
    longest: u64,
}

impl Wal {
    /// For a log whose file may be so long, in bytes.
    pub fn new(longest: u64) -> Self {
        Self { next: Instant::now(), longest }
    }

    /// After a commit: begins the log anew where it is long. `length` tells how long its file is, in bytes.
    pub fn look(&mut self, conn: &mut Conn, copying: &Copying, durable: &Durable, length: impl FnOnce() -> u64) {
        copying.committed();
        if durable.sound().is_err() {
            return;
        }
        if copying.anew.swap(false, Ordering::Relaxed) {
            begin_anew(conn, durable, "RESTART");
        }
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + PAUSE;
        if length() > self.longest {
            begin_anew(conn, durable, "TRUNCATE");
        }
    }
}

fn begin_anew(conn: &mut Conn, durable: &Durable, how: &str) {
    let anew = format!(
        "PRAGMA busy_timeout = {}; PRAGMA wal_checkpoint({how}); PRAGMA busy_timeout = {}",
        PATIENCE.as_millis(),
        super::open::BUSY.as_millis()
    );
    if let Err(error) = conn.batch(&anew) {
        let error = failed(durable, error);
        tracing::warn!(%error, "the write-ahead log cannot be shortened");
    }
}

/// A copy failed. What the disk did not take into the file is not copied again, and a second flush would not tell that it is missing; so the
/// log has to stay as it is. A full disk says so before it takes anything.
fn failed(durable: &Durable, error: DbError) -> Error {
    if let DbError::Lost(why) = &error
        && why.contains("disk I/O error")
    {
        durable.refuse(why);
    }
    error.into()
}
