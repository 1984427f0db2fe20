//! What the store measures, for all databases of this process together.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Queue {
    queue: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    name: &'static str,
}

struct Own {
    up: Gauge,
    waiting: Family<Queue, Gauge>,
    waits: Family<Queue, Histogram, fn() -> Histogram>,
    refused: Family<Reason, Counter>,
    retries: Family<Name, Counter>,
    connects: Counter,
    given_up: Counter,
    cancelled: Counter,
    unknown: Counter,
    closures: Family<Name, Counter>,
    statements: Family<Name, Counter>,
    commits: Counter,
    flushes: Histogram,
}

static OWN: LazyLock<Own> = LazyLock::new(|| Own {
    up: Gauge::default(),
    waiting: Family::default(),
    waits: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_1, 3.2, 12))),
    refused: Family::default(),
    retries: Family::default(),
    connects: Counter::default(),
    given_up: Counter::default(),
    cancelled: Counter::default(),
    unknown: Counter::default(),
    closures: Family::default(),
    statements: Family::default(),
    commits: Counter::default(),
    flushes: Histogram::new(exponential_buckets(0.000_1, 3.2, 12)),
});

/// Registers what the store measures.
pub fn register(all: &mut Registry) {
    all.register("gyre_store_up", "1 while the database answers, 0 while it is away", OWN.up.clone());
    all.register("gyre_store_waiting", "Reads and writes that wait for a connection", OWN.waiting.clone());
    all.register("gyre_store_wait_seconds", "How long they waited for a connection", OWN.waits.clone());
    all.register("gyre_store_refused", "Reads and writes that were refused, by reason", OWN.refused.clone());
    all.register("gyre_store_retries", "Transactions run again after a conflict, by name", OWN.retries.clone());
    all.register("gyre_store_connects", "Connections opened", OWN.connects.clone());
    all.register("gyre_store_connections_given_up", "Connections that were waited for in vain", OWN.given_up.clone());
    all.register("gyre_store_reads_cancelled", "Reads of PostgreSQL's that were cancelled", OWN.cancelled.clone());
    all.register("gyre_store_commits_unknown", "Commits that were sent and never answered", OWN.unknown.clone());
    all.register("gyre_store_closures", "Reads and writes that were run, by name", OWN.closures.clone());
    all.register("gyre_store_statements", "Statements that they ran, by name", OWN.statements.clone());
    all.register(
        "gyre_store_commits",
        "Transactions that were committed, each of one write or of many",
        OWN.commits.clone(),
    );
    all.register("gyre_store_flush_seconds", "How long SQLite's disk took to keep commits", OWN.flushes.clone());
}

pub(crate) fn up(up: bool) {
    OWN.up.set(i64::from(up));
}

pub(crate) fn waiting(queue: &'static str, count: usize) {
    OWN.waiting.get_or_create(&Queue { queue }).set(i64::try_from(count).unwrap_or(i64::MAX));
}

pub(crate) fn waited(queue: &'static str, time: Duration) {
    OWN.waits.get_or_create(&Queue { queue }).observe(time.as_secs_f64());
}

pub(crate) fn refused(reason: &'static str) {
    OWN.refused.get_or_create(&Reason { reason }).inc();
}

pub(crate) fn retried(name: &'static str) {
    OWN.retries.get_or_create(&Name { name }).inc();
}

pub(crate) fn connected() {
    OWN.connects.inc();
}

pub(crate) fn given_up() {
    OWN.given_up.inc();
}

pub(crate) fn cancelled() {
    OWN.cancelled.inc();
}

pub(crate) fn unknown() {
    OWN.unknown.inc();
}

pub(crate) fn ran(name: &'static str, statements: u64) {
    OWN.closures.get_or_create(&Name { name }).inc();
    OWN.statements.get_or_create(&Name { name }).inc_by(statements);
}

pub(crate) fn flushed(took: Duration) {
    OWN.flushes.observe(took.as_secs_f64());
}

pub(crate) fn committed() {
    OWN.commits.inc();
}
