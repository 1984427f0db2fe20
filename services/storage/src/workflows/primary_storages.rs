//! Steps of primary storage.

use std::sync::Arc;

use futures::StreamExt as _;
use gyre_flow::{Context, Steps, Var};
use gyre_model::{Error, Result, Uuid};
use gyre_proto::agent::v1::StorageFacts;
use gyre_proto::storage::v1::{PrimaryStorage, PrimaryStorageState};

use super::nothing;
use crate::drivers;
use crate::hosts::{self, Limits};
use crate::store::{SYSTEM, primary_storages, uuid_of};

/// Hosts that are prepared at the same time.
const ABREAST: usize = 64;
/// Hosts whose failures are told by name.
const NAMED: usize = 20;

/// The state that a storage was in before it was closed.
const WAS: Var<i32> = Var::new("was");

pub(super) fn add(steps: Steps, limits: &Arc<Limits>) -> Steps {
    steps
        .step("record-primary-storage", limits, nothing, unrecord)
        .without_undo("prepare-hosts", limits, prepare_hosts)
        .step("close-primary-storage", limits, close, reopen)
        .gives(&WAS)
        .without_undo("remove-primary-storage", limits, remove)
}

async fn unrecord(_: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| primary_storages::remove(conn, change, uuid));
    Ok(())
}

async fn prepare_hosts(limits: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    let storage = context.read("primary-storage-get", move |conn| gyre_query::get(conn, &SYSTEM, uuid)).await?;
    let driver = drivers::of(&storage)?;
    let cluster = uuid_of("cluster_uuid", &storage.cluster_uuid)?;
    let asked: Vec<_> = hosts::of_cluster(&context, cluster)
        .await?
        .into_iter()
        .map(|host| prepare(context.clone(), host, driver, storage.clone(), *limits))
        .collect();
    let count = asked.len();
    let mut answers = futures::stream::iter(asked).buffer_unordered(ABREAST);
    let mut prepared: Vec<(Uuid, StorageFacts)> = Vec::with_capacity(count);
    let mut refused: Vec<(Uuid, Error)> = Vec::new();
    while let Some((host, answer)) = answers.next().await {
        match answer {
            Ok(facts) => prepared.push((host, facts)),
            // it went away meanwhile; it is prepared when the first volume comes
            Err(error) if error.reason() == "HOST_NOT_CONNECTED" => {}
            Err(error) => refused.push((host, error)),
        }
        let done = prepared.len() + refused.len();
        let percent = i32::try_from(done * 100 / count.max(1)).unwrap_or(100);
        context.progress(percent, format!("prepared {} of {count} hosts", prepared.len()));
    }
    if let Some((_, first)) = refused.first() {
        let error = first.clone();
        return Err(refused
            .iter()
            .take(NAMED)
            .fold(error, |error, (host, why)| error.with(host.to_string(), why.message())));
    }
    // in one order, so that two transactions never wait for each other
    prepared.sort_by_key(|(host, _)| *host);
    context.on_commit(move |conn, change| primary_storages::enable(conn, change, uuid, &prepared));
    Ok(())
}

/// Prepares a storage on one host.
async fn prepare(
    context: Context,
    host: Uuid,
    driver: &'static dyn drivers::Driver,
    storage: PrimaryStorage,
    limits: Limits,
) -> (Uuid, Result<StorageFacts>) {
    let outcome = context.run_task_as(&host.to_string(), host, driver.prepare(&storage), limits.task).await;
    (host, outcome.and_then(hosts::storage_facts))
}

/// Lets no new disk come, so that the storage is empty at some time.
async fn close(_: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    // durable with the change itself; a step that runs again finds the storage disabled by itself
    if context.get(&WAS)?.is_none() {
        let found: Option<PrimaryStorage> =
            context.read("primary-storage-find", move |conn| gyre_query::find(conn, &SYSTEM, uuid)).await?;
        context.set(&WAS, &found.map_or(0, |storage| storage.state))?;
    }
    let disabled = PrimaryStorageState::Disabled;
    context
        .commit("close-primary-storage", move |conn, change| primary_storages::set_state(conn, change, uuid, disabled))
        .await
}

async fn reopen(_: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    if let Some(was) = context.get(&WAS)?.and_then(|was| PrimaryStorageState::try_from(was).ok()) {
        context.on_commit(move |conn, change| primary_storages::set_state(conn, change, uuid, was));
    }
    Ok(())
}

async fn remove(_: Arc<Limits>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| primary_storages::remove(conn, change, uuid));
    Ok(())
}
