//! Sessions: restarts of the agent, silence, and what is told of machines.

use std::time::Duration;

use gyre_host::Config;
use gyre_model::parse_uuid;
use gyre_proto::agent::v1::agent_service_client::AgentServiceClient;
use gyre_proto::agent::v1::session_request::Message;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{ControllerHello, MachineSpec, MachineState, SessionRequest, StartMachine};
use gyre_proto::host::v1::{HostState, HostStatus, ReservePlacementRequest};

use crate::support::{GIB, World, agent_at, config, eventually, reason, so, uuid};

fn start(vm: &str) -> Work {
    let machine =
        MachineSpec { vm_uuid: vm.into(), name: "m".into(), cpu_count: 1, memory_bytes: GIB, ..MachineSpec::default() };
    Work::StartMachine(StartMachine { machine: Some(machine) })
}

/// A config in which silence is noticed soon.
fn impatient() -> Config {
    Config { missed: 5, ..config() }
}

#[tokio::test]
async fn an_agent_that_restarts_gets_a_new_session_with_a_higher_fence() {
    let world = World::new().await;
    let agent = world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    agent.shutdown().await;
    // it comes back with more memory
    let _agent = agent_at(&world.mesh, "a:1", 8, 64 * GIB).await;
    let after = eventually("the new agent's facts are there", || async {
        let host = world.get(&host.uuid).await.unwrap();
        so(host.memory_bytes == 64 * GIB && host.status() == HostStatus::Connected, &host).map(|()| host)
    })
    .await;
    assert!(world.fence(&host.uuid).await >= 2);
    assert_eq!((after.memory_capacity_bytes, after.state()), (64 * GIB, HostState::Enabled));
    world.run(&host.uuid, "op/start", start(&uuid())).await.unwrap();
}

#[tokio::test]
async fn a_host_that_falls_silent_is_disconnected_and_comes_back() {
    let world = World::with(impatient()).await;
    let agent = world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    let uuid = parse_uuid(&host.uuid).unwrap();
    agent.faults().unwrap().lose_heartbeat(uuid, true);
    world.mesh.forget_address("a:1");
    let lost = eventually("it is disconnected", || async {
        let host = world.get(&host.uuid).await.unwrap();
        so(host.status() == HostStatus::Disconnected, &host).map(|()| host)
    })
    .await;
    assert!(lost.status_reason.starts_with("no sign of life for"), "{}", lost.status_reason);
    assert_eq!(lost.state(), HostState::Enabled, "what operators want is not touched");
    eventually("machines are unknown", || async {
        let reports = world.reports.of(&host.uuid);
        so(reports.last().is_some_and(|report| !report.connected), &reports)
    })
    .await;
    let want = ReservePlacementRequest {
        claim_uuid: crate::support::uuid(),
        cpu_count: 1,
        memory_bytes: GIB,
        ..Default::default()
    };
    let refused = world.reserve(want).await.unwrap_err();
    let (name, why) = refused.metadata().iter().find(|(name, _)| name.starts_with("h ")).unwrap();
    assert!(name.ends_with(&host.uuid) && why.starts_with("not connected: no sign of life"), "{refused:?}");
    eventually("tasks are refused", || async {
        match world.run(&host.uuid, "op/start", start(&crate::support::uuid())).await {
            Err(error) if error.reason() == "HOST_NOT_CONNECTED" => {
                assert_eq!(error.metadata()["host_name"], "h");
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    agent.faults().unwrap().lose_heartbeat(uuid, false);
    crate::support::serve(&world.mesh, "a:1", &agent);
    let back = eventually("it is connected again", || async {
        let host = world.get(&host.uuid).await.unwrap();
        so(host.status() == HostStatus::Connected, &host).map(|()| host)
    })
    .await;
    assert_eq!(back.status_reason, "");
    assert_ne!(back.status_time, lost.status_time);
    eventually("machines are known again", || async {
        let reports = world.reports.of(&host.uuid);
        so(reports.last().is_some_and(|report| report.connected && report.complete), &reports)
    })
    .await;
    // the fences that no agent saw cost nothing
    assert!(world.fence(&host.uuid).await <= 3);
}

#[tokio::test]
async fn a_session_that_is_cut_soon_after_a_long_silence_comes_back_before_the_host_counts_as_lost() {
    // after the silence the wait between two tries is longer than the grace
    let patient = Config { missed: 10, reconnect_longest: Duration::from_secs(6), ..config() };
    let world = World::with(patient).await;
    let agent = world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    let uuid = parse_uuid(&host.uuid).unwrap();
    agent.faults().unwrap().lose_heartbeat(uuid, true);
    world.mesh.forget_address("a:1");
    let status = |wanted: HostStatus| {
        let (world, host) = (&world, &host);
        async move {
            let host = world.get(&host.uuid).await.unwrap();
            so(host.status() == wanted, &host)
        }
    };
    eventually("it is disconnected", || status(HostStatus::Disconnected)).await;
    // the waits have grown: no shorter way to see a try that failed late
    tokio::time::sleep(Duration::from_secs(5)).await;
    agent.faults().unwrap().lose_heartbeat(uuid, false);
    crate::support::serve(&world.mesh, "a:1", &agent);
    eventually("it is connected again", || status(HostStatus::Connected)).await;

    let fence = world.fence(&host.uuid).await + 1;
    let hello = ControllerHello { host_uuid: host.uuid.clone(), fence, ..ControllerHello::default() };
    let first = SessionRequest { message: Some(Message::Hello(hello)) };
    let mut other = AgentServiceClient::new(world.mesh.channel("agent").at("a:1"));
    let answers = other.session(futures::stream::iter([first])).await.unwrap().into_inner();
    drop(answers);

    let before = tokio::time::Instant::now();
    while before.elapsed() < Duration::from_secs(4) {
        let host = world.get(&host.uuid).await.unwrap();
        assert_eq!(host.status(), HostStatus::Connected, "{host:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.run(&host.uuid, "op/start", start(&crate::support::uuid())).await.unwrap();
}

#[tokio::test]
async fn nothing_is_written_while_nothing_changes() {
    let world = World::with(Config { heartbeat: Duration::from_millis(50), missed: 100, ..config() }).await;
    world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    let changes = "SELECT count(*) FROM change_log";
    let (before, fence) = (world.count(changes).await, world.fence(&host.uuid).await);
    for at in 0..20 {
        world.run(&host.uuid, &format!("op-{at}/start"), start(&uuid())).await.unwrap();
        // a heartbeat each
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((world.count(changes).await, world.fence(&host.uuid).await), (before, fence));
    assert_eq!(world.get(&host.uuid).await.unwrap(), host);
}

#[tokio::test]
async fn machines_are_told_of_when_they_change_and_after_each_connect() {
    let world = World::new().await;
    let agent = world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    let (kept, crashed) = (uuid(), uuid());
    for vm in [&kept, &crashed] {
        world.run(&host.uuid, &format!("{vm}/start"), start(vm)).await.unwrap();
    }
    assert!(agent.crash_machine(parse_uuid(&host.uuid).unwrap(), parse_uuid(&crashed).unwrap()).await);
    eventually("the crash is told", || async {
        let reports = world.reports.of(&host.uuid);
        let told = reports.iter().filter(|report| !report.complete).flat_map(|report| &report.machines);
        so(told.clone().any(|m| m.vm_uuid == crashed && m.state() == MachineState::Stopped), &reports)
    })
    .await;
    let request = gyre_proto::host::v1::ReconnectHostRequest { uuid: host.uuid.clone(), ..Default::default() };
    let operation = world.hosts().reconnect_host(request).await.unwrap().into_inner();
    world.end(operation).await;
    eventually("all machines are told", || async {
        let reports = world.reports.of(&host.uuid);
        let Some(last) = reports.last().filter(|report| report.complete) else { return Err(format!("{reports:?}")) };
        let state = |vm: &str| last.machines.iter().find(|m| m.vm_uuid == vm).map(|m| m.state());
        so((state(&kept), state(&crashed)) == (Some(MachineState::Running), Some(MachineState::Stopped)), &reports)
    })
    .await;
}

#[tokio::test]
async fn reports_wait_for_a_machines_service_that_is_away() {
    let world = World::new().await;
    let agent = world.agent("a:1").await;
    // the service answers nothing that it knows
    world.mesh.serve_local("vm", gyre_mesh::serve::layered(tonic::service::Routes::default(), &world.mesh, "vm"));
    let host = world.host("h", "a:1").await;
    assert!(world.reports.of(&host.uuid).is_empty());
    let routes = tonic::service::Routes::new(
        gyre_proto::vm::v1::machine_report_service_server::MachineReportServiceServer::new(world.reports.clone()),
    );
    world.mesh.serve_local("vm", gyre_mesh::serve::layered(routes, &world.mesh, "vm"));
    eventually("the report arrives", || async {
        let reports = world.reports.of(&host.uuid);
        so(reports.iter().any(|report| report.complete), &reports)
    })
    .await;
    drop(agent);
}

#[tokio::test]
async fn after_shutdown_no_session_is_left() {
    let world = World::new().await;
    world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    world.service.shutdown(Duration::from_secs(10)).await;
    let refused = world.run(&host.uuid, "op/start", start(&uuid())).await;
    assert_eq!(reason(refused), "HOST_MOVED");
    let request = gyre_proto::host::v1::ReconnectHostRequest { uuid: host.uuid, ..Default::default() };
    let refused = world.hosts().reconnect_host(request).await.map_err(gyre_model::Error::from);
    assert_eq!(reason(refused), "SHUTTING_DOWN");
}

#[tokio::test]
async fn agents_are_asked_about_machines_that_rows_disagree_about_and_what_agrees_is_brought_no_more() {
    let world = World::with(Config { report_period: Duration::from_millis(100), ..config() }).await;
    let _agent = world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    let (vm, other) = (uuid(), uuid());
    world.run(&host.uuid, "start", start(&vm)).await.unwrap();
    world.reports.disagree(&vm, 7);
    world.reports.disagree(&other, 0);
    world.reports.knows_not(std::slice::from_ref(&vm));
    let asked = |from: usize| {
        let answers = world.reports.of(&host.uuid).into_iter().skip(from).filter(|report| !report.seen.is_empty());
        answers.map(|report| (report.seen.len(), report.machines.len(), report.seen[0].generation)).collect::<Vec<_>>()
    };
    // the machine is there, the other is not known to the host; found again each period, although nothing changes
    eventually("the agent was asked three times", || async {
        let asked = asked(0);
        so(asked.len() >= 3 && asked.iter().all(|one| *one == (2, 1, 7)), &asked)
    })
    .await;
    eventually("the unknown machine is listed", || async {
        let host = world.get(&host.uuid).await.unwrap();
        so(host.unknown_vm_uuids == [vm.clone()] && host.unknown_vm_count == 1, &host)
    })
    .await;
    let count = || world.reports.of(&host.uuid).len();
    let unchanged = || {
        let text = gyre_mesh::telemetry::metrics::encode();
        let line = text.lines().find(|line| line.starts_with("gyre_host_reports_total{result=\"unchanged\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let before = unchanged();
    world.reports.agree();
    world.reports.knows_not(&[]);
    eventually("the disagreement is over", || async { so(unchanged() >= before + 2, count()) }).await;
    let (told, before) = (count(), unchanged());
    eventually("some more periods have gone by", || async { so(unchanged() >= before + 5, unchanged()) }).await;
    assert_eq!(count(), told, "nothing was brought meanwhile");
    // which is noticed with the next whole report: a task makes one
    world.run(&host.uuid, "again", start(&vm)).await.unwrap();
    eventually("no machine is unknown", || async {
        let host = world.get(&host.uuid).await.unwrap();
        so(host.unknown_vm_count == 0, &host)
    })
    .await;
}
