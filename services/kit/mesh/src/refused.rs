//! Calls that would have changed something and were refused: told to whoever keeps the log of changes, best effort.

use std::sync::{Arc, OnceLock};

use gyre_model::catalog::MethodInfo;
use gyre_model::{Caller, Error, Kind, Origin, Uuid};

/// A call that was refused.
#[derive(Debug, Clone)]
pub struct RefusedCall {
    /// The call.
    pub method: &'static MethodInfo,
    /// Who made it.
    pub caller: Caller,
    /// The resource that it was about, where it names one.
    pub resource: Option<Uuid>,
    /// Where it came from.
    pub origin: Arc<Origin>,
    /// Why.
    pub reason: String,
}

type Listener = Box<dyn Fn(RefusedCall) + Send + Sync>;

/// Whoever is told; nobody at first.
#[derive(Default)]
pub(crate) struct Refused(OnceLock<Listener>);

impl Refused {
    /// Tells this one from now on, unless somebody is told already.
    pub fn listen(&self, listener: impl Fn(RefusedCall) + Send + Sync + 'static) {
        // in a process with several services one of them listens for all
        let _ = self.0.set(Box::new(listener));
    }

    pub fn tell(&self, call: RefusedCall) {
        if let Some(listener) = self.0.get() {
            listener(call);
        }
    }
}

/// Whether an auditor wants to know: somebody asked for something, and the answer was no. What another try may bring, and what broke,
/// is no refusal.
pub fn is_refusal(error: &Error) -> bool {
    match error.kind() {
        Kind::InvalidArgument
        | Kind::NotFound
        | Kind::AlreadyExists
        | Kind::FailedPrecondition
        | Kind::PermissionDenied
        | Kind::Unauthenticated => true,
        Kind::ResourceExhausted => {
            !error.reason().starts_with("DATABASE_") && !matches!(error.reason(), "OVERLOADED" | "TOO_MANY_OPERATIONS")
        }
        Kind::Aborted
        | Kind::Unavailable
        | Kind::DeadlineExceeded
        | Kind::Cancelled
        | Kind::Unimplemented
        | Kind::Internal => false,
    }
}
