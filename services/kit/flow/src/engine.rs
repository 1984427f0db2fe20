//! Who works on an operation and when: at once, or from a lane when its turn comes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use gyre_mesh::telemetry::propagate;
use gyre_model::{Behalf, Error, Uuid, behalf, parse_uuid, time};
use gyre_proto::common::v1::{Operation, OperationEventKind, OperationState, OperationStepState};
use tokio::sync::Notify;

use crate::Inner;
use crate::layout;
use crate::live::Live;
use crate::metrics;
use crate::record::{self, Record};
use crate::registry::Workflow;
use crate::run::Run;
use crate::shared::Shared;

/// How soon it is looked again whether a resource is free that an operation of another instance holds. What is held here is told
/// when it is free.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The longest wait between two looks.
const LOOK_LATEST: Duration = Duration::from_secs(1);

/// Why an operation is not worked on here any more although it has not ended: another instance has it, or this one stops.
#[derive(Debug)]
pub(crate) struct Interrupted(pub Error);

type Ran<T> = std::result::Result<T, Interrupted>;

/// What became of an operation's turn.
enum Turn {
    /// It holds its resource.
    Come(Box<Record>),
    /// Another operation holds the resource.
    Busy,
    /// It was asked for, and the answer was lost: it may hold its resource.
    Unknown,
    /// It cannot be asked for while the lease is in doubt.
    Later,
    /// There is nothing to do for it here: it was ended, or another instance has it.
    Over,
}

/// Works on an operation: at once where it holds its resource, in the lane where it waits for it. `counts`: the account that began it
/// itself, and may not begin too many.
pub(crate) fn begin(flow: &Arc<Inner>, record: Record, counts: Option<Uuid>) {
    let Some(uuid) = parse_uuid(&record.operation.uuid) else { return };
    let (state, cancel) = (record.operation.state(), record.cancel);
    let Some(live) = flow.live.add(uuid, record, counts) else { return };
    if state != OperationState::Queued {
        return resume(flow, uuid, &live);
    }
    let resource = live.resource;
    if let Some(wake) = flow.lanes.push(resource, uuid, live.class) {
        let worker = Arc::clone(flow);
        flow.tasks.spawn("lane", async move { work_lane(&worker, resource, &wake).await });
    }
    metrics::lanes(flow.service, flow.lanes.depth());
    if cancel {
        cancel_waiting(flow, uuid);
    }
}

/// Goes on with an operation that holds its resource already: it is new and met no other, was running, or rests as stuck. It does
/// not stand in the lane, where what waits for it could stand before it; the index lets nothing else run meanwhile.
fn resume(flow: &Arc<Inner>, uuid: Uuid, live: &Arc<Live>) {
    let (worker, live) = (Arc::clone(flow), Arc::clone(live));
    flow.tasks.spawn("operation", async move {
        let mut wait = LOOK_AGAIN;
        loop {
            match turn(&worker, uuid, &live).await {
                Turn::Come(record) => return work(&worker, uuid, &live, record).await,
                Turn::Over => return leave(&worker, uuid, live.resource),
                Turn::Busy | Turn::Unknown | Turn::Later => {}
            }
            if stopping(&worker).is_err() {
                return leave(&worker, uuid, live.resource);
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LOOK_LATEST);
        }
    });
}

/// Works a lane until nothing waits in it. Who is next is decided when the resource is free, not before.
async fn work_lane(flow: &Arc<Inner>, resource: Uuid, wake: &Notify) {
    let stop = flow.tasks.stopping();
    let mut wait = LOOK_AGAIN;
    while let Some(uuid) = flow.lanes.next(resource) {
        let turn = match flow.live.get(uuid) {
            Some(_) if stop.is_cancelled() => Turn::Over,
            Some(live) => match turn(flow, uuid, &live).await {
                Turn::Come(record) => {
                    flow.lanes.remove(resource, uuid);
                    metrics::lanes(flow.service, flow.lanes.depth());
                    metrics::waited(flow.service, live.since.elapsed());
                    work(flow, uuid, &live, record).await;
                    wait = LOOK_AGAIN;
                    continue;
                }
                other => other,
            },
            None => Turn::Over,
        };
        match turn {
            Turn::Over => {
                flow.lanes.remove(resource, uuid);
                metrics::lanes(flow.service, flow.lanes.depth());
                leave(flow, uuid, resource);
                continue;
            }
            Turn::Unknown => flow.lanes.keep(resource, uuid),
            Turn::Busy => flow.lanes.release(resource),
            Turn::Later | Turn::Come(_) => {}
        }
        tokio::select! {
            () = wake.notified() => {}
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(LOOK_LATEST),
            () = stop.cancelled() => {}
        }
    }
}

/// Looks whether an operation's turn has come, and makes it run if so.
async fn turn(flow: &Arc<Inner>, uuid: Uuid, live: &Arc<Live>) -> Turn {
    let mut slot = live.turn.lock().await;
    let Some(record) = slot.as_mut() else { return Turn::Over };
    if let Err(Interrupted(error)) = stopping(flow) {
        return if error.reason() == "SHUTTING_DOWN" { Turn::Over } else { Turn::Later };
    }
    let (state, fence) = (record.operation.state(), record.operation.fence);
    if matches!(state, OperationState::Queued | OperationState::Stuck) {
        let back = match flow.registry.get(&record.operation.workflow) {
            Ok(workflow) => undoing(&workflow, &record.operation),
            Err(error) => {
                tracing::warn!(operation = %uuid, %error, "an operation cannot take its turn");
                return Turn::Over;
            }
        };
        let to = if back { OperationState::Undoing } else { OperationState::Running };
        let promoted = behalf::sync_scope(whose(&record.operation), || {
            flow.store.write("promote-operation", move |conn| {
                if !record::promote(conn, uuid, fence, to)? {
                    return Ok(None);
                }
                record::is_cancelled(conn, uuid).map(Some)
            })
        });
        match promoted.await {
            Ok(Some(cancel)) => {
                record.cancel |= cancel;
                record.operation.set_state(to);
                let queued = state == OperationState::Queued;
                // a turn is durable before the first step begins
                record.fresh = queued;
                record.note(if queued { OperationEventKind::Began } else { OperationEventKind::Resumed });
                live.copy(record.operation.clone());
            }
            Ok(None) => return Turn::Busy,
            Err(error) if error.reason() == "FENCED" => {
                tracing::info!(operation = %uuid, %error, "operation left to its owner");
                return Turn::Over;
            }
            Err(error) => {
                tracing::warn!(operation = %uuid, %error, "an operation cannot take its turn");
                return Turn::Unknown;
            }
        }
    }
    slot.take().map_or(Turn::Over, |record| Turn::Come(Box::new(record)))
}

/// Works on one operation as far as it goes here. A step that panics leaves the operation to be taken up again, and its lane to
/// those behind it.
async fn work(flow: &Arc<Inner>, uuid: Uuid, live: &Arc<Live>, record: Box<Record>) {
    match AssertUnwindSafe(run(flow, uuid, live, record)).catch_unwind().await {
        Ok(Ok(())) => {}
        Ok(Err(Interrupted(why))) => tracing::info!(operation = %uuid, %why, "operation left to its owner"),
        Err(_) => tracing::error!(operation = %uuid, "a step panicked; its operation is taken up again"),
    }
    leave(flow, uuid, live.resource);
}

/// An operation is not worked on here any more; what waits for its resource may look.
fn leave(flow: &Inner, uuid: Uuid, resource: Uuid) {
    flow.live.remove(uuid);
    flow.lanes.wake(resource);
}

/// On whose behalf an operation's work waits in queues.
fn whose(operation: &Operation) -> Behalf {
    Behalf::operation(parse_uuid(&operation.account_uuid).unwrap_or_default())
}

/// Whether this process may go on with work.
pub(crate) fn stopping(flow: &Inner) -> Ran<()> {
    flow.may_start().map_err(Interrupted)
}

/// What a run needs, put together from the record.
fn prepare<'a>(flow: &'a Arc<Inner>, live: &Arc<Live>, mut record: Record) -> Ran<Run<'a>> {
    let workflow = flow.registry.get(&record.operation.workflow).map_err(Interrupted)?;
    by_name(&workflow, &mut record.operation);
    let began = record.operation.create_time.as_ref().map_or_else(time::now_micros, time::to_micros);
    let shared = Arc::new(Shared::new(Arc::clone(flow), Arc::clone(live), record).map_err(Interrupted)?);
    live.runs_with(&shared);
    shared.change(|_| ());
    Ok(Run { flow, shared, workflow, began })
}

async fn run(flow: &Arc<Inner>, uuid: Uuid, live: &Arc<Live>, record: Box<Record>) -> Ran<()> {
    if record.cancel {
        live.cancel.cancel();
    }
    let whose = whose(&record.operation);
    let run = prepare(flow, live, *record)?;
    let trace = run.shared.state.lock().operation.trace_parent.clone();
    let span = tracing::info_span!(
        "operation",
        operation = %uuid,
        resource = %run.shared.resource,
        workflow = run.workflow.definition.name,
        trace_id = tracing::field::Empty
    );
    propagate::in_trace(&trace, span, behalf::scope(whose, run.drive())).await
}

/// Asks an operation that is here to stop. One that runs is told; one that waits ends at once.
pub(crate) fn cancel(flow: &Arc<Inner>, uuid: Uuid, live: &Live) {
    live.cancel.cancel();
    match live.shared() {
        Some(shared) => shared.change(|state| {
            state.note(OperationEventKind::CancelAsked);
        }),
        None => cancel_waiting(flow, uuid),
    }
}

/// Ends an operation that waits in its lane, wherever it stands there: none of its steps ran, so all that is to be undone is what
/// the call itself wrote, which the undo of the first step takes back. Where that does not work now, it keeps its place, and is
/// undone when its turn comes.
fn cancel_waiting(flow: &Arc<Inner>, uuid: Uuid) {
    let flow = Arc::clone(flow);
    flow.clone().tasks.spawn("cancel-operation", async move {
        let Some(live) = flow.live.get(uuid) else { return };
        let mut slot = live.turn.lock().await;
        // it may have begun meanwhile, and hears of the cancel there
        let Some(mut record) = slot.take() else { return };
        live.cancel.cancel();
        record.cancel = true;
        let before = record.clone();
        if record.operation.state() != OperationState::Queued {
            *slot = Some(before);
            return;
        }
        record.note(OperationEventKind::CancelAsked);
        let whose = whose(&record.operation);
        let ended = async {
            let run = prepare(&flow, &live, record)?;
            behalf::scope(whose, run.end_waiting()).await
        };
        match AssertUnwindSafe(ended).catch_unwind().await {
            Ok(Ok(true)) => {
                flow.lanes.remove(live.resource, uuid);
                metrics::lanes(flow.service, flow.lanes.depth());
                leave(&flow, uuid, live.resource);
            }
            // its lane finds out whose it is
            Ok(Err(Interrupted(why))) => {
                tracing::info!(operation = %uuid, %why, "a cancelled operation waits on");
                *slot = Some(before);
            }
            Ok(Ok(false)) | Err(_) => *slot = Some(before),
        }
    });
}

/// Lays the recorded steps out as the definition has them now: it may have changed since the operation began.
fn by_name(workflow: &Workflow, operation: &mut Operation) {
    let recorded = std::mem::take(&mut operation.steps);
    operation.steps = layout::lay_out(&workflow.definition.steps, recorded);
}

/// Whether an operation that rests or was left goes backwards. Past the point of no return it never does, and its row must not say
/// so: what its steps call would refuse them ([`crate::fence`]).
pub(crate) fn undoing(workflow: &Workflow, operation: &Operation) -> bool {
    let back = match operation.state() {
        OperationState::Undoing => true,
        OperationState::Stuck => operation.error.is_some(),
        _ => false,
    };
    back && !past(workflow, operation)
}

/// Whether the point of no return was passed.
pub(crate) fn past(workflow: &Workflow, operation: &Operation) -> bool {
    let points = workflow.definition.steps.iter().filter(|named| named.point_of_no_return);
    points.into_iter().any(|named| {
        let mut recorded = operation.steps.iter().filter(|step| step.name == named.step);
        recorded.any(|step| step.state() != OperationStepState::Pending)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The room of the futures that a function answers.
    fn room<A, B, C, D, F: Future>(_: impl FnOnce(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_operation_under_way_takes_little_room() {
        // ten thousand wait in their steps at once; what is larger than this is to be boxed where it is awaited
        assert!(room(work) <= 4096, "{} bytes", room(work));
    }
}
