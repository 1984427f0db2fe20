//! The workflows of the host service. All of them run at the owner of the host's UUID, which holds its session too.

mod create_host;
mod delete_host;
mod reconnect_host;
mod session;

use std::sync::Arc;

use gyre_flow::Steps;
use gyre_model::Result;

use crate::Inner;

/// Registers steps and workflows.
pub(crate) fn register(inner: &Arc<Inner>) -> Result<()> {
    let steps = Steps::new()
        .deleting()
        .step("record-host", inner, create_host::record, create_host::forget)
        .without_undo("connect-host", inner, create_host::connect)
        .without_undo("ready-host", inner, create_host::ready)
        .step("close-host", inner, delete_host::close, delete_host::reopen)
        .gives(&delete_host::WAS)
        .step("remove-host", inner, delete_host::remove, delete_host::keep)
        .without_undo("renew-session", inner, reconnect_host::renew);
    inner.flow.register_with(
        steps,
        &[
            include_str!("workflows/delete-zone.yaml"),
            include_str!("workflows/delete-cluster.yaml"),
            include_str!("workflows/create-host.yaml"),
            include_str!("workflows/delete-host.yaml"),
            include_str!("workflows/reconnect-host.yaml"),
        ],
        inner.config.workflows.as_deref(),
    )
}
