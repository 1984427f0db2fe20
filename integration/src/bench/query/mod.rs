//! How long questions take among many machines: pages over references, searches, and reads by UUID, over loopback HTTP with sign-in, in a
//! node inside this process, on SQLite or PostgreSQL.
//!
//! The cloud is written straight into the database ([`fill`]), by a [`plan::Plan`] that knows every answer. What is measured is the whole
//! way: the gateway with the token's check, the service, the statement, JSON, and the bytes back in the caller's hands.

mod asks;
mod fill;
mod plan;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gyre_agent::Simulation;
use gyre_model::Uuid;
use gyre_store::{Dialect, Sql, Store};
use serde_json::{Value, json};

use super::calls::{Extent, Outcome, Runner};
use super::counters::Counters;
use super::figures::Figures;
use super::opened::PERIOD;
use super::processes::Processes;
use crate::front::Front;
use crate::node::{Hosts, TestNode};
use asks::{Ask, Asker, Expected};
use fill::{Filler, Owners};
use plan::Plan;
pub use plan::mixed;

/// Machines of a database that counts as empty.
const FEW: u64 = 100;
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
    pub concurrency: usize,
    /// Calls of each scenario.
    pub count: usize,
    /// Calls before those that count.
    pub warm_up: usize,
    /// The longest that a scenario may take; it has fewer calls then.
    pub longest: Duration,
    /// What is asked.
    pub asked: Asked,
    /// Only scenarios whose name has this in it.
    pub only: Option<String>,
}

impl Settings {
    fn wants(&self, ask: &Ask) -> bool {
        self.only.as_ref().is_none_or(|only| ask.name.contains(only.as_str()))
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Questions along references, searches and reads.
    Questions,
    /// Pages of lists, with few machines and with all, to see whether they cost the same.
    Pages,
}

struct Bench {
    node: TestNode,
    store: Store,
    admin: Front,
    user: Front,
    settings: Settings,
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
    let on = |machines: u64| (0..machines).filter(|vm| !plan.binned(*vm)).count() as u64;
    if there == 0 {
        let few = FEW.min(plan.machines);
        filler.ground(&bench.store).await?;
        filler.machines(&bench.store, 0, few).await?;
        bench.connected().await?;
        let asked = match bench.settings.asked {
            Asked::Questions => vec![asks::get("get by uuid", few)],
            Asked::Pages => asks::pages(few, on(few)),
        };
        for mut ask in asked {
            ask.name.push_str(", few machines");
            bench.measure(ask, few, &mut told).await?;
        }
        let begun = Instant::now();
        filler.machines(&bench.store, few, plan.machines).await?;
        eprintln!("{} machines in {:.1} s", plan.machines, begun.elapsed().as_secs_f64());
    } else {
        ensure!(there == plan.machines, "the database has {there} machines, not {}: name another", plan.machines);
        bench.connected().await?;
    }
    fill::settle(&bench.store).await?;
    let asked = match bench.settings.asked {
        Asked::Questions => asks::all(plan),
        Asked::Pages => asks::pages(plan.machines, on(plan.machines)),
    };
    for ask in asked {
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
            config.process.metrics_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
            config.services.host.report_period = PERIOD;
            config.services.host.heartbeat = PERIOD;
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
        Ok(Self { node, store, admin, user, settings })
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
        if !self.settings.wants(&ask) {
            return Ok(());
        }
        let front = if ask.asker == Asker::Admin { &self.admin } else { &self.user };
        let metrics = self.node.node().metrics_address().map(|address| format!("http://{address}"));
        let mut runner = Runner {
            concurrency: self.settings.concurrency.max(1),
            counters: Counters::at(metrics.into_iter().collect()),
            processes: Processes::embedded(Vec::new()),
            database: if self.store.dialect() == Dialect::Sqlite { "sqlite" } else { "postgresql" },
        };
        let asking = Asking { front, ask: &Arc::new(ask), settings: &self.settings, machines };
        asking.warm_up(&runner).await?;
        // by now the database works for this node in as many processes as it will
        runner.processes = Processes::embedded(self.backends().await?);
        told(asking.measured(&runner).await?)
    }
}

/// A scenario that is asked again and again.
struct Asking<'a> {
    front: &'a Front,
    ask: &'a Arc<Ask>,
    settings: &'a Settings,
    machines: u64,
}

impl Asking<'_> {
    async fn run(&self, runner: &Runner, count: usize, longest: Duration, after: usize) -> Result<Figures> {
        let (front, ask) = (self.front.clone(), Arc::clone(self.ask));
        let call = move |at: usize| {
            let (front, ask) = (front.clone(), Arc::clone(&ask));
            async move { once(&front, &ask, (after + at) as u64).await }
        };
        let extent = Extent { count, longest, machines: self.machines };
        Ok(runner.run(&self.ask.name, extent, call).await?.figures)
    }

    /// What is wrong with an answer is told of those that count.
    async fn warm_up(&self, runner: &Runner) -> Result<()> {
        self.run(runner, self.settings.warm_up, self.settings.longest / 4, 0).await.map(drop)
    }

    async fn measured(&self, runner: &Runner) -> Result<Figures> {
        self.run(runner, self.settings.count, self.settings.longest, self.settings.warm_up).await
    }
}

/// Pages of the list of whatever machines a deployment has.
///
/// # Errors
/// When it does not answer.
pub async fn pages_of(
    front: &Front,
    runner: Runner,
    settings: &Settings,
    mut told: impl FnMut(Figures) -> Result<()>,
) -> Result<()> {
    let (all, filtered) = (count(front, "").await?, count(front, asks::FILTER).await?);
    for ask in asks::pages(all, filtered).into_iter().filter(|ask| settings.wants(ask)) {
        let asking = Asking { front, ask: &Arc::new(ask), settings, machines: all };
        asking.warm_up(&runner).await?;
        told(asking.measured(&runner).await?)?;
    }
    Ok(())
}

async fn count(front: &Front, filter: &str) -> Result<u64> {
    let body = json!({"kind": "vm", "filter": filter, "count": true, "pageSize": 1});
    let answer = front.post("/v1/query", body).await?.good()?;
    Ok(answer["totalSize"].as_str().unwrap_or("0").parse()?)
}

/// Asks once. How long it took counts until the last byte was there.
async fn once(front: &Front, ask: &Ask, call: u64) -> Outcome<()> {
    let path = (ask.path)(call);
    let begun = Instant::now();
    let answered = front.fetch(&path).await;
    let took = begun.elapsed();
    let result = answered.and_then(|(status, body)| {
        ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&body));
        // reading a page costs this process more than a fifth of what making it does: some are read, and all that are small
        if body.len() > SMALL && !call.is_multiple_of(READ_EVERY) {
            return Ok(());
        }
        let body: Value = serde_json::from_slice(&body).with_context(|| format!("{path} answers no JSON"))?;
        match wrong(ask, &body) {
            Some(wrong) => anyhow::bail!("{path}: {wrong}"),
            None => Ok(()),
        }
    });
    Outcome { took, result }
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
