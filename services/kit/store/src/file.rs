//! The file of a SQLite database. SQLite goes on with a file that was deleted or replaced under it, and all that is written then
//! is lost without a word; so we look.

use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use gyre_model::{Error, Result};

/// Which file it is, once it was opened: device and inode.
#[derive(Clone)]
pub(crate) struct File {
    path: Arc<str>,
    known: Arc<Mutex<Option<(u64, u64)>>>,
}

impl File {
    pub fn new(path: &str) -> Self {
        Self { path: path.into(), known: Arc::default() }
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    fn log(&self) -> String {
        format!("{}-wal", self.path)
    }

    /// How long its write-ahead log is, in bytes.
    pub fn log_length(&self) -> u64 {
        std::fs::metadata(self.log()).map_or(0, |facts| facts.len())
    }

    /// Opens its write-ahead log; a database in memory has none.
    pub fn open_log(&self) -> Result<Option<std::fs::File>> {
        match std::fs::File::open(self.log()) {
            Ok(log) => Ok(Some(log)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let text = format!("cannot open the database's log {}: {error}; check that it is readable", self.log());
                Err(Error::unavailable("DATABASE_AWAY", text))
            }
        }
    }

    fn known(&self) -> Option<(u64, u64)> {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Option<(u64, u64)> {
        // a database in memory, or with SQLite's own parameters, is none of ours to look after
        let facts = std::fs::metadata(&*self.path).ok()?;
        Some((facts.dev(), facts.ino()))
    }

    /// Remembers which file was opened first.
    pub fn opened(&self) -> Result<()> {
        let now = self.now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            *known = now;
        }
        drop(known);
        self.still_there()
    }

    /// A file that was there must not be made anew, empty.
    pub fn may_open(&self) -> Result<()> {
        self.still_there()
    }

    /// Whether the file that was opened is still the one at its path.
    pub fn still_there(&self) -> Result<()> {
        let Some(known) = self.known() else { return Ok(()) };
        let what = match self.now() {
            Some(now) if now == known => return Ok(()),
            Some(_) => "was replaced by another file",
            None => "is gone",
        };
        let text = format!(
            "the database file {} {what} while it was in use; stop the process, put the right file there with its -wal and \
             -shm neighbours, and start it again",
            self.path
        );
        Err(Error::unavailable("DATABASE_AWAY", text))
    }
}
