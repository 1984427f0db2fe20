//! Room on hosts: taken once, never more than there is, refused with reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gyre_host::Config;
use gyre_model::{Kind, Uuid, parse_uuid};
use gyre_proto::host::v1::placement_service_client::PlacementServiceClient;
use gyre_proto::host::v1::{Cluster, DisableHostRequest, Host, ReleasePlacementRequest, ReservePlacementRequest};
use gyre_store::{Sql, Value};

use crate::support::{GIB, World, agent_at, config, reason, uuid};

fn want(cpus: i32, memory: i64) -> ReservePlacementRequest {
    ReservePlacementRequest { claim_uuid: uuid(), cpu_count: cpus, memory_bytes: memory, ..Default::default() }
}

async fn release(world: &World, claim: &str) {
    let mut client = PlacementServiceClient::new(world.channel());
    client.release_placement(ReleasePlacementRequest { claim_uuid: claim.into() }).await.unwrap();
}

/// The counters are the sums of the placements, and nowhere more than the capacity.
async fn assert_sound(world: &World) {
    let wrong = "SELECT count(*) FROM host WHERE cpu_used > cpu_capacity OR memory_used_bytes > memory_capacity_bytes \
                 OR cpu_used <> (SELECT coalesce(sum(cpu_count), 0) FROM host_placement WHERE host_uuid = host.uuid) \
                 OR memory_used_bytes <> (SELECT coalesce(sum(memory_bytes), 0) FROM host_placement WHERE host_uuid = \
                 host.uuid)";
    assert_eq!(world.count(wrong).await, 0);
}

#[tokio::test]
async fn a_claim_holds_one_place_until_it_is_given_back() {
    let world = World::new().await;
    world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    let request = want(4, 8 * GIB);
    let first = world.reserve(request.clone()).await.unwrap();
    assert_eq!((first.host_uuid.as_str(), first.cluster_uuid.as_str()), (host.uuid.as_str(), world.cluster.as_str()));
    assert_eq!((first.zone_uuid.as_str(), first.hypervisor.as_str()), (world.zone.as_str(), "simulator"));
    assert_eq!(world.reserve(request.clone()).await.unwrap(), first);
    let held = world.get(&host.uuid).await.unwrap();
    assert_eq!((held.cpu_used, held.memory_used_bytes, held.generation), (4, 8 * GIB, host.generation));
    for _ in 0..2 {
        release(&world, &request.claim_uuid).await;
        assert_eq!(world.get(&host.uuid).await.unwrap().cpu_used, 0);
    }
    assert_sound(&world).await;
}

#[tokio::test]
async fn concurrent_claims_never_take_more_than_there_is() {
    let world = World::new().await;
    for at in 0..3 {
        let address = format!("a:{}", at + 1);
        agent_at(&world.mesh, &address, 2, 64 * GIB).await;
        world.host(&format!("h{at}"), &address).await;
    }
    // 3 hosts of 2 threads, 4 virtual processors for each: room for 24
    let claims = (0..60).map(|_| world.reserve(want(1, GIB)));
    let results = futures::future::join_all(claims).await;
    let placed = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(placed, 24);
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!(error.reason(), "NO_HOST_WITH_ROOM");
    }
    assert_sound(&world).await;
}

#[tokio::test]
async fn one_claim_asked_for_many_times_at_once_is_placed_once() {
    let world = World::new().await;
    for at in 1..=3 {
        let address = format!("a:{at}");
        world.agent(&address).await;
        world.host(&format!("h{at}"), &address).await;
    }
    let request = want(2, GIB);
    let results = futures::future::join_all((0..20).map(|_| world.reserve(request.clone()))).await;
    let hosts: BTreeSet<_> = results.into_iter().map(|result| result.unwrap().host_uuid).collect();
    assert_eq!(hosts.len(), 1);
    assert_eq!(world.count("SELECT CAST(sum(cpu_used) AS bigint) FROM host").await, 2);
    assert_sound(&world).await;
}

#[tokio::test]
async fn a_refusal_tells_of_every_host() {
    let world = World::new().await;
    assert_eq!(reason(world.reserve(want(1, GIB)).await), "NO_HOST");
    for (name, address) in [("full", "a:1"), ("disabled", "a:2"), ("unfit", "a:3")] {
        world.agent(address).await;
        world.host(name, address).await;
    }
    let other = world.create_cluster(Cluster::default()).await.unwrap();
    world.agent("b:1").await;
    world
        .host_like(Host {
            name: "elsewhere".into(),
            address: "b:1".into(),
            cluster_uuid: other.uuid.clone(),
            ..Host::default()
        })
        .await;
    let hosts = gyre_proto::host::v1::ListHostsRequest::default();
    let hosts = world.hosts().list_hosts(hosts).await.unwrap().into_inner().hosts;
    let by_name: BTreeMap<_, _> = hosts.iter().map(|host| (host.name.as_str(), host.uuid.clone())).collect();
    let off = DisableHostRequest { uuid: by_name["disabled"].clone(), ..Default::default() };
    world.hosts().disable_host(off).await.unwrap();
    world.reserve(ReservePlacementRequest { host_uuid: by_name["full"].clone(), ..want(30, 30 * GIB) }).await.unwrap();

    let request = ReservePlacementRequest {
        cluster_uuid: world.cluster.clone(),
        excluded: BTreeMap::from([(by_name["unfit"].clone(), "its storage is full".into())]),
        ..want(4, 4 * GIB)
    };
    let error = world.reserve(request.clone()).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::ResourceExhausted, "NO_HOST_WITH_ROOM"));
    let reason_of = |name: &str| error.metadata()[&format!("{name} {}", by_name[name])].as_str();
    assert_eq!(reason_of("full"), "needs 4 CPUs, has 2 left; needs 4 GiB of memory, has 2 GiB left");
    assert_eq!(reason_of("disabled"), "disabled");
    assert_eq!(reason_of("unfit"), "its storage is full");
    assert_eq!(reason_of("elsewhere"), "in another cluster");
    assert_eq!(world.count("SELECT count(*) FROM host_placement").await, 1, "a refusal leaves nothing behind");

    let named = ReservePlacementRequest { host_uuid: by_name["full"].clone(), ..request.clone() };
    let error = world.reserve(named).await.unwrap_err();
    assert!(error.message().starts_with("host full cannot take 4 CPUs and 4 GiB of memory: needs"), "{error}");
    let unknown = ReservePlacementRequest { host_uuid: uuid(), ..request.clone() };
    assert_eq!(reason(world.reserve(unknown).await), "NOT_FOUND");
    let anywhere = ReservePlacementRequest { cluster_uuid: String::new(), cluster_uuids: vec![other.uuid], ..request };
    assert_eq!(world.reserve(anywhere).await.unwrap().host_uuid, by_name["elsewhere"]);
    assert_sound(&world).await;
}

#[tokio::test]
async fn wishes_for_hosts_are_heard() {
    let world = World::new().await;
    let mut hosts = Vec::new();
    for at in 1..=3 {
        let address = format!("a:{at}");
        world.agent(&address).await;
        hosts.push(world.host(&format!("h{at}"), &address).await.uuid);
    }
    for host in &hosts {
        let named = ReservePlacementRequest { host_uuid: host.clone(), ..want(8, GIB) };
        assert_eq!(&world.reserve(named).await.unwrap().host_uuid, host);
        let preferred = ReservePlacementRequest { preferred_host_uuid: host.clone(), ..want(8, GIB) };
        assert_eq!(&world.reserve(preferred).await.unwrap().host_uuid, host);
    }
    // a preferred host without room is no obstacle
    let preferred = ReservePlacementRequest { preferred_host_uuid: hosts[0].clone(), ..want(16, GIB) };
    let held = world.reserve(preferred.clone()).await.unwrap().host_uuid;
    assert_eq!(held, hosts[0]);
    let other = ReservePlacementRequest { claim_uuid: uuid(), ..preferred.clone() };
    let elsewhere = world.reserve(other).await.unwrap().host_uuid;
    assert_ne!(elsewhere, hosts[0]);
    // a claim whose host turned out unfit moves, and keeps what it holds where there is nothing else
    let excluded = BTreeMap::from([(hosts[0].clone(), "no storage".into())]);
    let moved = ReservePlacementRequest { excluded: excluded.clone(), ..preferred.clone() };
    let place = world.reserve(moved.clone()).await.unwrap().host_uuid;
    assert_ne!(place, hosts[0]);
    assert_eq!(world.reserve(moved).await.unwrap().host_uuid, place);
    let all: BTreeMap<_, _> = hosts.iter().map(|host| (host.clone(), "no".to_owned())).collect();
    let nowhere = ReservePlacementRequest { excluded: all, ..preferred.clone() };
    assert_eq!(reason(world.reserve(nowhere).await), "NO_HOST_WITH_ROOM");
    assert_eq!(world.reserve(ReservePlacementRequest { excluded, ..preferred }).await.unwrap().host_uuid, place);
    assert_sound(&world).await;
}

#[tokio::test]
async fn absurd_wishes_are_refused_field_by_field() {
    let world = World::new().await;
    world.agent("a:1").await;
    world.host("h", "a:1").await;
    let error = world.reserve(want(0, -1)).await.unwrap_err();
    let fields: Vec<_> = error.violations().iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["cpu_count", "memory_bytes"]);
    assert_eq!(reason(world.reserve(want(i32::MAX, i64::MAX)).await), "NO_HOST_WITH_ROOM");
    assert_sound(&world).await;
}

#[tokio::test]
async fn the_one_host_with_room_is_found_among_thousands() {
    // their sessions are looked for once, before they are there
    let world = World::with(Config { scan_period: Duration::from_secs(3600), ..config() }).await;
    let cluster = parse_uuid(&world.cluster).unwrap();
    let zone = parse_uuid(&world.zone).unwrap();
    let lucky = Uuid::new_v4();
    world
        .store
        .write("test", move |conn| {
            for at in 0..3_000 {
                let uuid = if at == 1_234 { lucky } else { Uuid::new_v4() };
                let used = if uuid == lucky { 0 } else { 15 };
                let sql = Sql::new(
                    "INSERT INTO host (uuid, name, description, create_time, update_time, generation, state, status, \
                     cluster_uuid, zone_uuid, address, reserved_memory_bytes, cpu_count, memory_bytes, cpu_capacity, \
                     cpu_used, memory_capacity_bytes, memory_used_bytes, hypervisor, hypervisor_version, accelerator, \
                     architecture, operating_system, agent_version, network_mode, status_reason) VALUES (",
                )
                .bind_all([
                    Value::from(uuid),
                    Value::from(format!("host-{at}")),
                    Value::from(""),
                    Value::time(0),
                    Value::time(0),
                    Value::Int(1),
                    Value::from("ENABLED"),
                    Value::from("CONNECTED"),
                    Value::from(cluster),
                    Value::from(zone),
                    Value::from(format!("nowhere:{}", at + 1)),
                    Value::Int(0),
                    Value::Int(4),
                    Value::Int(64 * GIB),
                    Value::Int(16),
                    Value::Int(used),
                    Value::Int(64 * GIB),
                    Value::Int(0),
                    Value::from("simulator"),
                ])
                .sql(", '', '', '', '', '', '', '')");
                conn.execute(sql)?;
            }
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(world.reserve(want(2, GIB)).await.unwrap().host_uuid, lucky.to_string());
    // small ones are spread
    let placed = futures::future::join_all((0..40).map(|_| world.reserve(want(1, GIB)))).await;
    let hosts: BTreeSet<_> = placed.into_iter().map(|result| result.unwrap().host_uuid).collect();
    assert!(hosts.len() > 20, "{}", hosts.len());
    let error = world.reserve(want(17, GIB)).await.unwrap_err();
    assert_eq!((error.metadata()["hosts"].as_str(), error.metadata()["hosts_named"].as_str()), ("3000", "50"));
}
