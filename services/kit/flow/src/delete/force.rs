//! What a deletion by force does with operations that are stuck on the same resource because their host is away: it gives them up, and
//! does not wait behind them.
//!
//! # Theory
//! - Such an operation ends as FAILED, with `SUPERSEDED`, in the commit that makes the deletion durable. Its fence moves on with that,
//!   so whoever still has it in hand writes nothing more for it, nor does anything on a host ([`crate::fence`]).
//! - Nothing that it held is lost by it. What it held is the resource's, and the deletion gives that back by the resource's row, in
//!   whatever state that is: it must bear each, as a first step does that may follow on anything.
//! - What is on the host is owed by the deletion then, and is found when the host is back, as with every deletion by force.
//! - Where the host is there, or nobody waits for one, an operation is not given up: it goes on, and the deletion has its turn after it.

use gyre_model::{Error, Kind, Result, Uuid, time};
use gyre_proto::Message as _;
use gyre_proto::common::v1::{Operation, OperationState};
use gyre_query::{Change, table};
use gyre_store::{Conn, Sql, Value};

use crate::{audit, debt};

/// Those of a resource that rested before, wait for a host, and do so in vain.
const WAITS_IN_VAIN: &str = "state IN ('STUCK', 'UNDOING', 'RUNNING') AND EXISTS (SELECT 1 FROM debt WHERE debt.uuid = operation.uuid \
     AND debt.awaits_host AND NOT EXISTS (SELECT 1 FROM host WHERE host.uuid = debt.host_uuid AND host.status = 'CONNECTED')) \
     AND resource_uuid = ";

fn superseded(change: &Change, operation: &Operation) -> Error {
    let by = change.operation.map(|by| by.to_string()).unwrap_or_default();
    let text = format!(
        "given up, since {} is deleted by force (operation {by}) and its host is away",
        operation.resource_kind
    );
    Error::new(Kind::Aborted, "SUPERSEDED", text).with("operation_uuid", by)
}

/// Gives up what is stuck on a resource because of a host that is away. To be asked in the transaction that begins its deletion.
///
/// # Errors
/// The database's.
pub fn give_up(conn: &mut Conn, change: &Change, resource: Uuid) -> Result<()> {
    let table = table::<Operation>();
    let stuck: Vec<Operation> = gyre_query::select(conn, Sql::new(WAITS_IN_VAIN).bind(resource))?;
    for mut operation in stuck {
        let error = superseded(change, &operation);
        operation.set_state(OperationState::Failed);
        operation.error = Some((&error).into());
        operation.end_time = Some(time::now());
        let mut sql = Sql::new("UPDATE operation SET generation = generation + 1, fence = fence + 1, update_time = ")
            .bind(Value::time(time::now_micros()));
        for (value, column) in table.values(&operation.encode_to_vec())?.into_iter().zip(&table.columns) {
            if matches!(column.field.name, "state" | "error" | "end_time") {
                sql.push(format!(", {} = ", column.field.name));
                sql.push_bind(value);
            }
        }
        let uuid = gyre_model::parse_uuid(&operation.uuid).unwrap_or_default();
        let sql = sql.sql(" WHERE uuid = ").bind(uuid).sql(" AND fence = ").bind(operation.fence);
        // another instance took it at this moment: then it is waited for
        if conn.execute(sql)? == 1 {
            debt::settle(conn, uuid)?;
            audit::ended(conn, change.caller, &operation)?;
            tracing::warn!(operation = %uuid, %resource, "a stuck operation is given up for a deletion by force");
        }
    }
    Ok(())
}

/// Refuses to delete a child that a stuck operation holds: its deletion would wait for nobody knows how long, and its parent's with it.
pub(super) fn check_free(conn: &mut Conn, resource: Uuid) -> Result<()> {
    let sql =
        Sql::new("SELECT uuid, workflow FROM operation WHERE state = 'STUCK' AND resource_uuid = ").bind(resource);
    let Some(row) = conn.query_one(sql.sql(" LIMIT 1"))? else { return Ok(()) };
    let (operation, workflow) = (row.id(0)?, row.text(1)?.to_owned());
    let host = debt::awaited_host(conn, operation)?;
    let remedy = match host {
        Some(host) => format!("it waits for host {host}: delete with force, or bring the host back"),
        None => "see what it owes (gyre debt list), and let it be tried again".to_owned(),
    };
    let text = format!("operation {operation} ({workflow}) is stuck and holds it; {remedy}");
    let error = Error::new(Kind::FailedPrecondition, debt::STUCK, text).with("operation_uuid", operation.to_string());
    Err(match host {
        Some(host) => error.with("host_uuid", host.to_string()),
        None => error,
    })
}
