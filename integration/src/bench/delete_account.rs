//! How long deleting an account takes with all that it owns: machines on simulated hosts, made and deleted through the front door.
//!
//! What is left afterwards is looked for everywhere, so a figure of a deletion that left something is never printed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gyre_model::catalog;
use gyre_node::Node;
use gyre_store::{Sql, Store};
use http::Method;
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use super::counters::{Counters, Each};
use crate::front::{Front, Site};

/// The account's password.
const PASSWORD: &str = "Trubador-and-3-onions";
/// Machines that are being made at a time.
const ABREAST: usize = 128;
/// How long everything may take.
const LONGEST: Duration = Duration::from_secs(1800);

/// The figures.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Machines of the account, each with a root volume and an interface.
    pub machines: usize,
    /// Making them.
    pub create_s: f64,
    /// From the call that deletes the account to the end of its operation.
    pub delete_s: f64,
    /// Processor time of the process meanwhile, for each machine: node, gateway, SQLite, simulated hosts and the driver.
    pub cpu_ms_per_machine: f64,
    /// What each machine cost beside that: a call is a machine here.
    #[serde(flatten)]
    pub each: Each,
}

/// Processor time of this process.
fn cpu() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("a strange /proc/self/stat")?;
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap_or(0)).sum();
    // what Linux counts in for programs, on every machine
    Ok(Duration::from_millis(ticks * 10))
}

/// Makes an account with so many machines, and deletes it.
///
/// # Errors
/// When something is refused, or is left over.
pub async fn run(
    front: &Front,
    site: &Site,
    image: &str,
    node: &Node,
    counters: &Counters,
    machines: usize,
) -> Result<Figures> {
    let before = left(node).await?;
    let account = front.make("/v1/accounts", json!({"name": "bench", "password": PASSWORD})).await?;
    let owner = Front::sign_in(front.endpoint(), "bench", PASSWORD).await?;
    let begun = Instant::now();
    create(&owner, site, image, machines).await?;
    let create_s = begun.elapsed().as_secs_f64();

    let (counted, spent, begun) = (counters.read().await?, cpu()?, Instant::now());
    let asked = front.delete(&format!("/v1/accounts/{account}?cascade=true")).await?.good()?;
    let path = format!("/v1/operations/{}:wait", asked["uuid"].as_str().context("no operation")?);
    let ended = loop {
        let now = front.call(Method::POST, &path, Some(json!({"timeout": "25s"}))).await?.good()?;
        if !now["endTime"].is_null() {
            break now;
        }
        ensure!(begun.elapsed() < LONGEST, "the deletion does not end: {now}");
    };
    let delete_s = begun.elapsed().as_secs_f64();
    let (spent, counted) = (cpu()?.saturating_sub(spent), counters.read().await?.each(&counted, machines));
    ensure!(ended["state"] == "OPERATION_STATE_SUCCEEDED", "{ended:#}");
    ensure!(front.get(&format!("/v1/accounts/{account}")).await?.status.as_u16() == 404, "the account is there");
    let after = left(node).await?;
    ensure!(after == before, "something is left: {after:?} instead of {before:?}");

    Ok(Figures {
        machines,
        create_s,
        delete_s,
        cpu_ms_per_machine: spent.as_secs_f64() * 1e3 / machines.max(1) as f64,
        each: counted,
    })
}

async fn create(owner: &Front, site: &Site, image: &str, machines: usize) -> Result<()> {
    let mut set = JoinSet::new();
    for caller in 0..ABREAST {
        let (owner, site, image) = (owner.clone(), site.clone(), image.to_owned());
        set.spawn(async move {
            for at in (caller..machines).step_by(ABREAST) {
                let vm = Front::vm(&site, &image, &format!("bench-{at}"));
                owner.done(Method::POST, "/v1/vms", Some(vm)).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = set.join_next().await {
        done??;
    }
    Ok(())
}

/// How many rows of every kind there are, with all that is counted, and what the simulated hosts have.
async fn left(node: &Node) -> Result<BTreeMap<String, i64>> {
    let mut left = rows(node.store()).await?;
    let inventory = node.agent().context("the node has no agent")?.inventory();
    left.insert("machines on hosts".into(), inventory.values().map(|host| host.machines.len() as i64).sum());
    // an image that a host keeps a copy of is no machine's
    let disks = inventory.values().flat_map(|host| &host.files).filter(|file| file.extension().is_some());
    left.insert("disks on hosts".into(), disks.count() as i64);
    Ok(left)
}

async fn rows(store: &Store) -> Result<BTreeMap<String, i64>> {
    const SUMS: [&str; 4] = [
        "SELECT COALESCE(SUM(cpu_used), 0) FROM host",
        "SELECT COALESCE(SUM(memory_used_bytes), 0) FROM host",
        "SELECT COALESCE(SUM(used_bytes), 0) FROM primary_storage",
        "SELECT COUNT(*) FROM operation WHERE state IN ('QUEUED', 'RUNNING', 'UNDOING', 'STUCK')",
    ];
    let tables = catalog().kinds().filter(|kind| kind.service != "common").map(|kind| kind.table);
    let tables = tables.chain(["ip_address", "host_placement", "debt"]);
    let counts = tables.map(|table| (table.to_owned(), format!("SELECT COUNT(*) FROM {table}")));
    let all: Vec<_> = counts.chain(SUMS.map(|sum| (sum.to_owned(), sum.to_owned()))).collect();
    let read = store.read("bench-left", move |conn| {
        let mut found = BTreeMap::new();
        for (name, sql) in all {
            let row = conn.query_one(Sql::new(format!("SELECT CAST(({sql}) AS BIGINT)")))?;
            found.insert(name, row.map_or(Ok(0), |row| row.int(0))?);
        }
        Ok(found)
    });
    Ok(read.await?)
}
