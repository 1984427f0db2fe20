//! What webhooks measure.

use std::sync::LazyLock;

use gyre_mesh::telemetry::metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

struct Own {
    tries: Family<Outcome, Counter>,
    couriers: Gauge,
}

static OWN: LazyLock<Own> = LazyLock::new(|| {
    let own = Own { tries: Family::default(), couriers: Gauge::default() };
    metrics::registry(|all| {
        let help = "Tries to deliver a change to a webhook, by what became of it";
        all.register("gyre_webhook_tries", help, own.tries.clone());
        all.register("gyre_webhook_couriers", "Webhooks that this instance looks after", own.couriers.clone());
    });
    own
});

/// A try, and what became of it.
pub(super) fn tried(outcome: &'static str) {
    OWN.tries.get_or_create(&Outcome { outcome }).inc();
}

pub(super) fn couriers(count: usize) {
    OWN.couriers.set(i64::try_from(count).unwrap_or(i64::MAX));
}
