//! Hosts: adding, changing, removing.

use gyre_mesh::serve::layered;
use gyre_model::{Error, Kind, parse_uuid};
use gyre_proto::FieldMask;
use gyre_proto::common::v1::{Operation, OperationState};
use gyre_proto::host::v1::{
    CreateHostRequest, DeleteHostRequest, DisableHostRequest, EnableHostRequest, Host, HostState, HostStatus,
    ListHostsRequest, ReconnectHostRequest, ReservePlacementRequest, UpdateHostRequest,
};
use gyre_proto::storage::v1::{ImageServer, PrimaryStorage, Volume};
use gyre_proto::vm::v1::Vm;
use gyre_proto::vm::v1::machine_report_service_server::MachineReportServiceServer;
use gyre_store::Sql;
use tonic::service::Routes;

use crate::support::{GIB, World, eventually, failure, reason, so, uuid};

fn named(name: &str, address: &str) -> Host {
    Host { name: name.into(), address: address.into(), ..Host::default() }
}

async fn delete(world: &World, uuid: &str) -> Result<Operation, Error> {
    let request = DeleteHostRequest { uuid: uuid.into(), ..Default::default() };
    Ok(world.hosts().delete_host(request).await?.into_inner())
}

#[tokio::test]
async fn a_host_is_added_with_what_its_agent_says() {
    let world = World::new().await;
    world.agent("a:1").await;
    let wanted = Host {
        reserved_memory_bytes: 2 * GIB,
        description: "rack 4".into(),
        // none of these is the caller's to say
        cpu_count: 512,
        cpu_used: -100,
        memory_used_bytes: -GIB,
        state: HostState::Enabled.into(),
        status: HostStatus::Connected.into(),
        zone_uuid: uuid(),
        ..named("h", "A:1")
    };
    let host = world.host_like(wanted).await;
    assert_eq!((host.state(), host.status()), (HostState::Enabled, HostStatus::Connected));
    assert_eq!((host.cpu_count, host.cpu_capacity, host.cpu_used), (8, 32, 0));
    assert_eq!((host.memory_bytes, host.memory_capacity_bytes, host.memory_used_bytes), (32 * GIB, 30 * GIB, 0));
    assert_eq!((host.hypervisor.as_str(), host.accelerator.as_str()), ("simulator", "simulated"));
    assert_eq!((host.zone_uuid.as_str(), host.address.as_str()), (world.zone.as_str(), "a:1"));
    assert!(host.status_time.is_some() && host.status_reason.is_empty());
    eventually("a complete report", || async {
        let reports = world.reports.of(&host.uuid);
        so(reports.iter().any(|report| report.complete && report.connected), &reports)
    })
    .await;
}

#[tokio::test]
async fn the_same_wish_adds_one_host() {
    let world = World::new().await;
    world.agent("a:1").await;
    let host = Host { cluster_uuid: world.cluster.clone(), ..named("h", "a:1") };
    let request = CreateHostRequest { host: Some(host), request_id: "mine".into() };
    let first = world.hosts().create_host(request.clone()).await.unwrap().into_inner();
    let second = world.hosts().create_host(request).await.unwrap().into_inner();
    assert_eq!((&first.uuid, &first.resource_uuid), (&second.uuid, &second.resource_uuid));
    assert_eq!(world.end(first).await.state(), OperationState::Succeeded);
}

#[tokio::test]
async fn an_address_is_host_and_port_or_local() {
    let world = World::new().await;
    world.agent("local").await;
    let host = world.host("h", "local").await;
    let patch = Host { uuid: host.uuid, address: "LOCAL".into(), ..Host::default() };
    let request = UpdateHostRequest { host: Some(patch), ..Default::default() };
    assert_eq!(reason(world.hosts().update_host(request).await.map_err(Error::from)), "INVALID_FIELD");
}

#[tokio::test]
async fn wrong_fields_are_refused_and_leave_nothing() {
    let world = World::new().await;
    let elsewhere = Host { cluster_uuid: uuid(), ..named("h", "a:1") };
    assert_eq!(reason(world.submit_host(elsewhere).await), "NOT_FOUND");
    let absurd = Host { reserved_memory_bytes: -1, uuid: "x".into(), ..named(&"n".repeat(65), "no address") };
    let error = world.submit_host(absurd).await.unwrap_err();
    let mut fields: Vec<_> = error.violations().iter().map(|violation| violation.field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["host.address", "host.name", "host.reserved_memory_bytes", "host.uuid"]);
    assert_eq!(world.count("SELECT count(*) FROM host").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM operation").await, 0);
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_not_added() {
    let world = World::new().await;
    let operation = world.submit_host(named("h", "127.0.0.1:1")).await.unwrap();
    let uuid = operation.resource_uuid.clone();
    let waiting = world.get(&uuid).await.unwrap();
    assert_eq!(waiting.state(), HostState::Disabled);
    let error = failure(&world.end(operation).await);
    assert_eq!((error.kind(), error.reason()), (Kind::Unavailable, "AGENT_UNREACHABLE"));
    assert_eq!(error.metadata()["address"], "127.0.0.1:1");
    assert!(error.message().contains("127.0.0.1:1 did not answer"), "{error}");
    assert_eq!(reason(world.get(&uuid).await), "NOT_FOUND");
    // the same address is free again
    world.agent("127.0.0.1:1").await;
    world.host("h", "127.0.0.1:1").await;
}

#[tokio::test]
async fn what_is_no_agent_is_refused_at_once() {
    let world = World::new().await;
    let other = Routes::new(MachineReportServiceServer::new(world.reports.clone()));
    world.mesh.serve_address("wrong:1", layered(other, &world.mesh, "vm"));
    let operation = world.submit_host(named("h", "wrong:1")).await.unwrap();
    let error = failure(&world.end(operation).await);
    assert_eq!((error.kind(), error.reason()), (Kind::FailedPrecondition, "NOT_AN_AGENT"));
    assert_eq!(world.count("SELECT count(*) FROM host").await, 0);
}

#[tokio::test]
async fn a_change_of_address_moves_the_session() {
    let world = World::new().await;
    let first = world.agent("a:1").await;
    let second = world.agent("b:1").await;
    let host = world.host("h", "a:1").await;
    assert_eq!((first.counts().0, second.counts().0), (1, 0));
    let patch = Host { uuid: host.uuid.clone(), address: "b:1".into(), name: "renamed".into(), ..Host::default() };
    let request = UpdateHostRequest { host: Some(patch), ..Default::default() };
    world.hosts().update_host(request).await.unwrap();
    eventually("the other agent has a session", || async {
        so(second.counts().0 == 1 && world.fence(&host.uuid).await == 2, second.counts())
    })
    .await;
    let now = world.get(&host.uuid).await.unwrap();
    assert_eq!((now.name.as_str(), now.status()), ("renamed", HostStatus::Connected));
}

#[tokio::test]
async fn reserved_memory_changes_the_capacity_and_what_is_gyres_does_not_change() {
    let world = World::new().await;
    world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    let patch = Host { uuid: host.uuid.clone(), reserved_memory_bytes: 8 * GIB, ..Host::default() };
    let request = UpdateHostRequest { host: Some(patch), ..Default::default() };
    let changed = world.hosts().update_host(request).await.unwrap().into_inner();
    assert_eq!(changed.memory_capacity_bytes, 24 * GIB);
    let patch = Host { uuid: host.uuid, cpu_used: 7, cluster_uuid: uuid(), ..Host::default() };
    let update_mask = Some(FieldMask { paths: vec!["cpu_used".into(), "cluster_uuid".into()] });
    let request = UpdateHostRequest { host: Some(patch), update_mask, ..Default::default() };
    let error = Error::from(world.hosts().update_host(request).await.unwrap_err());
    assert_eq!(error.violations().len(), 2, "{error:?}");
}

#[tokio::test]
async fn a_disabled_host_gets_no_machines() {
    let world = World::new().await;
    world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    let off = DisableHostRequest { uuid: host.uuid.clone(), ..Default::default() };
    let disabled = world.hosts().disable_host(off.clone()).await.unwrap().into_inner();
    assert_eq!(disabled.state(), HostState::Disabled);
    let again = world.hosts().disable_host(off).await.unwrap().into_inner();
    assert_eq!(again.generation, disabled.generation, "what is so already is not written");
    let want = ReservePlacementRequest { claim_uuid: uuid(), cpu_count: 1, memory_bytes: GIB, ..Default::default() };
    assert_eq!(reason(world.reserve(want.clone()).await), "NO_HOST_WITH_ROOM");
    let on = EnableHostRequest { uuid: host.uuid, ..Default::default() };
    assert_eq!(world.hosts().enable_host(on).await.unwrap().into_inner().state(), HostState::Enabled);
    world.reserve(want).await.unwrap();
    let nobody = EnableHostRequest { uuid: uuid(), ..Default::default() };
    assert_eq!(reason(world.hosts().enable_host(nobody).await.map_err(Error::from)), "NOT_FOUND");
}

#[tokio::test]
async fn a_host_with_something_on_it_is_not_removed() {
    let world = World::new().await;
    world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    let (name, host_uuid) = ("x".to_owned(), host.uuid.clone());
    let (vm, volume, server) = (
        Vm { uuid: uuid(), name: name.clone(), host_uuid: host_uuid.clone(), ..Vm::default() },
        Volume { uuid: uuid(), name: name.clone(), host_uuid: host_uuid.clone(), ..Volume::default() },
        ImageServer { uuid: uuid(), name, host_uuid, ..ImageServer::default() },
    );
    world.insert(vm).await;
    world.insert(volume).await;
    world.insert(server).await;
    let want = ReservePlacementRequest { claim_uuid: uuid(), cpu_count: 1, memory_bytes: GIB, ..Default::default() };
    world.reserve(want).await.unwrap();
    let error = delete(&world, &host.uuid).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::FailedPrecondition, "NEEDS_CASCADE"));
    for name in ["vms", "volumes", "image_servers"] {
        assert_eq!(error.metadata()[name], "1", "{name}");
    }
    let after = world.get(&host.uuid).await.unwrap();
    assert_eq!((after.state(), after.status()), (HostState::Enabled, HostStatus::Connected));
}

#[tokio::test]
async fn an_empty_host_is_removed_with_all_that_is_its_own() {
    let world = World::new().await;
    let agent = world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    let storage =
        PrimaryStorage { uuid: uuid(), cluster_uuid: world.cluster.clone(), path: "/p".into(), ..Default::default() };
    let ids = (parse_uuid(&storage.uuid).unwrap(), parse_uuid(&host.uuid).unwrap());
    world.insert(storage).await;
    world
        .execute(
            Sql::new(
                "INSERT INTO primary_storage_host (primary_storage_uuid, host_uuid, total_bytes, available_bytes, used_bytes) \
                 VALUES (",
            )
            .bind(ids.0)
            .sql(", ")
            .bind(ids.1)
            .sql(", 1, 1, 0)"),
        )
        .await;
    let operation = delete(&world, &host.uuid).await.unwrap();
    assert_eq!(world.end(operation).await.state(), OperationState::Succeeded);
    assert_eq!(reason(world.get(&host.uuid).await), "NOT_FOUND");
    assert_eq!(reason(delete(&world, &host.uuid).await), "NOT_FOUND");
    assert_eq!(world.count("SELECT count(*) FROM primary_storage_host").await, 0);
    let list = world.hosts().list_hosts(ListHostsRequest::default()).await.unwrap().into_inner();
    assert!(list.hosts.is_empty());
    assert!(world.fence(&host.uuid).await >= 1, "the fence outlives the row, as it does at the agent");
    // the agent can be added again, also as the same host
    drop(agent);
    let again = Host { uuid: host.uuid, ..named("again", "a:1") };
    assert_eq!(world.host_like(again).await.status(), HostStatus::Connected);
}

#[tokio::test]
async fn a_session_is_opened_anew_on_request() {
    let world = World::new().await;
    world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    assert_eq!(world.fence(&host.uuid).await, 1);
    let request = ReconnectHostRequest { uuid: host.uuid.clone(), ..Default::default() };
    let operation = world.hosts().reconnect_host(request.clone()).await.unwrap().into_inner();
    assert_eq!(world.end(operation).await.state(), OperationState::Succeeded);
    assert!(world.fence(&host.uuid).await >= 2);
    let after = world.get(&host.uuid).await.unwrap();
    assert_eq!((after.status(), after.generation), (HostStatus::Connected, host.generation), "nothing to write");
    let unknown = ReconnectHostRequest { uuid: uuid(), ..Default::default() };
    assert_eq!(reason(world.hosts().reconnect_host(unknown).await.map_err(Error::from)), "NOT_FOUND");
    world.mesh.forget_address("a:1");
    let again = ReconnectHostRequest { request_id: "again".into(), ..request };
    let operation = world.hosts().reconnect_host(again).await.unwrap().into_inner();
    assert_eq!(failure(&world.end(operation).await).reason(), "AGENT_UNREACHABLE");
}
