//! Whether this instance is the right one for a call.
//!
//! The sender's ring may be older than ours (it hears `NOT_OWNER` with our epoch, and waits for it) or newer (we wait for ours,
//! shortly). Where both agree nothing is waited for, whatever the epochs: two epochs of the same ring are the same ring.

use std::time::Duration;

use gyre_model::catalog::MethodInfo;
use gyre_model::{Error, Result, caller, parse_uuid, wire};
use http::HeaderMap;
use uuid::Uuid;

use crate::member::View;
use crate::mesh::Mesh;
use crate::reason;

/// How long a call waits for the ring that its sender knew already.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is answered here.
    Take,
    /// Its sender knew a newer ring: wait for this epoch, not long, and judge again.
    WaitFor(i64),
    /// Another instance answers it.
    NotOwner,
    /// This instance cannot prove that it is still a member.
    LeaseLost,
}

/// A call, as far as its owner is concerned.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The service.
    pub service: &'a str,
    /// What it is routed by.
    pub route: Option<Uuid>,
    /// The epoch of its sender's ring; 0 where it did not say.
    pub epoch: i64,
    /// Whether it changes something, so that it may be answered under a lease only.
    pub needs_owner: bool,
}

/// Judges a call by what an instance sees. `waited`: it was told before to wait for the sender's epoch, and did.
pub fn judge(call: Call<'_>, me: Uuid, view: &View, lease_valid: bool, waited: bool) -> Verdict {
    let mine = |route| view.owner(call.service, route).is_some_and(|member| member.uuid == me);
    if call.route.is_some_and(|route| !mine(route)) {
        return if call.epoch > view.epoch() && !waited { Verdict::WaitFor(call.epoch) } else { Verdict::NotOwner };
    }
    if call.needs_owner && !lease_valid { Verdict::LeaseLost } else { Verdict::Take }
}

/// Refuses a call that another instance has to answer, or that this one must not while its lease is in doubt.
pub(super) async fn check(
    mesh: &Mesh,
    service: &'static str,
    info: &MethodInfo,
    headers: &HeaderMap,
    message: Option<&[u8]>,
) -> Result<()> {
    let route = route(info, headers, message);
    let epoch = headers.get(caller::EPOCH).and_then(|epoch| epoch.to_str().ok()?.parse().ok()).unwrap_or(0);
    let call = Call { service, route, epoch, needs_owner: route.is_some() || info.request_id.is_some() };
    let verdict =
        |waited| judge(call, mesh.instance(), &mesh.current().peek(), mesh.membership().lease_valid(), waited);
    let mut judged = verdict(false);
    if let Verdict::WaitFor(epoch) = judged {
        let mut views = mesh.views();
        // Either way it is time to look again.
        let _ = tokio::time::timeout(PATIENCE, views.wait_for(|view| view.epoch() >= epoch)).await;
        judged = verdict(true);
    }
    match (judged, route) {
        (Verdict::Take, _) => Ok(()),
        (Verdict::NotOwner | Verdict::WaitFor(_), Some(route)) => Err(not_owner(mesh, service, route)),
        (Verdict::NotOwner | Verdict::WaitFor(_) | Verdict::LeaseLost, _) => {
            let text = format!("this instance of {service} cannot prove that it is still a member");
            Err(Error::unavailable(reason::LEASE_LOST, text).with("instance", mesh.instance().to_string()))
        }
    }
}

/// The UUID that a call is routed by: what its message says, or else its header.
fn route(info: &MethodInfo, headers: &HeaderMap, message: Option<&[u8]>) -> Option<Uuid> {
    let in_message = message.zip(info.route).and_then(|(message, path)| wire::string_at(message, path));
    match in_message {
        Some(text) => parse_uuid(text),
        None => parse_uuid(headers.get(caller::ROUTE)?.to_str().ok()?),
    }
}

fn not_owner(mesh: &Mesh, service: &str, route: Uuid) -> Error {
    let view = mesh.current().peek();
    let error = Error::unavailable(reason::NOT_OWNER, format!("this instance of {service} does not own {route}"))
        .with("epoch", view.epoch().to_string())
        .with("instance", mesh.instance().to_string());
    match view.owner(service, route) {
        Some(owner) => error.with("owner", owner.uuid.to_string()),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::{LOCAL, Member};

    #[test]
    fn every_verdict() {
        let (me, other, key) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let member = |uuid| Member::new(uuid, "vm", LOCAL);
        let mine = View::default().next(7, [member(me)]);
        let theirs = View::default().next(7, [member(other)]);
        let call = |route, epoch, needs_owner| Call { service: "vm", route, epoch, needs_owner };
        for (call, view, lease, waited, verdict) in [
            (call(Some(key), 0, true), &mine, true, false, Verdict::Take),
            (call(Some(key), 9, true), &mine, true, false, Verdict::Take),
            (call(Some(key), 0, true), &mine, false, false, Verdict::LeaseLost),
            (call(Some(key), 7, true), &theirs, true, false, Verdict::NotOwner),
            (call(Some(key), 9, true), &theirs, true, false, Verdict::WaitFor(9)),
            (call(Some(key), 9, true), &theirs, true, true, Verdict::NotOwner),
            (call(None, 9, true), &theirs, false, false, Verdict::LeaseLost),
            (call(None, 9, false), &theirs, false, false, Verdict::Take),
        ] {
            assert_eq!(judge(call, me, view, lease, waited), verdict, "{call:?}");
        }
    }
}
