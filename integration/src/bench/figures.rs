//! Figures of calls in the form that all scenarios share: one JSON object each, or a line of a table for people.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Value};

use super::counters::Each;
use super::processes::{Processes, Spent};
use super::stats::Samples;

/// What a scenario measured. What it cannot tell is null.
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
    pub p50_ms: Option<f64>,
    /// Nine in ten took at most this.
    pub p90_ms: Option<f64>,
    /// Ninety-nine in a hundred took at most this.
    pub p99_ms: Option<f64>,
    /// The longest.
    pub max_ms: Option<f64>,
    /// Processor time of a call, of all processes that are known.
    pub cpu_ms_per_call: f64,
    /// The same by the name of the program. A node inside the driver is one process with it.
    pub cpu_ms_per_call_by_process: BTreeMap<String, f64>,
    /// What is counted; null where nobody says where.
    #[serde(flatten)]
    pub each: Each,
    /// Resident memory in MiB of the processes that do the work, at the end.
    pub rss_mb: f64,
    /// The same by the name of the program.
    pub rss_mb_by_process: BTreeMap<String, f64>,
    /// What it was measured against.
    #[serde(flatten)]
    pub against: Against,
    /// What else the scenario tells.
    #[serde(flatten)]
    pub more: Map<String, Value>,
    /// The first thing that went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What stood there while it was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Against {
    /// `sqlite` or `postgresql`.
    pub database: &'static str,
    /// Machines in the database when it began, as far as the driver made them.
    pub machines: u64,
    /// Calls at a time.
    pub concurrency: usize,
}

/// How calls were answered.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// How long those took that were answered as they should be.
    pub well: Samples,
    /// How many more there were of those, whose time says nothing.
    pub untimed: usize,
    /// How many were not.
    pub failed: usize,
    /// What was wrong with the first of them.
    pub problem: Option<String>,
}

impl Answers {
    /// Takes in others.
    pub fn add(&mut self, others: Self) {
        self.well.add(others.well);
        self.untimed += others.untimed;
        self.failed += others.failed;
        self.problem = self.problem.take().or(others.problem);
    }
}

impl Figures {
    /// Of calls, and of what they cost together.
    pub fn of(scenario: &str, against: Against, answers: Answers, spent: &Spent, processes: &Processes) -> Self {
        let Answers { well, untimed, failed, problem } = answers;
        let (measured, ok) = (well.count(), well.count() + untimed);
        let latencies = well.latencies();
        let count = ok + failed;
        let each = |seconds: f64| seconds * 1000.0 / count.max(1) as f64;
        let by_process: BTreeMap<_, _> =
            spent.seconds.iter().map(|(name, seconds)| (name.clone(), each(*seconds))).collect();
        let memory = processes.memory();
        let (wall_s, timed) = (spent.wall.as_secs_f64(), |ms: f64| (measured > 0).then_some(ms));
        Self {
            scenario: scenario.to_owned(),
            count,
            ok,
            failed,
            wall_s,
            rate_per_s: count as f64 / wall_s.max(1e-9),
            p50_ms: timed(latencies.p50_ms),
            p90_ms: timed(latencies.p90_ms),
            p99_ms: timed(latencies.p99_ms),
            max_ms: timed(latencies.max_ms),
            cpu_ms_per_call: by_process.values().sum(),
            cpu_ms_per_call_by_process: by_process,
            each: Each::default(),
            rss_mb: processes.memory_of_the_work(&memory),
            rss_mb_by_process: memory,
            against,
            more: Map::new(),
            problem,
        }
    }

    /// With what is counted for each call.
    #[must_use]
    pub fn with_each(mut self, each: Each) -> Self {
        self.each = each;
        self
    }

    /// With something else that the scenario tells.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.more.insert(key.to_owned(), value.into());
        self
    }

    /// The heads of the columns of [`Figures::line`].
    pub fn head() -> String {
        format!(
            "{:<30} {:>7} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7} {:>6} {:>7}",
            "scenario",
            "count",
            "failed",
            "rate/s",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "max ms",
            "cpu ms",
            "commits",
            "stmts",
            "rss MiB"
        )
    }

    /// A line for people.
    pub fn line(&self) -> String {
        let shown = |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.2}"));
        let mut line = format!(
            "{:<30} {:>7} {:>6} {:>8.0} {:>8} {:>8} {:>8} {:>8} {:>7.2} {:>7} {:>6} {:>7.0}",
            self.scenario,
            self.count,
            self.failed,
            self.rate_per_s,
            shown(self.p50_ms),
            shown(self.p90_ms),
            shown(self.p99_ms),
            shown(self.max_ms),
            self.cpu_ms_per_call,
            shown(self.each.commits_per_call),
            self.each.statements_per_call.map_or_else(|| "-".to_owned(), |statements| format!("{statements:.1}")),
            self.rss_mb,
        );
        for (key, value) in &self.more {
            line.push_str(&format!("  {key}={value}"));
        }
        if let Some(problem) = &self.problem {
            line.push_str(&format!("  {problem}"));
        }
        line
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
