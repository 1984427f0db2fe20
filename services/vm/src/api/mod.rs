//! The calls of this service: each decodes, checks what needs the state of things, calls, and encodes.

mod nic;
mod offering;
mod report;
mod vm;

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
