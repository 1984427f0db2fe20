//! The workflows of this service: each deletes something. All else is rows.

use std::sync::Arc;

use gyre_flow::{Context, Steps, Var};
use gyre_model::Result;

use crate::Inner;
use crate::store;

/// The definitions, one file each.
pub(crate) const DEFINITIONS: &[&str] = &[
    include_str!("workflows/delete-account.yaml"),
    include_str!("workflows/delete-api-key.yaml"),
    include_str!("workflows/delete-policy.yaml"),
    include_str!("workflows/delete-webhook.yaml"),
    include_str!("workflows/delete-dead-letter.yaml"),
];

/// Whether the account was enabled before.
const WAS: Var<bool> = Var::new("was_enabled");

/// The steps.
pub(crate) fn steps(inner: &Arc<Inner>) -> Steps {
    Steps::new().deleting().step("close-account", inner, close, reopen).gives(&WAS).without_undo(
        "forget-account",
        inner,
        forget,
    )
}

/// Disables the account, so that nobody makes anything in it meanwhile.
async fn close(_: Arc<Inner>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    // durable with the change itself; a step that runs again finds the account disabled by itself
    if context.get(&WAS)?.is_none() {
        let was = context.read("account-enabled", move |conn| store::account_enabled(conn, uuid)).await?;
        context.set(&WAS, &was)?;
    }
    context.commit("account-close", move |conn, change| store::account_close(conn, change, uuid)).await
}

async fn reopen(_: Arc<Inner>, context: Context) -> Result<()> {
    if context.get(&WAS)?.unwrap_or(false) {
        let uuid = context.resource_uuid();
        context.on_commit(move |conn, change| store::account_reopen(conn, change, uuid));
    }
    Ok(())
}

async fn forget(_: Arc<Inner>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| store::account_delete(conn, change, uuid));
    Ok(())
}
