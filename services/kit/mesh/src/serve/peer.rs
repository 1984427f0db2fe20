//! Who is at the other end.

use gyre_model::caller;
use http::HeaderMap;

/// How a call came in. Whoever brings a call in puts it into the request's extensions, which no peer can reach; a call without
/// it comes from outside, and nothing that its headers say of callers and routes is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// From this process.
    InProcess,
    /// Over TLS, from a holder of a certificate of the deployment.
    Mutual,
    /// Without TLS, on loopback, where the operator asked for it.
    Plaintext,
}

/// Forgets what only members of the mesh may say.
pub(super) fn forget_claims(headers: &mut HeaderMap) {
    for name in &caller::HEADERS {
        headers.remove(name);
    }
}
