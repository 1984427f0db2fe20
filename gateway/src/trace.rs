//! The trace of a call, as its header: written once, sent inwards as `traceparent` and back as `traceresponse`.

use gyre_mesh::context::Trace;
use gyre_mesh::telemetry::propagate;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Carries the trace back to the caller.
pub const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// The trace of one call.
#[derive(Debug, Clone)]
pub struct Traced(HeaderValue);

impl Traced {
    /// What a caller says, where that is a trace.
    pub fn said(headers: &HeaderMap) -> Option<(Trace, Self)> {
        let trace = propagate::extract(headers)?;
        headers.get(propagate::TRACEPARENT).map(|header| (trace, Self(header.clone())))
    }

    /// A place in a trace.
    pub fn at(trace: Trace) -> Self {
        // Hexadecimal digits and hyphens are always a header.
        Self(HeaderValue::try_from(trace.to_string()).unwrap_or(HeaderValue::from_static("")))
    }

    /// The header.
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// The trace's id, for problem documents.
    pub fn id(&self) -> &str {
        self.0.to_str().ok().and_then(|text| text.get(3..35)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_kept_or_made() {
        let mut headers = HeaderMap::new();
        assert!(Traced::said(&headers).is_none());
        let sound = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        headers.insert("traceparent", HeaderValue::from_static(sound));
        let (trace, said) = Traced::said(&headers).unwrap();
        assert_eq!((said.id(), said.header().to_str().unwrap()), ("0af7651916cd43dd8448eb211c80319c", sound));
        assert_eq!(Traced::at(trace).header(), sound);
        headers.insert("traceparent", HeaderValue::from_static("00-0-0-0"));
        assert!(Traced::said(&headers).is_none());
    }
}
