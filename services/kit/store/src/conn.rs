//! A connection, whichever database is behind it.

use std::sync::Arc;

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;

use gyre_model::Origin;

use crate::error::{DbError, DbResult};
use crate::row::Row;
use crate::sql::Sql;
use crate::threads::Watch;

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// A connection on one of the store's threads.
pub struct Conn {
    pub(crate) inner: Inner,
    pub(crate) lost: bool,
    #[cfg(feature = "faults")]
    pub(crate) gate: Option<crate::faults::Gate>,
    /// Where statements are watched.
    pub(crate) watch: Option<Arc<Watch>>,
    /// Where the call came from that this closure writes for.
    pub(crate) origin: Option<Arc<Origin>>,
    /// Whether this closure wrote into the log of changes.
    pub(crate) logged: bool,
}

pub(crate) enum Inner {
    #[cfg(feature = "sqlite")]
    Sqlite(diesel::sqlite::SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(diesel::pg::PgConnection),
}

macro_rules! on {
    ($conn:expr, $inner:ident => $body:expr) => {
        match &mut $conn.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite($inner) => $body,
            #[cfg(feature = "postgres")]
            Inner::Postgres($inner) => $body,
        }
    };
}

impl Conn {
    pub(crate) fn new(inner: Inner) -> Self {
        Self {
            inner,
            lost: false,
            #[cfg(feature = "faults")]
            gate: None,
            watch: None,
            origin: None,
            logged: false,
        }
    }

    /// Where the call came from that this closure writes for, where it was asked for in the task that answers one.
    pub fn origin(&self) -> Option<&Arc<Origin>> {
        self.origin.as_ref()
    }

    /// Says that this closure wrote into the log of changes: whoever follows the log is woken once that is durable.
    pub fn logged(&mut self) {
        self.logged = true;
    }

    /// Which database it is.
    pub fn dialect(&self) -> Dialect {
        match self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(_) => Dialect::Sqlite,
            #[cfg(feature = "postgres")]
            Inner::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs a statement that answers rows.
    ///
    /// # Errors
    /// What the database says.
    pub fn query(&mut self, sql: Sql) -> DbResult<Vec<Row>> {
        self.begin()?;
        let result = on!(self, inner => sql.load::<Row>(inner));
        self.note(result)
    }

    /// Runs a statement that answers at most one row.
    ///
    /// # Errors
    /// What the database says.
    pub fn query_one(&mut self, sql: Sql) -> DbResult<Option<Row>> {
        Ok(self.query(sql)?.into_iter().next())
    }

    /// Runs a statement, and answers how many rows it changed.
    ///
    /// # Errors
    /// What the database says.
    pub fn execute(&mut self, sql: Sql) -> DbResult<usize> {
        self.begin()?;
        let result = on!(self, inner => diesel::RunQueryDsl::execute(sql, inner));
        self.note(result)
    }

    /// Runs something that may fail without undoing what the transaction did before.
    ///
    /// # Errors
    /// What the closure answers, or that the database is away.
    pub fn savepoint<T, E: From<DbError>>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        self.batch("SAVEPOINT inner_savepoint")?;
        match run(self) {
            Ok(value) => {
                self.batch("RELEASE SAVEPOINT inner_savepoint")?;
                Ok(value)
            }
            Err(error) => {
                self.batch("ROLLBACK TO SAVEPOINT inner_savepoint; RELEASE SAVEPOINT inner_savepoint")?;
                Err(error)
            }
        }
    }

    pub(crate) fn batch(&mut self, text: &str) -> DbResult<()> {
        #[cfg(feature = "faults")]
        if text == "COMMIT" {
            return self.commit_at_gate();
        }
        self.begin()?;
        let result = on!(self, inner => inner.batch_execute(text));
        self.note(result)
    }

    #[cfg(feature = "faults")]
    fn commit_at_gate(&mut self) -> DbResult<()> {
        let gate = self.gate.clone();
        if let Some(Err(stopped)) = gate.as_ref().map(crate::faults::Gate::before) {
            // as the end of a process does: nothing stays locked
            let _ = on!(self, inner => inner.batch_execute("ROLLBACK"));
            self.lost = true;
            return Err(stopped);
        }
        // the database owes nothing yet to whoever is held up on purpose
        self.begin()?;
        let result = on!(self, inner => inner.batch_execute("COMMIT"));
        self.note(result)?;
        gate.map_or(Ok(()), |gate| gate.after().inspect_err(|_| self.lost = true))
    }

    /// Before a statement: what was given up meanwhile goes no further.
    fn begin(&mut self) -> DbResult<()> {
        if self.watch.as_ref().is_some_and(|watch| !watch.begin_statement()) {
            self.lost = true;
        }
        if self.lost {
            return Err(DbError::Lost("the connection was given up".to_owned()));
        }
        Ok(())
    }

    /// After a statement.
    fn note<T>(&mut self, result: diesel::QueryResult<T>) -> DbResult<T> {
        let result = result.map_err(DbError::from);
        self.lost |= matches!(result, Err(DbError::Lost(_)));
        if let Some(watch) = &self.watch {
            watch.end_statement(!self.lost);
        }
        result
    }
}
