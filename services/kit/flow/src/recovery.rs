//! Going on with what others left: operations of this service whose instance is gone, on resources that this instance owns; and
//! with what rests as stuck, when its time comes or the host that it waits for is back.
//!
//! Woken by a change of the ring, by whoever has a reason, and by a period; it takes no input, and two instances that meet here
//! are told apart by the fence. An operation whose instance is in the ring is never touched.
//!
//! A look goes through the unfinished operations page by page, without their contents, and lets [`choose`] decide. What is to be
//! taken is taken many at a time: one transaction, each row in it compared and set by its fence.

pub mod choose;

use std::sync::Arc;

use gyre_mesh::ring::Ring;
use gyre_model::{Result, Uuid, time};
use gyre_proto::common::v1::OperationEventKind;
use gyre_store::{Conn, Sql, Value};

use crate::record::{self, UNFINISHED};
use crate::{Inner, SCAN_PERIOD, debt, engine, metrics};
use choose::{OWN_GRACE, Rest, Row, choose};

/// Most operations in one page of a look.
const PAGE: usize = 2_000;
/// Most operations taken in one transaction: on PostgreSQL well under a second.
const BATCH: usize = 256;

pub(crate) fn start(flow: &Arc<Inner>) {
    let scanner = Arc::clone(flow);
    flow.tasks.spawn_until_stop("operation-recovery", async move {
        let mut views = scanner.mesh.views();
        let mut tick = tokio::time::interval(SCAN_PERIOD);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                _ = views.changed() => {}
                () = scanner.scan.notified() => {}
            }
            if scanner.may_start().is_err() {
                continue;
            }
            if let Err(error) = scan(&scanner).await {
                tracing::warn!(%error, "cannot look for unfinished operations");
            }
        }
    });
}

async fn scan(flow: &Arc<Inner>) -> Result<()> {
    let (me, service) = (flow.mesh.instance(), flow.service);
    let Some(ring) = flow.mesh.view().service(service).map(|view| Arc::clone(view.ring())) else { return Ok(()) };
    let debts = flow.store.read("debts", move |conn| debt::count(conn, service, me)).await?;
    metrics::debts(service, debts);
    let mut after = None;
    loop {
        let (look, now) = (Arc::clone(&ring), time::now_micros());
        let rows =
            flow.store.read("unfinished-operations", move |conn| page(conn, service, &look, me, now, after)).await?;
        after = rows.last().map(|row| row.1);
        let last = rows.len() < PAGE;
        let rows: Vec<Row> = rows.into_iter().map(|(row, _)| row).collect();
        let mine: Vec<_> =
            choose(&rows, &ring, me, |uuid| flow.live.has(uuid), now).map(|row| (row.uuid, row.fence)).collect();
        for batch in mine.chunks(BATCH) {
            flow.may_start()?;
            take(flow, batch.to_vec()).await?;
        }
        if last {
            return Ok(());
        }
    }
}

/// Takes operations over and goes on with them.
async fn take(flow: &Arc<Inner>, seen: Vec<(Uuid, i64)>) -> Result<()> {
    let me = flow.mesh.instance();
    let taken = flow.store.write("take-operations", move |conn| record::take_all(conn, &seen, me)).await?;
    for mut record in taken {
        let operation = &record.operation;
        let (uuid, resource, fence) = (&operation.uuid, &operation.resource_uuid, operation.fence);
        tracing::info!(operation = uuid, resource, fence, "operation taken over");
        metrics::taken(flow.service);
        record.note(OperationEventKind::Taken);
        engine::begin(flow, record, None);
    }
    Ok(())
}

/// Where a page ended.
type Place = (i64, Uuid);

/// A page of operations that may have to be taken, oldest first. What [`choose`] would surely leave is not read.
fn page(
    conn: &mut Conn,
    service: &'static str,
    ring: &Ring,
    me: Uuid,
    now: i64,
    after: Option<Place>,
) -> Result<Vec<(Row, Place)>> {
    let mut sql = Sql::new(
        "SELECT o.uuid, o.resource_uuid, o.instance_uuid, o.fence, o.update_time, o.state, d.next_time, \
         CASE WHEN d.awaits_host AND h.status = 'CONNECTED' THEN 1 ELSE 0 END, o.create_time \
         FROM operation o LEFT JOIN debt d ON d.uuid = o.uuid LEFT JOIN host h ON h.uuid = d.host_uuid \
         WHERE o.service = ",
    )
    .bind(service)
    .sql(" AND o.state IN ")
    .sql(UNFINISHED);
    let others: Vec<_> = ring.members().iter().copied().filter(|uuid| *uuid != me).collect();
    if !others.is_empty() {
        sql = sql.sql(" AND o.instance_uuid NOT IN (").bind_all(others).sql(")");
    }
    sql = sql
        .sql(" AND (o.instance_uuid <> ")
        .bind(me)
        .sql(" OR o.state = 'STUCK' OR o.update_time < ")
        .bind(Value::time(now - OWN_GRACE))
        .sql(" OR o.update_time > ")
        .bind(Value::time(now + OWN_GRACE))
        .sql(")");
    if let Some((time, uuid)) = after {
        sql = sql.sql(" AND (o.create_time, o.uuid) > (").bind(Value::time(time)).sql(", ").bind(uuid).sql(")");
    }
    let rows = conn.query(sql.sql(format!(" ORDER BY o.create_time, o.uuid LIMIT {PAGE}")))?;
    rows.iter()
        .map(|row| {
            let rest = match row.text(5)? {
                "STUCK" => Some(Rest { next_time: row.opt_int(6)?, host_is_back: row.bool(7)? }),
                _ => None,
            };
            let uuid = row.id(0)?;
            let found = Row {
                uuid,
                resource: row.opt_id(1)?.unwrap_or_default(),
                instance: row.opt_id(2)?.unwrap_or_default(),
                fence: row.int(3)?,
                update_time: row.int(4)?,
                rest,
            };
            Ok((found, (row.int(8)?, uuid)))
        })
        .collect()
}
