//! The calls of this service: each decodes, checks what needs the state of things, calls, and encodes.

mod address;
mod ip_range;
mod l2_network;
mod l3_network;

use std::sync::Arc;

use gyre_model::{Caller, Error, Kind, Result, Uuid, parse_uuid};
use gyre_proto::Resource;
use gyre_store::Conn;

use crate::Inner;

/// All servers of this service.
#[derive(Clone)]
pub(crate) struct Api {
    inner: Arc<Inner>,
}

impl Api {
    pub fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }
}

/// A UUID that the layers have checked already.
fn uuid(kind: &str, text: &str) -> Result<Uuid> {
    parse_uuid(text).ok_or_else(|| Error::not_found(kind, text))
}

/// The UUID of a new resource: the caller's, or one of ours.
fn new_uuid(text: &str) -> Uuid {
    parse_uuid(text).unwrap_or_else(Uuid::new_v4)
}

/// The message inside a request that the layers have found there.
fn given<T>(field: &str, message: Option<T>) -> Result<T> {
    message.ok_or_else(|| Error::invalid(field, "must be given"))
}

/// Who owns what a caller makes; nobody where Gyre makes it itself.
fn owner(caller: &Caller) -> String {
    if caller.account_uuid.is_nil() { String::new() } else { caller.account_uuid.to_string() }
}

/// Something that a request names.
fn named<R: Resource>(conn: &mut Conn, caller: &Caller, field: &str, text: &str, reason: &'static str) -> Result<R> {
    let found = match parse_uuid(text) {
        Some(uuid) => gyre_query::find::<R>(conn, caller, uuid)?,
        None => None,
    };
    found.ok_or_else(|| {
        Error::new(Kind::NotFound, reason, format!("there is no {} {text}", R::KIND))
            .violation(field, format!("must name a {} that is there, got {text}", R::KIND))
    })
}
