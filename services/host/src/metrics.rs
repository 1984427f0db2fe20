//! What the host service measures.

use std::sync::LazyLock;
use std::time::Duration;

use gyre_mesh::telemetry::metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::work::WorkKind;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskLabels {
    kind: &'static str,
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

struct Own {
    owned: Gauge,
    sessions: Gauge,
    opened: Counter,
    disconnected: Counter,
    tasks: Family<TaskLabels, Gauge>,
    task_seconds: Family<KindLabel, Histogram, fn() -> Histogram>,
    placements: Family<ResultLabel, Counter>,
    placement_seconds: Histogram,
    reports: Family<ResultLabel, Counter>,
}

static OWN: LazyLock<Own> = LazyLock::new(|| {
    let own = Own {
        owned: Gauge::default(),
        sessions: Gauge::default(),
        opened: Counter::default(),
        disconnected: Counter::default(),
        tasks: Family::default(),
        task_seconds: Family::new_with_constructor(metrics::seconds),
        placements: Family::default(),
        placement_seconds: metrics::seconds(),
        reports: Family::default(),
    };
    metrics::registry(|all| {
        all.register("gyre_hosts_owned", "Hosts whose sessions this process looks after", own.owned.clone());
        all.register("gyre_host_sessions", "Open sessions with agents", own.sessions.clone());
        all.register("gyre_host_sessions_opened", "Sessions opened with agents", own.opened.clone());
        all.register("gyre_host_disconnects", "Hosts declared disconnected", own.disconnected.clone());
        all.register("gyre_host_tasks", "Tasks on hosts, by kind and stage (waiting or running)", own.tasks.clone());
        all.register("gyre_host_task_seconds", "How long tasks took, waiting included", own.task_seconds.clone());
        all.register("gyre_placements", "Placements asked for, by result", own.placements.clone());
        let text =
            "Whole reports of hosts, by what came of them: changed, unchanged (dropped), or compared all the same";
        all.register("gyre_host_reports", text, own.reports.clone());
        all.register("gyre_placement_seconds", "How long placing took", own.placement_seconds.clone());
    });
    own
});

/// Counts something as there for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

pub(crate) fn owned() -> Counted {
    Counted::new(&OWN.owned)
}

pub(crate) fn session_opened() -> Counted {
    OWN.opened.inc();
    Counted::new(&OWN.sessions)
}

pub(crate) fn host_disconnected() {
    OWN.disconnected.inc();
}

pub(crate) fn task_waiting(kind: WorkKind) -> Counted {
    Counted::new(&OWN.tasks.get_or_create(&TaskLabels { kind: kind.name(), stage: "waiting" }))
}

pub(crate) fn task_running(kind: WorkKind) -> Counted {
    Counted::new(&OWN.tasks.get_or_create(&TaskLabels { kind: kind.name(), stage: "running" }))
}

pub(crate) fn task_ended(kind: WorkKind, took: Duration) {
    OWN.task_seconds.get_or_create(&KindLabel { kind: kind.name() }).observe(took.as_secs_f64());
}

pub(crate) fn report(result: &'static str) {
    OWN.reports.get_or_create(&ResultLabel { result }).inc();
}

pub(crate) fn placed(result: &'static str, took: Duration) {
    OWN.placements.get_or_create(&ResultLabel { result }).inc();
    OWN.placement_seconds.observe(took.as_secs_f64());
}
