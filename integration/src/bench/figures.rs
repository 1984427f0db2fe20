//! Figures of calls in the form that all scenarios share: one JSON object each, or a line of a table for people.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::rss_mib;
use super::stats::Latencies;

/// What a scenario measured. Keys that a scenario cannot tell are left out.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Which.
    pub scenario: String,
    /// Calls.
    pub count: usize,
    /// Those that were answered as they should be.
    pub ok: usize,
    /// All others.
    pub failed: usize,
    /// From the first call to the end of the last, in seconds.
    pub wall_s: f64,
    /// Calls a second.
    pub rate_per_s: f64,
    /// Half of the calls took at most this.
    pub p50_ms: f64,
    /// Nine in ten took at most this.
    pub p90_ms: f64,
    /// Ninety-nine in a hundred took at most this.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// Processor time of a call: of this process, which is the node as well as who calls.
    pub cpu_ms_per_call: f64,
    /// Processor time of a call in the database server, where that is another process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_cpu_ms_per_call: Option<f64>,
    /// Resident memory of this process in MiB.
    pub rss_mb: f64,
    /// What it was measured against.
    #[serde(flatten)]
    pub against: Against,
    /// The first thing that went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What stood there while it was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Against {
    /// `sqlite` or `postgresql`.
    pub database: &'static str,
    /// Machines in the database.
    pub machines: u64,
    /// Callers at a time.
    pub callers: usize,
}

/// A clock for processor time: of this process, and of others.
#[derive(Debug, Clone)]
pub struct Clock {
    begun: Instant,
    own: f64,
    others: Vec<(u32, f64)>,
}

/// What a clock has counted.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// Time that has passed.
    pub wall: Duration,
    /// Processor seconds of this process.
    pub own: f64,
    /// Processor seconds of the others together.
    pub others: f64,
}

/// Processor seconds that a process has used, all of its threads together; in hundredths, as the kernel tells them.
fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the name of the program may have blanks in it, and ends with the last parenthesis
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / 100.0)
}

impl Clock {
    /// Starts it. Processes that have ended count as nothing.
    pub fn start(others: &[u32]) -> Self {
        let own = cpu_seconds(std::process::id()).unwrap_or_default();
        let others = others.iter().filter_map(|pid| Some((*pid, cpu_seconds(*pid)?))).collect();
        Self { begun: Instant::now(), own, others }
    }

    /// What it has counted so far.
    pub fn spent(&self) -> Spent {
        let own = cpu_seconds(std::process::id()).unwrap_or_default() - self.own;
        let others = self.others.iter().filter_map(|(pid, before)| Some(cpu_seconds(*pid)? - before)).sum();
        Spent { wall: self.begun.elapsed(), own, others }
    }
}

impl Figures {
    /// Of calls that were answered well, of those that were not, and of what they cost together.
    ///
    /// # Errors
    /// When the memory of this process cannot be read.
    pub fn of(
        scenario: &str,
        against: Against,
        well: Vec<Duration>,
        problems: Vec<String>,
        spent: Spent,
    ) -> Result<Self> {
        let (ok, failed) = (well.len(), problems.len());
        let count = ok + failed;
        let each = |seconds: f64| seconds * 1000.0 / count.max(1) as f64;
        let latencies = Latencies::of(well);
        Ok(Self {
            scenario: scenario.to_owned(),
            count,
            ok,
            failed,
            wall_s: spent.wall.as_secs_f64(),
            rate_per_s: count as f64 / spent.wall.as_secs_f64().max(1e-9),
            p50_ms: latencies.p50_ms,
            p90_ms: latencies.p90_ms,
            p99_ms: latencies.p99_ms,
            max_ms: latencies.max_ms,
            cpu_ms_per_call: each(spent.own),
            database_cpu_ms_per_call: (against.database == "postgresql").then(|| each(spent.others)),
            rss_mb: rss_mib(std::process::id()).context("this process has no memory")?,
            against,
            problem: problems.into_iter().next(),
        })
    }

    /// The heads of the columns of [`Figures::line`].
    pub fn head() -> String {
        format!(
            "{:<28} {:>6} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7}",
            "scenario", "count", "failed", "rate/s", "p50 ms", "p90 ms", "p99 ms", "max ms", "cpu ms", "db ms"
        )
    }

    /// A line for people.
    pub fn line(&self) -> String {
        let database = self.database_cpu_ms_per_call.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2}"));
        let problem = self.problem.as_ref().map_or_else(String::new, |problem| format!("  {problem}"));
        format!(
            "{:<28} {:>6} {:>6} {:>8.0} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>7.2} {:>7}{problem}",
            self.scenario,
            self.count,
            self.failed,
            self.rate_per_s,
            self.p50_ms,
            self.p90_ms,
            self.p99_ms,
            self.max_ms,
            self.cpu_ms_per_call,
            database
        )
    }

    /// Prints it: as JSON, or as a line for people.
    ///
    /// # Errors
    /// None that is expected.
    pub fn print(&self, json: bool) -> Result<()> {
        if json {
            println!("{}", serde_json::to_string(self)?);
        } else {
            println!("{}", self.line());
        }
        Ok(())
    }
}
