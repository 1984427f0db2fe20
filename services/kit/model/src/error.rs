//! One vocabulary of errors. A dozen kinds without transport; one place that turns them into a gRPC status with details
//! (`google.rpc.ErrorInfo`, `BadRequest`, `RetryInfo`), and back. What users read is `message`; what operators read is the
//! cause, which is logged where the error is made and never sent.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use gyre_proto::common::v1 as proto;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The `domain` of every `ErrorInfo`.
pub const DOMAIN: &str = "gyre";

/// A result with Gyre's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is: what a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is wrong whatever the state of things.
    InvalidArgument,
    /// Something named is not there, or not for the caller to see.
    NotFound,
    /// Something of that identity is there already.
    AlreadyExists,
    /// The state of things does not permit it.
    FailedPrecondition,
    /// Somebody else was first; read again and try again.
    Aborted,
    /// No room, or a quota is used up.
    ResourceExhausted,
    /// The caller may not.
    PermissionDenied,
    /// Nobody knows who calls.
    Unauthenticated,
    /// Something needed does not answer; try again.
    Unavailable,
    /// Time ran out.
    DeadlineExceeded,
    /// It was cancelled.
    Cancelled,
    /// There is no such call.
    Unimplemented,
    /// A fault of Gyre's.
    Internal,
}

const KINDS: [(Kind, Code, &str); 13] = [
    (Kind::InvalidArgument, Code::InvalidArgument, "INVALID_ARGUMENT"),
    (Kind::NotFound, Code::NotFound, "NOT_FOUND"),
    (Kind::AlreadyExists, Code::AlreadyExists, "ALREADY_EXISTS"),
    (Kind::FailedPrecondition, Code::FailedPrecondition, "FAILED_PRECONDITION"),
    (Kind::Aborted, Code::Aborted, "ABORTED"),
    (Kind::ResourceExhausted, Code::ResourceExhausted, "RESOURCE_EXHAUSTED"),
    (Kind::PermissionDenied, Code::PermissionDenied, "PERMISSION_DENIED"),
    (Kind::Unauthenticated, Code::Unauthenticated, "UNAUTHENTICATED"),
    (Kind::Unavailable, Code::Unavailable, "UNAVAILABLE"),
    (Kind::DeadlineExceeded, Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
    (Kind::Cancelled, Code::Cancelled, "CANCELLED"),
    (Kind::Unimplemented, Code::Unimplemented, "UNIMPLEMENTED"),
    (Kind::Internal, Code::Internal, "INTERNAL"),
];

impl Kind {
    /// The canonical gRPC code.
    pub fn code(self) -> Code {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or(Code::Internal, |(_, code, _)| *code)
    }

    /// The canonical gRPC code's name, such as "NOT_FOUND".
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or("INTERNAL", |(.., name)| name)
    }

    /// The kind of a gRPC code. Codes that Gyre does not use are [`Kind::Internal`].
    pub fn of(code: Code) -> Self {
        match code {
            Code::OutOfRange => Self::InvalidArgument,
            code => KINDS.iter().find(|(_, known, _)| *known == code).map_or(Self::Internal, |(kind, ..)| *kind),
        }
    }

    /// The kind of a code's name.
    pub fn by_name(name: &str) -> Option<Self> {
        KINDS.iter().find(|(.., known)| *known == name).map(|(kind, ..)| *kind)
    }

    /// Whether the same call may succeed when it is made again.
    pub fn retryable(self) -> bool {
        matches!(self, Self::Unavailable | Self::Aborted | Self::DeadlineExceeded)
    }
}

/// One field that broke a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field.
    pub field: String,
    /// What it must be, and what was sent.
    pub description: String,
}

/// A failure. Boxed inside, so that results stay small.
#[derive(Clone)]
pub struct Error(Box<Facts>);

#[derive(Clone, Debug)]
struct Facts {
    kind: Kind,
    reason: Cow<'static, str>,
    message: String,
    violations: Vec<Violation>,
    metadata: BTreeMap<String, String>,
    retry_after: Option<Duration>,
}

impl Error {
    /// A failure with a stable reason for programs, and a message for people: what was wrong, with which value, what to do.
    pub fn new(kind: Kind, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self(Box::new(Facts {
            kind,
            reason: reason.into(),
            message: message.into(),
            violations: Vec::new(),
            metadata: BTreeMap::new(),
            retry_after: None,
        }))
    }

    /// A fault of Gyre's. The cause is logged here; the caller hears only that it happened.
    pub fn internal(cause: impl fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(Kind::Internal, "INTERNAL", "internal error; the service's log has the cause")
    }

    /// A resource that is not there, or not for the caller to see.
    pub fn not_found(kind: &str, uuid: impl fmt::Display) -> Self {
        Self::new(Kind::NotFound, "NOT_FOUND", format!("there is no {kind} {uuid}"))
            .with("kind", kind)
            .with("uuid", uuid.to_string())
    }

    /// A request with one wrong field.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::invalid_fields(vec![Violation { field: field.into(), description: description.into() }])
    }

    /// A request with wrong fields.
    pub fn invalid_fields(violations: Vec<Violation>) -> Self {
        let text: Vec<_> =
            violations.iter().map(|violation| format!("{}: {}", violation.field, violation.description)).collect();
        let mut error = Self::new(Kind::InvalidArgument, "INVALID_FIELD", text.join("; "));
        error.0.violations = violations;
        error
    }

    /// Something that does not answer now.
    pub fn unavailable(reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, reason, message).retry_after(Duration::from_secs(1))
    }

    /// Adds a fact by name.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.metadata.insert(key.into(), value.into());
        self
    }

    /// Adds a field that broke a rule.
    #[must_use]
    pub fn violation(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        self.0.violations.push(Violation { field: field.into(), description: description.into() });
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Puts the paths of the violations under a field.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        for violation in &mut self.0.violations {
            violation.field = format!("{prefix}.{}", violation.field);
        }
        self
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The stable reason.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The message for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The fields that broke a rule.
    pub fn violations(&self) -> &[Violation] {
        &self.0.violations
    }

    /// Further facts.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.0.metadata
    }

    /// When to try again.
    pub fn retry(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.0.message, self.0.reason)
    }
}

impl std::error::Error for Error {}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let facts = *error.0;
        let mut details =
            ErrorDetails::with_error_info(facts.reason, DOMAIN, facts.metadata.into_iter().collect::<HashMap<_, _>>());
        for violation in facts.violations {
            details.add_bad_request_violation(violation.field, violation.description);
        }
        if let Some(after) = facts.retry_after {
            details.set_retry_info(Some(after));
        }
        Self::with_error_details(facts.kind.code(), facts.message, details)
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let kind = match status.code() {
            // tonic reports a broken connection as Unknown with a source
            Code::Unknown if std::error::Error::source(&status).is_some() => Kind::Unavailable,
            code => Kind::of(code),
        };
        let mut error = Self::new(kind, kind.name(), status.message());
        if let Some(info) = details.error_info() {
            error.0.reason = Cow::Owned(info.reason.clone());
            error.0.metadata = info.metadata.clone().into_iter().collect();
        }
        if let Some(bad) = details.bad_request() {
            for violation in &bad.field_violations {
                error = error.violation(violation.field.clone(), violation.description.clone());
            }
        }
        if let Some(retry) = details.retry_info() {
            error.0.retry_after = retry.retry_delay;
        }
        error
    }
}

impl From<&Error> for proto::Error {
    fn from(error: &Error) -> Self {
        Self {
            code: error.kind().name().to_owned(),
            reason: error.reason().to_owned(),
            message: error.message().to_owned(),
            field_violations: error
                .violations()
                .iter()
                .map(|violation| proto::FieldViolation {
                    field: violation.field.clone(),
                    description: violation.description.clone(),
                })
                .collect(),
            metadata: error.metadata().clone(),
            retry_after: error.retry().map(|after| gyre_proto::Duration {
                seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                nanos: i32::try_from(after.subsec_nanos()).unwrap_or(0),
            }),
        }
    }
}

impl From<proto::Error> for Error {
    fn from(error: proto::Error) -> Self {
        let kind = Kind::by_name(&error.code).unwrap_or(Kind::Internal);
        Self(Box::new(Facts {
            kind,
            reason: Cow::Owned(error.reason),
            message: error.message,
            violations: error
                .field_violations
                .into_iter()
                .map(|violation| Violation { field: violation.field, description: violation.description })
                .collect(),
            metadata: error.metadata,
            retry_after: error.retry_after.map(|after| {
                Duration::new(u64::try_from(after.seconds).unwrap_or(0), u32::try_from(after.nanos).unwrap_or(0))
            }),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_carries_everything_there_and_back() {
        let error = Error::new(Kind::ResourceExhausted, "NO_HOST_WITH_ROOM", "no host has room for 4 CPUs")
            .with("host-1", "needs 4 CPUs, has 2")
            .violation("vm.cpu_count", "must be at most 2")
            .retry_after(Duration::from_secs(3));
        let back = Error::from(Status::from(error.clone()));
        assert_eq!(back.kind(), error.kind());
        assert_eq!(back.reason(), error.reason());
        assert_eq!(back.metadata(), error.metadata());
        assert_eq!(back.violations(), error.violations());
        assert_eq!(back.retry(), error.retry());
        let again = Error::from(proto::Error::from(&error));
        assert_eq!(again.reason(), error.reason());
        assert_eq!(again.retry(), error.retry());
    }
}
