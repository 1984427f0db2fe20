//! A service as a process of its own: what the thin binaries share.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use gyre_mesh::config::ProcessArgs;
use gyre_mesh::serve::Process;
use gyre_mesh::{Mesh, telemetry};
use gyre_model::Result;
use gyre_store::{Sql, Store, StoreConfig};
use tonic::service::Routes;

use crate::tidy;

/// A service that a process can host.
pub trait Service: Send + Sync + 'static {
    /// Its name in the mesh.
    const NAME: &'static str;

    /// Its calls.
    fn routes(&self) -> Routes;

    /// Refuses new work, and waits so long at most for what runs to come to the end of its step.
    fn shutdown(&self, limit: Duration) -> impl Future<Output = ()> + Send;
}

/// Opens the database of a process, and sees that its schema is there.
///
/// # Errors
/// A database that was not named, does not answer, or was not migrated.
pub async fn open_store(args: &ProcessArgs) -> anyhow::Result<Store> {
    let store = Store::open(&StoreConfig::new(args.database()?))?;
    let check = store.read("schema-check", |conn| {
        conn.query(Sql::new("SELECT 1 FROM operation WHERE 1 = 0"))?;
        conn.query(Sql::new("SELECT 1 FROM vm WHERE 1 = 0"))?;
        conn.query(Sql::new("SELECT 1 FROM debt WHERE 1 = 0"))?;
        conn.query(Sql::new("SELECT 1 FROM callback_key WHERE 1 = 0"))?;
        conn.query(Sql::new("SELECT outcome FROM change_log WHERE 1 = 0"))?;
        conn.query(Sql::new("SELECT 1 FROM tag WHERE 1 = 0"))?;
        conn.query(Sql::new("SELECT 1 FROM setting WHERE 1 = 0"))?;
        conn.query(Sql::new("SELECT 1 FROM webhook WHERE 1 = 0"))?;
        Ok(())
    });
    check
        .await
        .context("the database has no schema yet, or an old one: run `gyre-node migrate --database URL` first")?;
    Ok(store)
}

/// Runs a service as a process until it is told to end.
///
/// # Errors
/// When something that the arguments name cannot be used or does not answer.
pub async fn run<S, F, R>(name: &'static str, args: &ProcessArgs, start: F) -> anyhow::Result<()>
where
    S: Service,
    F: FnOnce(Mesh, Store) -> R,
    R: Future<Output = Result<S>>,
{
    let telemetry = telemetry::init(name, &args.telemetry)?;
    let outcome = serve(name, args, start).await;
    telemetry.flush().await;
    outcome
}

async fn serve<S, F, R>(name: &'static str, args: &ProcessArgs, start: F) -> anyhow::Result<()>
where
    S: Service,
    F: FnOnce(Mesh, Store) -> R,
    R: Future<Output = Result<S>>,
{
    let store = open_store(args).await?;
    let mut process = Process::open(name, args).await?;
    tidy::start(process.tasks(), process.mesh(), &store, args.keep_operations);
    let service = Arc::new(start(process.mesh().clone(), store).await?);
    let limit = args.drain_timeout;
    process.serve(S::NAME, service.routes());
    process.before_leave(S::NAME, move || async move { service.shutdown(limit).await });
    process.start().await?.until_signal().await
}
