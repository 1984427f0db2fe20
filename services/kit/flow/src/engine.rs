//! Who works on an operation and when: at once, or from a lane when its turn comes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use gyre_mesh::telemetry::propagate;
use gyre_model::{Error, Uuid, parse_uuid, time};
use gyre_proto::common::v1::{Operation, OperationState, OperationStep, OperationStepState};

use crate::Inner;
use crate::context::Shared;
use crate::live::Live;
use crate::metrics;
use crate::record::{self, Record};
use crate::registry::Workflow;
use crate::run::Run;
use crate::submit::LOOK_AGAIN;

/// The wait after a fault that is not the operation's own.
const AFTER_FAULT: Duration = Duration::from_secs(2);

/// Why an operation is not worked on here any more although it has not ended: another instance has it, or this one stops.
#[derive(Debug)]
pub(crate) struct Interrupted(pub Error);

/// Works on an operation: at once where it holds its resource, in the lane where it waits for it.
pub(crate) fn begin(flow: &Arc<Inner>, record: Record) {
    match record.operation.state() {
        OperationState::Queued => enqueue(flow, record),
        _ => resume(flow, record),
    }
}

/// Puts an operation that waits for its resource into the lane.
fn enqueue(flow: &Arc<Inner>, record: Record) {
    let uuids = (parse_uuid(&record.operation.uuid), parse_uuid(&record.operation.resource_uuid));
    let (Some(uuid), Some(resource)) = uuids else { return };
    if flow.live.add(uuid, record).is_none() {
        return;
    }
    if flow.lanes.push(resource, uuid) {
        let worker = Arc::clone(flow);
        flow.tasks.spawn("lane", async move { work_lane(&worker, resource).await });
    }
    metrics::lanes(flow.service, flow.lanes.depth());
}

/// Goes on with an operation that holds its resource already: it is new and met no other, was running, or rests as stuck. It does
/// not stand in the lane, where what waits for it could stand before it; the index lets nothing else run meanwhile.
fn resume(flow: &Arc<Inner>, record: Record) {
    let Some(uuid) = parse_uuid(&record.operation.uuid) else { return };
    if flow.live.add(uuid, record).is_some() {
        let worker = Arc::clone(flow);
        flow.tasks.spawn("operation", async move { work(&worker, uuid).await });
    }
}

async fn work_lane(flow: &Arc<Inner>, resource: Uuid) {
    while let Some(uuid) = flow.lanes.head(resource) {
        work(flow, uuid).await;
        flow.lanes.pop(resource);
        metrics::lanes(flow.service, flow.lanes.depth());
    }
}

/// Works on one operation as far as it goes here. A step that panics leaves the operation to be taken up again, and its lane to
/// those behind it.
async fn work(flow: &Arc<Inner>, uuid: Uuid) {
    if let Some(live) = flow.live.get(uuid) {
        match AssertUnwindSafe(run(flow, uuid, &live)).catch_unwind().await {
            Ok(Ok(())) => {}
            Ok(Err(Interrupted(why))) => tracing::info!(operation = %uuid, %why, "operation left to its owner"),
            Err(_) => tracing::error!(operation = %uuid, "a step panicked; its operation is taken up again"),
        }
    }
    flow.live.remove(uuid);
    flow.freed.notify_waiters();
}

/// Whether this process may go on with work.
pub(crate) fn stopping(flow: &Inner) -> std::result::Result<(), Interrupted> {
    flow.may_start().map_err(Interrupted)
}

async fn run(flow: &Arc<Inner>, uuid: Uuid, live: &Arc<Live>) -> std::result::Result<(), Interrupted> {
    let given = live.record.lock().take();
    let record = match given {
        Some(record) => record,
        None => return Ok(()),
    };
    let mut record = record;
    // What waited may have been cancelled or taken since; and only the database knows whether the resource is free.
    if matches!(record.operation.state(), OperationState::Queued | OperationState::Stuck) {
        record = wait_for_turn(flow, uuid, record).await?;
    }
    if record.cancel {
        live.cancel.cancel();
    }
    let workflow = flow.registry.get(&record.operation.workflow).map_err(Interrupted)?;
    by_name(&workflow, &mut record.operation);
    let began = record.operation.create_time.as_ref().map_or_else(time::now_micros, time::to_micros);
    let shared = Arc::new(Shared::new(Arc::clone(flow), Arc::clone(live), record).map_err(Interrupted)?);
    shared.change(|_| ());
    let trace = shared.state.lock().operation.trace_parent.clone();
    let span = tracing::info_span!(
        "operation",
        operation = %uuid,
        resource = %shared.resource,
        workflow = workflow.definition.name,
        trace_id = tracing::field::Empty
    );
    let run = Run { flow, shared: Arc::clone(&shared), workflow, began };
    propagate::in_trace(&trace, span, run.drive()).await
}

/// Lays the recorded steps out as the definition has them now: it may have changed since the operation began.
fn by_name(workflow: &Workflow, operation: &mut Operation) {
    let mut recorded = std::mem::take(&mut operation.steps);
    for named in &workflow.definition.steps {
        let step = match recorded.iter().position(|step| step.name == named.step) {
            Some(at) => recorded.remove(at),
            None => OperationStep {
                name: named.step.clone(),
                state: OperationStepState::Pending.into(),
                message: named.label.clone().unwrap_or_default(),
                ..OperationStep::default()
            },
        };
        operation.steps.push(step);
    }
}

/// Waits until no other operation runs on the resource, and makes this one run.
async fn wait_for_turn(flow: &Arc<Inner>, uuid: Uuid, record: Record) -> std::result::Result<Record, Interrupted> {
    let fence = record.operation.fence;
    loop {
        stopping(flow)?;
        // before the look, so that an end between the look and the wait is not missed
        let freed = flow.freed.notified();
        let result = flow
            .store
            .write("promote-operation", move |conn| {
                let Some(mut record) = record::load(conn, uuid)? else { return Err(record::fenced()) };
                let state = if undoing(&record.operation) { OperationState::Undoing } else { OperationState::Running };
                if !record::promote(conn, uuid, fence, state)? {
                    return Ok(None);
                }
                record.operation.set_state(state);
                Ok(Some(record))
            })
            .await;
        match result {
            Ok(Some(record)) => return Ok(record),
            Ok(None) => {}
            Err(error) if error.reason() == "FENCED" => return Err(Interrupted(error)),
            Err(error) => {
                tracing::warn!(operation = %uuid, %error, "an operation cannot take its turn");
                tokio::time::sleep(AFTER_FAULT).await;
            }
        }
        tokio::select! {
            () = freed => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

/// Whether an operation that rests or was left goes backwards.
pub(crate) fn undoing(operation: &Operation) -> bool {
    match operation.state() {
        OperationState::Undoing => true,
        OperationState::Stuck => operation.error.is_some(),
        _ => false,
    }
}
