//! What calls cost that does not depend on the machine: statements, commits and tasks on hosts, as the processes' metrics count them.

use anyhow::{Context as _, Result};
use serde::Serialize;
use std::collections::BTreeMap;

use crate::Front;

/// Where metrics are read.
#[derive(Debug, Clone)]
pub struct Counters(Vec<String>);

/// What has been counted since the processes began.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    /// Transactions that were committed.
    pub commits: f64,
    /// Tasks that hosts ended.
    pub tasks: f64,
    /// Statements by the name of what ran them.
    pub statements: BTreeMap<String, f64>,
    /// How often it ran.
    pub closures: BTreeMap<String, f64>,
    /// Sessions with hosts that are open.
    pub sessions: f64,
    /// Whether anybody was asked.
    known: bool,
}

/// What each call cost; null where nobody was asked.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Each {
    /// Transactions that were committed.
    pub commits_per_call: Option<f64>,
    /// Statements.
    pub statements_per_call: Option<f64>,
    /// Tasks on hosts.
    pub agent_trips_per_call: Option<f64>,
    /// By name: how often it ran for a call, and its statements.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub by_name: BTreeMap<String, (f64, f64)>,
}

impl Counters {
    /// Of processes that serve their metrics here (`http://127.0.0.1:9090`).
    pub fn at(endpoints: Vec<String>) -> Self {
        Self(endpoints)
    }

    /// Whether anybody can be asked.
    pub fn are_known(&self) -> bool {
        !self.0.is_empty()
    }

    /// What they have counted.
    ///
    /// # Errors
    /// When one does not answer.
    pub async fn read(&self) -> Result<Counted> {
        let mut counted = Counted { known: !self.0.is_empty(), ..Counted::default() };
        for endpoint in &self.0 {
            let (_, body) = Front::new(endpoint, "").fetch("/metrics").await.context("a process without metrics")?;
            for line in String::from_utf8_lossy(&body).lines() {
                counted.add(line);
            }
        }
        Ok(counted)
    }
}

impl Counted {
    fn add(&mut self, line: &str) {
        let Some((what, value)) = line.rsplit_once(' ') else { return };
        let Ok(value) = value.parse::<f64>() else { return };
        let (metric, labels) = what.split_once('{').unwrap_or((what, ""));
        let name = labels.trim_end_matches('}').strip_prefix("name=\"").map(|name| name.trim_end_matches('"'));
        match (metric, name) {
            ("gyre_store_commits_total", _) => self.commits += value,
            ("gyre_agent_tasks_total", _) => self.tasks += value,
            ("gyre_host_sessions", _) => self.sessions += value,
            ("gyre_store_statements_total", Some(name)) => {
                *self.statements.entry(name.to_owned()).or_default() += value
            }
            ("gyre_store_closures_total", Some(name)) => *self.closures.entry(name.to_owned()).or_default() += value,
            _ => {}
        }
    }

    /// What each of so many calls cost since `before`. What ran less than once in a hundred calls is not told by name.
    pub fn each(&self, before: &Self, calls: usize) -> Each {
        if !self.known {
            return Each::default();
        }
        let calls = calls.max(1) as f64;
        let rose = |now: &BTreeMap<String, f64>, then: &BTreeMap<String, f64>, name: &str| {
            (now.get(name).copied().unwrap_or_default() - then.get(name).copied().unwrap_or_default()) / calls
        };
        let by_name: BTreeMap<_, _> = self
            .closures
            .keys()
            .map(|name| {
                let ran = rose(&self.closures, &before.closures, name);
                (name.clone(), (ran, rose(&self.statements, &before.statements, name)))
            })
            .collect();
        Each {
            commits_per_call: Some((self.commits - before.commits) / calls),
            statements_per_call: Some(by_name.values().map(|(_, statements)| statements).sum()),
            agent_trips_per_call: Some((self.tasks - before.tasks) / calls),
            by_name: by_name.into_iter().filter(|(_, (ran, _))| *ran >= 0.01).collect(),
        }
    }
}
