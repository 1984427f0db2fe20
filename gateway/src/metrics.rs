//! What the gateway counts. One set for the process, registered once with the mesh's registry.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use gyre_mesh::telemetry;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

pub use crate::admission::Class;

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why something was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Refused { $($(#[$doc])* $name,)* }

        impl Refused {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The reason as the metric has it.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

refusals! {
    /// Bytes that are no HTTP.
    Garbage = "garbage",
    /// A TLS handshake that failed.
    Tls = "tls",
    /// More connections than allowed.
    Connections = "connections",
    /// Headers that were too large or too many.
    Headers = "headers",
    /// Nothing, or not enough, came in time.
    Slow = "slow",
    /// A connection that nobody used.
    Idle = "idle",
    /// No call of that name.
    UnknownCall = "unknown_call",
    /// No resource at that path.
    UnknownPath = "unknown_path",
    /// A path that does not take that method.
    WrongMethod = "wrong_method",
    /// A body that is not said to be JSON.
    MediaType = "media_type",
    /// A body or message that is too large.
    TooLarge = "too_large",
    /// A body that is nested too deeply.
    TooDeep = "too_deep",
    /// A body that is not the JSON of its message.
    BadJson = "bad_json",
    /// A path variable, parameter or header with a wrong value.
    BadParameter = "bad_parameter",
    /// gRPC that breaks its own rules.
    BadGrpc = "bad_grpc",
    /// No token.
    NoToken = "no_token",
    /// A token or key that is not valid.
    BadToken = "bad_token",
    /// A call that the caller may not make.
    Permission = "permission",
    /// Too many failed sign-ins.
    SignIns = "sign_ins",
    /// More calls of an account than may wait.
    Overloaded = "overloaded",
}

impl EncodeLabelValue for Refused {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.text().encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    reason: Refused,
}

/// How a call came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// HTTP with JSON.
    Http,
    /// gRPC.
    Grpc,
    /// gRPC-web.
    GrpcWeb,
}

impl EncodeLabelValue for Transport {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let text = match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc-web",
        };
        text.encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    transport: Transport,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabels {
    class: &'static str,
}

/// The gateway's metrics.
#[derive(Debug)]
pub struct Metrics {
    refused: Vec<Counter>,
    calls: [Histogram; 3],
    waits: Histogram,
    /// Open connections.
    pub connections: Gauge<i64>,
    working: [Gauge<i64>; 2],
    waiting: [Gauge<i64>; 2],
    /// Tokens and keys that had to be asked about or verified, rather than found in memory.
    pub verified: Counter<u64, AtomicU64>,
}

/// The metrics of this process.
pub fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| {
        let refused: Family<RefusedLabels, Counter> = Family::default();
        let calls: Family<CallLabels, Histogram, fn() -> Histogram> = Family::new_with_constructor(|| {
            Histogram::new([
                0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
            ])
        });
        let (working, waiting): (Family<ClassLabels, Gauge<i64>>, Family<ClassLabels, Gauge<i64>>) = Default::default();
        let metrics = Metrics {
            refused: Refused::ALL
                .iter()
                .map(|reason| refused.get_or_create(&RefusedLabels { reason: *reason }).clone())
                .collect(),
            calls: [Transport::Http, Transport::Grpc, Transport::GrpcWeb]
                .map(|transport| calls.get_or_create(&CallLabels { transport }).clone()),
            waits: Histogram::new([0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5]),
            connections: Gauge::default(),
            working: Class::ALL.map(|class| working.get_or_create(&ClassLabels { class: class.text() }).clone()),
            waiting: Class::ALL.map(|class| waiting.get_or_create(&ClassLabels { class: class.text() }).clone()),
            verified: Counter::default(),
        };
        telemetry::registry(|registry| {
            registry.register("gyre_gateway_refused", "What the gateway refused, by reason", refused);
            registry.register(
                "gyre_gateway_call_seconds",
                "Time from a call's head to its response's head, by transport",
                calls,
            );
            registry.register("gyre_gateway_working", "Calls that work, by class", working);
            registry.register("gyre_gateway_waiting", "Calls that wait for their turn to work, by class", waiting);
            registry.register(
                "gyre_gateway_wait_seconds",
                "How long calls waited that did not work at once",
                metrics.waits.clone(),
            );
            registry.register("gyre_gateway_connections", "Open connections", metrics.connections.clone());
            registry.register(
                "gyre_gateway_tokens_verified",
                "Tokens and keys that were verified rather than remembered",
                metrics.verified.clone(),
            );
        });
        metrics
    })
}

impl Metrics {
    /// Counts a refusal.
    pub fn refused(&self, reason: Refused) {
        if let Some(counter) = self.refused.get(reason as usize) {
            counter.inc();
        }
    }

    /// How often something was refused for this reason.
    pub fn refusals(&self, reason: Refused) -> u64 {
        self.refused.get(reason as usize).map_or(0, Counter::get)
    }

    /// One call more of a class works, or one less.
    pub fn works(&self, class: Class, change: i64) {
        self.working[class as usize].inc_by(change);
    }

    /// How many calls of a class work.
    pub fn working(&self, class: Class) -> i64 {
        self.working[class as usize].get()
    }

    /// So many calls of a class wait for their turn.
    pub fn waiting(&self, class: Class, count: usize) {
        self.waiting[class as usize].set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How many calls of a class wait for their turn.
    pub fn line(&self, class: Class) -> i64 {
        self.waiting[class as usize].get()
    }

    /// Records how long a call waited for its turn.
    pub fn waited(&self, time: Duration) {
        self.waits.observe(time.as_secs_f64());
    }

    /// Records a call.
    pub fn call(&self, transport: Transport, took: Duration) {
        self.calls[transport as usize].observe(took.as_secs_f64());
    }
}
