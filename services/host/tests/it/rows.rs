//! Zones and clusters: rows, their bounds, and what stands in the way of deleting them.

use gyre_mesh::serve::caller;
use gyre_model::{Caller, Error, Kind, Uuid};
use gyre_proto::FieldMask;
use gyre_proto::common::v1::OperationState;
use gyre_proto::host::v1::zone_service_client::ZoneServiceClient;
use gyre_proto::host::v1::{
    Cluster, CreateClusterRequest, CreateZoneRequest, DeleteClusterRequest, DeleteZoneRequest, GetZoneRequest,
    ListClustersRequest, ListZonesRequest, UpdateClusterRequest, UpdateZoneRequest, Zone,
};

use crate::support::{GIB, World, reason, uuid};

fn mask(path: &str) -> Option<FieldMask> {
    Some(FieldMask { paths: vec![path.into()] })
}

/// On PostgreSQL each reads the row before another's change of it.
#[tokio::test]
async fn changes_at_one_time_that_name_no_generation_all_come_to_pass() {
    let world = World::new().await;
    let zone = world.create_zone("north").await.unwrap();
    let update = |description: String| {
        let patch = Zone { uuid: zone.uuid.clone(), description, ..Zone::default() };
        let request = UpdateZoneRequest { zone: Some(patch), ..Default::default() };
        let mut zones = world.zones();
        async move { zones.update_zone(request).await }
    };
    for round in 0..10 {
        let (a, b, c) =
            tokio::join!(update(format!("a{round}")), update(format!("b{round}")), update(format!("c{round}")));
        for changed in [a, b, c] {
            changed.unwrap();
        }
    }
    let now = world.zones().get_zone(GetZoneRequest { uuid: zone.uuid.clone() }).await.unwrap().into_inner();
    assert_eq!(now.generation, 31);
}

#[tokio::test]
async fn zones_are_made_changed_listed_and_deleted() {
    let world = World::new().await;
    let zone = world.create_zone("north").await.unwrap();
    assert_eq!((zone.generation, zone.create_time.is_some()), (1, true));
    let patch = Zone { uuid: zone.uuid.clone(), description: "cold".into(), ..Zone::default() };
    let update = UpdateZoneRequest { zone: Some(patch), update_mask: mask("description"), ..Default::default() };
    let changed = world.zones().update_zone(update.clone()).await.unwrap().into_inner();
    assert_eq!((changed.name.as_str(), changed.description.as_str(), changed.generation), ("north", "cold", 2));
    let stale = Zone { generation: 1, ..update.zone.clone().unwrap() };
    let stale = UpdateZoneRequest { zone: Some(stale), ..update };
    let refused = world.zones().update_zone(stale).await.map_err(Error::from);
    assert_eq!(reason(refused), "STALE_GENERATION");
    let list = ListZonesRequest { filter: "name = \"north\"".into(), ..Default::default() };
    assert_eq!(world.zones().list_zones(list).await.unwrap().into_inner().zones, [changed]);
    let delete = DeleteZoneRequest { uuid: zone.uuid.clone(), request_id: "once".into(), ..Default::default() };
    let deletion = world.zones().delete_zone(delete.clone()).await.unwrap().into_inner();
    assert_eq!(world.end(deletion).await.state(), OperationState::Succeeded);
    world.zones().delete_zone(delete).await.expect("the same wish again");
    let gone = world.zones().get_zone(GetZoneRequest { uuid: zone.uuid.clone() }).await.map_err(Error::from);
    assert_eq!(reason(gone), "NOT_FOUND");
    let again = DeleteZoneRequest { uuid: zone.uuid, request_id: "twice".into(), ..Default::default() };
    assert_eq!(reason(world.zones().delete_zone(again).await.map_err(Error::from)), "NOT_FOUND");
}

#[tokio::test]
async fn the_same_wish_makes_one_zone() {
    let world = World::new().await;
    let zone = Some(Zone { name: "once".into(), ..Zone::default() });
    let request = CreateZoneRequest { zone, request_id: "mine".into() };
    let first = world.zones().create_zone(request.clone()).await.unwrap().into_inner();
    let second = world.zones().create_zone(request.clone()).await.unwrap().into_inner();
    assert_eq!(first, second);
    let other = CreateZoneRequest { zone: Some(Zone { name: "other".into(), ..Zone::default() }), ..request };
    let refused = world.zones().create_zone(other).await.map_err(Error::from);
    assert_eq!(reason(refused), "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn users_see_zones_and_make_none() {
    let world = World::new().await;
    let user = Caller::of(Uuid::new_v4(), false);
    let mut zones = ZoneServiceClient::new(world.mesh.channel(gyre_host::NAME).on_behalf_of(user));
    assert_eq!(zones.list_zones(ListZonesRequest::default()).await.unwrap().into_inner().zones.len(), 1);
    let zone = Some(Zone { name: "mine".into(), ..Zone::default() });
    let refused = zones.create_zone(CreateZoneRequest { zone, ..Default::default() }).await.map_err(Error::from);
    assert_eq!(reason(refused), "ADMIN_ONLY");
    // a request without anybody behind it
    let mut nobody = ZoneServiceClient::new(world.mesh.channel(gyre_host::NAME));
    let refused = nobody.list_zones(ListZonesRequest::default()).await.map_err(Error::from);
    assert_eq!(reason(refused), "NOT_SIGNED_IN");
    assert!(caller(&tonic::Request::new(())).is_err());
}

#[tokio::test]
async fn a_cluster_gets_its_ratios_at_creation_and_they_have_bounds() {
    let world = World::new().await;
    let cluster = world.create_cluster(Cluster::default()).await.unwrap();
    assert_eq!((cluster.cpu_overcommit, cluster.memory_overcommit), (4, 100));
    let given = world.create_cluster(Cluster { cpu_overcommit: 1, memory_overcommit: 50, ..Default::default() }).await;
    assert_eq!(given.map(|cluster| (cluster.cpu_overcommit, cluster.memory_overcommit)).unwrap(), (1, 50));
    let error = world.create_cluster(Cluster { memory_overcommit: 49, ..Default::default() }).await.unwrap_err();
    assert_eq!(error.violations()[0].field, "cluster.memory_overcommit");
    let error = world
        .create_cluster(Cluster { cpu_overcommit: 65, memory_overcommit: 401, ..Default::default() })
        .await
        .unwrap_err();
    assert_eq!(error.violations().len(), 2, "all broken fields at once: {error:?}");
    let list = world.clusters().list_clusters(ListClustersRequest::default()).await.unwrap().into_inner();
    assert_eq!(list.clusters.len(), 3, "a refused cluster leaves nothing behind");
    let nowhere = Cluster { name: "c".into(), zone_uuid: uuid(), ..Default::default() };
    let request = CreateClusterRequest { cluster: Some(nowhere), ..Default::default() };
    let error = Error::from(world.clusters().create_cluster(request).await.unwrap_err());
    assert_eq!((error.kind(), error.metadata()["kind"].as_str()), (Kind::NotFound, "zone"));
}

#[tokio::test]
async fn new_ratios_give_the_hosts_new_capacities() {
    let world = World::new().await;
    world.agent("a:1").await;
    let host = world.host("h", "a:1").await;
    assert_eq!((host.cpu_capacity, host.memory_capacity_bytes), (32, 32 * GIB));
    let patch =
        Cluster { uuid: world.cluster.clone(), cpu_overcommit: 2, memory_overcommit: 150, ..Default::default() };
    let request = UpdateClusterRequest { cluster: Some(patch), ..Default::default() };
    world.clusters().update_cluster(request).await.unwrap();
    let after = world.get(&host.uuid).await.unwrap();
    assert_eq!((after.cpu_capacity, after.memory_capacity_bytes), (16, 48 * GIB));
    assert_eq!(after.generation, host.generation + 1);
    // a mask that names a ratio which the message does not give takes it back to the default
    let patch = Cluster { uuid: world.cluster.clone(), ..Default::default() };
    let update_mask = mask("cpu_overcommit");
    let request = UpdateClusterRequest { cluster: Some(patch), update_mask, ..Default::default() };
    let cluster = world.clusters().update_cluster(request).await.unwrap().into_inner();
    assert_eq!((cluster.cpu_overcommit, cluster.memory_overcommit), (4, 150));
    assert_eq!(world.get(&host.uuid).await.unwrap().cpu_capacity, 32);
}

#[tokio::test]
async fn what_is_not_empty_is_not_deleted() {
    let world = World::new().await;
    world.agent("a:1").await;
    world.host("h", "a:1").await;
    let request = DeleteZoneRequest { uuid: world.zone.clone(), ..Default::default() };
    let error = Error::from(world.zones().delete_zone(request).await.unwrap_err());
    assert_eq!((error.kind(), error.reason()), (Kind::FailedPrecondition, "NEEDS_CASCADE"));
    assert_eq!((error.metadata()["clusters"].as_str(), error.metadata()["hosts"].as_str()), ("1", "1"));
    let request = DeleteClusterRequest { uuid: world.cluster.clone(), ..Default::default() };
    let error = Error::from(world.clusters().delete_cluster(request).await.unwrap_err());
    assert_eq!((error.reason(), error.metadata()["hosts"].as_str()), ("NEEDS_CASCADE", "1"));
    let empty = world.create_cluster(Cluster::default()).await.unwrap();
    let request = DeleteClusterRequest { uuid: empty.uuid, ..Default::default() };
    let deletion = world.clusters().delete_cluster(request).await.unwrap().into_inner();
    assert_eq!(world.end(deletion).await.state(), OperationState::Succeeded);
}
