//! What following the log measures.

use std::sync::LazyLock;
use std::time::Duration;

use gyre_mesh::telemetry::metrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

struct Own {
    subscribers: Gauge,
    rows: Counter,
    slow: Counter,
    seconds: Histogram,
}

static OWN: LazyLock<Own> = LazyLock::new(|| {
    let own = Own {
        subscribers: Gauge::default(),
        rows: Counter::default(),
        slow: Counter::default(),
        seconds: metrics::seconds(),
    };
    metrics::registry(|all| {
        all.register("gyre_log_subscribers", "Watchers and observers of the log of changes", own.subscribers.clone());
        all.register("gyre_log_rows", "Rows of the log of changes that were followed", own.rows.clone());
        all.register("gyre_log_slow", "Watchers that were ended because they were too slow", own.slow.clone());
        all.register("gyre_log_dispatch_seconds", "How long telling of the rows of a page took", own.seconds.clone());
    });
    own
});

pub(crate) fn subscribers(count: usize) {
    OWN.subscribers.set(i64::try_from(count).unwrap_or(i64::MAX));
}

pub(crate) fn followed(rows: usize, took: Duration) {
    OWN.rows.inc_by(rows as u64);
    OWN.seconds.observe(took.as_secs_f64());
}

pub(crate) fn slow() {
    OWN.slow.inc();
}
