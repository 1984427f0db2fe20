//! How the gateway says no: one value for whatever transport the caller uses. Over HTTP it is `application/problem+json`
//! (RFC 9457), over gRPC a status with the same facts.

use gyre_model::error::Violation;
use gyre_model::{Error, Kind};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use crate::body::Body;
use crate::metrics::{Refused, metrics};

/// The media type of a problem.
pub const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// A call that the gateway refuses or that failed behind it.
#[derive(Debug)]
pub struct Refusal {
    /// What is wrong.
    pub error: Error,
    /// The HTTP status, where it is not the one of the error's kind.
    status: Option<StatusCode>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, status: None, headers: Vec::new() }
    }
}

impl Refusal {
    /// Counts and makes a refusal of the gateway's own.
    pub fn new(counted: Refused, kind: Kind, reason: &'static str, message: impl Into<String>) -> Self {
        Self::counted(counted, Error::new(kind, reason, message))
    }

    /// Counts a refusal with this error.
    pub fn counted(counted: Refused, error: Error) -> Self {
        metrics().refused(counted);
        Self::from(error)
    }

    /// With another HTTP status than that of the error's kind.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// As an HTTP response.
    pub fn into_response(self, trace: &str) -> Response<Body> {
        let status = self.status.unwrap_or_else(|| status_of(self.error.kind()));
        let mut response = Response::new(Body::full(problem(&self.error, status, trace)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        if self.error.kind() == Kind::Unauthenticated {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let seconds = match (self.error.retry(), self.error.kind()) {
            (Some(after), _) => Some(after.as_secs().max(1)),
            (None, Kind::Unavailable) => Some(1),
            (None, _) => None,
        };
        if let Some(seconds) = seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        response
    }
}

/// The HTTP status of a kind, as `google.rpc.Code` maps them.
pub fn status_of(kind: Kind) -> StatusCode {
    match kind {
        Kind::InvalidArgument | Kind::FailedPrecondition => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::AlreadyExists | Kind::Aborted => StatusCode::CONFLICT,
        Kind::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Kind::PermissionDenied => StatusCode::FORBIDDEN,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Kind::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Kind::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn title_of(kind: Kind) -> &'static str {
    match kind {
        Kind::InvalidArgument => "The request is wrong",
        Kind::NotFound => "Not found",
        Kind::AlreadyExists => "It exists already",
        Kind::FailedPrecondition => "The state of things does not permit it",
        Kind::Aborted => "Somebody else was first",
        Kind::ResourceExhausted => "No room or too many calls",
        Kind::PermissionDenied => "Not allowed",
        Kind::Unauthenticated => "Not signed in",
        Kind::Unavailable => "Something needed does not answer",
        Kind::DeadlineExceeded => "Time ran out",
        Kind::Cancelled => "Cancelled",
        Kind::Unimplemented => "There is no such call",
        Kind::Internal => "Internal error",
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<serde_json::Value>,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    metadata: &'a std::collections::BTreeMap<String, String>,
    #[serde(rename = "traceId", skip_serializing_if = "str::is_empty")]
    trace_id: &'a str,
}

/// The problem document of an error.
pub fn problem(error: &Error, status: StatusCode, trace: &str) -> Vec<u8> {
    let violation = |violation: &Violation| json!({"field": violation.field, "description": violation.description});
    let problem = Problem {
        r#type: format!("urn:gyre:error:{}", error.reason()),
        title: title_of(error.kind()),
        status: status.as_u16(),
        detail: error.message(),
        code: error.kind().name(),
        reason: error.reason(),
        violations: error.violations().iter().map(violation).collect(),
        metadata: error.metadata(),
        trace_id: trace,
    };
    serde_json::to_vec(&problem).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_all_facts() {
        let error = Error::invalid("vm.name", "must be given").with("line", "3");
        let problem: serde_json::Value =
            serde_json::from_slice(&problem(&error, StatusCode::BAD_REQUEST, "abc")).unwrap();
        assert_eq!(
            problem,
            json!({
                "type": "urn:gyre:error:INVALID_FIELD", "title": "The request is wrong", "status": 400,
                "detail": "vm.name: must be given", "code": "INVALID_ARGUMENT", "reason": "INVALID_FIELD",
                "violations": [{"field": "vm.name", "description": "must be given"}], "metadata": {"line": "3"}, "traceId": "abc"
            })
        );
    }

    #[test]
    fn kinds_have_their_status_and_headers() {
        let response = Refusal::from(Error::new(Kind::Unauthenticated, "NO_TOKEN", "sign in")).into_response("");
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
        let response = Refusal::from(Error::unavailable("GONE", "gone")).into_response("");
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(status_of(Kind::Cancelled).as_u16(), 499);
    }
}
