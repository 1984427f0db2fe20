//! What the engine measures.

use std::sync::LazyLock;
use std::time::Duration;

use gyre_mesh::telemetry::metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    workflow: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Service {
    service: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    workflow: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Commit {
    service: &'static str,
    name: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

struct Own {
    ended: Family<Ended, Counter>,
    seconds: Family<Named, Histogram, fn() -> Histogram>,
    retries: Family<Named, Counter>,
    taken: Family<Service, Counter>,
    lanes: Family<Service, Gauge>,
    depth: Family<Service, Gauge>,
    waited: Family<Service, Histogram, fn() -> Histogram>,
    debts: Family<Service, Gauge>,
    commits: Family<Commit, Counter>,
    callbacks: Family<Outcome, Counter>,
    refusals: Family<Outcome, Counter>,
    crowded: Counter,
}

static OWN: LazyLock<Own> = LazyLock::new(|| {
    let own = Own {
        ended: Family::default(),
        seconds: Family::new_with_constructor(metrics::seconds),
        retries: Family::default(),
        taken: Family::default(),
        lanes: Family::default(),
        depth: Family::default(),
        waited: Family::new_with_constructor(metrics::seconds),
        debts: Family::default(),
        commits: Family::default(),
        callbacks: Family::default(),
        refusals: Family::default(),
        crowded: Counter::default(),
    };
    metrics::registry(|all| {
        all.register("gyre_operations", "Operations ended, by workflow and state", own.ended.clone());
        all.register("gyre_operation_seconds", "How long operations took from the call on", own.seconds.clone());
        all.register("gyre_step_retries", "Steps tried again", own.retries.clone());
        all.register("gyre_operations_taken", "Operations taken over from an instance that is gone", own.taken.clone());
        all.register("gyre_lanes", "Lanes with work", own.lanes.clone());
        all.register("gyre_lane_depth", "Operations that wait in lanes", own.depth.clone());
        all.register("gyre_lane_wait_seconds", "How long operations waited for their resource", own.waited.clone());
        all.register("gyre_debts", "Stuck operations that this instance looks after", own.debts.clone());
        all.register("gyre_operation_commits", "Commits of running operations, by name", own.commits.clone());
        all.register("gyre_callbacks", "Tries to deliver a callback, by what became of it", own.callbacks.clone());
        all.register(
            "gyre_operations_refused",
            "Operations not begun since their account had too many under way",
            own.crowded.clone(),
        );
        all.register("gyre_refusals", "Refused calls on their way into the log of changes", own.refusals.clone());
    });
    own
});

/// Registers what the store measures, once for a process.
pub(crate) fn store() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| metrics::registry(gyre_store::metrics::register));
}

pub(crate) fn ended(workflow: &str, state: &'static str, took: Duration) {
    OWN.ended.get_or_create(&Ended { workflow: workflow.to_owned(), state }).inc();
    OWN.seconds.get_or_create(&Named { workflow: workflow.to_owned() }).observe(took.as_secs_f64());
}

pub(crate) fn retried(workflow: &str) {
    OWN.retries.get_or_create(&Named { workflow: workflow.to_owned() }).inc();
}

pub(crate) fn taken(service: &'static str) {
    OWN.taken.get_or_create(&Service { service }).inc();
}

pub(crate) fn lanes(service: &'static str, (lanes, depth): (usize, usize)) {
    let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
    OWN.lanes.get_or_create(&Service { service }).set(number(lanes));
    OWN.depth.get_or_create(&Service { service }).set(number(depth));
}

pub(crate) fn waited(service: &'static str, time: Duration) {
    OWN.waited.get_or_create(&Service { service }).observe(time.as_secs_f64());
}

pub(crate) fn debts(service: &'static str, count: i64) {
    OWN.debts.get_or_create(&Service { service }).set(count);
}

pub(crate) fn committed(service: &'static str, name: &'static str) {
    OWN.commits.get_or_create(&Commit { service, name }).inc();
}

/// An operation that was not begun, since its account had too many under way.
pub(crate) fn crowded() {
    OWN.crowded.inc();
}

/// Refused calls, and whether they came into the log.
pub(crate) fn refusals(outcome: &'static str, count: usize) {
    OWN.refusals.get_or_create(&Outcome { outcome }).inc_by(count as u64);
}

/// A try to deliver a callback, and what became of it.
pub(crate) fn callback(outcome: &'static str) {
    OWN.callbacks.get_or_create(&Outcome { outcome }).inc();
}
