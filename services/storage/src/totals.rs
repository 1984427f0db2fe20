//! Keeps the totals of primary storages equal to the sums over their hosts: a host that is removed takes its room along.

use gyre_mesh::tasks::{Background, Status};
use gyre_store::Store;

use crate::store::primary_storages;

/// The background task.
pub(crate) struct Totals {
    store: Store,
}

impl Totals {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }
}

impl Background for Totals {
    async fn activate(&mut self) -> Status {
        match self.store.write("settle-totals", primary_storages::settle_totals).await {
            Ok(changed) => {
                let changed = u64::try_from(changed).unwrap_or(0);
                Status { found: changed, changed, ..Status::default() }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot compare the totals of primary storages");
                Status { errors: 1, ..Status::default() }
            }
        }
    }
}
