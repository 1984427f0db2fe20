//! The database of a node.

use anyhow::{Context as _, Result};
use gyre_mesh::config::ProcessArgs;
use gyre_store::{Store, StoreConfig};

/// Opens the database; brings its schema up to date, or sees that somebody did.
///
/// # Errors
/// A database that was not named, does not answer, or has no schema.
pub async fn open(args: &ProcessArgs, bring_up_to_date: bool) -> Result<Store> {
    if !bring_up_to_date {
        return gyre_flow::process::open_store(args).await;
    }
    let store = Store::open(&StoreConfig::new(args.database()?))?;
    for migration in store.migrate().await? {
        tracing::info!(migration, "database migrated");
    }
    Ok(store)
}

/// Brings the schema of a database up to date. Answers the migrations that ran.
///
/// # Errors
/// A database that does not answer; a migration that failed.
pub async fn migrate(url: &str) -> Result<Vec<String>> {
    Store::open(&StoreConfig::new(url))?.migrate().await.context("cannot migrate the database")
}
