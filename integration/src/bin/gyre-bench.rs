//! The benchmark driver. Each subcommand measures one thing, prints it for people or as JSON, and stops by itself.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use gyre_agent::{Delay, Simulation};
use gyre_integration::Front;
use gyre_integration::bench::figures::Figures;
use gyre_integration::bench::{create, query, read, ring, rss_mib, step, takeover, watch};
use gyre_integration::front::Site;
use gyre_integration::node::{Hosts, TestNode};
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
    /// Makes machines on simulated hosts, from the call to running.
    Create {
        #[command(flatten)]
        target: Target,
        /// Machines.
        #[arg(long, default_value_t = 200)]
        machines: usize,
        /// Callers at a time.
        #[arg(long, default_value_t = 1)]
        callers: usize,
    },
    /// Reads machines by UUID, over HTTP and over gRPC.
    Read {
        #[command(flatten)]
        target: Target,
        /// Machines to read.
        #[arg(long, default_value_t = 100)]
        machines: usize,
        /// Callers at a time.
        #[arg(long, default_value_t = 64)]
        callers: usize,
        /// Seconds for each way.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// Kills an instance with operations under way, and sees how long they wait for their next owner.
    Takeover {
        /// A gateway that runs; GYRE_TOKEN signs in, and agents of simulated hosts are named with GYRE_BENCH_AGENTS. Their starts
        /// must take long (gyre-agent --sim-delay-ms).
        #[arg(long, value_name = "URL")]
        endpoint: String,
        /// The process to kill: an instance of vm.
        #[arg(long, value_name = "PID")]
        kill: u32,
        /// Operations under way in the whole cluster.
        #[arg(long, default_value_t = 1000)]
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
        #[arg(long, default_value_t = 10_000)]
        operations: usize,
        /// Watches with server-sent events, instead of gRPC.
        #[arg(long)]
        events: bool,
        /// How long each step on a simulated host takes: long enough that all operations are under way at once.
        #[arg(long, default_value_t = 2)]
        delay_seconds: u64,
    },
    /// Asks questions among many machines: pages over references, searches, and reads by UUID, in a node inside the driver.
    Query {
        /// Machines in the database; as many volumes, and twice as many interfaces.
        #[arg(long, default_value_t = 100_000)]
        machines: u64,
        /// A PostgreSQL database without tables (postgres://…), instead of SQLite.
        #[arg(long, value_name = "URL")]
        database: Option<String>,
        /// Where the node and its SQLite file live, to be used again; a PostgreSQL database that is used again needs its folder.
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
        /// Callers at a time.
        #[arg(long, default_value_t = 1)]
        callers: usize,
        /// Calls of each scenario.
        #[arg(long, default_value_t = 500)]
        calls: u64,
        /// Seconds after which a scenario ends with fewer.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        /// Only the scenarios with this text in their names.
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
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

/// What is measured: a node inside the driver, or one that runs.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// Starts a node with simulated hosts inside the driver.
    #[arg(long)]
    embedded: bool,
    /// A gateway that runs; GYRE_TOKEN signs in, and agents of simulated hosts are named with GYRE_BENCH_AGENTS.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
}

struct Bench {
    front: Front,
    site: Site,
    image: String,
    node: Option<(TestNode, tempfile::TempDir)>,
}

impl Bench {
    async fn open(target: &Target) -> Result<Self> {
        Self::open_with(target, Delay::default()).await
    }

    /// The same with simulated hosts that take their time.
    async fn open_with(target: &Target, delay: Delay) -> Result<Self> {
        let name = format!("bench-{}", &gyre_model::Uuid::new_v4().simple().to_string()[..8]);
        let (front, node, agents) = match &target.endpoint {
            Some(endpoint) => {
                let token = std::env::var("GYRE_TOKEN").context("sign in and set GYRE_TOKEN")?;
                let agents =
                    std::env::var("GYRE_BENCH_AGENTS").context("name simulated agents in GYRE_BENCH_AGENTS")?;
                (Front::new(endpoint, &token), None, agents)
            }
            None => {
                let folder = tempfile::tempdir()?;
                let simulation = Simulation { cpus: 100_000, memory_bytes: 1 << 50, delay, ..Simulation::default() };
                let node = TestNode::start(folder.path(), Hosts::Simulated(simulation)).await?;
                (node.front().await?, Some((node, folder)), "local".to_owned())
            }
        };
        let agents: Vec<_> = agents.split(',').collect();
        let site = front.site(&name, &agents, "/var/lib/gyre-bench").await?;
        let image = front.upload(&site, &name, "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
        Ok(Self { front, site, image, node })
    }

    async fn machines(&self, count: usize) -> Result<Vec<String>> {
        let mut vms = Vec::with_capacity(count);
        for at in 0..count {
            let vm = Front::vm(&self.site, &self.image, &format!("read-{at}"));
            vms.push(self.front.done(http::Method::POST, "/v1/vms", Some(vm)).await?);
        }
        Ok(vms)
    }

    async fn close(self) {
        if let Some((node, _folder)) = self.node {
            node.shutdown().await;
        }
    }
}

#[derive(Debug, Serialize)]
struct Started {
    answering_ms: f64,
    idle_rss_mib: f64,
}

async fn start(gyre: &PathBuf, idle: Duration) -> Result<Started> {
    let folder = tempfile::tempdir()?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let begun = Instant::now();
    let mut child = tokio::process::Command::new(gyre)
        .args(["up", "--simulated", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(folder.path())
        .kill_on_drop(true)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    let front = Front::new(&format!("http://127.0.0.1:{port}"), "");
    let answering = tokio::time::timeout(Duration::from_secs(30), async {
        while front.get("/healthz").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        begun.elapsed()
    });
    let answering = answering.await.context("it does not answer")?;
    tokio::time::sleep(idle).await;
    let pid = child.id().context("it has ended")?;
    let idle_rss_mib = rss_mib(pid)?;
    child.kill().await?;
    Ok(Started { answering_ms: answering.as_secs_f64() * 1000.0, idle_rss_mib })
}

fn print<T: Serialize + std::fmt::Debug>(json: bool, figures: &T) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(figures)?);
    } else {
        println!("{figures:#?}");
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Command::Ring { members, lookups } => print(cli.json, &ring::run(members, lookups)),
        Command::Create { target, machines, callers } => {
            let bench = Bench::open(&target).await?;
            let figures = create::run(&bench.front, &bench.site, &bench.image, machines, callers.max(1)).await?;
            print(cli.json, &figures)?;
            bench.close().await;
            Ok(())
        }
        Command::Read { target, machines, callers, seconds } => {
            let bench = Bench::open(&target).await?;
            let vms = bench.machines(machines).await?;
            let time = Duration::from_secs(seconds);
            print(cli.json, &read::http(&bench.front, &vms, callers.max(1), time).await?)?;
            print(cli.json, &read::grpc(&bench.front, &vms, callers.max(1), time).await?)?;
            bench.close().await;
            Ok(())
        }
        Command::Takeover { endpoint, kill, operations } => {
            let bench = Bench::open(&Target { embedded: false, endpoint: Some(endpoint) }).await?;
            let figures = takeover::run(&bench.front, &bench.site, &bench.image, operations, kill).await?;
            print(cli.json, &figures)
        }
        Command::Watch { endpoint, pid, operations, events, delay_seconds } => {
            let delay = format!("{}", delay_seconds * 1000).parse().map_err(anyhow::Error::msg)?;
            let target = Target { embedded: endpoint.is_none(), endpoint };
            let pid = pid.unwrap_or_else(std::process::id);
            let bench = Bench::open_with(&target, delay).await?;
            // thousands of operations are under way: nobody waits for their ends
            let way = if events { watch::Way::Events } else { watch::Way::Grpc };
            print(cli.json, &watch::run(&bench.front, &bench.site, &bench.image, operations, pid, way).await?)
        }
        Command::Query { machines, database, folder, callers, calls, seconds, only } => {
            let scratch = tempfile::tempdir()?;
            let folder = folder.unwrap_or_else(|| scratch.path().to_owned());
            let longest = Duration::from_secs(seconds);
            let settings = query::Settings { machines, database, folder, callers, calls, longest, only };
            if !cli.json {
                println!("{}", Figures::head());
            }
            query::run(settings, |figures| figures.print(cli.json)).await
        }
        Command::Step { steps, operations } => print(cli.json, &step::run(steps, operations).await?),
        Command::Start { gyre, idle_seconds } => {
            print(cli.json, &start(&gyre, Duration::from_secs(idle_seconds)).await?)
        }
    }
}
