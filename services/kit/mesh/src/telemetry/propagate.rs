//! The trace across processes: W3C `traceparent` in the headers of a call.
//!
//! A call inside a span that is exported hands on that span; otherwise it hands on the trace that its own caller sent.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::context::{self, Context, Trace};

/// The header's name.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The place in a trace that work of the present task stands under.
pub fn current() -> Option<Trace> {
    if super::exporting()
        && let Some(trace) = exported(&Span::current())
    {
        return Some(trace);
    }
    context::current().trace
}

/// The `traceparent` of the present task, for keeping with work that is done later.
pub fn traceparent() -> String {
    current().map(|trace| trace.to_string()).unwrap_or_default()
}

/// Writes the present trace into the headers of a call, unless they name one.
pub fn inject(headers: &mut HeaderMap) {
    if headers.contains_key(TRACEPARENT) {
        return;
    }
    if let Some(trace) = current()
        && let Ok(value) = HeaderValue::try_from(trace.to_string())
    {
        headers.insert(TRACEPARENT, value);
    }
}

/// Reads the trace from the headers of a call.
pub fn extract(headers: &HeaderMap) -> Option<Trace> {
    Trace::parse(headers.get(TRACEPARENT)?.to_str().ok()?)
}

/// Puts a span under a place in a trace, fills its field `trace_id`, and answers the place that work inside the span stands
/// under.
pub fn adopt(span: &Span, parent: Option<Trace>) -> Trace {
    if super::exporting() {
        if let Some(parent) = parent {
            let remote = SpanContext::new(
                TraceId::from_bytes(parent.trace_id),
                SpanId::from_bytes(parent.span_id),
                TraceFlags::new(parent.flags),
                true,
                TraceState::default(),
            );
            // Fails only where the span is not one for the exporter.
            let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(remote));
        }
        if let Some(trace) = exported(span) {
            span.record("trace_id", tracing::field::display(trace.id()));
            return trace;
        }
    }
    let trace = parent.unwrap_or_else(Trace::random);
    span.record("trace_id", tracing::field::display(trace.id()));
    trace
}

/// The span of a call that is answered, and the place in the trace that work inside it stands under.
pub(crate) fn call_span(service: &'static str, method: &'static str, parent: Option<Trace>) -> (Span, Trace) {
    if super::exporting() {
        let trace_id = tracing::field::Empty;
        let span = tracing::info_span!("rpc", otel.name = method, otel.kind = "server", service, method, trace_id);
        let trace = adopt(&span, parent);
        return (span, trace);
    }
    // Filling a field later costs as much as the span itself, and this is done for every call.
    let trace = parent.unwrap_or_else(Trace::random);
    (tracing::info_span!("rpc", service, method, trace_id = %trace.id()), trace)
}

/// Runs work that was asked for earlier in the trace that asked for it: inside `span`, which should have an empty field
/// `trace_id`, without a deadline.
pub fn in_trace<F: Future>(traceparent: &str, span: Span, work: F) -> impl Future<Output = F::Output> + use<F> {
    let trace = adopt(&span, Trace::parse(traceparent));
    let context = Context { deadline: None, trace: Some(trace) };
    context::scope(context, tracing::Instrument::instrument(work, span))
}

fn exported(span: &Span) -> Option<Trace> {
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| Trace {
        trace_id: span.trace_id().to_bytes(),
        span_id: span.span_id().to_bytes(),
        flags: span.trace_flags().to_u8(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_trace_is_handed_on_without_an_exporter() {
        let mut incoming = HeaderMap::new();
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        incoming.insert(TRACEPARENT, HeaderValue::from_static(text));
        let trace = extract(&incoming);
        context::scope(Context { deadline: None, trace }, async {
            let mut outgoing = HeaderMap::new();
            inject(&mut outgoing);
            assert_eq!(outgoing.get(TRACEPARENT).unwrap(), text);
            assert_eq!(traceparent(), text);
        })
        .await;
        in_trace(text, tracing::info_span!("later", trace_id = tracing::field::Empty), async {
            assert_eq!(traceparent(), text);
        })
        .await;
        assert_eq!(traceparent(), "");
    }
}
