//! What the machines' service measures.

use std::sync::LazyLock;

use gyre_mesh::telemetry::metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::rules::Rule;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabel {
    rule: &'static str,
}

static RECONCILED: LazyLock<Family<RuleLabel, Counter>> = LazyLock::new(|| {
    let own = Family::default();
    let text = "Machines about which row and host disagreed, by the rule that was applied";
    metrics::registry(|all| all.register("gyre_reconciled", text, own.clone()));
    own
});

/// A rule was applied, or, where it leaves a machine alone, seen again.
pub(crate) fn reconciled(rule: Rule) {
    RECONCILED.get_or_create(&RuleLabel { rule: rule.name() }).inc();
}
