//! Databases for tests of whatever stands on this crate: a SQLite file, or, with `GYRE_TEST_POSTGRES` (the URL of a PostgreSQL
//! database whose user may make others), a new database on that server.

use std::path::Path;

use gyre_model::{Error, Result, Uuid};

use crate::{Sql, Store, StoreConfig};

/// The URL of a new database, without tables. The folder is where a file goes, and must outlive it.
///
/// # Errors
/// The server that `GYRE_TEST_POSTGRES` names does not make one.
pub async fn url(folder: &Path) -> Result<String> {
    let Ok(admin) = std::env::var("GYRE_TEST_POSTGRES") else {
        return Ok(format!("sqlite://{}", folder.join("gyre.db").display()));
    };
    let name = format!("gyre_test_{}", Uuid::new_v4().simple());
    let (server, _) = admin
        .rsplit_once('/')
        .ok_or_else(|| Error::internal(format!("GYRE_TEST_POSTGRES is {admin:?}: write postgres://server/database")))?;
    let url = format!("{server}/{name}");
    let make = Sql::new(format!("CREATE DATABASE {name}"));
    Store::open(&StoreConfig::new(admin))?.read("create-database", move |conn| Ok(conn.execute(make)?)).await?;
    Ok(url)
}

/// A new database with all tables.
///
/// # Errors
/// It cannot be made.
pub async fn store(folder: &Path) -> Result<Store> {
    let store = Store::open(&StoreConfig::new(url(folder).await?))?;
    store.migrate().await?;
    Ok(store)
}
