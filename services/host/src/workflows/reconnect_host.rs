//! Opening the session with a host's agent anew, on an operator's wish.

use std::sync::Arc;

use gyre_flow::Context;
use gyre_model::Result;

use super::session::{Wanted, await_session};
use crate::Inner;

pub(super) async fn renew(inner: Arc<Inner>, context: Context) -> Result<()> {
    await_session(&inner, context.resource_uuid(), Wanted::New).await
}
