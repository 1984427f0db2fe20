//! Who may command a host, and what becomes of tasks and outcomes.

use std::time::Duration;

use gyre_agent::{Agent, AgentConfig, Delay, Simulation, WorkKind};
use gyre_model::Uuid;
use gyre_proto::agent::v1::session_request::Message as Down;
use gyre_proto::agent::v1::session_response::Message as Up;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{
    CancelTask, CreateVolume, DeleteVolume, MachineSpec, PrepareStorage, StartMachine, StopMachine,
};

use crate::common::{client, hello, open, open_with, until};

async fn simulator() -> Agent {
    Agent::start(AgentConfig::simulated(Simulation::default())).await.expect("starts")
}

fn prepare() -> Work {
    Work::PrepareStorage(PrepareStorage { path: "/storage".into() })
}

fn start(vm: Uuid) -> Work {
    let spec = MachineSpec {
        vm_uuid: vm.to_string(),
        name: "web".into(),
        cpu_count: 1,
        memory_bytes: 64 << 20,
        ..MachineSpec::default()
    };
    Work::StartMachine(StartMachine { machine: Some(spec) })
}

#[tokio::test]
async fn a_higher_fence_cuts_the_session_before_and_a_lower_one_is_refused() {
    let (agent, host) = (simulator().await, Uuid::new_v4());
    let mut first = open(&agent, host, 5).await.expect("admitted");
    let mut second = open(&agent, host, 7).await.expect("admitted");
    let error = loop {
        match first.next().await.expect("an end with a reason") {
            Ok(Up::Heartbeat(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind().name(), error.reason()), ("ABORTED", "FENCED"));
    assert!(first.next().await.is_none());

    let refused = open(&agent, host, 6).await.err().expect("refused");
    assert_eq!(refused.reason(), "FENCED");
    assert_eq!(refused.metadata()["seen"], "7");
    // another host of the same simulator has fences of its own
    open(&agent, Uuid::new_v4(), 1).await.expect("admitted");
    second.run(prepare()).await.expect("the present session works");
    // the same fence again is the same controller that reconnects
    let mut third = open(&agent, host, 7).await.expect("admitted");
    third.run(prepare()).await.expect("works");
    agent.shutdown().await;
}

#[tokio::test]
async fn tasks_of_a_lower_fence_are_refused() {
    let (agent, host) = (simulator().await, Uuid::new_v4());
    let mut session = open(&agent, host, 9).await.expect("admitted");
    let mut task = session.task("old", prepare());
    task.fence = 8;
    session.submit(vec![task]).await;
    let outcome = session.outcome().await;
    assert_eq!(outcome.error.expect("refused").reason, "FENCED");
    let mut task = session.task("other", prepare());
    task.host_uuid = Uuid::new_v4().to_string();
    session.submit(vec![task]).await;
    assert_eq!(session.outcome().await.error.expect("refused").reason, "TASK_FOR_ANOTHER_HOST");
    let mut task = session.task("empty", prepare());
    task.work = None;
    session.submit(vec![task]).await;
    assert_eq!(session.outcome().await.error.expect("refused").reason, "WORK_UNKNOWN");
}

#[tokio::test]
async fn a_session_begins_with_a_hello() {
    let agent = simulator().await;
    let error = open_with(client(&agent), hello(Uuid::nil(), 1)).await;
    error.expect("a nil uuid is a uuid");
    let mut nameless = hello(Uuid::new_v4(), 1);
    nameless.host_uuid.clear();
    assert_eq!(open_with(client(&agent), nameless).await.err().expect("refused").reason(), "INVALID_FIELD");
    let requests = tokio_stream::iter([gyre_proto::agent::v1::SessionRequest {
        message: Some(Down::Cancel(CancelTask { task_id: "x".into() })),
    }]);
    let status = client(&agent).session(requests).await.expect_err("refused");
    assert_eq!(gyre_model::Error::from(status).reason(), "SESSION_HELLO_MISSING");
}

#[tokio::test]
async fn outcomes_are_kept_until_they_are_acknowledged() {
    let (agent, host) = (simulator().await, Uuid::new_v4());
    let mut session = open(&agent, host, 1).await.expect("admitted");
    let task = session.task("a", prepare());
    session.submit(vec![task.clone()]).await;
    let outcome = session.outcome().await;
    // the same id again answers the same outcome, without working again
    session.submit(vec![task.clone()]).await;
    assert_eq!(session.outcome().await, outcome);
    // a new session hears it first of all
    let mut session = open(&agent, host, 2).await.expect("admitted");
    assert_eq!(session.hello.task_ids, ["a"]);
    assert_eq!(session.outcome().await, outcome);
    session.acknowledge(&["a", "unknown"]).await;
    // messages are taken in order: when this task is done, the acknowledgement was taken
    let task = session.task("b", prepare());
    session.submit(vec![task]).await;
    assert_eq!(session.outcome().await.task_id, "b");
    assert_eq!(open(&agent, host, 3).await.expect("admitted").hello.task_ids, ["b"]);
}

#[tokio::test]
async fn the_same_task_joins_and_cancellation_ends_it() {
    let (agent, host) = (simulator().await, Uuid::new_v4());
    let faults = agent.faults().expect("a simulator");
    faults.hang_next(WorkKind::PrepareStorage, 1);
    let session = open(&agent, host, 1).await.expect("admitted");
    let task = session.task("slow", prepare());
    session.submit(vec![task.clone(), task.clone()]).await;
    until("it began", async || faults.seen(WorkKind::PrepareStorage) == 1).await;
    let mut session = open(&agent, host, 2).await.expect("admitted");
    assert_eq!(session.hello.task_ids, ["slow"]);
    let mut joined = task.clone();
    joined.fence = 2;
    session.submit(vec![joined]).await;
    session.send(Down::Cancel(CancelTask { task_id: "slow".into() })).await;
    let outcome = session.outcome().await;
    assert_eq!(outcome.error.expect("cancelled").reason, "TASK_CANCELLED");
    assert_eq!(faults.seen(WorkKind::PrepareStorage), 1, "it ran once");
}

#[tokio::test]
async fn a_deadline_ends_a_task() {
    let (agent, host) = (simulator().await, Uuid::new_v4());
    agent.faults().expect("a simulator").hang_next(WorkKind::PrepareStorage, 1);
    let mut session = open(&agent, host, 1).await.expect("admitted");
    let mut task = session.task("late", prepare());
    task.deadline = Some(gyre_model::time::from_micros(gyre_model::time::now_micros() + 50_000));
    session.submit(vec![task]).await;
    let error = session.outcome().await.error.expect("late");
    assert_eq!((error.code.as_str(), error.reason.as_str()), ("DEADLINE_EXCEEDED", "TASK_DEADLINE_EXCEEDED"));
}

#[tokio::test]
async fn a_task_whose_time_is_over_is_not_begun() {
    let (agent, host, vm) = (simulator().await, Uuid::new_v4(), Uuid::new_v4());
    let mut session = open(&agent, host, 1).await.expect("admitted");
    let mut task = session.task("late", start(vm));
    task.deadline = Some(gyre_model::time::from_micros(gyre_model::time::now_micros() - 50_000));
    session.submit(vec![task]).await;
    assert_eq!(session.outcome().await.error.expect("too late").reason, "TASK_DEADLINE_EXCEEDED");
    assert_eq!(agent.counts(), (1, 0, 0), "no machine");
    agent.shutdown().await;
}

#[tokio::test]
async fn work_on_one_thing_is_in_order_and_on_different_things_side_by_side() {
    let (agent, host, vm) = (simulator().await, Uuid::new_v4(), Uuid::new_v4());
    let faults = agent.faults().expect("a simulator");
    faults.hang_next(WorkKind::StartMachine, 1);
    let mut session = open(&agent, host, 1).await.expect("admitted");
    let stop = Work::StopMachine(StopMachine { vm_uuid: vm.to_string(), force: true, grace_seconds: 0 });
    let tasks = vec![
        session.task("start", start(vm)),
        session.task("stop", stop),
        session.task("other", start(Uuid::new_v4())),
    ];
    session.submit(tasks).await;
    assert_eq!(session.outcome().await.task_id, "other");
    assert_eq!(faults.seen(WorkKind::StopMachine), 0, "the stop waits behind the start");
    session.send(Down::Cancel(CancelTask { task_id: "start".into() })).await;
    assert_eq!(session.outcome().await.task_id, "start");
    assert_eq!(session.outcome().await.task_id, "stop");
}

#[tokio::test]
async fn heartbeats_come_and_can_be_lost() {
    let (agent, host) = (simulator().await, Uuid::new_v4());
    let faults = agent.faults().expect("a simulator");
    let mut session = open(&agent, host, 1).await.expect("admitted");
    for _ in 0..3 {
        assert!(matches!(session.next().await, Some(Ok(Up::Heartbeat(beat))) if beat.time.is_some()));
    }
    faults.lose_heartbeat(host, true);
    // at most the one that was on its way
    let quiet = async { while session.next().await.is_some() {} };
    let mut quiet = Box::pin(quiet);
    assert!(tokio::time::timeout(Duration::from_millis(400), &mut quiet).await.is_err());
    drop(quiet);
    faults.lose_heartbeat(host, false);
    assert!(matches!(session.next().await, Some(Ok(Up::Heartbeat(_)))));
}

#[tokio::test]
async fn progress_is_told_and_faults_strike() {
    let (agent, host) = (simulator().await, Uuid::new_v4());
    let faults = agent.faults().expect("a simulator");
    faults.delay(Delay::of(Duration::from_millis(80)));
    let mut session = open(&agent, host, 1).await.expect("admitted");
    session.run(prepare()).await.expect("works");
    assert!(session.progress.len() >= 3, "{:?}", session.progress);
    faults.clear();
    let volume = Uuid::new_v4().to_string();
    let create = |size_bytes| {
        let (volume_uuid, folder) = (volume.clone(), "/storage".to_owned());
        Work::CreateVolume(CreateVolume { volume_uuid, folder, size_bytes, image: None })
    };
    faults.fail_after_next(WorkKind::CreateVolume, 1);
    assert_eq!(session.reason(create(1 << 30)).await, "SIMULATED_FAULT");
    // it was made all the same, and making it again is fine
    session.run(create(1 << 30)).await.expect("idempotent");
    assert_eq!(session.reason(create(2 << 30)).await, "VOLUME_DIFFERS");
    assert_eq!(session.reason(create(1000)).await, "VOLUME_SIZE_INVALID");
    let delete = Work::DeleteVolume(DeleteVolume { volume_uuid: volume.clone(), folder: "/storage".into() });
    session.run(delete.clone()).await.expect("deleted");
    session.run(delete).await.expect("idempotent");
}

#[tokio::test]
async fn shutdown_tells_sessions() {
    let (agent, host) = (simulator().await, Uuid::new_v4());
    let mut session = open(&agent, host, 1).await.expect("admitted");
    let mut console = client(&agent)
        .read_console(gyre_proto::agent::v1::ReadConsoleRequest { host_uuid: host.to_string(), ..Default::default() })
        .await
        .expect_err("no machine is named");
    assert_eq!(
        gyre_model::Error::from(std::mem::replace(&mut console, tonic::Status::ok(""))).reason(),
        "INVALID_FIELD"
    );
    agent.shutdown().await;
    let error = loop {
        match session.next().await.expect("an end with a reason") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind().name(), error.reason()), ("UNAVAILABLE", "AGENT_STOPPING"));
    assert_eq!(open(&agent, host, 2).await.err().expect("refused").reason(), "AGENT_STOPPING");
}
