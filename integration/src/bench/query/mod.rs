//! How long questions take among many machines: pages over references, searches, and reads by UUID, over loopback HTTP with sign-in, in a
//! node inside this process, on SQLite or PostgreSQL.
//!
//! The cloud is written straight into the database ([`fill`]), by a [`plan::Plan`] that knows every answer. What is measured is the whole
//! way: the gateway with the token's check, the service, the statement, JSON, and the bytes back in the caller's hands.

mod asks;
mod fill;
mod plan;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gyre_agent::Simulation;
use gyre_model::Uuid;
use gyre_store::{Dialect, Sql, Store};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::figures::{Against, Clock, Figures};
use crate::front::Front;
use crate::node::{Hosts, TestNode};
use asks::{Ask, Asker, Expected};
use fill::{Filler, Owners};
use plan::Plan;

/// Machines of a database that counts as empty.
const FEW: u64 = 100;
/// Calls before those that count.
const WARM_UP: u64 = 30;
/// Answers of at most so many bytes are all read.
const SMALL: usize = 4 << 10;
/// Of larger ones each of so many is.
const READ_EVERY: u64 = 16;
/// The account of the ordinary user who asks.
const USER: (&str, &str) = ("bench-user", "only for the bench");
/// How long hosts may take to connect.
const CONNECT: Duration = Duration::from_secs(120);

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Machines in the database.
    pub machines: u64,
    /// A PostgreSQL database; else a SQLite file in the folder.
    pub database: Option<String>,
    /// Where the node lives. What a run left there is used again.
    pub folder: PathBuf,
    /// Callers at a time.
    pub callers: usize,
    /// Calls of each scenario.
    pub calls: u64,
    /// The longest that a scenario may take; it has fewer calls then.
    pub longest: Duration,
    /// Only scenarios whose name has this in it.
    pub only: Option<String>,
}

struct Bench {
    node: TestNode,
    store: Store,
    admin: Front,
    user: Front,
    settings: Settings,
    backends: Vec<u32>,
}

/// Measures, and hands each scenario's figures on as they come.
///
/// # Errors
/// When the node cannot be started or the database not filled.
pub async fn run(settings: Settings, mut told: impl FnMut(Figures) -> Result<()>) -> Result<()> {
    let plan = Plan::of(settings.machines);
    let mut bench = Bench::open(settings).await?;
    let there = fill::count(&bench.store).await?;
    let filler = Arc::new(Filler::new(plan, bench.owners().await?));
    if there == 0 {
        let few = FEW.min(plan.machines);
        filler.ground(&bench.store).await?;
        filler.machines(&bench.store, 0, few).await?;
        bench.connected().await?;
        bench.measure(asks::get("get by uuid, few machines", few), few, &mut told).await?;
        let begun = Instant::now();
        filler.machines(&bench.store, few, plan.machines).await?;
        eprintln!("{} machines in {:.1} s", plan.machines, begun.elapsed().as_secs_f64());
    } else {
        ensure!(there == plan.machines, "the database has {there} machines, not {}: name another", plan.machines);
        bench.connected().await?;
    }
    fill::settle(&bench.store).await?;
    for ask in asks::all(plan) {
        bench.measure(ask, plan.machines, &mut told).await?;
    }
    bench.node.shutdown().await;
    Ok(())
}

impl Bench {
    async fn open(settings: Settings) -> Result<Self> {
        let folder: &Path = &settings.folder;
        std::fs::create_dir_all(folder)?;
        let node = TestNode::start_with(folder, Hosts::Simulated(Simulation::default()), |config| {
            config.services.host.report_period = Duration::from_secs(10);
            config.services.host.heartbeat = Duration::from_secs(10);
            if let Some(url) = &settings.database {
                config.process.database = Some(url.clone());
            }
        });
        let node = node.await?;
        let admin = node.front().await?;
        let accounts = admin.get(&format!("/v1/accounts?filter=name=%22{}%22", USER.0)).await?.good()?;
        if accounts["accounts"].as_array().is_none_or(Vec::is_empty) {
            let account = json!({"name": USER.0, "type": "ACCOUNT_TYPE_NORMAL", "password": USER.1});
            admin.make("/v1/accounts", account).await?;
        }
        let user = Front::sign_in(&node.endpoint(), USER.0, USER.1).await?;
        let store = node.node().store().clone();
        Ok(Self { node, store, admin, user, settings, backends: Vec::new() })
    }

    async fn owners(&self) -> Result<Owners> {
        let read = self.store.read("bench-accounts", |conn| {
            let mut found = Vec::new();
            for name in [USER.0, "admin"] {
                let sql = Sql::new("SELECT uuid FROM account WHERE name = ").bind(name);
                found.extend(conn.query_one(sql)?.map(|row| row.id(0)).transpose()?);
            }
            Ok::<Vec<Uuid>, gyre_model::Error>(found)
        });
        match read.await?[..] {
            [user, admin] => Ok(Owners { admin, user }),
            _ => anyhow::bail!("the accounts of the bench are not there"),
        }
    }

    /// Waits until all hosts have their sessions: opening them is not what is measured.
    async fn connected(&self) -> Result<()> {
        let until = Instant::now() + CONNECT;
        loop {
            let read = self.store.read("bench-hosts", |conn| {
                let sql = "SELECT COUNT(*) FROM host WHERE status <> 'CONNECTED'";
                conn.query_one(Sql::new(sql))?.map_or(Ok(0), |row| row.int(0))
            });
            let left: i64 = read.await?;
            if left == 0 {
                return Ok(());
            }
            ensure!(Instant::now() < until, "{left} hosts are not connected after {CONNECT:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The processes in which PostgreSQL works for this node, where they are on this machine.
    async fn backends(&self) -> Result<Vec<u32>> {
        if self.store.dialect() == Dialect::Sqlite {
            return Ok(Vec::new());
        }
        let read = self.store.read("bench-backends", |conn| {
            let sql = "SELECT pid::bigint FROM pg_stat_activity WHERE datname = current_database()";
            conn.query(Sql::new(sql))?.iter().map(|row| row.int(0)).collect::<gyre_model::Result<Vec<_>>>()
        });
        Ok(read.await?.into_iter().filter_map(|pid| u32::try_from(pid).ok()).collect())
    }

    async fn measure(&mut self, ask: Ask, machines: u64, told: &mut impl FnMut(Figures) -> Result<()>) -> Result<()> {
        if self.settings.only.as_ref().is_some_and(|only| !ask.name.contains(only.as_str())) {
            return Ok(());
        }
        let front = if ask.asker == Asker::Admin { &self.admin } else { &self.user };
        let (front, ask) = (front.clone(), Arc::new(ask));
        let database = if self.store.dialect() == Dialect::Sqlite { "sqlite" } else { "postgresql" };
        let against = Against { database, machines, callers: self.settings.callers };
        let begun = Instant::now();
        let mut warm = 0;
        while warm < WARM_UP && begun.elapsed() < self.settings.longest / 4 {
            // what is wrong with an answer is told of those that count
            let _ = once(&front, &ask, warm).await?;
            warm += 1;
        }
        self.backends = self.backends().await?;
        let (calls, callers) = (self.settings.calls, self.settings.callers.max(1) as u64);
        let longest = self.settings.longest;
        let clock = Clock::start(&self.backends);
        let mut set = JoinSet::new();
        for caller in 0..callers {
            let (front, ask) = (front.clone(), Arc::clone(&ask));
            set.spawn(async move {
                let (begun, mut well, mut problems) = (Instant::now(), Vec::new(), Vec::new());
                for call in (caller..calls).step_by(usize::try_from(callers).unwrap_or(1)) {
                    if begun.elapsed() > longest {
                        break;
                    }
                    match once(&front, &ask, WARM_UP + call).await? {
                        (time, None) => well.push(time),
                        (_, Some(problem)) => problems.push(problem),
                    }
                }
                anyhow::Ok((well, problems))
            });
        }
        let (mut well, mut problems) = (Vec::new(), Vec::new());
        while let Some(done) = set.join_next().await {
            let (its, wrong) = done??;
            well.extend(its);
            problems.extend(wrong);
        }
        told(Figures::of(&ask.name, against, well, problems, clock.spent())?)
    }
}

/// Asks once. Answers how long it took until the last byte was there, and what was wrong with the answer.
async fn once(front: &Front, ask: &Ask, call: u64) -> Result<(Duration, Option<String>)> {
    let path = (ask.path)(call);
    let begun = Instant::now();
    let (status, body) = front.fetch(&path).await?;
    let time = begun.elapsed();
    if !status.is_success() {
        return Ok((time, Some(format!("{path}: {status}: {}", String::from_utf8_lossy(&body)))));
    }
    // reading a page costs this process more than a fifth of what making it does: some are read, and all that are small
    if body.len() > SMALL && !call.is_multiple_of(READ_EVERY) {
        return Ok((time, None));
    }
    let body: Value = serde_json::from_slice(&body).with_context(|| format!("{path} answers no JSON"))?;
    Ok((time, wrong(ask, &body).map(|wrong| format!("{path}: {wrong}"))))
}

/// What is wrong with an answer.
fn wrong(ask: &Ask, body: &Value) -> Option<String> {
    let rows = |key: &str| body[key].as_array().map_or(0, Vec::len) as u64;
    match ask.expected {
        Expected::One => body["uuid"].is_null().then(|| "no resource".to_owned()),
        Expected::Rows(key, expected) => {
            let found = rows(key);
            (found != expected).then(|| format!("{found} rows, not {expected}"))
        }
        Expected::Counted(key, expected, size) => {
            let (found, total) = (rows(key), body["totalSize"].as_str().and_then(|text| text.parse().ok()));
            let right = found == expected && total == Some(size);
            (!right).then(|| format!("{found} rows of {total:?}, not {expected} of {size}"))
        }
    }
}
