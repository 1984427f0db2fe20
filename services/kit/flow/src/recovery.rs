//! Going on with what others left: operations of this service whose instance is gone, on resources that this instance owns.
//!
//! Woken by a change of the ring, by whoever has a reason, and by a period; it takes no input, and two instances that meet here
//! are told apart by the fence. An operation whose instance is in the ring is never touched.

use std::sync::Arc;
use std::time::Duration;

use gyre_model::{Result, parse_uuid, time};
use gyre_proto::common::v1::Operation;
use gyre_store::{Sql, Value};

use crate::record::{self, UNFINISHED};
use crate::{Inner, SCAN_PERIOD, engine, metrics, tidy};

/// An operation of this very instance that nobody works on is taken up again after this long: before, its call may be about
/// to hand it over.
const OWN_GRACE: i64 = 5_000_000;
/// A stuck operation is looked after again after this long.
const STUCK_PERIOD: i64 = 30_000_000;
/// Most operations in one look.
const PAGE: usize = 2_000;
/// How often what need not be remembered is deleted.
const TIDY_PERIOD: Duration = Duration::from_secs(600);
/// How long ended operations are kept.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

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
    let tidier = Arc::clone(flow);
    flow.tasks.spawn_until_stop("operation-tidy", async move {
        let mut tick = tokio::time::interval(TIDY_PERIOD);
        loop {
            tick.tick().await;
            if let Err(error) = tidy::tidy(&tidier, KEEP).await {
                tracing::warn!(%error, "cannot tidy up operations");
            }
        }
    });
}

/// Operations that nobody works on, as far as the ring tells.
async fn orphans(flow: &Inner) -> Result<Vec<Operation>> {
    let me = flow.mesh.instance();
    let others: Vec<_> =
        flow.mesh.view().members(flow.service).iter().map(|member| member.uuid).filter(|uuid| *uuid != me).collect();
    let now = time::now_micros();
    let mut condition = Sql::new("service = ").bind(flow.service).sql(" AND state IN ").sql(UNFINISHED);
    if !others.is_empty() {
        condition = condition.sql(" AND instance_uuid NOT IN (").bind_all(others).sql(")");
    }
    let condition = condition
        .sql(" AND (instance_uuid <> ")
        .bind(me)
        .sql(" OR update_time < ")
        .bind(Value::time(now - OWN_GRACE))
        .sql(") AND (state <> 'STUCK' OR update_time < ")
        .bind(Value::time(now - STUCK_PERIOD))
        .sql(format!(") ORDER BY create_time, uuid LIMIT {PAGE}"));
    flow.store.read("orphaned-operations", move |conn| gyre_query::select(conn, condition)).await
}

async fn scan(flow: &Arc<Inner>) -> Result<()> {
    let me = flow.mesh.instance();
    for operation in orphans(flow).await? {
        let uuids = (parse_uuid(&operation.uuid), parse_uuid(&operation.resource_uuid));
        let (Some(uuid), Some(resource)) = uuids else { continue };
        // what this very instance left is its own to end, whoever owns the resource by now
        let mine = operation.instance_uuid == me.to_string();
        if flow.live.has(uuid) || !(mine || flow.mesh.owns(flow.service, resource)) {
            continue;
        }
        let seen = operation.fence;
        let taken = flow
            .store
            .write("take-operation", move |conn| {
                if record::take(conn, uuid, seen, me)? { record::load(conn, uuid) } else { Ok(None) }
            })
            .await;
        match taken {
            Ok(Some(record)) => {
                tracing::info!(operation = %uuid, %resource, fence = record.operation.fence, "operation taken over");
                metrics::taken(flow.service);
                engine::begin(flow, record);
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(operation = %uuid, %error, "cannot take an operation over"),
        }
    }
    Ok(())
}
