//! What can go wrong with a statement, told apart only as far as callers act on it.

use diesel::result::{DatabaseErrorKind, Error as Diesel};
use gyre_model::{Error, Kind};

/// A result of one statement.
pub type DbResult<T> = Result<T, DbError>;

/// A statement that failed.
#[derive(Debug, thiserror::Error)]
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
                    _ if text.contains("deadlock detected") => Self::Conflict(text),
                    // libpq tells of a server that went away in the text only
                    _ if [
                        "server closed the connection",
                        "no connection to the server",
                        "terminating connection",
                        "could not connect",
                        "the database system is",
                        "SSL connection has been closed",
                    ]
                    .iter()
                    .any(|sign| text.contains(sign)) =>
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
                Self::unavailable("DATABASE_AWAY", "the database does not answer; try again")
            }
            DbError::Conflict(why) => {
                tracing::debug!(%why, "transaction conflict");
                Self::new(Kind::Aborted, "CONFLICT", "another change came first; try again")
            }
            DbError::Full(why) => {
                tracing::error!(%why, "database disk full");
                Self::new(
                    Kind::ResourceExhausted,
                    "DATABASE_FULL",
                    "the database's disk is full; make room and try again",
                )
            }
            DbError::Other(why) => Self::internal(why),
        }
    }
}
