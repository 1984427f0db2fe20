//! The registry of this process, and what the mesh itself measures.
//!
//! A call's counters are looked up once for each method and code and kept, so that counting a call costs two atomic additions
//! and one short lock of its histogram.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use gyre_model::catalog::{MethodInfo, catalog};
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tonic::Code;

static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);

/// Registers metrics. Names begin with `gyre_`; counters are given without `_total`, which the text adds.
pub fn registry<R>(register: impl FnOnce(&mut Registry) -> R) -> R {
    register(&mut REGISTRY.lock())
}

/// All metrics as OpenMetrics text.
pub fn encode() -> String {
    let mut text = String::new();
    // The writer is a string: it does not fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &REGISTRY.lock());
    text
}

/// A histogram of seconds, from 100 µs to 100 s.
pub fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 3.2, 13))
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    service: &'static str,
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    service: &'static str,
    method: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabel {
    service: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskLabel {
    task: &'static str,
}

struct Own {
    calls: Family<CodeLabels, Counter>,
    call_seconds: Family<CallLabels, Histogram, fn() -> Histogram>,
    epoch: Gauge,
    members: Family<ServiceLabel, Gauge>,
    retries: Family<ReasonLabel, Counter>,
    refused: Family<ReasonLabel, Counter>,
    panics: Counter,
    task_seconds: Family<TaskLabel, Histogram, fn() -> Histogram>,
    task_errors: Family<TaskLabel, Counter>,
}

static OWN: LazyLock<Own> = LazyLock::new(|| {
    let own = Own {
        calls: Family::default(),
        call_seconds: Family::new_with_constructor(seconds),
        epoch: Gauge::default(),
        members: Family::default(),
        retries: Family::default(),
        refused: Family::default(),
        panics: Counter::default(),
        task_seconds: Family::new_with_constructor(seconds),
        task_errors: Family::default(),
    };
    registry(|all| {
        all.register("gyre_rpc", "Calls answered, by code", own.calls.clone());
        all.register("gyre_rpc_seconds", "How long calls took", own.call_seconds.clone());
        all.register("gyre_ring_epoch", "The epoch of the present ring", own.epoch.clone());
        all.register("gyre_ring_members", "Members of each service", own.members.clone());
        all.register("gyre_mesh_retries", "Calls sent again, by reason", own.retries.clone());
        all.register("gyre_connections_refused", "Connections refused, by reason", own.refused.clone());
        all.register("gyre_panics", "Calls and tasks that panicked", own.panics.clone());
        all.register("gyre_task_seconds", "How long activations of background tasks took", own.task_seconds.clone());
        all.register("gyre_task_errors", "Errors in background tasks", own.task_errors.clone());
    });
    own
});

/// The counters of one method.
pub(crate) struct MethodMetrics {
    service: &'static str,
    method: &'static str,
    seconds: Histogram,
    codes: [OnceLock<Counter>; 17],
}

impl MethodMetrics {
    fn new(service: &'static str, method: &'static str) -> Self {
        let seconds = OWN.call_seconds.get_or_create(&CallLabels { service, method }).clone();
        Self { service, method, seconds, codes: Default::default() }
    }

    /// Counts a call that was answered.
    pub(crate) fn count(&self, code: Code, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        let counter = self.codes[code as usize].get_or_init(|| {
            let labels = CodeLabels { service: self.service, method: self.method, code: code_name(code) };
            OWN.calls.get_or_create(&labels).clone()
        });
        counter.inc();
    }
}

/// A method that the catalog knows, and its counters.
pub(crate) struct Known {
    pub(crate) info: &'static MethodInfo,
    pub(crate) metrics: MethodMetrics,
}

/// The method at a path.
pub(crate) fn method(path: &str) -> Option<&'static Known> {
    static KNOWN: LazyLock<HashMap<&'static str, Known>> = LazyLock::new(|| {
        let known = |info: &'static MethodInfo| Known { info, metrics: MethodMetrics::new(info.service, info.name) };
        catalog().methods().map(|info| (info.path, known(info))).collect()
    });
    KNOWN.get(path)
}

/// The counters of calls to methods that nobody knows.
pub(crate) fn unknown_method() -> &'static MethodMetrics {
    static UNKNOWN: LazyLock<MethodMetrics> = LazyLock::new(|| MethodMetrics::new("unknown", "unknown"));
    &UNKNOWN
}

pub(crate) fn ring_epoch(epoch: i64) {
    OWN.epoch.set(epoch);
}

pub(crate) fn ring_members(service: &str, count: usize) {
    let label = ServiceLabel { service: service.to_owned() };
    OWN.members.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
}

pub(crate) fn retried(reason: &'static str) {
    OWN.retries.get_or_create(&ReasonLabel { reason }).inc();
}

pub(crate) fn connection_refused(reason: &'static str) {
    OWN.refused.get_or_create(&ReasonLabel { reason }).inc();
}

pub(crate) fn panicked() {
    OWN.panics.inc();
}

pub(crate) fn task_activated(task: &'static str, took: Duration, errors: u64) {
    OWN.task_seconds.get_or_create(&TaskLabel { task }).observe(took.as_secs_f64());
    OWN.task_errors.get_or_create(&TaskLabel { task }).inc_by(errors);
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_counted_by_service_method_and_code() {
        let known = method("/gyre.host.v1.ZoneService/ListZones").unwrap();
        known.metrics.count(Code::NotFound, Duration::from_millis(2));
        known.metrics.count(Code::NotFound, Duration::from_millis(2));
        let text = encode();
        let line = r#"gyre_rpc_total{service="gyre.host.v1.ZoneService",method="ListZones",code="NOT_FOUND"} 2"#;
        assert!(text.contains(line), "{text}");
        assert!(text.contains("gyre_rpc_seconds_bucket"), "{text}");
        assert!(method("/gyre.host.v1.ZoneService/Nothing").is_none());
    }
}
