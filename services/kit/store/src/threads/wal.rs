//! Keeping SQLite's write-ahead log short.
//!
//! # Theory
//! After commits SQLite copies the log into the database file, and begins the log anew in a moment in which no reader looks into it.
//! With readers all the time there is never such a moment ("checkpoint starvation", <https://sqlite.org/wal.html>, section 6): the log
//! grows without end, and with it what every read costs that looks through it. So the writer makes that moment: once the log is
//! long, it copies all of it and waits for a moment while it writes nothing, so that whoever begins to read finds everything in the file.
//! Reads are short, but for searches: it waits for [`PATIENCE`] at most, and tries again with the next commit that is
//! [`PAUSE`] away.

use std::time::{Duration, Instant};

use crate::conn::Conn;

/// How long readers are waited for.
const PATIENCE: Duration = Duration::from_millis(50);
/// How often the log is looked at.
const PAUSE: Duration = Duration::from_secs(1);

/// When the log is looked at.
pub(super) struct Wal {
    next: Instant,
    longest: u64,
}

impl Wal {
    /// For a log that may be so long, in bytes.
    pub fn new(longest: u64) -> Self {
        Self { next: Instant::now(), longest }
    }

    /// After a commit: shortens the log where it is long. `length` tells how long it is, in bytes.
    pub fn look(&mut self, conn: &mut Conn, length: impl FnOnce() -> u64) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + PAUSE;
        if length() <= self.longest {
            return;
        }
        let shorten = format!(
            "PRAGMA busy_timeout = {}; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout = {}",
            PATIENCE.as_millis(),
            super::open::BUSY.as_millis()
        );
        if let Err(error) = conn.batch(&shorten) {
            tracing::warn!(%error, "the write-ahead log cannot be shortened");
        }
    }
}
