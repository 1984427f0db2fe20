//! Thousands of hosts with sessions: how long until all are connected, what they cost while nothing happens, and how long until all
//! are connected again after the host service was started anew.
//!
//! A host is connected once the host service has a session with its agent, as its metric `gyre_host_sessions` says.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http::Method;

use super::args::Load;
use super::calls::{Extent, timed};
use super::figures::{Answers, Figures};
use super::opened::{Node, PERIOD};
use super::processes::Clock;

/// Hosts where nobody says how many.
const COUNT: usize = 10_000;
/// Hosts that are added at a time.
const CONCURRENCY: usize = 128;
/// How often those are added again that could not be.
const TRIES: usize = 3;
/// How often it is looked how many are connected.
const LOOK: Duration = Duration::from_millis(50);
/// The longest that they may take.
const LONGEST: Duration = Duration::from_secs(600);
/// How long it is waited before quiet begins: what came with the sessions ends.
const SETTLE: Duration = Duration::from_secs(5);

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many hosts, and where.
    pub load: Load,
    /// For how long nothing happens.
    pub quiet: Duration,
    /// Starts the host service of a cluster anew.
    pub restart: Option<String>,
}

struct Bench {
    node: Node,
    count: usize,
    /// Sessions that were there before.
    before: usize,
    tls: bool,
}

/// Measures.
///
/// # Errors
/// When hosts cannot be added, or do not connect.
pub async fn run(settings: &Settings, mut told: impl FnMut(Figures) -> Result<()>) -> Result<()> {
    let Settings { load, quiet, restart } = settings;
    let count = load.count.or(load.cloud.hosts).unwrap_or(COUNT).max(1);
    let mut node = Node::open(&load.target, &load.cloud, count, &load.metrics, &load.pids).await?;
    ensure!(node.runner.counters.are_known(), "name the metrics of the instances of host with --metrics");
    node.runner.concurrency = load.concurrency.unwrap_or(CONCURRENCY).max(1);
    let name = format!("bench-{}", &gyre_model::Uuid::new_v4().simple().to_string()[..8]);
    let (zone, cluster) = node.front.cluster(&name).await?;
    let mut bench = Bench { before: sessions(&node).await, node, count, tls: load.cloud.tls };

    let begun = Instant::now();
    let mut added = bench.node.add_hosts("hosts-connect", &name, &cluster, count).await?;
    for _ in 0..TRIES {
        // a failure is told in the figures, and was undone; all of them are needed for what comes
        let missing = count - added.made.len();
        if missing > 0 {
            added.made.extend(bench.node.add_hosts("hosts-connect", &name, &cluster, missing).await?.made);
        }
    }
    let problem = added.figures.problem.clone().unwrap_or_default();
    ensure!(added.made.len() == count, "only {} hosts could be added: {problem}", added.made.len());
    bench.connected().await?;
    let figures = added.figures.with("connected_s", begun.elapsed().as_secs_f64());
    told(figures.with("addresses", bench.node.agents.len()).with("tls", bench.tls))?;

    tokio::time::sleep(SETTLE).await;
    told(bench.quiet(*quiet).await?)?;

    if bench.node.embedded.is_some() || restart.is_some() {
        told(bench.again(restart.as_deref()).await?)?;
    }
    told(bench.removed(added.made, &cluster, &zone).await?)?;
    bench.node.close().await;
    Ok(())
}

/// Sessions that are open; none where an instance does not answer.
async fn sessions(node: &Node) -> usize {
    node.runner.counters.read().await.map_or(0, |counted| counted.sessions.max(0.0).round() as usize)
}

impl Bench {
    /// Waits until all hosts are connected. Answers after how long half of them were.
    async fn connected(&self) -> Result<Duration> {
        let (begun, mut half) = (Instant::now(), None);
        loop {
            let there = sessions(&self.node).await.saturating_sub(self.before);
            if 2 * there >= self.count {
                half.get_or_insert_with(|| begun.elapsed());
            }
            if there >= self.count {
                return Ok(half.unwrap_or_else(|| begun.elapsed()));
            }
            ensure!(begun.elapsed() < LONGEST, "{there} of {} hosts are connected after {LONGEST:?}", self.count);
            tokio::time::sleep(LOOK).await;
        }
    }

    fn figures(&self, scenario: &str, clock: &Clock, answers: Answers) -> Figures {
        let spent = clock.spent();
        let processes = &self.node.runner.processes;
        let share = processes.seconds_of_the_work(&spent) / spent.wall.as_secs_f64().max(1e-9);
        let figures = Figures::of(scenario, self.node.runner.against(0), answers, &spent, processes);
        figures.with("hosts", self.count).with("tls", self.tls).with("cpu_share", share)
    }

    /// What they cost while nothing happens: a call is a heartbeat.
    async fn quiet(&self, time: Duration) -> Result<Figures> {
        let before = self.node.runner.counters.read().await?;
        let clock = self.node.runner.processes.clock();
        tokio::time::sleep(time).await;
        let there = sessions(&self.node).await.saturating_sub(self.before).min(self.count);
        let beats = |hosts: usize| (hosts as f64 * time.as_secs_f64() / PERIOD.as_secs_f64()).round() as usize;
        let lost = self.count - there;
        let problem = (lost > 0).then(|| format!("{lost} hosts have no session any more"));
        let answers = Answers { untimed: beats(there), failed: beats(lost), problem, ..Answers::default() };
        let figures = self.figures("hosts-quiet", &clock, answers);
        let each = self.node.runner.counters.read().await?.each(&before, figures.count);
        Ok(figures.with_each(each))
    }

    /// Starts the host service anew; a call is a host that is connected again, and the time counts from the moment in which the
    /// service is told to end (in a cluster), or begins to start (inside the driver).
    async fn again(&mut self, restart: Option<&str>) -> Result<Figures> {
        let inside = self.node.embedded.is_some();
        let before = self.node.runner.counters.read().await?;
        if inside {
            self.node.stop().await?;
        }
        let (clock, begun) = (self.node.runner.processes.clock(), Instant::now());
        match restart {
            Some(command) if !inside => {
                let ended = tokio::process::Command::new("sh").args(["-c", command]).status().await?;
                ensure!(ended.success(), "{command:?} failed: {ended}");
            }
            _ => self.node.again().await?,
        }
        let answering = begun.elapsed();
        let half = answering + self.connected().await?;
        let answers = Answers { untimed: self.count, ..Answers::default() };
        let mut figures = self.figures("hosts-reconnect", &clock, answers);
        if inside {
            // those of other processes begin anew with them
            figures = figures.with_each(self.node.runner.counters.read().await?.each(&before, self.count));
        }
        Ok(figures.with("answering_s", answering.as_secs_f64()).with("half_s", half.as_secs_f64()))
    }

    /// Removes the hosts, their cluster and their zone, and sees that nothing is left.
    async fn removed(&self, hosts: Vec<String>, cluster: &str, zone: &str) -> Result<Figures> {
        let front = self.node.front.clone();
        let count = hosts.len();
        let call = move |at: usize| {
            let (front, path) = (front.clone(), format!("/v1/hosts/{}", hosts[at]));
            timed(async move { front.done(Method::DELETE, &path, None).await })
        };
        let figures = self.node.runner.run("hosts-remove", Extent::of(count), call).await?.figures;
        let problem = figures.problem.clone().unwrap_or_default();
        ensure!(figures.failed == 0, "{} hosts could not be removed: {problem}", figures.failed);
        let front = &self.node.front;
        for path in [format!("/v1/clusters/{cluster}"), format!("/v1/zones/{zone}")] {
            front.done(Method::DELETE, &path, None).await.with_context(|| format!("{path} cannot be removed"))?;
        }
        if let Some(embedded) = &self.node.embedded {
            let left = embedded.agent()?.counts().0;
            ensure!(left == 0, "the simulator has {left} hosts left");
        }
        Ok(figures)
    }
}
