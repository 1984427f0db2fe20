//! Every way a command can fail, with the exit code that scripts see. The codes are documented in `gyre --help` and
//! `docs/cli.md`; they never change their meaning.

mod exit;

pub use exit::{EXIT_CODES, Exit};

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use gyre_model::error::{Error, Kind, Violation};
use serde_json::{Value, json};
use tonic::Status;

use crate::output::Format;

/// A failure as people and programs are told of it.
#[derive(Debug, Clone)]
pub struct Failure(Box<Facts>);

#[derive(Debug, Clone)]
struct Facts {
    exit: Exit,
    code: &'static str,
    reason: String,
    message: String,
    violations: Vec<Violation>,
    metadata: BTreeMap<String, String>,
    retry_after: Option<Duration>,
    hint: Option<String>,
}

/// A result of this crate.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    fn plain(exit: Exit, code: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self(Box::new(Facts {
            exit,
            code,
            reason: reason.to_owned(),
            message: message.into(),
            violations: Vec::new(),
            metadata: BTreeMap::new(),
            retry_after: None,
            hint: None,
        }))
    }

    /// A failure on this side without a code of its own.
    pub fn general(message: impl Into<String>) -> Self {
        Self::plain(Exit::General, "INTERNAL", "LOCAL_FAILURE", message)
    }

    /// The command was written wrongly.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::plain(Exit::Usage, Kind::InvalidArgument.name(), "USAGE", message)
    }

    /// Something named is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::plain(Exit::NotFound, Kind::NotFound.name(), "NOT_FOUND", message)
    }

    /// A name that several resources have.
    pub fn ambiguous(message: impl Into<String>) -> Self {
        Self::unfit("AMBIGUOUS_NAME", message)
    }

    /// The state of things does not permit it.
    pub fn unfit(reason: &str, message: impl Into<String>) -> Self {
        Self::plain(Exit::Conflict, Kind::FailedPrecondition.name(), reason, message)
    }

    /// A field that is otherwise than it should be, and can only be set at creation.
    pub fn immutable(field: &str, message: impl Into<String>) -> Self {
        Self::unfit("IMMUTABLE", message)
            .with("field", field)
            .hint("leave it out of the document, or delete the resource first so that a new one is made")
    }

    /// Credentials that cannot be used.
    pub fn refused(reason: &str, message: impl Into<String>) -> Self {
        Self::plain(Exit::Refused, Kind::Unauthenticated.name(), reason, message)
    }

    /// Time ran out on this side.
    pub fn late(message: impl Into<String>) -> Self {
        Self::plain(Exit::Unavailable, Kind::DeadlineExceeded.name(), "DEADLINE_EXCEEDED", message)
    }

    /// Ctrl-C.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self::plain(Exit::Interrupted, Kind::Cancelled.name(), "INTERRUPTED", message)
    }

    /// Ctrl-C where that is how people end it: nothing is told.
    pub fn ended() -> Self {
        Self::interrupted("")
    }

    /// Nobody reads what is printed any more. Nothing is told, and it is no failure.
    pub fn unread() -> Self {
        Self::plain(Exit::Done, Kind::Cancelled.name(), "UNREAD", "")
    }

    /// An operation that ended badly, with its own error where it has one.
    pub fn operation(message: impl Into<String>, error: Option<Error>) -> Self {
        let mut failure = error
            .map_or_else(|| Self::plain(Exit::Operation, Kind::Cancelled.name(), "OPERATION_ENDED", ""), Self::from);
        failure.0.exit = Exit::Operation;
        failure.0.message = message.into();
        failure
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds a fact by name.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.metadata.insert(key.into(), value.into());
        self
    }

    /// Rewrites the names of the fields that broke a rule, such as from a path to a flag.
    #[must_use]
    pub fn rename_fields(mut self, name: impl Fn(&str) -> String) -> Self {
        for violation in &mut self.0.violations {
            violation.field = name(&violation.field);
        }
        self
    }

    /// What happened, in one line.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.0.exit
    }

    /// The stable reason.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// Whether it has a fact of this name.
    pub fn has(&self, key: &str) -> bool {
        self.0.metadata.contains_key(key)
    }

    /// Whether the gateway does not know who calls.
    pub fn unauthenticated(&self) -> bool {
        self.0.code == Kind::Unauthenticated.name()
    }

    /// Whether the same call may go through in a moment: nobody answered.
    pub fn unavailable(&self) -> bool {
        self.0.code == Kind::Unavailable.name()
    }

    /// The failure as JSON, as `--output json` prints it.
    pub fn to_json(&self) -> Value {
        let facts = &self.0;
        let mut error = json!({
            "code": facts.code,
            "reason": facts.reason,
            "message": facts.message,
            "exitCode": facts.exit as u8,
        });
        if !facts.violations.is_empty() {
            let violations: Vec<_> = facts
                .violations
                .iter()
                .map(|violation| json!({"field": violation.field, "description": violation.description}))
                .collect();
            error["fieldViolations"] = Value::Array(violations);
        }
        if !facts.metadata.is_empty() {
            error["metadata"] = json!(facts.metadata);
        }
        if let Some(after) = facts.retry_after {
            error["retryAfter"] = json!(format!("{}s", after.as_secs_f64()));
        }
        if let Some(hint) = &facts.hint {
            error["hint"] = json!(hint);
        }
        json!({ "error": error })
    }

    /// Tells of the failure on standard error and answers the exit code.
    pub fn report(&self, format: Format) -> ExitCode {
        if self.0.message.is_empty() && self.0.violations.is_empty() {
            return ExitCode::from(self.0.exit as u8);
        }
        let text = match format {
            // What others wrote must not steer this terminal.
            Format::Table | Format::Wide | Format::Csv | Format::Name => self
                .to_string()
                .chars()
                .map(|letter| if letter == '\n' || !letter.is_control() { letter } else { ' ' })
                .collect(),
            Format::Json => format!("{:#}", self.to_json()),
            Format::Yaml => {
                serde_yaml_ng::to_string(&self.to_json()).unwrap_or_else(|_| self.to_string()).trim_end().to_owned()
            }
        };
        // Nobody is left to tell if standard error is gone.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
        ExitCode::from(self.0.exit as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = &self.0;
        // The message of broken fields repeats them in one line; below they stand one by one.
        if facts.violations.is_empty() {
            write!(formatter, "error: {}", facts.message)?;
        } else {
            write!(formatter, "error: the request breaks {} of the API's rules", facts.violations.len())?;
        }
        for violation in &facts.violations {
            write!(formatter, "\n  {}: {}", violation.field, violation.description)?;
        }
        for (key, value) in &facts.metadata {
            write!(formatter, "\n  {key}: {value}")?;
        }
        if !matches!(facts.reason.as_str(), "USAGE" | "LOCAL_FAILURE" | "INTERRUPTED") {
            write!(formatter, "\n  reason: {}", facts.reason)?;
        }
        if let Some(after) = facts.retry_after {
            write!(formatter, "\n  try again in {} s", after.as_secs_f64())?;
        }
        if let Some(hint) = &facts.hint {
            write!(formatter, "\n{hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = error.kind();
        let mut failure = Self::plain(Exit::of(kind), kind.name(), error.reason(), error.message());
        failure.0.violations = error.violations().to_vec();
        failure.0.metadata = error.metadata().clone();
        failure.0.retry_after = error.retry();
        failure
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        // What tonic says when our own deadline passed before an answer came.
        if status.code() == tonic::Code::Cancelled && status.message() == "Timeout expired" {
            return Self::late("no answer in time; --request-timeout sets how long to wait");
        }
        let cause = deepest(&status);
        let transport = std::error::Error::source(&status).is_some();
        let failure = Self::from(Error::from(status));
        match cause {
            Some(cause) if transport && failure.unavailable() => {
                let mut failure = failure;
                failure.0.message = format!("the gateway does not answer: {cause}");
                failure.0.reason = "GATEWAY_UNREACHABLE".to_owned();
                failure
            }
            _ => failure,
        }
    }
}

/// The innermost cause, which says most: "connection refused" rather than "transport error".
fn deepest(error: &dyn std::error::Error) -> Option<String> {
    let mut cause = error.source()?;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Some(cause.to_string())
}

impl From<tonic::transport::Error> for Failure {
    fn from(error: tonic::transport::Error) -> Self {
        let cause = deepest(&error).unwrap_or_else(|| error.to_string());
        Self::plain(
            Exit::Unavailable,
            Kind::Unavailable.name(),
            "GATEWAY_UNREACHABLE",
            format!("the gateway does not answer: {cause}"),
        )
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(failure) => failure,
            Err(error) => Self::general(format!("{error:#}")),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::general(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_its_exit_code() {
        for (kind, exit) in [
            (Kind::InvalidArgument, 2),
            (Kind::NotFound, 3),
            (Kind::PermissionDenied, 4),
            (Kind::Unauthenticated, 4),
            (Kind::AlreadyExists, 5),
            (Kind::FailedPrecondition, 5),
            (Kind::Aborted, 5),
            (Kind::Unavailable, 6),
            (Kind::DeadlineExceeded, 6),
            (Kind::ResourceExhausted, 8),
            (Kind::Internal, 1),
        ] {
            let failure = Failure::from(Status::from(Error::new(kind, "WHY", "what")));
            assert_eq!(failure.exit() as u8, exit, "{kind:?}");
            assert_eq!(failure.to_json()["error"]["reason"], "WHY");
        }
    }

    #[test]
    fn broken_fields_stand_one_by_one() {
        let error = Error::invalid("vm.cpu_count", "must be at least 1").violation("vm.name", "must be given");
        let text = Failure::from(error).rename_fields(|field| format!("--{field}")).to_string();
        assert!(text.contains("\n  --vm.cpu_count: must be at least 1\n  --vm.name: must be given"), "{text}");
    }
}
