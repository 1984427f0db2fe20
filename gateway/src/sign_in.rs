//! Signing in, over either transport: guessing is slowed down here, before a password costs identity its hash.

use std::time::Instant;

use gyre_model::catalog::MethodInfo;
use gyre_model::{Error, Kind, wire};

use crate::audit::Call;
use crate::auth::throttle::Attempt;
use crate::front::Front;
use crate::metrics::Refused;
use crate::refusal::Refusal;

const SIGN_IN: &str = "/gyre.identity.v1.SessionService/CreateSession";
/// The number of the field with the account's name.
const ACCOUNT: u32 = 1;

/// Whether a call signs in.
pub fn is(method: &MethodInfo) -> bool {
    method.path == SIGN_IN
}

/// The name in a request message.
fn name(message: &[u8]) -> &str {
    wire::string_at(message, &[ACCOUNT]).unwrap_or_default()
}

/// Begins a sign-in with this request message, unless too many failed before.
pub fn begin(front: &Front, call: Call<'_>, message: &[u8]) -> Result<Attempt, Refusal> {
    let account = name(message);
    front.throttle.begin(call.peer.address.ip(), account, Instant::now()).map_err(|wait| {
        let text = format!("too many sign-ins failed; try again in {} seconds", wait.as_secs());
        let error = Error::new(Kind::ResourceExhausted, "TOO_MANY_SIGN_INS", text).retry_after(wait);
        front.refusals.note_sign_in(call, account, &error);
        Refusal::counted(Refused::SignIns, error)
    })
}

/// Ends one with this request message. Only a wrong name or password counts; whatever was refused is noted.
pub fn end(front: &Front, call: Call<'_>, message: &[u8], attempt: Attempt, error: Option<&Error>) {
    if error.map(Error::kind) != Some(Kind::Unauthenticated) {
        front.throttle.forgive(attempt);
    }
    if let Some(error) = error {
        front.refusals.note_sign_in(call, name(message), error);
    }
}

/// Makes a sign-in that was begun with this request message.
pub async fn guarded<T>(
    front: &Front,
    call: Call<'_>,
    message: &[u8],
    sent: impl Future<Output = Result<T, Error>>,
) -> Result<T, Refusal> {
    let attempt = begin(front, call, message)?;
    let outcome = sent.await;
    end(front, call, message, attempt, outcome.as_ref().err());
    Ok(outcome?)
}
