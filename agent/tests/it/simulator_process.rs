//! A simulator with a state folder as a process, killed at any moment: it behaves like a real agent.

use std::path::Path;

use gyre_model::Uuid;
use gyre_proto::agent::v1::agent_service_client::AgentServiceClient;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{
    AskMachines, CreateVolume, DeleteVolume, MachineSpec, MachineState, StartMachine, StopMachine, Task,
};
use tokio::process::Child;
use tonic::transport::Endpoint;

use crate::common::{Session, hello, open_with, process, until};

struct Simulator {
    child: Child,
    client: AgentServiceClient<tonic::transport::Channel>,
}

async fn spawn(state: &Path, further: &[&str]) -> Simulator {
    let state = state.to_str().expect("a path");
    let args = [&["--insecure", "--simulate", "--state-dir", state], further].concat();
    let (child, address) = process(&args).await;
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    Simulator { child, client: AgentServiceClient::new(endpoint.connect_lazy()) }
}

impl Simulator {
    async fn open(&self, host: Uuid, fence: i64) -> Session {
        open_with(self.client.clone(), hello(host, fence)).await.expect("admitted")
    }
}

fn start(vm: Uuid) -> Work {
    let machine = MachineSpec {
        vm_uuid: vm.to_string(),
        name: "m".into(),
        cpu_count: 1,
        memory_bytes: 32 << 20,
        ..MachineSpec::default()
    };
    Work::StartMachine(StartMachine { machine: Some(machine) })
}

fn stop(vm: Uuid) -> Work {
    Work::StopMachine(StopMachine { vm_uuid: vm.to_string(), force: true, grace_seconds: 0 })
}

fn volume(uuid: &str, size_bytes: i64) -> Work {
    Work::CreateVolume(CreateVolume { volume_uuid: uuid.into(), folder: "/s".into(), size_bytes, image: None })
}

fn states(session: &Session) -> Vec<(String, MachineState)> {
    let mut all: Vec<_> =
        session.hello.machines.iter().map(|machine| (machine.vm_uuid.clone(), machine.state())).collect();
    all.sort();
    all
}

#[tokio::test]
async fn machines_volumes_tasks_and_fences_outlive_a_kill_and_a_reboot_turns_machines_off() {
    let folder = tempfile::tempdir().expect("folder");
    let (host, other, running, off) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let disk = Uuid::new_v4().to_string();
    let mut first = spawn(folder.path(), &[]).await;
    let mut session = first.open(host, 7).await;
    session.run(start(running)).await.expect("starts");
    session.run(start(off)).await.expect("starts");
    session.run(stop(off)).await.expect("stops");
    session.run(volume(&disk, 1 << 30)).await.expect("made");
    let stamp = session.hello.stamp.clone().expect("a stamp");
    let kept = session.task("kept", volume(&Uuid::new_v4().to_string(), 1 << 30));
    session.submit(vec![kept]).await;
    assert_eq!(session.outcome().await.task_id, "kept");
    drop(first.open(other, 1).await);
    first.child.kill().await.expect("killed");

    let mut second = spawn(folder.path(), &[]).await;
    let refused = open_with(second.client.clone(), hello(host, 6)).await.err().expect("a lower fence");
    assert_eq!(refused.reason(), "FENCED");
    let mut session = second.open(host, 7).await;
    let mut expected = [(running.to_string(), MachineState::Running), (off.to_string(), MachineState::Stopped)];
    expected.sort();
    assert_eq!(states(&session), expected);
    assert_eq!(session.outcome().await.task_id, "kept", "an outcome is told until it is acknowledged");
    session.acknowledge(&["kept"]).await;
    let again = session.hello.stamp.clone().expect("a stamp");
    assert_eq!(again.boot_id, stamp.boot_id);
    assert_ne!(again.run_id, stamp.run_id);
    assert_eq!(session.reason(volume(&disk, 2 << 30)).await, "VOLUME_DIFFERS", "the volume is there");
    let gone = Work::DeleteVolume(DeleteVolume { volume_uuid: disk.clone(), folder: "/s".into() });
    session.run(gone).await.expect("deleted");
    session.run(volume(&disk, 2 << 30)).await.expect("made anew");
    second.child.kill().await.expect("killed");

    let mut third = spawn(folder.path(), &["--reboot"]).await;
    let mut session = third.open(host, 8).await;
    assert_eq!(states(&session).into_iter().map(|(_, state)| state).collect::<Vec<_>>(), [MachineState::Stopped; 2]);
    assert_ne!(session.hello.stamp.clone().expect("a stamp").boot_id, stamp.boot_id);
    session.run(start(running)).await.expect("starts again");
    third.child.kill().await.expect("killed");
    // the flag speaks of one start
    let mut fourth = spawn(folder.path(), &[]).await;
    let session = fourth.open(host, 9).await;
    assert_eq!(states(&session), {
        expected.sort();
        expected
    });
    fourth.child.kill().await.expect("killed");
}

#[tokio::test]
async fn a_task_that_was_under_way_when_the_simulator_was_killed_runs_again() {
    let folder = tempfile::tempdir().expect("folder");
    let (host, vm) = (Uuid::new_v4(), Uuid::new_v4());
    let mut first = spawn(folder.path(), &["--sim-delay-ms", "600000"]).await;
    let session = first.open(host, 1).await;
    let task = session.task("slow", start(vm));
    session.submit(vec![task]).await;
    let journal = folder.path().join("simulator.journal");
    until("the journal has the task", async || std::fs::read_to_string(&journal).unwrap_or_default().contains("slow"))
        .await;
    first.child.kill().await.expect("killed");
    let second = spawn(folder.path(), &[]).await;
    let mut session = second.open(host, 2).await;
    let outcome = session.outcome().await;
    assert_eq!((outcome.task_id.as_str(), outcome.error), ("slow", None));
    let answer = session.ask(AskMachines { serial: 3, ..AskMachines::default() }).await;
    assert_eq!((answer.len(), answer[0].serial, answer[0].machines.len()), (1, 3, 1));
}

#[tokio::test]
async fn an_operation_that_was_taken_over_or_turned_back_commands_nothing_any_more() {
    let folder = tempfile::tempdir().expect("folder");
    let (host, operation) = (Uuid::new_v4(), Uuid::new_v4());
    let task = |session: &Session, id: &str, operation_fence, undo| Task {
        operation_uuid: operation.to_string(),
        operation_fence,
        undo,
        ..session.task(id, volume(&Uuid::new_v4().to_string(), 1 << 30))
    };
    let mut first = spawn(folder.path(), &[]).await;
    let mut session = first.open(host, 1).await;
    let reason = async |session: &mut Session, task: Task| {
        session.submit(vec![task.clone()]).await;
        loop {
            // an outcome whose acknowledgement the kill was faster than is told again
            let outcome = session.outcome().await;
            session.acknowledge(&[&outcome.task_id]).await;
            if outcome.task_id == task.id {
                return outcome.error.map(|error| error.reason).unwrap_or_default();
            }
        }
    };
    let tasks = [
        ("a", 1, false, ""),
        ("b", 2, false, ""),
        ("a", 1, false, "FENCED"),
        ("b/undo", 2, true, ""),
        ("c", 2, false, "FENCED"),
    ];
    for (id, fence, undo, expected) in tasks {
        let task = task(&session, id, fence, undo);
        assert_eq!(reason(&mut session, task).await, expected, "{id} {fence} {undo}");
    }
    first.child.kill().await.expect("killed");
    let second = spawn(folder.path(), &[]).await;
    let mut session = second.open(host, 2).await;
    for (id, fence, undo, expected) in [("d", 2, false, "FENCED"), ("e", 1, true, "FENCED"), ("f", 3, false, "")] {
        let task = task(&session, id, fence, undo);
        assert_eq!(reason(&mut session, task).await, expected, "{id} {fence} {undo}, after a kill");
    }
}

#[tokio::test]
async fn thousands_of_tasks_share_their_flushes() {
    let folder = tempfile::tempdir().expect("folder");
    let simulator = spawn(folder.path(), &[]).await;
    let (hosts, each) = (50, 80);
    let began = std::time::Instant::now();
    let mut all = Vec::new();
    for _ in 0..hosts {
        let mut session = simulator.open(Uuid::new_v4(), 1).await;
        all.push(async move {
            let tasks = (0..each).map(|at| session.task(&format!("{at}"), start(Uuid::new_v4()))).collect();
            session.submit(tasks).await;
            for _ in 0..each {
                let outcome = session.outcome().await;
                assert!(outcome.error.is_none(), "{outcome:?}");
                session.acknowledge(&[&outcome.task_id]).await;
            }
            session
        });
    }
    let sessions = futures::future::join_all(all).await;
    eprintln!("{} machines of {hosts} hosts in {:?}", hosts * each, began.elapsed());
    let mut simulator = simulator;
    let host = sessions[0].host;
    drop(sessions);
    simulator.child.kill().await.expect("killed");
    let began = std::time::Instant::now();
    let simulator = spawn(folder.path(), &[]).await;
    let session = simulator.open(host, 1).await;
    assert_eq!(session.hello.machines.len(), each);
    eprintln!("found again in {:?}", began.elapsed());
}
