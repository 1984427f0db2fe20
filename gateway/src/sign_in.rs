//! Signing in, over either transport: guessing is slowed down here, before a password costs identity its hash.

use std::time::Instant;

use gyre_model::catalog::MethodInfo;
use gyre_model::{Error, Kind, wire};

use crate::auth::throttle::Attempt;
use crate::front::{Front, Peer};
use crate::metrics::Refused;
use crate::refusal::Refusal;

const SIGN_IN: &str = "/gyre.identity.v1.SessionService/CreateSession";
/// The number of the field with the account's name.
const ACCOUNT: u32 = 1;

/// Whether a call signs in.
pub fn is(method: &MethodInfo) -> bool {
    method.path == SIGN_IN
}

/// Begins a sign-in with this request message, unless too many failed before.
pub fn begin(front: &Front, peer: Peer, message: &[u8]) -> Result<Attempt, Refusal> {
    let account = wire::string_at(message, &[ACCOUNT]).unwrap_or_default();
    front.throttle.begin(peer.address.ip(), account, Instant::now()).map_err(|wait| {
        let text = format!("too many sign-ins failed; try again in {} seconds", wait.as_secs());
        let error = Error::new(Kind::ResourceExhausted, "TOO_MANY_SIGN_INS", text).retry_after(wait);
        Refusal::counted(Refused::SignIns, error)
    })
}

/// Ends one. Only a wrong name or password counts.
pub fn end(front: &Front, attempt: Attempt, kind: Option<Kind>) {
    if kind != Some(Kind::Unauthenticated) {
        front.throttle.forgive(attempt);
    }
}

/// Makes a sign-in that was begun with this request message.
pub async fn guarded<T>(
    front: &Front,
    peer: Peer,
    message: &[u8],
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Refusal> {
    let attempt = begin(front, peer, message)?;
    let outcome = call.await;
    end(front, attempt, outcome.as_ref().err().map(Error::kind));
    Ok(outcome?)
}
