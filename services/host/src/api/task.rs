//! Work on hosts, for the other services: tasks go through the session ([`crate::sessions`]); what is no task goes to the agent's
//! address beside it ([`super::console`]).

use std::pin::Pin;

use futures::Stream;
use gyre_flow::fence;
use gyre_mesh::serve::caller_if_any;
use gyre_model::{Error, Result};
use gyre_proto::agent::v1::TaskProgress;
use gyre_proto::host::v1::host_task_service_server::HostTaskService;
use gyre_proto::host::v1::run_task_response::Event;
use gyre_proto::host::v1::{
    CancelTaskRequest, CancelTaskResponse, ReadConsoleRequest, ReadConsoleResponse, RunTaskRequest, RunTaskResponse,
    WriteConsoleRequest, WriteConsoleResponse, WriteImageRequest, WriteImageResponse,
};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use super::{Api, uuid};
use crate::sessions::board::News;
use crate::work::WorkKind;

/// Most bytes of a task's id.
const LONGEST_ID: usize = 512;

type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl HostTaskService for Api {
    type RunTaskStream = Events<RunTaskResponse>;
    type ReadConsoleStream = Events<ReadConsoleResponse>;

    async fn run_task(&self, request: Request<RunTaskRequest>) -> Result<Response<Self::RunTaskStream>, Status> {
        let caller = caller_if_any(&request);
        let request = request.into_inner();
        let host = uuid("host_uuid", &request.host_uuid)?;
        let task = request.task.unwrap_or_default();
        check_id("task.id", &task.id)?;
        let Some(work) = &task.work else {
            return Err(Error::invalid("task", "must say what to do: one of its kinds of work").into());
        };
        let kind = WorkKind::of(work);
        if let Some(caller) = caller.filter(|caller| caller.acting.is_some()) {
            self.0.store.read("task-fence", move |conn| fence::glance(conn, &caller)).await?;
        }
        let link = self.0.sessions.link(host).await?;
        Ok(Response::new(follow(link.join(task, kind)?)))
    }

    async fn cancel_task(&self, request: Request<CancelTaskRequest>) -> Result<Response<CancelTaskResponse>, Status> {
        let caller = caller_if_any(&request);
        let CancelTaskRequest { host_uuid, task_id } = request.into_inner();
        let host = uuid("host_uuid", &host_uuid)?;
        check_id("task_id", &task_id)?;
        // whoever has taken the operation over may have joined the task, and wants it
        let acting = caller.as_ref().and_then(|caller| caller.acting);
        if let Some(caller) = caller.filter(|_| acting.is_some()) {
            self.0.store.read("cancel-fence", move |conn| fence::glance(conn, &caller)).await?;
        }
        let link = self.0.sessions.link(host).await?;
        link.cancel(&task_id, acting.map_or(i64::MAX, |acting| acting.fence))?;
        Ok(Response::new(CancelTaskResponse {}))
    }

    async fn read_console(
        &self,
        request: Request<ReadConsoleRequest>,
    ) -> Result<Response<Self::ReadConsoleStream>, Status> {
        Ok(Response::new(self.console_read(request.into_inner()).await?))
    }

    async fn write_console(
        &self,
        request: Request<WriteConsoleRequest>,
    ) -> Result<Response<WriteConsoleResponse>, Status> {
        Ok(Response::new(self.console_write(request.into_inner()).await?))
    }

    async fn write_image(
        &self,
        request: Request<Streaming<WriteImageRequest>>,
    ) -> Result<Response<WriteImageResponse>, Status> {
        Ok(Response::new(self.image_write(request.into_inner()).await?))
    }
}

fn check_id(field: &str, id: &str) -> Result<()> {
    if id.is_empty() || id.len() > LONGEST_ID {
        return Err(Error::invalid(field, format!("must have 1 to {LONGEST_ID} bytes, has {}", id.len())));
    }
    Ok(())
}

/// What becomes of a task, as a stream: progress whenever there is newer, and at last the outcome.
fn follow(news: watch::Receiver<News>) -> Events<RunTaskResponse> {
    struct Follower {
        news: watch::Receiver<News>,
        told: Option<TaskProgress>,
        over: bool,
    }
    let follower = Follower { news, told: None, over: false };
    Box::pin(futures::stream::unfold(follower, |mut follower| async move {
        if follower.over {
            return None;
        }
        loop {
            let now = follower.news.borrow_and_update().clone();
            match now.end {
                Some(end) => {
                    follower.over = true;
                    let event = end.map(|outcome| RunTaskResponse { event: Some(Event::Outcome(outcome)) });
                    return Some((event.map_err(Status::from), follower));
                }
                None if now.progress != follower.told => {
                    follower.told.clone_from(&now.progress);
                    if let Some(progress) = now.progress {
                        return Some((Ok(RunTaskResponse { event: Some(Event::Progress(progress)) }), follower));
                    }
                }
                None => {}
            }
            if follower.news.changed().await.is_err() && follower.news.borrow().end.is_none() {
                follower.over = true;
                let gone = Error::unavailable("HOST_MOVED", "the task is looked after elsewhere now; join it there");
                return Some((Err(gone.into()), follower));
            }
        }
    }))
}
