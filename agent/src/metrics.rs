//! What the agent measures: tasks by kind and end, how long they took, how many run, and sessions.

use std::sync::LazyLock;
use std::time::Duration;

use gyre_mesh::telemetry::{metrics::seconds, registry};
use gyre_model::Error;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::work::WorkKind;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct End {
    kind: &'static str,
    reason: String,
}

struct Own {
    running: Family<Kind, Gauge>,
    ended: Family<End, Counter>,
    took: Family<Kind, Histogram, fn() -> Histogram>,
    sessions: Gauge,
    lanes: Gauge,
}

static OWN: LazyLock<Own> = LazyLock::new(|| {
    let own = Own {
        running: Family::default(),
        ended: Family::default(),
        took: Family::new_with_constructor(seconds),
        sessions: Gauge::default(),
        lanes: Gauge::default(),
    };
    registry(|all| {
        all.register("gyre_agent_tasks_running", "Tasks that run or wait for their turn", own.running.clone());
        all.register("gyre_agent_tasks", "Tasks that ended, by reason; OK for those that succeeded", own.ended.clone());
        all.register("gyre_agent_task_seconds", "How long tasks took, waiting included", own.took.clone());
        all.register("gyre_agent_sessions", "Sessions that are open", own.sessions.clone());
        all.register("gyre_agent_lanes", "Machines, volumes, images and folders that are worked on", own.lanes.clone());
    });
    own
});

pub(crate) fn task_began(kind: WorkKind) {
    OWN.running.get_or_create(&Kind { kind: kind.name() }).inc();
}

pub(crate) fn task_ended(kind: WorkKind, error: Option<&Error>, took: Duration) {
    let kind = kind.name();
    OWN.running.get_or_create(&Kind { kind }).dec();
    OWN.took.get_or_create(&Kind { kind }).observe(took.as_secs_f64());
    let reason = error.map_or("OK", Error::reason).to_owned();
    OWN.ended.get_or_create(&End { kind, reason }).inc();
}

pub(crate) fn session_opened() {
    OWN.sessions.inc();
}

pub(crate) fn session_closed() {
    OWN.sessions.dec();
}

pub(crate) fn lane_opened() {
    OWN.lanes.inc();
}

pub(crate) fn lane_closed() {
    OWN.lanes.dec();
}
