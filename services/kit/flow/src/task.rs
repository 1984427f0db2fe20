//! Work on hosts: a step hands a task to the owner of a host, and hears of its progress until it ends.

use std::sync::Arc;
use std::time::Duration;

use gyre_model::{Acting, Error, Kind, Result, Uuid, time};
use gyre_proto::agent::v1::{Task, TaskOutcome, task::Work};
use gyre_proto::common::v1::OperationState;
use gyre_proto::host::v1::host_task_service_client::HostTaskServiceClient;
use gyre_proto::host::v1::run_task_response::Event;
use gyre_proto::host::v1::{CancelTaskRequest, RunTaskRequest};

use crate::Context;
use crate::child::CANCEL;
use crate::shared::Shared;

/// How often a stream that broke is joined again before the step is told.
const JOINS: u32 = 20;
/// The wait before it is joined again.
const JOIN_WAIT: Duration = Duration::from_millis(250);

/// How often a cancel is said again while the operation is undone.
const SAY_AGAIN: Duration = Duration::from_secs(2);

impl Shared {
    /// Asks the agents to stop the tasks of a step that was broken off; whatever the undo asks of them comes after those in their
    /// lanes. The owner of a host keeps a cancel in memory until the agent has heard of it, and may die in that moment. So it is
    /// said again for as long as the undo goes on here; a task that still cannot be reached ends by its deadline.
    pub(crate) async fn cancel_tasks(self: &Arc<Self>) {
        let (tasks, fence) = {
            let mut state = self.state.lock();
            (std::mem::take(&mut state.tasks), state.operation.fence)
        };
        if tasks.is_empty() {
            return;
        }
        self.say_cancel(&tasks, fence).await;
        let cancelled = Arc::downgrade(self);
        self.flow.tasks.spawn_until_stop("cancel-tasks", async move {
            loop {
                tokio::time::sleep(SAY_AGAIN).await;
                // a step that is only tried again wants its tasks: the first cancel was for the try alone
                let undone = |shared: &Arc<Self>| {
                    let state = shared.state.lock();
                    state.operation.state() == OperationState::Undoing && state.operation.fence == fence
                };
                match cancelled.upgrade().filter(undone) {
                    Some(shared) => shared.say_cancel(&tasks, fence).await,
                    None => return,
                }
            }
        });
    }

    async fn say_cancel(&self, tasks: &[(Uuid, String)], fence: i64) {
        // it belongs to the way back, which may be durable by the time at which it comes
        let caller = self.caller.acting(Acting { operation: self.uuid, fence, undoing: true });
        futures::future::join_all(tasks.iter().map(|(host, task_id)| async move {
            let mut client = HostTaskServiceClient::new(self.flow.mesh.channel("host"));
            let mut request =
                caller.request(CancelTaskRequest { host_uuid: host.to_string(), task_id: task_id.clone() });
            request.set_timeout(CANCEL);
            let asked = tokio::time::timeout(CANCEL, client.cancel_task(request)).await;
            let failure = match asked {
                Ok(Ok(_)) => return,
                Ok(Err(status)) => Error::from(status).to_string(),
                Err(_) => format!("no answer within {CANCEL:?}"),
            };
            tracing::warn!(%host, task = task_id, failure, "a task that nobody wants any more was not cancelled");
        }))
        .await;
    }
}

impl Context {
    /// Runs a task on a host and tells its progress as this step's. The task's id is [`Context::key`], so that a repeat joins
    /// the task of the first run, and a broken stream is joined again.
    ///
    /// # Errors
    /// Why the task failed; `HOST_NOT_CONNECTED`; `TASK_TIMEOUT` after the limit.
    pub fn run_task(
        &self,
        host: Uuid,
        work: Work,
        limit: Duration,
    ) -> impl Future<Output = Result<TaskOutcome>> + Send + use<'_> {
        // boxed here, since what an async function is given takes room in its future, and once more in each that it calls
        self.run_named_task(self.key(), host, Box::new(work), limit)
    }

    /// The same for a step that has several tasks: each has a name of its own within the step.
    ///
    /// # Errors
    /// As [`Context::run_task`].
    pub fn run_task_as(
        &self,
        name: &str,
        host: Uuid,
        work: Work,
        limit: Duration,
    ) -> impl Future<Output = Result<TaskOutcome>> + Send + use<'_> {
        self.run_named_task(format!("{}/{name}", self.key()), host, Box::new(work), limit)
    }

    async fn run_named_task(&self, id: String, host: Uuid, work: Box<Work>, limit: Duration) -> Result<TaskOutcome> {
        let until = time::now_micros().saturating_add(i64::try_from(limit.as_micros()).unwrap_or(i64::MAX));
        self.runs_on(host);
        let acting = self.acting();
        let noted = (host, id.clone());
        self.shared.state.lock().tasks.push(noted.clone());
        let task = Task {
            id,
            operation_uuid: acting.operation.to_string(),
            operation_fence: acting.fence,
            undo: acting.undoing,
            deadline: Some(time::from_micros(until)),
            trace_parent: self.trace_parent(),
            work: Some(*work),
            ..Task::default()
        };
        let request = Box::new(RunTaskRequest { host_uuid: host.to_string(), task: Some(task) });
        let ended = tokio::time::timeout(limit, self.follow_task(request)).await.unwrap_or_else(|_| {
            Err(Error::new(
                Kind::DeadlineExceeded,
                "TASK_TIMEOUT",
                format!("host {host} did not end the task within {limit:?}"),
            )
            .with("host_uuid", host.to_string()))
        });
        // not where this future is dropped: then the task runs on, and is cancelled if the step was broken off
        self.shared.state.lock().tasks.retain(|task| *task != noted);
        ended
    }

    async fn follow_task(&self, request: Box<RunTaskRequest>) -> Result<TaskOutcome> {
        let mut client = HostTaskServiceClient::new(self.shared.flow.mesh.channel("host"));
        let mut broken = 0;
        loop {
            let failure = match Box::pin(client.run_task(self.stream_request(RunTaskRequest::clone(&request)))).await {
                Ok(response) => {
                    let mut events = response.into_inner();
                    loop {
                        match events.message().await {
                            Ok(Some(response)) => match response.event {
                                Some(Event::Progress(progress)) => self.progress(progress.percent, progress.message),
                                Some(Event::Outcome(outcome)) => {
                                    return match outcome.error {
                                        Some(error) => Err(error.into()),
                                        None => Ok(outcome),
                                    };
                                }
                                None => {}
                            },
                            Ok(None) => {
                                break Error::unavailable("TASK_STREAM_BROKEN", "the task's stream ended early");
                            }
                            Err(status) => break status.into(),
                        }
                    }
                }
                Err(status) => Error::from(status),
            };
            broken += 1;
            // a host that is not there is for the step to decide on, not for this loop
            if !failure.kind().retryable() || failure.reason() == "HOST_NOT_CONNECTED" || broken >= JOINS {
                return Err(failure);
            }
            tokio::time::sleep(JOIN_WAIT).await;
        }
    }
}
