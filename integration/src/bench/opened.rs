//! What a scenario of machines needs before it begins: a node inside the driver or one that runs, hosts, and what machines are
//! made from.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gyre_agent::{Agent, Simulation, WorkKind};
use gyre_node::NodeConfig;
use http::Method;

use super::args::{Cloud, Load, Target};
use super::calls::{Extent, Ran, Runner, timed};
use super::counters::Counters;
use super::over_tls::Simulator;
use super::processes::Processes;
use crate::front::{Front, Site};
use crate::node::{Hosts, TestNode};

/// Where machines' files are on hosts.
const FOLDER: &str = "/var/lib/gyre-bench";
/// Bytes of the image, and so of a machine's root volume.
pub const IMAGE: usize = 1 << 20;
/// How often agents send heartbeats and are asked for their machines.
pub const PERIOD: Duration = Duration::from_secs(10);
/// Hosts that are added at a time.
const ABREAST: usize = 128;

/// A node that a scenario is about, without anything in it.
pub struct Node {
    /// The front door.
    pub front: Front,
    /// What makes and counts calls.
    pub runner: Runner,
    /// Where agents are.
    pub agents: Vec<String>,
    /// What everything by chance follows from.
    pub seed: u64,
    /// The parts of an embedded node; it is not there while it restarts.
    pub embedded: Option<Embedded>,
}

/// A node inside the driver.
pub struct Embedded {
    /// The node.
    pub node: Option<TestNode>,
    simulator: Option<Simulator>,
    simulation: Simulation,
    folder: tempfile::TempDir,
}

/// Starts a node on a folder, whose hosts are simulated inside it, or by a simulator that is called over TLS.
async fn start(
    folder: &Path,
    simulation: &Simulation,
    simulator: Option<&Simulator>,
    change: impl FnOnce(&mut NodeConfig),
) -> Result<TestNode> {
    let node = TestNode::start_with(folder, Hosts::Simulated(simulation.clone()), |config| {
        change(config);
        config.process.metrics_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        config.services.host.report_period = PERIOD;
        config.services.host.heartbeat = PERIOD;
        if let Some(simulator) = simulator {
            config.agent = None;
            simulator.trusted_by(&mut config.process);
        }
    });
    node.await
}

fn counters(node: &TestNode, others: &[String]) -> Counters {
    let own = node.node().metrics_address().map(|address| format!("http://{address}"));
    Counters::at(others.iter().cloned().chain(own).collect())
}

impl Embedded {
    /// The agent of its hosts.
    ///
    /// # Errors
    /// When it is not there.
    pub fn agent(&self) -> Result<&Agent> {
        let inside = || self.node.as_ref().and_then(|node| node.node().agent());
        self.simulator.as_ref().map(Simulator::agent).or_else(inside).context("no agent")
    }
}

impl Node {
    /// Starts one, or finds the one that runs.
    ///
    /// # Errors
    /// When it does not answer, or something is missing.
    pub async fn open(target: &Target, cloud: &Cloud, hosts: usize, metrics: &[String], pids: &[u32]) -> Result<Self> {
        Self::open_as(target, cloud, hosts, (metrics, pids), |_| ()).await
    }

    /// The same with settings of an embedded node changed.
    async fn open_as(
        target: &Target,
        cloud: &Cloud,
        hosts: usize,
        (metrics, pids): (&[String], &[u32]),
        change: impl FnOnce(&mut NodeConfig),
    ) -> Result<Self> {
        let seed = cloud.seed();
        if let Some(endpoint) = &target.endpoint {
            let token = std::env::var("GYRE_TOKEN").context("sign in and set GYRE_TOKEN")?;
            let agents = std::env::var("GYRE_BENCH_AGENTS").context("name simulated agents in GYRE_BENCH_AGENTS")?;
            let runner = Runner {
                concurrency: ABREAST,
                counters: Counters::at(metrics.to_vec()),
                processes: Processes::apart(pids.to_vec()),
                database: "postgresql",
            };
            let agents = agents.split(',').map(str::to_owned).collect();
            return Ok(Self { front: Front::new(endpoint, &token), runner, agents, seed, embedded: None });
        }
        let folder = tempfile::tempdir()?;
        let simulation = Simulation { cpus: 100_000, memory_bytes: 1 << 44, seed, ..Simulation::default() };
        let simulator = if cloud.tls {
            let addresses = cloud.addresses.unwrap_or(hosts).max(1);
            Some(Simulator::start(folder.path(), simulation.clone(), addresses).await?)
        } else {
            None
        };
        let node = start(folder.path(), &simulation, simulator.as_ref(), change).await?;
        let agents = simulator.as_ref().map_or_else(|| vec!["local".to_owned()], Simulator::addresses);
        let runner = Runner {
            concurrency: ABREAST,
            counters: counters(&node, metrics),
            processes: Processes::embedded(pids.to_vec()),
            database: "sqlite",
        };
        let front = node.front().await?;
        let embedded = Some(Embedded { node: Some(node), simulator, simulation, folder });
        Ok(Self { front, runner, agents, seed, embedded })
    }

    /// Ends the embedded node.
    ///
    /// # Errors
    /// When there is none.
    pub async fn stop(&mut self) -> Result<()> {
        let embedded = self.embedded.as_mut().context("not inside the driver")?;
        embedded.node.take().context("it does not run")?.shutdown().await;
        Ok(())
    }

    /// Starts the embedded node again on what it left.
    ///
    /// # Errors
    /// When there is none, or it cannot be started.
    pub async fn again(&mut self) -> Result<()> {
        let embedded = self.embedded.as_mut().context("not inside the driver")?;
        ensure!(embedded.node.is_none(), "it runs");
        let (simulation, simulator) = (&embedded.simulation, embedded.simulator.as_ref());
        let node = start(embedded.folder.path(), simulation, simulator, |_| ()).await?;
        self.runner.counters = counters(&node, &[]);
        self.front = node.front().await?;
        embedded.node = Some(node);
        Ok(())
    }

    /// Adds hosts to a cluster, one call each. Answers their UUIDs in the order in which they were made.
    ///
    /// # Errors
    /// When it cannot be counted what that costs.
    pub async fn add_hosts(&self, scenario: &str, name: &str, cluster: &str, count: usize) -> Result<Ran<String>> {
        let (front, name, cluster) = (self.front.clone(), name.to_owned(), cluster.to_owned());
        let agents = Arc::new(self.agents.clone());
        let call = move |at: usize| {
            let host = Front::host(&name, at, &cluster, &agents[at % agents.len()]);
            let front = front.clone();
            timed(async move { front.done(Method::POST, "/v1/hosts", Some(host)).await })
        };
        self.runner.run(scenario, Extent::of(count), call).await
    }

    /// Ends everything.
    pub async fn close(self) {
        let Some(embedded) = self.embedded else { return };
        if let Some(node) = embedded.node {
            node.shutdown().await;
        }
        if let Some(simulator) = embedded.simulator {
            simulator.shutdown().await;
        }
    }
}

/// A node with hosts and all that machines are made from.
pub struct Opened {
    /// The node.
    pub node: Node,
    /// What machines are made from.
    pub site: Site,
    /// Of which image.
    pub image: String,
    /// What everything there is called.
    pub name: String,
}

impl Opened {
    /// Opens what the options name, for so many machines.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn of(load: &Load, machines: usize, hosts: usize, concurrency: usize) -> Result<Self> {
        let hosts = load.cloud.hosts.unwrap_or(hosts).max(1);
        let node = Node::open(&load.target, &load.cloud, hosts, &load.metrics, &load.pids).await?;
        let mut opened = Self::with(node, hosts, load.cloud.ranges_for(machines)).await?;
        opened.node.runner.concurrency = load.concurrency.unwrap_or(concurrency).max(1);
        opened.trouble(&load.cloud)?;
        Ok(opened)
    }

    /// One host, for scenarios that are about something else.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn plain(target: &Target, hosts: usize) -> Result<Self> {
        Self::plain_as(target, hosts, |_| ()).await
    }

    /// The same with settings of an embedded node changed.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn plain_as(target: &Target, hosts: usize, change: impl FnOnce(&mut NodeConfig)) -> Result<Self> {
        let node = Node::open_as(target, &Cloud::default(), hosts, (&[], &[]), change).await?;
        Self::with(node, hosts, 1).await
    }

    async fn with(node: Node, hosts: usize, ranges: usize) -> Result<Self> {
        let name = format!("bench-{}", &gyre_model::Uuid::new_v4().simple().to_string()[..8]);
        // in a cluster each agent has a host at least, as it was named
        let hosts = if node.embedded.is_some() { hosts } else { hosts.max(node.agents.len()) };
        let (zone, cluster) = node.front.cluster(&name).await?;
        let added = node.add_hosts("hosts", &name, &cluster, hosts).await?;
        let problem = added.figures.problem.unwrap_or_default();
        ensure!(added.figures.failed == 0, "{} hosts could not be added: {problem}", added.figures.failed);
        let site = node.front.furnish(&name, zone, cluster, added.made, FOLDER, ranges).await?;
        let image = node.front.upload(&site, &name, "IMAGE_FORMAT_RAW", vec![0u8; IMAGE]).await?;
        Ok(Self { node, site, image, name })
    }

    /// Lets hosts take their time and fail, now that everything that must be there is there.
    fn trouble(&self, cloud: &Cloud) -> Result<()> {
        let Some(embedded) = &self.node.embedded else { return Ok(()) };
        let faults = embedded.agent()?.faults().context("hosts that are not simulated")?;
        if let Some(delay) = cloud.delay {
            faults.delay(delay);
        }
        if let Some(chance) = cloud.fail_rate {
            WorkKind::ALL.into_iter().for_each(|kind| faults.fail_often(kind, chance));
        }
        Ok(())
    }

    /// Lets tasks take so long from now on.
    ///
    /// # Errors
    /// When hosts are not simulated here.
    pub fn delay(&self, delay: gyre_agent::Delay) -> Result<()> {
        self.trouble(&Cloud { delay: Some(delay), ..Cloud::default() })
    }

    /// Ends everything.
    pub async fn close(self) {
        self.node.close().await;
    }
}
