//! Migrations: numbered alike for both databases, in `migrations/`, built in. Several processes may start them at once: on
//! PostgreSQL an advisory lock lets one after the other in, on SQLite the write lock does.

use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use gyre_model::{Error, Kind, Result};

use crate::conn::{Conn, Inner};

#[cfg(feature = "sqlite")]
const SQLITE: EmbeddedMigrations = embed_migrations!("../../../migrations/sqlite");
#[cfg(feature = "postgres")]
const POSTGRES: EmbeddedMigrations = embed_migrations!("../../../migrations/postgres");

/// "gyre" in a number: the key of the advisory lock.
#[cfg(feature = "postgres")]
const LOCK: i64 = 0x6779_7265;

fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(
        Kind::FailedPrecondition,
        "MIGRATION_FAILED",
        format!("a migration of the database failed: {error}; the schema is as the last good migration left it"),
    )
}

pub(crate) fn run(conn: &mut Conn) -> Result<Vec<String>> {
    match &mut conn.inner {
        #[cfg(feature = "sqlite")]
        Inner::Sqlite(inner) => {
            use diesel::connection::SimpleConnection;
            // another process may be at it
            inner.batch_execute("PRAGMA busy_timeout = 30000").map_err(failed)?;
            let result = apply(inner, SQLITE);
            inner.batch_execute("PRAGMA busy_timeout = 1000").map_err(failed)?;
            result
        }
        #[cfg(feature = "postgres")]
        Inner::Postgres(inner) => {
            use diesel::connection::SimpleConnection;
            // however long it and those before it take
            inner.batch_execute("SET statement_timeout = 0; SET lock_timeout = 0").map_err(failed)?;
            inner.batch_execute(&format!("SELECT pg_advisory_lock({LOCK})")).map_err(failed)?;
            let result = apply(inner, POSTGRES);
            inner.batch_execute(&format!("SELECT pg_advisory_unlock({LOCK})")).map_err(failed)?;
            inner.batch_execute("SET statement_timeout = '30s'; SET lock_timeout = '2s'").map_err(failed)?;
            result
        }
    }
}

fn apply<DB: diesel::backend::Backend>(
    conn: &mut impl MigrationHarness<DB>,
    migrations: EmbeddedMigrations,
) -> Result<Vec<String>> {
    let ran = conn.run_pending_migrations(migrations).map_err(failed)?;
    Ok(ran.iter().map(ToString::to_string).collect())
}
