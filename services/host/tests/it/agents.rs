//! Whose an agent is: a real one belongs to one host until that is removed, a simulator stands for many.

use std::collections::BTreeSet;

use futures::future::join_all;
use gyre_agent::{AcceleratorChoice, Agent, AgentConfig, Mode, NetworkMode, hypervisor_available};
use gyre_model::{Error, Kind, parse_uuid};
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{MachineSpec, StartMachine};
use gyre_proto::common::v1::{Operation, OperationState};
use gyre_proto::host::v1::{DeleteHostRequest, Host, HostStatus, ListHostsRequest, UpdateHostRequest};
use gyre_store::{Dialect, Sql};

use crate::support::{GIB, World, eventually, failure, reason, serve, so, uuid};

/// An agent of a real host at an address, where QEMU is there to start one.
async fn real(world: &World, address: &str, folder: &tempfile::TempDir) -> Option<Agent> {
    if let Err(missing) = hypervisor_available() {
        assert!(std::env::var_os("GYRE_TEST_REQUIRE").is_none_or(|value| value != "1"), "{missing:?}");
        eprintln!("skipped: {missing:?}");
        return None;
    }
    let mut config = AgentConfig::real(folder.path().join("state"));
    if let Mode::Real(real) = &mut config.mode {
        real.network = NetworkMode::User;
        real.accelerator = AcceleratorChoice::Tcg;
    }
    let agent = Agent::start(config).await.unwrap();
    serve(&world.mesh, address, &agent);
    Some(agent)
}

fn named(name: &str, address: &str) -> Host {
    Host { name: name.into(), address: address.into(), ..Host::default() }
}

async fn delete(world: &World, uuid: &str) -> Operation {
    let request = DeleteHostRequest { uuid: uuid.into(), ..Default::default() };
    let operation = world.hosts().delete_host(request).await.unwrap().into_inner();
    let ended = world.end(operation).await;
    assert_eq!(ended.state(), OperationState::Succeeded, "{:?}", ended.error);
    ended
}

#[tokio::test]
async fn a_real_agent_is_of_one_host_until_that_is_removed() {
    let (world, folder) = (World::new().await, tempfile::tempdir().unwrap());
    let Some(agent) = real(&world, "a:1", &folder).await else { return };
    let first = world.host("first", "a:1").await;

    // it refuses a second host by itself; that is what the operation says, and nothing is left of it
    let operation = world.submit_host(named("second", "a:1")).await.unwrap();
    let refused = operation.resource_uuid.clone();
    let error = failure(&world.end(operation).await);
    assert_eq!((error.kind(), error.reason()), (Kind::FailedPrecondition, "AGENT_BELONGS_TO_ANOTHER_HOST"));
    assert_eq!((&error.metadata()["bound_host_uuid"], &error.metadata()["host_uuid"]), (&first.uuid, &refused));
    assert_eq!(reason(world.get(&refused).await), "NOT_FOUND");
    assert_eq!(world.count("SELECT count(*) FROM host").await, 1);
    assert_eq!(world.get(&first.uuid).await.unwrap().status(), HostStatus::Connected);

    delete(&world, &first.uuid).await;
    let second = world.host("second", "a:1").await;
    assert_ne!(second.uuid, first.uuid);
    delete(&world, &second.uuid).await;
    // it has forgotten it on its disk too
    agent.shutdown().await;
    world.mesh.forget_address("a:1");
    drop(agent);
    let agent = real(&world, "a:1", &folder).await.unwrap();
    let again = world.host_like(Host { uuid: first.uuid.clone(), ..named("first", "a:1") }).await;
    assert_eq!((again.status(), again.uuid), (HostStatus::Connected, first.uuid));
    agent.shutdown().await;
}

#[tokio::test]
async fn a_host_that_could_not_be_added_leaves_its_agent_free() {
    let (world, folder) = (World::new().await, tempfile::tempdir().unwrap());
    let Some(agent) = real(&world, "a:1", &folder).await else { return };
    // the agent has said hello, and is bound; what it says cannot be written
    let (make, drop): (&[_], _) = match world.store.dialect() {
        Dialect::Sqlite => (
            &[
                "CREATE TRIGGER refuse BEFORE UPDATE ON host WHEN NEW.cpu_count > 0 BEGIN SELECT RAISE(ABORT, 'full'); END",
            ],
            "DROP TRIGGER refuse",
        ),
        Dialect::Postgres => (
            &[
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''full''; END'",
                "CREATE TRIGGER refuse BEFORE UPDATE ON host FOR EACH ROW WHEN (NEW.cpu_count > 0) EXECUTE FUNCTION refuse()",
            ],
            "DROP TRIGGER refuse ON host",
        ),
    };
    for text in make {
        world.execute(Sql::new(*text)).await;
    }
    let operation = world.submit_host(named("first", "a:1")).await.unwrap();
    let uuid = operation.resource_uuid.clone();
    failure(&world.end(operation).await);
    assert!(world.fence(&uuid).await >= 1, "a session was opened");
    assert_eq!(world.count("SELECT count(*) FROM host").await, 0);
    world.execute(Sql::new(drop)).await;
    assert_eq!(world.host("second", "a:1").await.status(), HostStatus::Connected);
    agent.shutdown().await;
}

#[tokio::test]
async fn a_dead_agent_does_not_hold_up_the_removal_of_its_host() {
    let world = World::new().await;
    let agent = world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    agent.shutdown().await;
    world.mesh.forget_address("a:1");
    delete(&world, &host.uuid).await;
    assert_eq!(reason(world.get(&host.uuid).await), "NOT_FOUND");
}

#[tokio::test]
async fn an_agent_that_has_a_machine_after_all_stays_with_its_host() {
    let world = World::new().await;
    let agent = world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    let machine =
        MachineSpec { vm_uuid: uuid(), name: "m".into(), cpu_count: 1, memory_bytes: GIB, ..MachineSpec::default() };
    world.run(&host.uuid, "op/start", Work::StartMachine(StartMachine { machine: Some(machine) })).await.unwrap();
    delete(&world, &host.uuid).await;
    assert_eq!(agent.counts().0, 1, "somebody must answer for the machine");
    let other = world.host("empty", "a:1").await;
    assert_eq!(agent.counts().0, 2);
    delete(&world, &other.uuid).await;
    assert_eq!(agent.counts().0, 1);
}

#[tokio::test]
async fn a_row_that_is_gone_lets_its_agent_go() {
    let world = World::new().await;
    let agent = world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    assert_eq!(agent.counts().0, 1);
    // as where another instance removed it while this one held a session
    let uuid = parse_uuid(&host.uuid).unwrap();
    world.execute(Sql::new("DELETE FROM host WHERE uuid = ").bind(uuid)).await;
    eventually("the agent is let go", || async { so(agent.counts().0 == 0, agent.counts()) }).await;
}

#[tokio::test]
async fn one_simulator_stands_for_many_hosts_at_one_address() {
    let world = World::new().await;
    let agent = world.agent("sim:1").await;
    let hosts = join_all((0..50).map(|at| {
        let name = format!("h-{at}");
        let world = &world;
        async move { world.host(&name, "sim:1").await }
    }))
    .await;
    let uuids: BTreeSet<_> = hosts.iter().map(|host| host.uuid.clone()).collect();
    assert_eq!((uuids.len(), agent.counts().0), (50, 50));
    let list = world.hosts().list_hosts(ListHostsRequest::default()).await.unwrap().into_inner().hosts;
    assert_eq!(list.len(), 50);
    for host in &list {
        assert_eq!((host.status(), host.address.as_str()), (HostStatus::Connected, "sim:1"), "{host:?}");
    }
    delete(&world, &hosts[0].uuid).await;
    assert_eq!(agent.counts().0, 49, "one of them was let go");
    // a host may move to where others are; "SIM:1" is the same address
    world.agent("b:1").await;
    let host = world.host("moves", "b:1").await;
    let patch = Host { uuid: host.uuid.clone(), address: "SIM:1".into(), ..Host::default() };
    let request = UpdateHostRequest { host: Some(patch), ..Default::default() };
    let moved = world.hosts().update_host(request).await.map_err(Error::from).unwrap().into_inner();
    assert_eq!(moved.address, "sim:1");
    eventually("its session is there", || async { so(agent.counts().0 == 50, agent.counts()) }).await;
}
