//! A cancel reaches the work on hosts also where the instance that owns the host forgot it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::stream::BoxStream;
use gyre_flow::{Context, Flow, Steps, Submit};
use gyre_mesh::Mesh;
use gyre_model::{Caller, Result, Uuid};
use gyre_proto::agent::v1::DeleteVolume;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::common::v1::{CancelOperationRequest, OperationState, WaitOperationRequest};
use gyre_proto::host::v1::host_task_service_server::{HostTaskService, HostTaskServiceServer};
use gyre_proto::host::v1::{
    CancelTaskRequest, CancelTaskResponse, GetZoneRequest, ReadConsoleRequest, ReadConsoleResponse, RunTaskRequest,
    RunTaskResponse, WriteConsoleRequest, WriteConsoleResponse, WriteImageRequest, WriteImageResponse,
};
use gyre_store::{Store, StoreConfig};
use tokio::sync::Semaphore;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

const WORK: &str = "
name: work
resource: zone
steps:
  - step: work
";

/// What happened to the task of the step `work`.
struct World {
    begun: Semaphore,
    cancels: AtomicUsize,
    /// Its end, which the undo waits for as it would in the task's lane.
    ended: Semaphore,
}

/// The owner of a host: it takes every cancel and forgets the first, as one does that dies then.
struct Owner(Arc<World>);

type Answer<T> = std::result::Result<Response<T>, Status>;

#[tonic::async_trait]
impl HostTaskService for Owner {
    type RunTaskStream = BoxStream<'static, std::result::Result<RunTaskResponse, Status>>;
    type ReadConsoleStream = BoxStream<'static, std::result::Result<ReadConsoleResponse, Status>>;

    async fn run_task(&self, _: Request<RunTaskRequest>) -> Answer<Self::RunTaskStream> {
        self.0.begun.add_permits(1);
        Ok(Response::new(Box::pin(futures::stream::pending())))
    }

    async fn cancel_task(&self, _: Request<CancelTaskRequest>) -> Answer<CancelTaskResponse> {
        if self.0.cancels.fetch_add(1, Ordering::SeqCst) > 0 {
            self.0.ended.add_permits(1);
        }
        Ok(Response::new(CancelTaskResponse {}))
    }

    async fn read_console(&self, _: Request<ReadConsoleRequest>) -> Answer<Self::ReadConsoleStream> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn write_console(&self, _: Request<WriteConsoleRequest>) -> Answer<WriteConsoleResponse> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn write_image(&self, _: Request<Streaming<WriteImageRequest>>) -> Answer<WriteImageResponse> {
        Err(Status::unimplemented("not in this test"))
    }
}

async fn work(_: Arc<World>, context: Context) -> Result<()> {
    let work = Work::DeleteVolume(DeleteVolume { volume_uuid: "v".into(), folder: "/f".into() });
    context.run_task(Uuid::new_v4(), work, Duration::from_secs(600)).await.map(drop)
}

async fn unwork(world: Arc<World>, _: Context) -> Result<()> {
    world.ended.acquire().await.unwrap().forget();
    Ok(())
}

#[tokio::test]
async fn a_cancel_that_a_hosts_owner_forgot_is_said_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StoreConfig::new(format!("sqlite://{}/gyre.db", folder.path().display()))).unwrap();
    store.migrate().await.unwrap();
    let world = Arc::new(World { begun: Semaphore::new(0), cancels: AtomicUsize::new(0), ended: Semaphore::new(0) });
    let mesh = Mesh::local();
    let flow = Flow::new("host", mesh.clone(), store);
    flow.register(Steps::new().step("work", &world, work, unwork), &[WORK]).unwrap();
    let routes = flow.answer(Routes::new(HostTaskServiceServer::new(Owner(Arc::clone(&world)))));
    mesh.host("host", routes).await.unwrap();

    let zone = Uuid::new_v4();
    let input = GetZoneRequest { uuid: zone.to_string() };
    let submit = Submit { caller: Caller::system(), workflow: "work", resource: zone, request_id: "a", input: &input };
    let operation = flow.submit(submit, |_, _| Ok(())).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), world.begun.acquire()).await.expect("it begins").unwrap().forget();
    let mut client = OperationServiceClient::new(mesh.channel("host"));
    let request = CancelOperationRequest { uuid: operation.uuid.clone() };
    client.cancel_operation(Caller::system().request(request)).await.unwrap();
    let request = WaitOperationRequest {
        uuid: operation.uuid.clone(),
        timeout: Some(gyre_proto::Duration { seconds: 20, nanos: 0 }),
    };
    let ended = client.wait_operation(Caller::system().request(request)).await.unwrap().into_inner();
    assert_eq!(ended.state(), OperationState::Cancelled);
    assert!(world.cancels.load(Ordering::SeqCst) >= 2);
    // and then nobody says it any more
    let until = Instant::now() + Duration::from_secs(10);
    while flow.tasks().running().contains_key("cancel-tasks") {
        assert!(Instant::now() < until, "{:?}", flow.tasks().running());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
