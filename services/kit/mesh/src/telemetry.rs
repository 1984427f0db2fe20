//! Watching a process run: logs, traces and metrics.
//!
//! - Logs go to standard error, as text or JSON. A call's span carries `trace_id`, so every line inside it does.
//! - Traces: with an OTLP endpoint, spans are exported through OpenTelemetry. Without one there is no OpenTelemetry layer at all,
//!   and a trace is only an id that travels with calls ([`propagate`]) and stands in logs.
//! - Metrics: one registry for the process ([`registry`]); who measures something registers it there once. They are served on
//!   `--metrics-listen` at `/metrics`, next to `/healthz` ([`http`]).

pub mod http;
mod json;
pub mod metrics;
pub mod propagate;

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::TelemetryArgs;

pub use metrics::registry;

static EXPORTING: AtomicBool = AtomicBool::new(false);

/// Whether spans are exported.
pub fn exporting() -> bool {
    EXPORTING.load(Ordering::Relaxed)
}

/// Keeps telemetry alive. [`Guard::flush`] sends what has not been sent.
#[derive(Debug)]
#[must_use = "spans that were not sent are lost without a last flush"]
pub struct Guard {
    provider: Option<SdkTracerProvider>,
}

/// Sets up logs and traces for this process. To be called once, inside the runtime; a second call changes nothing.
///
/// # Errors
/// When the filter of logs cannot be read, or the exporter cannot be made.
pub fn init(service: &'static str, args: &TelemetryArgs) -> anyhow::Result<Guard> {
    // By module and level only: a filter that looks into spans costs every span of every call.
    let filter: Targets = args.log.parse().with_context(|| format!("cannot read the log filter {:?}", args.log))?;
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let logs = if args.log_json {
        logs.fmt_fields(JsonFields::new()).event_format(json::Flat).boxed()
    } else {
        logs.with_ansi(std::io::stderr().is_terminal()).boxed()
    };
    let provider = args.otlp_endpoint.as_deref().map(|endpoint| provider(service, endpoint)).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        // Gyre's own spans, whatever the logs show of them: those of the exporter's own calls would never end.
        let own = Targets::new().with_target("gyre", tracing::Level::INFO);
        tracing_opentelemetry::layer().with_tracer(provider.tracer(service)).with_filter(own)
    });
    let set = tracing_subscriber::registry().with(logs.with_filter(filter)).with(traces).try_init().is_ok();
    EXPORTING.fetch_or(set && provider.is_some(), Ordering::Relaxed);
    Ok(Guard { provider })
}

fn provider(service: &'static str, endpoint: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .with_context(|| format!("cannot export spans to {endpoint}"))?;
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

impl Guard {
    /// Sends the spans that were not sent yet, and stops exporting. For the end of `main`.
    pub async fn flush(mut self) {
        if let Some(provider) = self.provider.take() {
            // Shutting down waits for the exporter's thread, which needs the runtime to go on.
            let stopped = tokio::task::spawn_blocking(move || provider.shutdown()).await;
            if let Ok(Err(error)) = stopped {
                tracing::warn!(%error, "spans were lost at the end");
            }
        }
    }
}
