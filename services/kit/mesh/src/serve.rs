//! The server's side: what every call passes before its handler, stacked once around a service's routes. In order, each with
//! the reason for its place (`stack` is the code):
//!
//! 1. **trace**: a span under the caller's, and the request metrics: outermost, so they count what the caller sees.
//! 2. **panic guard**: a handler that panics is an `INTERNAL` answer and an ERROR in the log, not a broken connection.
//! 3. **deadline**: bounds all that follows. Network servers and in-process calls are bounded alike, and the answer is always
//!    `DEADLINE_EXCEEDED` ([`deadline`]).
//! 4. **peer**: what the headers say of the caller is believed only of members of the mesh ([`Peer`]); a process that shuts down
//!    refuses.
//! 5. **owner**: a call that came to the wrong instance is sent back before anything is done for it; one that needs the owner is
//!    refused while the lease cannot be proved ([`owner`]).
//! 6. **access**: the call's rule against the caller (`access`). After owner, so that whoever refuses is who would have done it.
//! 7. **validate**: all rules of the request's fields at once. Last, since it costs most, and only those who may call hear what is
//!    wrong with their fields.
//!
//! Then the handler, with the [`Caller`] in the request's extensions ([`caller()`]) and deadline and trace in the task's context.

mod access;
pub mod deadline;
mod infrastructure;
mod listen;
pub mod owner;
mod peer;
mod process;
mod stack;
mod watched;

use gyre_model::{Caller, Error, Kind};
use http::Response;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Request, Status};
use tower::util::BoxCloneSyncService;

use crate::mesh::{LocalService, Mesh};
use crate::reason;

pub use infrastructure::reflection;
pub use listen::{Limits, Listener};
pub use peer::Peer;
pub use process::{Process, Running};

/// The largest message of a request.
pub const MAX_MESSAGE: usize = 4 << 20;

/// Stacks the layers around a service's routes. The result may be served in this process ([`Mesh::serve_local`]), listened for
/// ([`Listener`]), or called directly.
pub fn layered(routes: Routes, mesh: &Mesh, service: &'static str) -> LocalService {
    BoxCloneSyncService::new(stack::Stack::new(routes, mesh.clone(), service))
}

/// Who calls, for handlers.
///
/// # Errors
/// `UNAUTHENTICATED` where nobody is signed in: only in calls that are public or internal.
pub fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    caller_if_any(request).ok_or_else(|| access::nobody().into())
}

/// Who calls, in calls that are public or internal, where nobody may be signed in.
pub fn caller_if_any<T>(request: &Request<T>) -> Option<Caller> {
    request.extensions().get::<Caller>().copied()
}

/// Answers an error: a response without body whose headers carry the status.
pub fn refuse(error: Error) -> Response<Body> {
    Status::from(error).into_http()
}

pub(crate) fn no_such_call(path: &str) -> Error {
    Error::new(Kind::Unimplemented, reason::NO_SUCH_CALL, format!("there is no call {path}"))
}
