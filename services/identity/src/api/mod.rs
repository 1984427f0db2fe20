//! The calls of this service: each decodes, checks what needs the state of things, calls, and encodes.

mod account;
mod api_key;
mod authentication;
mod dead_letter;
mod policy;
mod session;
mod webhook;

use std::sync::Arc;

use gyre_query::request::{given, new_uuid, uuid};

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
