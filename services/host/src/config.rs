//! What the host service is told. Nothing here reads the environment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::work::WorkKind;

/// What the host service is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// How often an agent sends a heartbeat. Shorter: a dead host is noticed earlier; longer: fewer messages.
    pub heartbeat: Duration,
    /// After how many heartbeats without a sign of life a host counts as disconnected. Fewer: false alarms when a switch
    /// restarts; more: machines of a dead host look alive for longer.
    pub missed: u32,
    /// How long opening a session may take, and how long `CreateHost` and `ReconnectHost` try.
    pub connect_timeout: Duration,
    /// The wait before a session that broke is opened again; it doubles from try to try.
    pub reconnect_first: Duration,
    /// The longest such wait.
    pub reconnect_longest: Duration,
    /// How often hosts and sessions are compared when nothing else wakes the comparison.
    pub scan_period: Duration,
    /// How long those who wait for a task are kept waiting while its host has no session.
    pub task_patience: Duration,
    /// How long outcomes of tasks are kept for callers whose stream broke.
    pub outcome_keep: Duration,
    /// How often each agent is asked what machines there are. Shorter: what went wrong is found earlier; longer: fewer messages.
    pub report_period: Duration,
    /// How often that is compared with the rows although nothing has changed on the host.
    pub report_compare: Duration,
    /// How many tasks run on one host at once.
    pub widths: Widths,
    /// The directory of files that change workflows.
    pub workflows: Option<PathBuf>,
}

/// How many tasks of each kind run on one host at once; more wait here, in the order in which they came.
#[derive(Debug, Clone)]
pub struct Widths {
    /// Of each kind that moves little data.
    pub light: usize,
    /// Of each kind that moves images.
    pub image: usize,
    /// Exceptions.
    pub by_kind: BTreeMap<WorkKind, usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(2),
            missed: 3,
            connect_timeout: Duration::from_secs(5),
            reconnect_first: Duration::from_millis(100),
            reconnect_longest: Duration::from_secs(15),
            scan_period: Duration::from_secs(2),
            task_patience: Duration::from_secs(60),
            outcome_keep: Duration::from_secs(600),
            report_period: Duration::from_secs(10),
            report_compare: Duration::from_secs(60),
            widths: Widths::default(),
            workflows: None,
        }
    }
}

impl Default for Widths {
    fn default() -> Self {
        Self { light: 16, image: 2, by_kind: BTreeMap::new() }
    }
}

impl Config {
    /// How long a host may be silent before it counts as disconnected.
    pub fn grace(&self) -> Duration {
        self.heartbeat.saturating_mul(self.missed.max(1))
    }
}

impl Widths {
    /// How many tasks of a kind run on one host at once.
    pub fn of(&self, kind: WorkKind) -> usize {
        let usual = if kind.moves_images() { self.image } else { self.light };
        self.by_kind.get(&kind).copied().unwrap_or(usual).max(1)
    }
}
