//! Whether this instance is the right one for a call.
//!
//! The sender's ring may be older than ours (it hears `NOT_OWNER` with our epoch, and waits for it) or newer (we wait for ours,
//! shortly). Where both agree nothing is waited for, whatever the epochs: two epochs of the same ring are the same ring.

use std::time::Duration;

use gyre_model::catalog::MethodInfo;
use gyre_model::{Error, Result, caller, parse_uuid, wire};
use http::HeaderMap;
use uuid::Uuid;

use crate::mesh::Mesh;
use crate::reason;

/// How long a call waits for the ring that its sender knew already.
const PATIENCE: Duration = Duration::from_secs(1);

/// Refuses a call that another instance has to answer, or that this one must not while its lease is in doubt.
pub(super) async fn check(
    mesh: &Mesh,
    service: &'static str,
    info: &MethodInfo,
    headers: &HeaderMap,
    message: Option<&[u8]>,
) -> Result<()> {
    let route = route(info, headers, message);
    if let Some(route) = route
        && !mesh.owns(service, route)
    {
        let sender = headers.get(caller::EPOCH).and_then(|epoch| epoch.to_str().ok()?.parse().ok()).unwrap_or(0);
        if sender > mesh.current().peek().epoch() {
            let mut views = mesh.views();
            // Either way it is time to look again.
            let _ = tokio::time::timeout(PATIENCE, views.wait_for(|view| view.epoch() >= sender)).await;
        }
        if !mesh.owns(service, route) {
            return Err(not_owner(mesh, service, route));
        }
    }
    let needs_owner = route.is_some() || info.request_id.is_some();
    if needs_owner && !mesh.membership().lease_valid() {
        let text = format!("this instance of {service} cannot prove that it is still a member");
        return Err(Error::unavailable(reason::LEASE_LOST, text).with("instance", mesh.instance().to_string()));
    }
    Ok(())
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
