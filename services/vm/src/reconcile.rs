//! Room that machines which are off still hold is given back.
//!
//! A machine that stops by itself is noted in its row first; its room goes after. This task has no input: it looks through the
//! claims of machines that are off and owned by this instance, and asks for the workflow `settle-vm`, which gives the room back in
//! the machine's lane: a start cannot take room while it does. What is under way at the machine makes no difference, since the
//! workflow comes after it and looks again; were it skipped, a call that came at that moment and was refused would leave the room for
//! the next period.
//!
//! It is woken by a report that says that a machine is off, by a change of the ring, and by its period. Whoever noted that a machine is off
//! may have died before its room went: the machine's next owner looks when it becomes that, not a period later.

use std::sync::Arc;

use gyre_flow::Submit;
use gyre_mesh::tasks::{Background, Status};
use gyre_model::{Caller, Result, Uuid};
use gyre_proto::vm::v1::GetVmRequest;
use gyre_store::Sql;

use crate::Inner;

/// Most claims in one look.
const PAGE: usize = 1000;

/// The task.
pub(crate) struct Settle(pub Arc<Inner>);

pub(crate) fn start(inner: &Arc<Inner>) {
    let task = Settle(Arc::clone(inner));
    inner.flow.tasks().background("vm-settle", inner.config.reconcile_period, inner.settle.clone(), task);
    inner.flow.wake_with_ring(inner.settle.clone());
}

impl Background for Settle {
    async fn activate(&mut self) -> Status {
        let mut status = Status::default();
        let claims = match self.leftovers().await {
            Ok(claims) => claims,
            Err(error) => {
                tracing::warn!(%error, "cannot look for room that stopped machines hold");
                return Status { errors: 1, ..status };
            }
        };
        for claim in claims.into_iter().filter(|claim| self.0.mesh.owns(crate::NAME, *claim)) {
            status.found += 1;
            match self.settle(claim).await {
                Ok(()) => status.changed += 1,
                Err(error) => {
                    status.errors += 1;
                    tracing::warn!(vm = %claim, %error, "room of a stopped machine cannot be given back yet");
                }
            }
        }
        status
    }
}

impl Settle {
    async fn leftovers(&self) -> Result<Vec<Uuid>> {
        let read = self.0.store.read("placement-leftovers", |conn| {
            let sql = Sql::new(format!(
                "SELECT vm.uuid FROM vm JOIN host_placement ON host_placement.claim_uuid = vm.uuid \
                 WHERE vm.state IN ('STOPPED', 'DESTROYED') AND NOT EXISTS (SELECT 1 FROM operation \
                 WHERE operation.resource_uuid = vm.uuid AND (operation.state = 'STUCK' \
                 OR operation.workflow = 'settle-vm' AND operation.state IN ('QUEUED', 'RUNNING', 'UNDOING'))) \
                 ORDER BY vm.uuid LIMIT {PAGE}"
            ));
            conn.query(sql)?.iter().map(|row| row.id(0)).collect()
        });
        read.await
    }

    async fn settle(&self, vm: Uuid) -> Result<()> {
        let input = GetVmRequest { uuid: vm.to_string() };
        let submit =
            Submit { caller: Caller::system(), workflow: "settle-vm", resource: vm, request_id: "", input: &input };
        self.0.flow.submit(submit, |_, _| Ok(())).await.map(|_| ())
    }
}
