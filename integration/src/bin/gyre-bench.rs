//! The benchmark driver. Each subcommand measures one thing, prints it for people or as JSON, and stops by itself. What it does stands
//! in `gyre_integration::bench`, one file a subject.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use gyre_agent::Delay;
use gyre_integration::Front;
use gyre_integration::bench::args::{Load, Target};
use gyre_integration::bench::calls::Runner;
use gyre_integration::bench::counters::Counters;
use gyre_integration::bench::figures::Figures;
use gyre_integration::bench::opened::Opened;
use gyre_integration::bench::processes::Processes;
use gyre_integration::bench::query::{self, Asked};
use gyre_integration::bench::{
    changes, delete_account, flood, hosts, mixed, read, ring, start, step, takeover, vms, watch,
};
use serde::Serialize;

/// A fifth more calls a second than with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Gyre.
#[derive(Debug, Parser)]
#[command(name = "gyre-bench", version)]
struct Cli {
    /// Prints JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Finds owners in a ring.
    Ring {
        /// Members of the ring.
        #[arg(long, default_value_t = 128)]
        members: usize,
        /// Lookups.
        #[arg(long, default_value_t = 20_000_000)]
        lookups: usize,
    },
    /// Makes machines on simulated hosts, from the call to running: 1,000, 128 at a time, on 10 hosts, after 200 that do not count.
    CreateVms(Load),
    /// Makes machines, and measures deleting them for good; as many as create-vms makes.
    DeleteVms(Load),
    /// Deletes an account with all its machines, in a node with simulated hosts inside the driver, and looks whether anything is left.
    DeleteAccount {
        /// Machines, which are made first.
        #[arg(long, default_value_t = 10_000)]
        machines: usize,
        /// Hosts.
        #[arg(long, default_value_t = 20)]
        hosts: usize,
    },
    /// One account floods, another makes one call at a time: what that one notices, and the throughput under too much load.
    Flood(flood::Options),
    /// Reads machines by UUID, over HTTP and over gRPC: 100,000 times each, 64 at a time, after 2,000 that do not count.
    Read {
        #[command(flatten)]
        load: Load,
        /// Machines to read.
        #[arg(long, default_value_t = 100)]
        machines: usize,
    },
    /// Connects simulated hosts (10,000, 128 at a time), looks what they cost while nothing happens, starts the host service anew, waits
    /// until all are connected again, and removes them.
    Hosts {
        #[command(flatten)]
        load: Load,
        /// Seconds in which nothing happens.
        #[arg(long, default_value_t = 30)]
        quiet_seconds: u64,
        /// Starts the host service of a cluster anew: a command for the shell.
        #[arg(long, value_name = "COMMAND", requires = "endpoint")]
        restart: Option<String>,
    },
    /// A day of a busy cloud in a minute: 64 callers make, stop, start, delete, read, list and ask, and others watch; then everything
    /// must add up, and after deleting all of it nothing may be left.
    Mixed {
        #[command(flatten)]
        load: Load,
        /// Seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Watchers, each of a tenth of the machines.
        #[arg(long, default_value_t = 20)]
        watchers: usize,
    },
    /// Kills an instance with operations under way, and sees how long they wait for their next owner.
    Takeover {
        /// A gateway that runs; GYRE_TOKEN signs in, and agents of simulated hosts are named with GYRE_BENCH_AGENTS. Their starts
        /// must take long (gyre-agent --sim-delay).
        #[arg(long, value_name = "URL")]
        endpoint: String,
        /// The process to kill: an instance of vm.
        #[arg(long, value_name = "PID")]
        kill: u32,
        /// Operations under way in the whole cluster.
        #[arg(long, alias = "count", default_value_t = 1000)]
        operations: usize,
    },
    /// Watches many operations at once: what an operation under way costs in memory, and what a watcher. In a node inside the
    /// driver, whose figures hold both ends, or in one that runs.
    Watch {
        /// A gateway that runs; as for takeover.
        #[arg(long, value_name = "URL", requires = "pid")]
        endpoint: Option<String>,
        /// The process whose memory is looked at.
        #[arg(long, value_name = "PID", requires = "endpoint")]
        pid: Option<u32>,
        /// Operations, each with a watcher.
        #[arg(long, alias = "count", default_value_t = 10_000)]
        operations: usize,
        /// Watches with server-sent events, instead of gRPC.
        #[arg(long)]
        events: bool,
        /// How long each step on a simulated host takes: long enough that all operations are under way at once.
        #[arg(long, default_value_t = 2)]
        delay_seconds: u64,
    },
    /// Watches lists while they change, over the gateway of a node inside the driver: how soon watchers hear of changes, and what that
    /// costs. Fails where one hears something twice or not at all.
    WatchChanges {
        /// Watchers.
        #[arg(long, default_value_t = 1000)]
        watchers: usize,
        /// Changes a second.
        #[arg(long, default_value_t = 1000)]
        changes: usize,
        /// Seconds, with watchers and before without.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// What they watch.
        #[arg(long, value_enum, default_value = "mixed")]
        spread: changes::Spread,
        /// Watches with server-sent events over HTTP/2, instead of gRPC.
        #[arg(long)]
        events: bool,
        /// A PostgreSQL database without tables (postgres://…), instead of SQLite.
        #[arg(long, value_name = "URL")]
        database: Option<String>,
    },
    /// Asks questions among many machines: pages over references, searches, and reads by UUID, in a node inside the driver.
    Query(Rows),
    /// Pages of 100 of the list of machines: by default order, by name and filtered, with 100 machines and with all in a node inside
    /// the driver, or of those that a deployment has.
    List {
        #[command(flatten)]
        rows: Rows,
        /// A gateway that runs, whose machines are listed as they are; GYRE_TOKEN signs in.
        #[arg(long, value_name = "URL", conflicts_with_all = ["embedded", "machines", "database", "folder"])]
        endpoint: Option<String>,
        /// Metrics of a cluster's processes (http://127.0.0.1:9090), with commas between them.
        #[arg(long, value_name = "URL", value_delimiter = ',', requires = "endpoint")]
        metrics: Vec<String>,
        /// Processes whose time and memory count, with those below them.
        #[arg(long, value_name = "PID", value_delimiter = ',', requires = "endpoint")]
        pids: Vec<u32>,
    },
    /// The engine's own cost of a step.
    Step {
        /// Steps of a workflow.
        #[arg(long, default_value_t = 200)]
        steps: usize,
        /// Operations.
        #[arg(long, default_value_t = 500)]
        operations: usize,
    },
    /// Starts `gyre up` on an empty folder: how long until it answers, and its memory when idle.
    Start {
        /// The program.
        #[arg(long, value_name = "FILE")]
        gyre: PathBuf,
        /// Seconds of idleness before the memory is read.
        #[arg(long, default_value_t = 5)]
        idle_seconds: u64,
    },
}

/// Questions among machines that are written straight into the database.
#[derive(Debug, Args)]
struct Rows {
    /// In a node inside the driver: always so here, since the rows are written into its database.
    #[arg(long)]
    embedded: bool,
    /// Machines in the database; as many volumes, and twice as many interfaces.
    #[arg(long, default_value_t = 100_000)]
    machines: u64,
    /// A PostgreSQL database without tables (postgres://…), instead of SQLite.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Where the node and its SQLite file live, to be used again; a PostgreSQL database that is used again needs its folder.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Calls at a time.
    #[arg(long, alias = "callers", default_value_t = 1)]
    concurrency: usize,
    /// Calls of each scenario that count.
    #[arg(long, alias = "calls", default_value_t = 500)]
    count: usize,
    /// Calls of each before those.
    #[arg(long, default_value_t = 30)]
    warm_up: usize,
    /// Seconds after which a scenario ends with fewer.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Only the scenarios with this text in their names.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

impl Rows {
    fn settings(self, scratch: &Path, asked: Asked) -> query::Settings {
        query::Settings {
            machines: self.machines,
            database: self.database,
            folder: self.folder.unwrap_or_else(|| scratch.to_owned()),
            concurrency: self.concurrency,
            count: self.count,
            warm_up: self.warm_up,
            longest: Duration::from_secs(self.seconds),
            asked,
            only: self.only,
        }
    }

    async fn run(self, asked: Asked, json: bool) -> Result<()> {
        let scratch = tempfile::tempdir()?;
        query::run(self.settings(scratch.path(), asked), told(json)).await
    }
}

/// Prints figures as they come, below the heads of their columns.
fn told(json: bool) -> impl FnMut(Figures) -> Result<()> {
    if !json {
        println!("{}", Figures::head());
    }
    move |figures| figures.print(json)
}

fn print<T: Serialize + std::fmt::Debug>(json: bool, figures: &T) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(figures)?);
    } else {
        println!("{figures:#?}");
    }
    Ok(())
}

fn way(events: bool) -> watch::Way {
    if events { watch::Way::Events } else { watch::Way::Grpc }
}

#[tokio::main]
async fn main() -> Result<()> {
    let Cli { json, command } = Cli::parse();
    match command {
        Command::Ring { members, lookups } => print(json, &ring::run(members, lookups)),
        Command::CreateVms(load) => told(json)(vms::run(&load, false).await?),
        Command::DeleteVms(load) => told(json)(vms::run(&load, true).await?),
        Command::DeleteAccount { machines, hosts } => {
            let opened = Opened::plain(&Target { embedded: true, endpoint: None }, hosts).await?;
            let node = opened.node.embedded.as_ref().and_then(|embedded| embedded.node.as_ref()).context("no node")?;
            let (front, counters) = (&opened.node.front, &opened.node.runner.counters);
            let ran = delete_account::run(front, &opened.site, &opened.image, node.node(), counters, machines).await?;
            print(json, &ran)?;
            opened.close().await;
            Ok(())
        }
        Command::Flood(options) => {
            let opened = Opened::plain_as(&options.target, 4, |config| options.places(config)).await?;
            print(json, &flood::run(&opened.node.front, &opened.site, &opened.image, &options.settings()).await?)?;
            opened.close().await;
            Ok(())
        }
        Command::Read { load, machines } => read::run(&load, machines, told(json)).await,
        Command::Hosts { load, quiet_seconds, restart } => {
            let settings = hosts::Settings { load, quiet: Duration::from_secs(quiet_seconds), restart };
            hosts::run(&settings, told(json)).await
        }
        Command::Mixed { load, seconds, watchers } => {
            let settings = mixed::Settings { load, time: Duration::from_secs(seconds), watchers };
            told(json)(mixed::run(&settings).await?)
        }
        Command::Takeover { endpoint, kill, operations } => {
            let opened = Opened::plain(&Target { embedded: false, endpoint: Some(endpoint) }, 1).await?;
            told(json)(takeover::run(&opened, operations, kill).await?)
        }
        Command::Watch { endpoint, pid, operations, events, delay_seconds } => {
            let target = Target { embedded: endpoint.is_none(), endpoint };
            let pid = pid.unwrap_or_else(std::process::id);
            let opened = Opened::plain(&target, 1).await?;
            opened.delay(Delay::of(Duration::from_secs(delay_seconds)))?;
            // thousands of operations are under way: nobody waits for their ends
            told(json)(watch::run(&opened, operations, pid, way(events)).await?)
        }
        Command::WatchChanges { watchers, changes, seconds, spread, events, database } => {
            let settings = changes::Settings { watchers, changes, seconds, spread, way: way(events), database };
            print(json, &changes::run(settings).await?)
        }
        Command::Query(rows) => rows.run(Asked::Questions, json).await,
        Command::List { rows, endpoint: None, .. } => rows.run(Asked::Pages, json).await,
        Command::List { rows, endpoint: Some(endpoint), metrics, pids } => {
            let token = std::env::var("GYRE_TOKEN").context("sign in and set GYRE_TOKEN")?;
            let runner = Runner {
                concurrency: rows.concurrency.max(1),
                counters: Counters::at(metrics),
                processes: Processes::apart(pids),
                database: "postgresql",
            };
            let settings = rows.settings(Path::new(""), Asked::Pages);
            query::pages_of(&Front::new(&endpoint, &token), runner, &settings, told(json)).await
        }
        Command::Step { steps, operations } => print(json, &step::run(steps, operations).await?),
        Command::Start { gyre, idle_seconds } => {
            print(json, &start::run(&gyre, Duration::from_secs(idle_seconds)).await?)
        }
    }
}
