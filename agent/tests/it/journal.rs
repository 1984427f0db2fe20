//! The agent as a process, killed in the middle of its work.

use std::path::Path;
use std::time::Duration;

use gyre_model::Uuid;
use gyre_proto::agent::v1::agent_service_client::AgentServiceClient;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{
    AskMachines, MachineSpec, MachineState, PrepareStorage, StartMachine, StopMachine, task_outcome,
};
use tokio::process::Child;
use tonic::transport::{Channel, Endpoint};

use crate::common::{Session, has, hello, open_with, process, until};
use crate::machines::Place;

async fn spawn(state: &Path) -> (Child, AgentServiceClient<Channel>) {
    let state = state.to_str().expect("a path");
    let (child, address) = process(&["--insecure", "--network", "user", "--accel", "tcg", "--state-dir", state]).await;
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    (child, AgentServiceClient::new(endpoint.connect_lazy()))
}

fn start(vm: Uuid) -> Work {
    let machine = MachineSpec {
        vm_uuid: vm.to_string(),
        name: "diskless".into(),
        cpu_count: 1,
        memory_bytes: 32 << 20,
        ..MachineSpec::default()
    };
    Work::StartMachine(StartMachine { machine: Some(machine) })
}

fn stop(vm: Uuid, force: bool) -> Work {
    Work::StopMachine(StopMachine { vm_uuid: vm.to_string(), force, grace_seconds: 3600 })
}

#[tokio::test]
async fn a_killed_agent_goes_on_where_it_was() {
    if !has("qemu-system-x86_64", "qemu-system-x86") {
        return;
    }
    let place = Place::new();
    let state = place.path("state");
    let (host, vm) = (Uuid::new_v4(), Uuid::new_v4());
    let (mut child, client) = spawn(&state).await;
    let mut session: Session = open_with(client, hello(host, 1)).await.expect("admitted");
    session.run(start(vm)).await.expect("started");
    let path = place.path("storage").display().to_string();
    let tasks = vec![
        session.task("kept", Work::PrepareStorage(PrepareStorage { path })),
        // a guest without a system hears no button: this waits for an hour
        session.task("unfinished", stop(vm, false)),
    ];
    session.submit(tasks).await;
    assert_eq!(session.outcome().await.task_id, "kept");
    until("the journal has the tasks", async || {
        let journal = std::fs::read_to_string(state.join("tasks.journal")).unwrap_or_default();
        journal.contains("unfinished") && session_has_progress(&mut session).await
    })
    .await;
    child.kill().await.expect("killed");
    drop(session);

    let (mut child, client) = spawn(&state).await;
    let mut session = open_with(client, hello(host, 2)).await.expect("admitted");
    let mut known = session.hello.task_ids.clone();
    known.sort();
    assert_eq!(known, ["kept", "unfinished"]);
    assert_eq!(session.hello.machines[0].state(), MachineState::Running, "machines outlive the agent");
    assert_eq!(session.outcome().await.task_id, "kept", "an outcome is told until it is acknowledged");
    session.acknowledge(&["kept"]).await;
    // the unfinished one runs again: it is joined, and can be cancelled
    let cancel = gyre_proto::agent::v1::CancelTask { task_id: "unfinished".into() };
    session.send(gyre_proto::agent::v1::session_request::Message::Cancel(cancel)).await;
    let outcome = session.outcome().await;
    assert_eq!(outcome.task_id, "unfinished");
    assert_eq!(outcome.error.expect("cancelled").reason, "TASK_CANCELLED");
    let asked = session.ask(AskMachines::default()).await;
    assert_eq!(asked[0].machines[0].state(), MachineState::Running, "it was only asked to shut down");
    let Some(task_outcome::Result::Machine(facts)) = session.run(stop(vm, true)).await.expect("stopped") else {
        panic!("facts of the machine")
    };
    assert_eq!(facts.state(), MachineState::Stopped);

    let pid = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid as i32)).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("told to end");
    let status = tokio::time::timeout(Duration::from_secs(30), child.wait()).await.expect("ends").expect("ends");
    assert!(status.success(), "{status}");
}

async fn session_has_progress(session: &mut Session) -> bool {
    loop {
        match session.next().await.expect("goes on").expect("goes on") {
            gyre_proto::agent::v1::session_response::Message::Progress(progress) => {
                return progress.task_id == "unfinished";
            }
            _ => continue,
        }
    }
}
