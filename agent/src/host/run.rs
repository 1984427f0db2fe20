//! Runs tasks: each is kept in the journal, waits for its turn in its lane and for the width of its kind of work, runs with its
//! deadline and its cancellation, and leaves an outcome that is kept until the controller has it.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use gyre_mesh::telemetry::propagate;
use gyre_model::time::now_micros;
use gyre_model::{Error, Kind, Result};
use gyre_proto::agent::v1::{Task, TaskOutcome, TaskProgress, task_outcome};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;

use super::line::Line;
use super::outbox::{Outbox, fenced, stopping};
use super::{Entry, Host, Inner};
use crate::failure;
use crate::journal::Said;
use crate::lanes::{Lanes, Place};
use crate::metrics;
use crate::progress::Progress;
use crate::work::{self, WorkKind};

/// Outcomes that nobody acknowledges are kept up to this many.
const MOST_KEPT: usize = 20_000;

/// How much work of each kind runs at once on a host.
#[derive(Clone)]
pub struct Widths {
    /// Transfers of images.
    pub images: usize,
    limits: Option<Arc<HashMap<WorkKind, Arc<Semaphore>>>>,
}

impl Widths {
    /// No bound: simulated work costs nothing.
    pub fn unbounded() -> Self {
        Self { images: usize::MAX >> 4, limits: None }
    }

    /// Bounds for a real host. Stopping mostly waits for guests, so many may do so at once.
    pub fn bounded(machines: usize, images: usize) -> Self {
        let (machines, images) = (machines.max(1), images.max(1));
        let width = |kind: WorkKind| match kind {
            WorkKind::StartMachine => machines,
            WorkKind::StopMachine | WorkKind::RebootMachine | WorkKind::RemoveMachine => machines * 16,
            WorkKind::ImportImage | WorkKind::FinishUpload => images,
            WorkKind::CreateVolume => machines + images,
            WorkKind::PrepareStorage | WorkKind::DeleteImage | WorkKind::DeleteVolume => machines,
        };
        let limits = WorkKind::ALL.map(|kind| (kind, Arc::new(Semaphore::new(width(kind)))));
        Self { images, limits: Some(Arc::new(limits.into())) }
    }

    async fn permit(&self, kind: WorkKind) -> Option<OwnedSemaphorePermit> {
        self.limits.as_ref()?.get(&kind)?.clone().acquire_owned().await.ok()
    }
}

/// A task that has its place in its lane.
struct Entered {
    kind: WorkKind,
    place: Place,
    cancel: CancellationToken,
}

/// Notes that a task runs, and takes its place in its lane at once, so that tasks on one thing run in the order in which they came.
fn enter(lanes: &Lanes, inner: &mut Inner, task: &Task) -> Option<Entered> {
    let work = task.work.as_ref()?;
    let cancel = CancellationToken::new();
    inner.tasks.insert(task.id.clone(), Entry::Running { cancel: cancel.clone(), progress: None });
    Some(Entered { kind: WorkKind::of(work), place: lanes.enter(work::lane(work)), cancel })
}

impl Host {
    /// Takes a task from a session: refuses it, joins the one that runs, answers the outcome that is kept, or begins it. All under
    /// one lock, so that nothing is said between a look at the fences and the note of what was said.
    pub(super) fn submit(&self, outbox: &Arc<Outbox>, task: Task) {
        let begun = {
            let mut inner = self.0.inner.lock();
            let fenced = (task.fence < inner.fence).then(|| fenced(task.fence, inner.fence));
            let refusal = fenced.or_else(|| inner.said.refusal(&task));
            match (refusal, inner.tasks.get(&task.id)) {
                (Some(refusal), _) => Err(refusal),
                (None, Some(entry)) => {
                    match entry {
                        Entry::Running { progress: Some(progress), .. } => outbox.progress(progress.clone()),
                        Entry::Running { progress: None, .. } => {}
                        Entry::Done(outcome) => outbox.outcome(outcome.clone()),
                    }
                    // whoever joins may have the operation by a higher fence
                    if let Some(said) = inner.said.note(&task, now_micros()) {
                        self.0.journal.said(said);
                    }
                    return;
                }
                (None, None) => match self.refusal(&task) {
                    Some(refusal) => Err(refusal),
                    // an older session, which was cut, brought it just before the host was let go
                    None if inner.releasing || self.uuid() != Some(outbox.host()) => return,
                    None => {
                        let said = inner.said.note(&task, now_micros());
                        Ok((enter(&self.0.lanes, &mut inner, &task), said))
                    }
                },
            }
        };
        match begun {
            Ok((Some(entered), said)) => self.begin(task, entered, false, said),
            Ok((None, _)) => {}
            Err(error) => {
                Line::of(&task).refused(self.uuid().unwrap_or_default(), &error);
                outbox.outcome(outcome(task.id, Err(error)));
            }
        }
    }

    /// Begins a task that the journal kept.
    pub(super) fn resume_task(&self, task: Task) {
        let entered = enter(&self.0.lanes, &mut self.0.inner.lock(), &task);
        if let Some(entered) = entered {
            self.begin(task, entered, true, None);
        }
    }

    fn refusal(&self, task: &Task) -> Option<Error> {
        if self.0.stop.is_cancelled() {
            return Some(stopping());
        }
        if task.id.is_empty() || task.id.len() > 512 {
            return Some(Error::invalid("task.id", format!("must have 1 to 512 bytes, got {}", task.id.len())));
        }
        let named = gyre_model::parse_uuid(&task.host_uuid);
        if !task.host_uuid.is_empty() && named != self.uuid() {
            return Some(
                failure::precondition(
                    "TASK_FOR_ANOTHER_HOST",
                    format!(
                        "the task is for host {}, this session is for {:?}; send it there",
                        task.host_uuid,
                        self.uuid()
                    ),
                )
                .with("host_uuid", task.host_uuid.clone()),
            );
        }
        if task.work.is_none() {
            return Some(Error::new(
                Kind::Unimplemented,
                "WORK_UNKNOWN",
                "this agent does not know the work of the task; update the agent",
            ));
        }
        None
    }

    fn begin(&self, task: Task, entered: Entered, kept: bool, said: Option<Said>) {
        let Entered { kind, place, cancel } = entered;
        metrics::task_began(kind);
        let host_uuid = self.uuid().unwrap_or_default();
        let span = tracing::info_span!("task", trace_id = Empty, task = task.id, kind = kind.name(), host = %host_uuid);
        let (host, trace) = (self.clone(), task.trace_parent.clone());
        let run = async move { host.run(task, kind, place, cancel, kept, said).await };
        self.0.tracker.spawn(async move { propagate::in_trace(&trace, span, run).await });
    }

    async fn run(
        self,
        task: Task,
        kind: WorkKind,
        place: Place,
        cancel: CancellationToken,
        kept: bool,
        said: Option<Said>,
    ) {
        let (id, line) = (task.id.clone(), Line::of(&task));
        let began = std::time::Instant::now();
        let accepted = if kept { Ok(()) } else { self.0.journal.accepted(&task, said).await };
        let result = match accepted {
            Ok(()) => tokio::select! {
                biased;
                // the journal has the task: it runs again at the next start
                () = self.0.stop.cancelled() => return,
                result = self.bounded(task, kind, place, cancel) => result,
            },
            Err(error) => Err(error),
        };
        let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        line.ended(self.uuid().unwrap_or_default(), self.0.journal.keeps(), millis, result.as_ref().err());
        metrics::task_ended(kind, result.as_ref().err(), began.elapsed());
        let outcome = outcome(id, result);
        // an outcome that cannot be kept is still told; after a crash the task would run again, which is harmless
        let _ = self.0.journal.finished(&outcome).await;
        let mut inner = self.0.inner.lock();
        if inner.tasks.len() > MOST_KEPT {
            let oldest: Vec<_> = inner
                .tasks
                .iter()
                .filter(|(_, entry)| matches!(entry, Entry::Done(_)))
                .map(|(id, _)| id.clone())
                .take(MOST_KEPT / 10)
                .collect();
            tracing::warn!(outcomes = oldest.len(), "forgetting outcomes that nobody acknowledged");
            oldest.iter().for_each(|id| drop(inner.tasks.remove(id)));
            self.0.journal.forget(oldest);
        }
        inner.tasks.insert(outcome.task_id.clone(), Entry::Done(outcome.clone()));
        if let Some(session) = &inner.session {
            session.outcome(outcome);
        }
        self.0.task_ended.notify_waiters();
    }

    /// Runs a task until its end, its deadline or its cancellation.
    async fn bounded(
        &self,
        task: Task,
        kind: WorkKind,
        mut place: Place,
        cancel: CancellationToken,
    ) -> Result<Option<task_outcome::Result>> {
        let left = task.deadline.as_ref().map(|deadline| {
            let micros = gyre_model::time::to_micros(deadline) - gyre_model::time::now_micros();
            Duration::from_micros(u64::try_from(micros).unwrap_or(0))
        });
        let until = left.map(|left| Instant::now() + left);
        let progress = self.progress(task.id.clone());
        let too_late = || {
            Error::new(
                Kind::DeadlineExceeded,
                "TASK_DEADLINE_EXCEEDED",
                format!("{} did not end before its deadline; try again with more time", kind.name()),
            )
        };
        let work = async {
            place.turn().await;
            let _permit = self.0.widths.permit(kind).await;
            if self.0.inner.lock().said.overtaken(&task) {
                return Err(Error::new(
                    Kind::Aborted,
                    "FENCED",
                    "the operation was turned back while the task waited for its turn: it was not begun",
                )
                .with("operation_uuid", task.operation_uuid.clone()));
            }
            // one that the journal kept may be long past it
            if until.is_some_and(|until| Instant::now() >= until) {
                return Err(too_late());
            }
            Line::of(&task).starts(self.uuid().unwrap_or_default(), self.0.journal.keeps());
            let Some(work) = task.work else { return Ok(None) };
            match AssertUnwindSafe(place.hold(self.execute(work, kind, &progress))).catch_unwind().await {
                Ok(result) => result,
                Err(panic) => {
                    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                    Err(Error::internal(text.unwrap_or_else(|| "the task panicked".to_owned())))
                }
            }
        };
        let late = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // looked at first: one whose turn comes by the same word that cancels it does not begin
            () = cancel.cancelled() => Err(Error::new(Kind::Cancelled, "TASK_CANCELLED", "the task was cancelled")),
            result = work => result,
            () = late => Err(too_late()),
        }
    }

    async fn execute(
        &self,
        work: gyre_proto::agent::v1::task::Work,
        kind: WorkKind,
        progress: &Progress,
    ) -> Result<Option<task_outcome::Result>> {
        let Some(faults) = &self.0.faults else { return self.work(work, progress).await };
        let host = self.uuid().unwrap_or_default();
        faults.before(host, kind, progress).await?;
        let result = self.work(work, progress).await?;
        faults.after(host, kind)?;
        Ok(result)
    }

    fn progress(&self, task_id: String) -> Progress {
        let host = Arc::downgrade(&self.0);
        Progress::new(move |percent, message| {
            let Some(host) = host.upgrade() else { return };
            let told = TaskProgress { task_id: task_id.clone(), percent, message: message.to_owned() };
            let mut inner = host.inner.lock();
            let Some(Entry::Running { progress, .. }) = inner.tasks.get_mut(&told.task_id) else { return };
            *progress = Some(told.clone());
            if let Some(session) = &inner.session {
                session.progress(told);
            }
        })
    }

    /// Whether the heart beats (the simulator can lose it).
    pub(super) fn heart_beats(&self) -> bool {
        let Some(faults) = &self.0.faults else { return true };
        faults.heart_beats(self.uuid().unwrap_or_default())
    }
}

fn outcome(task_id: String, result: Result<Option<task_outcome::Result>>) -> TaskOutcome {
    match result {
        Ok(result) => TaskOutcome { task_id, error: None, result },
        Err(error) => TaskOutcome { task_id, error: Some((&error).into()), result: None },
    }
}
