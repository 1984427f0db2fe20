//! The workflows of networks: their deletions. All else about them is rows.

use std::sync::Arc;

use gyre_flow::{Context, Steps};
use gyre_model::Result;

use crate::Inner;
use crate::store::{network, range};

/// The definitions, one file each.
pub(crate) const DEFINITIONS: &[&str] = &[
    include_str!("workflows/delete-l2-network.yaml"),
    include_str!("workflows/delete-l3-network.yaml"),
    include_str!("workflows/delete-ip-range.yaml"),
];

/// The steps.
pub(crate) fn steps(inner: &Arc<Inner>) -> Steps {
    Steps::new().deleting().without_undo("forget-l3-network", inner, forget_l3_network).without_undo(
        "forget-ip-range",
        inner,
        forget_ip_range,
    )
}

async fn forget_l3_network(_: Arc<Inner>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| network::l3_delete(conn, change, uuid));
    Ok(())
}

async fn forget_ip_range(_: Arc<Inner>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| range::range_delete(conn, change, uuid));
    Ok(())
}
