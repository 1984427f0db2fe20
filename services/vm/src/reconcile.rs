//! Room that machines which are off still hold is given back.
//!
//! A machine that stops by itself is noted in its row first and its room given back after; who dies between leaves the room
//! taken. This task has no input: it looks through the claims of machines that are off and not being worked on. Giving back is
//! idempotent, and a start that runs at the same time reserves under the same claim only after its operation is durable, which
//! is what "not being worked on" asks.

use std::sync::Arc;

use gyre_model::{Caller, Result, Uuid};
use gyre_proto::host::v1::ReleasePlacementRequest;
use gyre_store::Sql;

use crate::Inner;

/// Most claims in one look.
const PAGE: usize = 500;

pub(crate) fn start(inner: &Arc<Inner>) {
    let inner = Arc::clone(inner);
    let tasks = inner.flow.tasks().clone();
    tasks.spawn_until_stop("vm-placement", async move {
        let mut tick = tokio::time::interval(inner.config.reconcile_period);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tick.tick().await;
        loop {
            tick.tick().await;
            if let Err(error) = release_leftovers(&inner).await {
                tracing::warn!(%error, "cannot give room of stopped machines back");
            }
        }
    });
}

async fn release_leftovers(inner: &Inner) -> Result<()> {
    let claims = inner
        .store
        .read("placement-leftovers", |conn| {
            let sql = Sql::new(format!(
                "SELECT vm.uuid FROM vm JOIN host_placement ON host_placement.claim_uuid = vm.uuid \
                 WHERE vm.state IN ('STOPPED', 'DESTROYED') AND NOT EXISTS (SELECT 1 FROM operation \
                 WHERE operation.resource_uuid = vm.uuid AND operation.state IN ('QUEUED', 'RUNNING', 'UNDOING', 'STUCK')) \
                 LIMIT {PAGE}"
            ));
            conn.query(sql)?.iter().map(|row| row.id(0)).collect::<Result<Vec<Uuid>>>()
        })
        .await?;
    for claim in claims {
        if inner.mesh.owns(crate::NAME, claim) {
            tracing::info!(vm = %claim, "room of a stopped machine is given back");
            let request = ReleasePlacementRequest { claim_uuid: claim.to_string() };
            inner.placement().release_placement(Caller::system().request(request)).await?;
        }
    }
    Ok(())
}
