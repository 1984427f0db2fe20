//! What can go wrong with a statement, told apart only as far as callers act on it.

use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error as Diesel};
use gyre_model::{Error, Kind};

use crate::metrics;

/// A result of one statement.
pub type DbResult<T> = Result<T, DbError>;

/// A statement that failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DbError {
    /// A unique index refused it. What PostgreSQL calls the constraint, or SQLite the columns ("vm.project, vm.name").
    #[error("not unique: {0}")]
    Unique(String),
    /// A foreign key refused it.
    #[error("refers to something that is not there: {0}")]
    ForeignKey(String),
    /// The database went away.
    #[error("database does not answer: {0}")]
    Lost(String),
    /// Two transactions were in each other's way; the same again may succeed.
    #[error("transaction conflict: {0}")]
    Conflict(String),
    /// Another process holds the database file.
    #[error("database file is locked: {0}")]
    Locked(String),
    /// A statement took longer than it may.
    #[error("statement took too long: {0}")]
    Slow(String),
    /// A statement was ended because nobody waits for it any more.
    #[error("nobody waits for it")]
    Forsaken,
    /// The disk is full.
    #[error("database disk is full: {0}")]
    Full(String),
    /// All else: a fault of Gyre's.
    #[error("{0}")]
    Other(String),
}

impl From<Diesel> for DbError {
    fn from(error: Diesel) -> Self {
        match error {
            Diesel::DatabaseError(kind, info) => {
                let text = info.message().to_owned();
                match kind {
                    DatabaseErrorKind::UniqueViolation => {
                        let name = info.constraint_name().map(str::to_owned);
                        let columns = text.strip_prefix("UNIQUE constraint failed: ").map(str::to_owned);
                        Self::Unique(name.or(columns).unwrap_or(text))
                    }
                    DatabaseErrorKind::ForeignKeyViolation => Self::ForeignKey(text),
                    DatabaseErrorKind::SerializationFailure => Self::Conflict(text),
                    DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => Self::Lost(text),
                    _ if text.contains("database or disk is full") || text.contains("No space left") => {
                        Self::Full(text)
                    }
                    _ if has(&text, &["deadlock detected", "lock timeout", "could not serialize"]) => {
                        Self::Conflict(text)
                    }
                    // the last is of SQLite
                    _ if has(&text, &["statement timeout", "due to user request"]) || text == "interrupted" => {
                        Self::Slow(text)
                    }
                    _ if has(&text, &["database is locked", "database table is locked"]) => Self::Locked(text),
                    // libpq tells of a server that went away in the text only
                    _ if has(
                        &text,
                        &[
                            "server closed the connection",
                            "no connection to the server",
                            "terminating connection",
                            "could not connect",
                            "could not receive data from server",
                            "could not send data to server",
                            "connection timed out",
                            "the database system is",
                            "SSL connection has been closed",
                            // of SQLite
                            "disk I/O error",
                            "unable to open database file",
                            "attempt to write a readonly database",
                        ],
                    ) =>
                    {
                        Self::Lost(text)
                    }
                    _ => Self::Other(text),
                }
            }
            other => Self::Other(other.to_string()),
        }
    }
}

fn has(text: &str, signs: &[&str]) -> bool {
    signs.iter().any(|sign| text.contains(sign))
}

/// The database is away, and what was asked for surely did not happen.
pub(crate) fn away() -> Error {
    Error::unavailable(
        "DATABASE_AWAY",
        "the database does not answer, and nothing was changed; it is being connected to again: try again in a second",
    )
}

/// The database went away between a commit and its answer.
pub(crate) fn unknown() -> Error {
    Error::unavailable(
        "DATABASE_AWAY",
        "the database went away while it committed: whether the change was made is not known; the same call with the same \
         request id tells, and does it if it was not",
    )
    .with(OUTCOME, "unknown")
}

/// The name of the fact that tells the two apart.
const OUTCOME: &str = "outcome";

/// Whether an error leaves open if the write happened: its commit was sent and no answer came.
pub fn outcome_unknown(error: &Error) -> bool {
    error.metadata().get(OUTCOME).is_some_and(|outcome| outcome == "unknown")
}

/// Whether the database is why something failed, here or in a service that was asked: gone, busy, locked or full. The same again
/// may succeed when that is over.
pub fn is_away(error: &Error) -> bool {
    let kinds = [Kind::Unavailable, Kind::ResourceExhausted];
    error.reason() == SLOW || kinds.contains(&error.kind()) && error.reason().starts_with("DATABASE_")
}

/// The reason of what took too long.
const SLOW: &str = "DATABASE_SLOW";

/// The database has too much to do.
pub(crate) fn busy(why: &str) -> Error {
    let text = format!("the database is busy: {why}, and nothing was changed; try again in some seconds");
    Error::new(Kind::ResourceExhausted, "DATABASE_BUSY", text).retry_after(Duration::from_secs(2))
}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Unique(what) => {
                Self::new(Kind::AlreadyExists, "ALREADY_EXISTS", "something of that identity is there already")
                    .with("constraint", what)
            }
            DbError::ForeignKey(what) => Self::new(
                Kind::FailedPrecondition,
                "REFERENCED",
                "it refers to something that is not there, or something refers to it",
            )
            .with("constraint", what),
            DbError::Lost(why) => {
                tracing::warn!(%why, "database away");
                away()
            }
            DbError::Conflict(why) => {
                tracing::debug!(%why, "transaction conflict");
                Self::new(Kind::Aborted, "CONFLICT", "another change came first; try again")
            }
            DbError::Locked(why) => {
                tracing::warn!(%why, "database file locked");
                Self::unavailable(
                    "DATABASE_LOCKED",
                    "another process holds the database file, and nothing was changed; end that process (a backup, a shell) \
                     or try again",
                )
            }
            DbError::Slow(why) => {
                tracing::warn!(%why, "statement ended by the database");
                metrics::refused(SLOW);
                Self::new(
                    Kind::DeadlineExceeded,
                    SLOW,
                    "the database did not answer in time, and nothing was changed; ask for less at once (a filter by indexed fields, \
                     fewer steps in its paths), or try again",
                )
            }
            // nobody hears it
            DbError::Forsaken => {
                Self::new(Kind::Cancelled, "CALLER_GONE", "whoever asked has gone, and nothing was changed")
            }
            DbError::Full(why) => {
                tracing::error!(%why, "database disk full");
                Self::new(
                    Kind::ResourceExhausted,
                    "DATABASE_FULL",
                    "the database's disk is full, and nothing was changed; make room and try again",
                )
                .retry_after(Duration::from_secs(10))
            }
            DbError::Other(why) => Self::internal(why),
        }
    }
}
