//! Tasks: joined by their id, sent again, kept; consoles and uploads.

use std::time::Duration;

use futures::StreamExt as _;
use gyre_agent::WorkKind;
use gyre_agent::{Agent, Delay};
use gyre_host::Config;
use gyre_model::{Acting, Caller, Error, Kind, Uuid};
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{self as agent, MachineSpec, MachineState, StartMachine, Task, task_outcome};
use gyre_proto::host::v1::host_task_service_client::HostTaskServiceClient;
use gyre_proto::host::v1::run_task_response::Event;
use gyre_proto::host::v1::{
    CancelTaskRequest, Host, ReadConsoleRequest, RunTaskRequest, WriteConsoleRequest, WriteImageRequest,
};

use crate::support::{GIB, World, config, eventually, outcome, reason, so, uuid};

fn start(vm: &str) -> Work {
    let machine = MachineSpec {
        vm_uuid: vm.into(),
        name: "web".into(),
        cpu_count: 1,
        memory_bytes: GIB,
        ..MachineSpec::default()
    };
    Work::StartMachine(StartMachine { machine: Some(machine) })
}

async fn world() -> (World, Agent, Host) {
    let world = World::new().await;
    let agent = world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    (world, agent, host)
}

#[tokio::test]
async fn a_task_tells_its_progress_and_its_outcome() {
    let (world, agent, host) = world().await;
    agent.faults().unwrap().delay(Delay::of(Duration::from_millis(80)));
    let vm = uuid();
    let mut events = world.stream(&host.uuid, "op/start", start(&vm)).await.unwrap();
    let (mut percents, mut end) = (Vec::new(), None);
    while let Some(event) = events.next().await {
        match event.unwrap().event.unwrap() {
            Event::Progress(progress) => percents.push(progress.percent),
            Event::Outcome(outcome) => end = Some(outcome),
        }
    }
    assert!(!percents.is_empty() && percents.is_sorted(), "{percents:?}");
    let Some(task_outcome::Result::Machine(machine)) = end.unwrap().result else { panic!("a machine") };
    assert_eq!((machine.vm_uuid.as_str(), machine.state()), (vm.as_str(), MachineState::Running));
}

#[tokio::test]
async fn the_same_id_joins_the_task_and_its_outcome_is_kept_for_a_while() {
    let (world, agent, host) = world().await;
    let faults = agent.faults().unwrap();
    faults.delay(Delay::of(Duration::from_millis(200)));
    let vm = uuid();
    let first = world.stream(&host.uuid, "op/start", start(&vm)).await.unwrap();
    let second = world.stream(&host.uuid, "op/start", start(&vm)).await.unwrap();
    let (first, second) = tokio::join!(outcome(first), outcome(second));
    assert_eq!(first.unwrap(), second.unwrap());
    world.run(&host.uuid, "op/start", start(&vm)).await.expect("who comes late");
    assert_eq!(faults.seen(WorkKind::StartMachine), 1);
    // a caller whose stream broke before the end
    let third = world.stream(&host.uuid, "op/other", start(&uuid())).await.unwrap();
    drop(third);
    eventually("it was begun", || async { so(faults.seen(WorkKind::StartMachine) == 2, ()) }).await;
    world.run(&host.uuid, "op/other", start(&uuid())).await.unwrap();
    assert_eq!(faults.seen(WorkKind::StartMachine), 2);
}

#[tokio::test]
async fn a_failure_reaches_its_caller_and_the_same_id_is_another_try() {
    let (world, agent, host) = world().await;
    agent.faults().unwrap().fail_next(WorkKind::StartMachine, 1);
    let vm = uuid();
    let failed = world.run(&host.uuid, "op/start", start(&vm)).await;
    assert_eq!(reason(failed), "SIMULATED_FAULT");
    world.run(&host.uuid, "op/start", start(&vm)).await.unwrap();
    assert_eq!(agent.faults().unwrap().seen(WorkKind::StartMachine), 2);
}

#[tokio::test]
async fn a_task_is_sent_again_after_the_agent_restarted() {
    let (world, agent, host) = world().await;
    agent.faults().unwrap().hang_next(WorkKind::StartMachine, 2);
    let first = world.stream(&host.uuid, "op-1/start", start(&uuid())).await.unwrap();
    let second = world.stream(&host.uuid, "op-2/start", start(&uuid())).await.unwrap();
    let faults = agent.faults().unwrap();
    eventually("both hang", || async { so(faults.seen(WorkKind::StartMachine) == 2, ()) }).await;
    agent.shutdown().await;
    let _agent = world.agent("a:1").await;
    let (first, second) = tokio::join!(outcome(first), outcome(second));
    first.unwrap();
    second.unwrap();
}

#[tokio::test]
async fn who_waits_for_a_host_that_does_not_come_back_is_told() {
    let config = Config { missed: 3, task_patience: Duration::from_millis(500), ..config() };
    let world = World::with(config).await;
    let agent = world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    agent.faults().unwrap().hang_next(WorkKind::StartMachine, 1);
    let hanging = world.stream(&host.uuid, "op/start", start(&uuid())).await.unwrap();
    eventually("it hangs", || async { so(agent.faults().unwrap().seen(WorkKind::StartMachine) == 1, ()) }).await;
    world.mesh.forget_address("a:1");
    agent.shutdown().await;
    assert_eq!(reason(outcome(hanging).await), "HOST_NOT_CONNECTED");
}

#[tokio::test]
async fn lanes_bound_how_much_of_a_kind_runs_on_a_host() {
    let mut config = config();
    config.widths.light = 2;
    let world = World::with(config).await;
    let agent = world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    let faults = agent.faults().unwrap();
    faults.hang_next(WorkKind::StartMachine, 2);
    let mut hanging = Vec::new();
    for at in 0..2 {
        hanging.push(world.stream(&host.uuid, &format!("op-{at}/start"), start(&uuid())).await.unwrap());
    }
    let waiting = world.stream(&host.uuid, "op-2/start", start(&uuid())).await.unwrap();
    eventually("both hang", || async { so(faults.seen(WorkKind::StartMachine) == 2, ()) }).await;
    // another kind has a lane of its own, and comes after the one that waits
    let stop = Work::StopMachine(agent::StopMachine { vm_uuid: uuid(), ..agent::StopMachine::default() });
    // a machine that the host does not know is off
    let _ = world.run(&host.uuid, "op-3/stop", stop).await;
    assert_eq!(faults.seen(WorkKind::StartMachine), 2);
    drop(waiting);
    drop(hanging);
}

#[tokio::test]
async fn many_tasks_at_once_all_end() {
    let (world, _agent, host) = world().await;
    let runs = (0..300).map(|at| {
        let (world, host) = (&world, &host);
        async move { world.run(&host.uuid, &format!("op-{at}/start"), start(&uuid())).await }
    });
    for result in futures::future::join_all(runs).await {
        result.unwrap();
    }
}

#[tokio::test]
async fn a_cancelled_task_ends_at_the_agent() {
    let (world, agent, host) = world().await;
    let (faults, vm) = (agent.faults().unwrap(), uuid());
    world.run(&host.uuid, "op/start", start(&vm)).await.unwrap();
    faults.hang_next(WorkKind::StopMachine, 2);
    let stop = || Work::StopMachine(agent::StopMachine { vm_uuid: vm.clone(), ..agent::StopMachine::default() });
    let cancel = async |caller: Caller, task: &str| {
        let request = CancelTaskRequest { host_uuid: host.uuid.clone(), task_id: task.into() };
        let mut tasks = HostTaskServiceClient::new(world.mesh.channel(gyre_host::NAME).on_behalf_of(caller));
        tasks.cancel_task(request).await.map(drop).map_err(Error::from)
    };
    // somebody waits
    let hanging = world.stream(&host.uuid, "op/stop", stop()).await.unwrap();
    eventually("it hangs", || async { so(faults.seen(WorkKind::StopMachine) == 1, ()) }).await;
    let step = Acting { operation: Uuid::new_v4(), fence: 1, undoing: true };
    assert_eq!(reason(cancel(Caller::system().acting(step), "op/stop").await), "FENCED");
    assert_eq!(agent.counts().2, 1, "it goes on");
    cancel(Caller::system(), "op/stop").await.unwrap();
    assert_eq!(reason(outcome(hanging).await), "TASK_CANCELLED");
    // nobody does: as where a step was broken off
    drop(world.stream(&host.uuid, "op/stop-2", stop()).await.unwrap());
    eventually("it hangs", || async { so(faults.seen(WorkKind::StopMachine) == 2, ()) }).await;
    cancel(Caller::system(), "op/stop-2").await.unwrap();
    cancel(Caller::system(), "unknown").await.unwrap();
    eventually("nothing is left", || async { so(agent.counts().2 == 0, agent.counts()) }).await;
    let error = cancel(Caller::system(), "").await.unwrap_err();
    assert_eq!(error.violations()[0].field, "task_id");
    let end = world.run(&host.uuid, "op/start-2", start(&vm)).await.unwrap();
    let Some(task_outcome::Result::Machine(machine)) = end.result else { panic!("a machine") };
    assert_eq!(machine.state(), MachineState::Running);
}

#[tokio::test]
async fn wrong_tasks_are_refused() {
    let (world, _agent, host) = world().await;
    let run = async |host: &str, task: Task| {
        let request = RunTaskRequest { host_uuid: host.into(), task: Some(task) };
        Error::from(world.tasks().run_task(request).await.err().unwrap())
    };
    let whole = Task { id: "op/start".into(), work: Some(start(&uuid())), ..Task::default() };
    let error = run(&host.uuid, Task { id: String::new(), ..whole.clone() }).await;
    assert_eq!(error.violations()[0].field, "task.id");
    let error = run(&host.uuid, Task { id: "x".repeat(513), ..whole.clone() }).await;
    assert_eq!(error.violations()[0].field, "task.id");
    let error = run(&host.uuid, Task { work: None, ..whole.clone() }).await;
    assert_eq!((error.kind(), error.violations()[0].field.as_str()), (Kind::InvalidArgument, "task"));
    assert_eq!(run(&uuid(), whole).await.reason(), "NOT_FOUND");
}

#[tokio::test]
async fn consoles_are_read_and_typed_into() {
    let (world, _agent, host) = world().await;
    let vm = uuid();
    world.run(&host.uuid, "op/start", start(&vm)).await.unwrap();
    let console = agent::ReadConsoleRequest { vm_uuid: vm.clone(), follow: true, ..Default::default() };
    let request = ReadConsoleRequest { host_uuid: host.uuid.clone(), console: Some(console) };
    let mut output = world.tasks().read_console(request).await.unwrap().into_inner();
    let first = output.message().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first.data).contains("hello from web"));
    let typed = agent::WriteConsoleRequest { vm_uuid: vm, data: "ls\n".into(), ..Default::default() };
    let request = WriteConsoleRequest { host_uuid: host.uuid.clone(), console: Some(typed) };
    world.tasks().write_console(request).await.unwrap();
    assert_eq!(output.message().await.unwrap().unwrap().data, "ls\n");
    let console = agent::ReadConsoleRequest { vm_uuid: uuid(), ..Default::default() };
    let request = ReadConsoleRequest { host_uuid: host.uuid.clone(), console: Some(console.clone()) };
    let refused = world.tasks().read_console(request.clone()).await.map(drop).map_err(Error::from);
    assert_ne!(reason(refused), "HOST_NOT_CONNECTED", "the agent's own refusal");
    world.mesh.forget_address("a:1");
    let refused = world.tasks().read_console(request).await.map(drop).map_err(Error::from);
    assert_eq!(reason(refused), "HOST_NOT_CONNECTED");
}

#[tokio::test]
async fn an_upload_goes_through_to_the_agent() {
    let (world, _agent, host) = world().await;
    let image = uuid();
    let piece = |image: &str, folder: &str, data: Vec<u8>| agent::WriteImageRequest {
        image_uuid: image.into(),
        folder: folder.into(),
        data: data.into(),
        ..agent::WriteImageRequest::default()
    };
    let first =
        WriteImageRequest { host_uuid: host.uuid.clone(), image: Some(piece(&image, "/images", vec![1; 1000])) };
    let more = |_| WriteImageRequest { host_uuid: String::new(), image: Some(piece("", "", vec![2; 100_000])) };
    let pieces: Vec<_> = std::iter::once(first.clone()).chain((0..50).map(more)).collect();
    let written = world.tasks().write_image(futures::stream::iter(pieces)).await.unwrap().into_inner();
    assert_eq!(written.bytes, 1000 + 50 * 100_000);
    let nowhere = WriteImageRequest { host_uuid: uuid(), ..first.clone() };
    let refused = world.tasks().write_image(futures::stream::iter([nowhere])).await.map_err(Error::from);
    assert_eq!(reason(refused), "NOT_FOUND");
    let unnamed = WriteImageRequest { image: Some(piece("no image", "/images", Vec::new())), ..first };
    let refused = world.tasks().write_image(futures::stream::iter([unnamed])).await.map_err(Error::from);
    assert_eq!(refused.unwrap_err().kind(), Kind::InvalidArgument, "the agent's own refusal");
}
