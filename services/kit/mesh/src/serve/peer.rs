//! Who is at the other end.

use gyre_model::caller;
use http::HeaderMap;

/// How a call came in. Whoever brings a call in puts it into the request's extensions, which no peer can reach; a call without
/// it comes from outside, and nothing that its headers say of callers and routes is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// From this process.
    InProcess,
    /// Over TLS, from a member of the mesh.
    Mutual,
    /// Over TLS, from the agent of a host ([`crate::tls::AGENT_NAME`]). It may fetch an image from another agent, and is nobody
    /// else: a host that was broken into cannot speak to the services as a member.
    Agent,
    /// Without TLS, on loopback, where the operator asked for it.
    Plaintext,
}

impl Peer {
    /// Whether what the headers say of callers and routes is believed.
    pub(super) fn is_member(self) -> bool {
        match self {
            Self::InProcess | Self::Mutual | Self::Plaintext => true,
            Self::Agent => false,
        }
    }
}

/// Forgets what only members of the mesh may say.
pub(super) fn forget_claims(headers: &mut HeaderMap) {
    for name in &caller::HEADERS {
        headers.remove(name);
    }
}
