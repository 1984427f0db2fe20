//! The calls of this service: each decodes, checks what needs the state of things, calls, and encodes.

mod account;
mod api_key;
mod authentication;
mod session;

use std::sync::Arc;

use gyre_model::{Error, Result, Uuid, parse_uuid};

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
