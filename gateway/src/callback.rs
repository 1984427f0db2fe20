//! `X-Gyre-Callback`: where the finished operation of a call is to be posted. Judged here at once, and again by whoever posts it.

use gyre_mesh::Mesh;
use gyre_mesh::egress::CALLBACK;
use gyre_model::catalog::{HostedBy, MethodInfo};
use gyre_model::{Error, Kind};
use http::{HeaderMap, HeaderValue};

use crate::metrics::Refused;
use crate::refusal::Refusal;

/// What the caller asks for.
pub fn asked(mesh: &Mesh, method: &MethodInfo, headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
    let mut values = headers.get_all(CALLBACK).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refuse(
            "CALLBACK_INVALID",
            format!("the header {CALLBACK} must stand there once"),
            "must stand there once",
        ));
    }
    if !begins(method) {
        let text = format!("{} begins no operation: leave the header {CALLBACK} out", method.name);
        return Err(refuse("CALLBACK_UNEXPECTED", text, "is only for calls that begin an operation"));
    }
    let Ok(url) = value.to_str() else {
        return Err(refuse("CALLBACK_INVALID", format!("the header {CALLBACK} must be ASCII"), "must be ASCII"));
    };
    match mesh.callbacks().callback(url) {
        Ok(_) => Ok(Some(value.clone())),
        Err(error) => Err(Refusal::counted(Refused::BadParameter, error)),
    }
}

/// Whether a call begins an operation. Those about operations that are there already answer one too.
pub fn begins(method: &MethodInfo) -> bool {
    let service = matches!(method.host, HostedBy::Service(_));
    service && method.output == "gyre.common.v1.Operation" && !method.server_streaming
}

fn refuse(reason: &'static str, text: String, must: &'static str) -> Refusal {
    Refusal::counted(Refused::BadParameter, Error::new(Kind::InvalidArgument, reason, text).violation(CALLBACK, must))
}
