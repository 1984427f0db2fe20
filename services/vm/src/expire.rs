//! Machines that have lain in the bin long enough are deleted for good.
//!
//! How long that is, the setting `vm.bin-delay` says, the nearest one of each machine. This task has no input: it looks through the bin, oldest
//! first, and asks for the workflow `expunge-vm` for what is due, is owned by this instance, and is not being worked on. A machine
//! that is recovered meanwhile is left alone: the workflow looks at its state in its lane.

use std::sync::Arc;
use std::time::Duration;

use gyre_flow::Submit;
use gyre_mesh::tasks::{Activator, Background, Status};
use gyre_model::{Caller, Result, Uuid, time};
use gyre_proto::vm::v1::{ExpungeVmRequest, Vm};
use gyre_query::settings;
use gyre_store::{Conn, Sql, Value};

use crate::Inner;
use crate::state::{Event, next};
use crate::store::wrong_state;

/// The setting.
pub(crate) const BIN_DELAY: &str = "vm.bin-delay";
/// What it is where nothing says otherwise.
const USUAL: Duration = Duration::from_secs(7 * 24 * 3600);
/// Machines in one look.
const PAGE: usize = 500;

/// The task.
pub(crate) struct Expire(Arc<Inner>);

pub(crate) fn start(inner: &Arc<Inner>) {
    let task = Expire(Arc::clone(inner));
    inner.flow.tasks().background("vm-expire", inner.config.reconcile_period, Activator::default(), task);
}

/// How long a machine stays in the bin.
pub(crate) fn delay(conn: &mut Conn, vm: Uuid) -> Result<Duration> {
    settings::duration(conn, BIN_DELAY, Some(("vm", vm)), USUAL)
}

/// A machine in the bin: since when, in microseconds since 1970, and whether its time is up.
struct Binned {
    since: i64,
    uuid: Uuid,
    due: bool,
}

/// Machines in the bin behind a place, oldest first.
fn page(conn: &mut Conn, after: (i64, Uuid), now: i64) -> Result<Vec<Binned>> {
    let sql = Sql::new("SELECT destroy_time, uuid FROM vm WHERE state = 'DESTROYED' AND (destroy_time > ")
        .bind(Value::time(after.0))
        .sql(" OR (destroy_time = ")
        .bind(Value::time(after.0))
        .sql(" AND uuid > ")
        .bind(after.1)
        .sql(
            ")) AND NOT EXISTS (SELECT 1 FROM operation WHERE operation.resource_uuid = vm.uuid \
             AND operation.state IN ('QUEUED', 'RUNNING', 'UNDOING', 'STUCK')) ORDER BY destroy_time, uuid",
        )
        .sql(format!(" LIMIT {PAGE}"));
    let mut found = Vec::new();
    for row in conn.query(sql)? {
        let (since, uuid) = (row.int(0)?, row.id(1)?);
        let delay = i64::try_from(delay(conn, uuid)?.as_micros()).unwrap_or(i64::MAX);
        found.push(Binned { since, uuid, due: since.saturating_add(delay) <= now });
    }
    Ok(found)
}

impl Background for Expire {
    async fn activate(&mut self) -> Status {
        let mut status = Status::default();
        let mut after = (0, Uuid::nil());
        loop {
            let now = time::now_micros();
            let binned = match self.0.store.read("vm-bin", move |conn| page(conn, after, now)).await {
                Ok(binned) => binned,
                Err(error) => {
                    tracing::warn!(%error, "cannot look through the bin");
                    status.errors += 1;
                    return status;
                }
            };
            let Some(last) = binned.last() else { return status };
            after = (last.since, last.uuid);
            for vm in binned.iter().filter(|vm| vm.due && self.0.mesh.owns(crate::NAME, vm.uuid)) {
                status.found += 1;
                match self.expunge(vm.uuid).await {
                    Ok(()) => status.changed += 1,
                    Err(error) => {
                        status.errors += 1;
                        tracing::warn!(vm = %vm.uuid, %error, "a machine in the bin cannot be deleted yet");
                    }
                }
            }
            if binned.len() < PAGE {
                return status;
            }
        }
    }
}

impl Expire {
    async fn expunge(&self, vm: Uuid) -> Result<()> {
        let input = ExpungeVmRequest { uuid: vm.to_string(), ..ExpungeVmRequest::default() };
        let submit =
            Submit { caller: Caller::system(), workflow: "expunge-vm", resource: vm, request_id: "", input: &input };
        let submitted = self.0.flow.submit(submit, move |conn, _| {
            let row: Vm = gyre_query::get(conn, &Caller::system(), vm)?;
            next(row.state(), Event::Expunge).map(drop).ok_or_else(|| wrong_state(&row, Event::Expunge))
        });
        submitted.await.map(drop)
    }
}
