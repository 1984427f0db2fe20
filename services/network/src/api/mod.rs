//! The calls of this service: each decodes, checks what needs the state of things, calls, and encodes.

mod address;
mod ip_range;
mod l2_network;
mod l3_network;

use std::sync::Arc;

use gyre_model::Caller;

use gyre_query::request::{given, named, new_uuid, uuid};

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

/// Who owns what a caller makes; nobody where Gyre makes it itself.
fn owner(caller: &Caller) -> String {
    if caller.account_uuid.is_nil() { String::new() } else { caller.account_uuid.to_string() }
}
