//! A host that is removed from the control plane: its agent forgets whose it is, unless a machine is there.

use futures::future::try_join_all;
use gyre_agent::{Agent, AgentConfig, Simulation, WorkKind};
use gyre_model::{Error, Uuid};
use gyre_proto::agent::v1::agent_service_client::AgentServiceClient;
use gyre_proto::agent::v1::session_request::Message as Down;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{MachineSpec, PrepareStorage, ReleaseHost, RemoveMachine, StartMachine};
use tonic::transport::Endpoint;

use crate::common::{Session, has, hello, open, open_with, process, until};
use crate::machines::Place;

async fn simulator() -> Agent {
    Agent::start(AgentConfig::simulated(Simulation::default())).await.expect("starts")
}

fn prepare(path: &str) -> Work {
    Work::PrepareStorage(PrepareStorage { path: path.into() })
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

fn remove(vm: Uuid) -> Work {
    Work::RemoveMachine(RemoveMachine { vm_uuid: vm.to_string() })
}

/// Releases the host of a session, and says with what the session ended.
async fn release(session: &mut Session) -> Error {
    session.send(Down::Release(ReleaseHost {})).await;
    loop {
        match session.next().await.expect("an end with a reason") {
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

#[tokio::test]
async fn a_released_agent_becomes_another_host() {
    if !has("qemu-system-x86_64", "qemu-system-x86") {
        return;
    }
    let place = Place::new();
    let agent = place.agent().await;
    let (host, other) = (Uuid::new_v4(), Uuid::new_v4());
    let mut session = open(&agent, host, 7).await.expect("bound");
    let path = place.path("storage").display().to_string();
    let task = session.task("told to nobody", prepare(&path));
    session.submit(vec![task]).await;
    session.outcome().await;
    let error = release(&mut session).await;
    assert_eq!((error.kind().name(), error.reason()), ("ABORTED", "RELEASED"));
    assert_eq!(error.metadata()["host_uuid"], host.to_string());
    assert!(session.next().await.is_none());

    // it is so on the disk too
    agent.shutdown().await;
    drop((session, agent));
    let agent = place.agent().await;
    let session = open(&agent, other, 1).await.expect("another host, from its first fence on");
    assert!(session.hello.task_ids.is_empty(), "nothing of the other host is told: {:?}", session.hello.task_ids);
    agent.shutdown().await;
    drop((session, agent));
    let agent = place.agent().await;
    assert_eq!(open(&agent, host, 9).await.err().expect("refused").reason(), "AGENT_BELONGS_TO_ANOTHER_HOST");
    // and again, and back, in one life
    let mut session = open(&agent, other, 1).await.expect("admitted");
    assert_eq!(release(&mut session).await.reason(), "RELEASED");
    let mut session = open(&agent, host, 8).await.expect("admitted");
    assert_eq!(release(&mut session).await.reason(), "RELEASED");
    open(&agent, host, 1).await.expect("the same host, as if never seen");
    agent.shutdown().await;
}

#[tokio::test]
async fn an_agent_with_a_machine_keeps_its_host() {
    if !has("qemu-system-x86_64", "qemu-system-x86") {
        return;
    }
    let place = Place::new();
    let agent = place.agent().await;
    let (host, vm) = (Uuid::new_v4(), Uuid::new_v4());
    let mut session = open(&agent, host, 3).await.expect("bound");
    session.run(start(vm)).await.expect("starts");
    let error = release(&mut session).await;
    assert_eq!((error.kind().name(), error.reason()), ("FAILED_PRECONDITION", "MACHINES_REMAIN"));
    assert_eq!(error.metadata()["machines"], "1");
    let refused = open(&agent, Uuid::new_v4(), 9).await.err().expect("refused");
    assert_eq!(refused.reason(), "AGENT_BELONGS_TO_ANOTHER_HOST");
    assert_eq!(open(&agent, host, 2).await.err().expect("refused").reason(), "FENCED");
    let mut session = open(&agent, host, 3).await.expect("still its host");
    session.run(remove(vm)).await.expect("removed");
    assert_eq!(release(&mut session).await.reason(), "RELEASED");
    agent.shutdown().await;
}

#[tokio::test]
async fn tasks_that_are_left_end_with_the_release() {
    let (agent, host) = (simulator().await, Uuid::new_v4());
    let faults = agent.faults().expect("a simulator");
    faults.hang_next(WorkKind::PrepareStorage, 1);
    let mut session = open(&agent, host, 5).await.expect("bound");
    let tasks = vec![session.task("hangs", prepare("/a")), session.task("waits", prepare("/a"))];
    session.submit(tasks).await;
    until("it began", async || faults.seen(WorkKind::PrepareStorage) == 1).await;
    assert_eq!(release(&mut session).await.reason(), "RELEASED");
    assert_eq!(agent.counts(), (0, 0, 0), "a simulated host is gone when it is released");
    assert_eq!(faults.seen(WorkKind::PrepareStorage), 1, "what waited never began");
    let session = open(&agent, host, 1).await.expect("a new host");
    assert!(session.hello.task_ids.is_empty());
}

#[tokio::test]
async fn an_older_session_cannot_release_the_host_of_a_newer() {
    let (agent, host, vm) = (simulator().await, Uuid::new_v4(), Uuid::new_v4());
    let mut first = open(&agent, host, 1).await.expect("bound");
    let mut second = open(&agent, host, 2).await.expect("admitted");
    // it is cut already; whether the word still arrives or not, nothing comes of it
    assert_eq!(release(&mut first).await.reason(), "FENCED");
    second.run(start(vm)).await.expect("its host is still there");
    assert_eq!(open(&agent, host, 1).await.err().expect("refused").reason(), "FENCED");
    assert_eq!(release(&mut second).await.reason(), "MACHINES_REMAIN");
    let mut third = open(&agent, host, 2).await.expect("admitted");
    assert_eq!(third.hello.machines.len(), 1);
    third.run(remove(vm)).await.expect("removed");
    assert_eq!(release(&mut third).await.reason(), "RELEASED");
    assert_eq!(agent.counts().0, 0);
}

#[tokio::test]
async fn one_connection_carries_the_sessions_of_thousands_of_hosts() {
    let (_agent, address) = process(&["--insecure", "--simulate", "--log", "warn"]).await;
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let client = AgentServiceClient::new(endpoint.connect_lazy());
    let sessions = (0..2500).map(|_| {
        let mut hello = hello(Uuid::new_v4(), 1);
        hello.heartbeat_ms = 60_000;
        open_with(client.clone(), hello)
    });
    let sessions = try_join_all(sessions).await.expect("a session for each");
    assert_eq!(sessions.len(), 2500);
}
