//! A connection, whichever database is behind it.

use std::sync::Arc;

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;

use gyre_model::Origin;

use crate::error::{DbError, DbResult};
use crate::memo::Memo;
use crate::row::Row;
use crate::sql::Sql;
use crate::threads::{Durable, Watch};

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
    /// How many statements were run on it.
    pub(crate) statements: u64,
    /// Whether a statement changed something.
    wrote: bool,
    /// How a statement failed that may have ended the transaction.
    shaken: Option<DbError>,
    /// Whether a closure's part of a shared transaction is under way.
    in_part: bool,
    /// What the store's connections found out.
    pub(crate) memo: Arc<Memo>,
    /// Whether this closure may take long.
    pub(crate) searches: bool,
    /// Whether SQLite looks at its file where the kernel has it.
    #[cfg(feature = "sqlite")]
    mapped: bool,
}

/// How much of its file SQLite looks at where the kernel has it, in bytes: the most that it takes.
#[cfg(feature = "sqlite")]
const MAPPED: u64 = 2_147_418_112;

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
            statements: 0,
            wrote: false,
            shaken: None,
            in_part: false,
            memo: Arc::default(),
            searches: false,
            #[cfg(feature = "sqlite")]
            mapped: false,
        }
    }

    /// Lets SQLite look at its file where the kernel has it, for what reads much of it once, or copy pages into its cache, for all else: after
    /// each change of the file SQLite takes its view of it down and makes it anew, which costs more than to copy a few pages does, and makes
    /// every processor forget where its pages were.
    #[cfg(feature = "sqlite")]
    pub(crate) fn map(&mut self, mapped: bool) {
        if let Inner::Sqlite(inner) = &mut self.inner
            && self.mapped != mapped
        {
            let size = if mapped { MAPPED } else { 0 };
            // not a statement of whoever asks; where it fails all is read as before
            if inner.batch_execute(&format!("PRAGMA mmap_size = {size}")).is_ok() {
                self.mapped = mapped;
            }
        }
    }

    /// What the store's connections found out a short time ago.
    pub fn memo(&self) -> &Arc<Memo> {
        &self.memo
    }

    /// Where the call came from that this closure writes for, where it was asked for in the task that answers one.
    pub fn origin(&self) -> Option<&Arc<Origin>> {
        self.origin.as_ref()
    }

    /// Says that this closure wrote into the log of changes: whoever follows the log is woken once that is durable.
    pub fn logged(&mut self) {
        self.logged = true;
    }

    /// Whether this closure came by [`crate::Store::search`]: only such may ask what can take long.
    pub fn searches(&self) -> bool {
        self.searches
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
        self.begin_in_part()?;
        let reads = sql.reads();
        let result = on!(self, inner => sql.load::<Row>(inner));
        self.wrote |= !reads && result.as_ref().is_ok_and(|rows| !rows.is_empty());
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
        self.begin_in_part()?;
        let result = on!(self, inner => diesel::RunQueryDsl::execute(sql, inner));
        self.wrote |= result.as_ref().is_ok_and(|changed| *changed > 0);
        self.note(result)
    }

    /// Runs one statement that may fail without undoing what the transaction did before, and answers how many rows it changed. SQLite
    /// takes back what a failed statement did and no more; PostgreSQL needs a savepoint for that, which costs two statements.
    ///
    /// # Errors
    /// What the database says.
    pub fn try_execute(&mut self, sql: Sql) -> DbResult<usize> {
        match self.dialect() {
            Dialect::Sqlite => self.execute(sql),
            Dialect::Postgres => self.savepoint(|conn| conn.execute(sql)),
        }
    }

    /// The same for a statement that answers at most one row.
    ///
    /// # Errors
    /// What the database says.
    pub fn try_query_one(&mut self, sql: Sql) -> DbResult<Option<Row>> {
        match self.dialect() {
            Dialect::Sqlite => self.query_one(sql),
            Dialect::Postgres => self.savepoint(|conn| conn.query_one(sql)),
        }
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
        self.begin()?;
        let result = on!(self, inner => inner.batch_execute(text));
        self.note(result)
    }

    /// Commits. `durable` is told, where the disk is waited for apart.
    pub(crate) fn commit(&mut self, durable: Option<&Durable>) -> DbResult<()> {
        #[cfg(feature = "faults")]
        let gate = self.gate.clone();
        #[cfg(feature = "faults")]
        if let Some(Err(stopped)) = gate.as_ref().map(crate::faults::Gate::before) {
            // as the end of a process does: nothing stays locked
            let _ = on!(self, inner => inner.batch_execute("ROLLBACK"));
            self.lost = true;
            return Err(stopped);
        }
        if let Some(durable) = durable {
            durable.begin();
        }
        let committed = self.batch("COMMIT");
        if let Some(durable) = durable {
            durable.end();
        }
        committed?;
        #[cfg(feature = "faults")]
        gate.map_or(Ok(()), |gate| gate.after().inspect_err(|_| self.lost = true))?;
        Ok(())
    }

    /// Runs a closure's part of a transaction that several share. After a statement that may have ended the transaction nothing more is
    /// done in it.
    pub(crate) fn part<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> T {
        (self.wrote, self.shaken, self.in_part) = (false, None, true);
        let done = run(self);
        self.in_part = false;
        done
    }

    /// Whether a statement of this part changed something; it may have been taken back since.
    pub(crate) fn wrote(&self) -> bool {
        self.wrote
    }

    /// How a statement of this part failed, where it may have ended the transaction.
    pub(crate) fn shaken(&self) -> Option<DbError> {
        self.shaken.clone()
    }

    /// Before a statement of a closure's.
    fn begin_in_part(&mut self) -> DbResult<()> {
        match &self.shaken {
            Some(error) if self.in_part => Err(error.clone()),
            _ => self.begin(),
        }
    }

    /// Before a statement: what was given up meanwhile goes no further.
    fn begin(&mut self) -> DbResult<()> {
        self.statements += 1;
        if self.watch.as_ref().is_some_and(|watch| !watch.begin_statement()) {
            self.lost = true;
        }
        #[cfg(feature = "sqlite")]
        if matches!(self.inner, Inner::Sqlite(_)) {
            crate::threads::interrupt::statement();
        }
        if self.lost {
            return Err(DbError::Lost("the connection was given up".to_owned()));
        }
        Ok(())
    }

    /// Whether nobody waits for what this closure reads.
    fn forsaken(&self) -> bool {
        match self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(_) => crate::threads::interrupt::forsaken(),
            #[cfg(feature = "postgres")]
            Inner::Postgres(_) => self.watch.as_ref().is_some_and(|watch| watch.forsaken()),
        }
    }

    /// After a statement.
    fn note<T>(&mut self, result: diesel::QueryResult<T>) -> DbResult<T> {
        let result = result.map_err(DbError::from).map_err(|error| match error {
            DbError::Slow(_) if self.forsaken() => DbError::Forsaken,
            error => error,
        });
        self.lost |= matches!(result, Err(DbError::Lost(_)));
        if let Err(error) = &result
            && !matches!(error, DbError::Unique(_) | DbError::ForeignKey(_))
        {
            self.shaken.get_or_insert_with(|| error.clone());
        }
        if let Some(watch) = &self.watch {
            watch.end_statement(!self.lost);
        }
        result
    }
}
