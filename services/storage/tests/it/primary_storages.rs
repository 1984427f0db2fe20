//! Primary storage.

use std::time::Duration;

use gyre_model::{Kind, Uuid};
use gyre_proto::host::v1::{Host, HostStatus};
use gyre_proto::storage::v1::{
    DeletePrimaryStorageRequest, DeleteVolumeRequest, PrimaryStorage, PrimaryStorageState, UpdatePrimaryStorageRequest,
};
use gyre_query::Change;
use gyre_storage::Config;

use crate::fake_host::{Fault, TOTAL};
use crate::world::{GIB, World, reason};

const ROWS: &str = "SELECT COUNT(*) FROM primary_storage";
const HOST_ROWS: &str = "SELECT COUNT(*) FROM primary_storage_host";

async fn delete(
    world: &World,
    uuid: Uuid,
) -> Result<tonic::Response<gyre_proto::common::v1::Operation>, tonic::Status> {
    let request = DeletePrimaryStorageRequest { uuid: uuid.to_string(), ..Default::default() };
    world.storages().delete_primary_storage(world.admin.request(request)).await
}

#[tokio::test]
async fn it_is_prepared_on_every_connected_host_of_its_cluster() {
    let world = World::new().await;
    let elsewhere = Uuid::new_v4();
    world.add_cluster(elsewhere).await;
    let hosts = [world.add_host("host-1").await, world.add_host("host-2").await];
    world.add_host_to("host-3", world.cluster, HostStatus::Disconnected).await;
    world.add_host_to("host-4", elsewhere, HostStatus::Connected).await;
    // connected in the database, and gone when it is asked
    let gone = world.add_host("host-5").await;
    world.host.set_away(gone, true);

    let uuid = world.done(world.create_storage(world.storage("/var//storage/")).await).await;
    let storage: PrimaryStorage = world.find(uuid).await.expect("it is there");
    assert_eq!(storage.state(), PrimaryStorageState::Enabled);
    assert_eq!((storage.overcommit, storage.path.as_str()), (200, "/var/storage"));
    assert_eq!((storage.total_bytes, storage.used_bytes), (2 * TOTAL, 0));
    let mut asked: Vec<_> = world.host.tasks("prepare-storage").into_iter().map(|(host, _)| host).collect();
    asked.sort_unstable();
    let mut wanted = hosts.to_vec();
    wanted.sort_unstable();
    assert_eq!(asked, wanted);
    assert_eq!(world.count(HOST_ROWS).await, 2);
    world.check_room().await;
}

#[tokio::test]
async fn what_is_wrong_with_it_is_refused() {
    let world = World::new().await;
    world.add_host("host-1").await;
    let refused = async |storage| reason(world.create_storage(storage).await.unwrap_err());
    let missing = PrimaryStorage { cluster_uuid: Uuid::new_v4().to_string(), ..world.storage("/a") };
    assert_eq!(refused(missing).await, "NOT_FOUND");
    assert_eq!(refused(PrimaryStorage { overcommit: 49, ..world.storage("/a") }).await, "INVALID_FIELD");
    assert_eq!(refused(PrimaryStorage { overcommit: 1001, ..world.storage("/a") }).await, "INVALID_FIELD");
    assert_eq!(refused(PrimaryStorage { r#type: 0, ..world.storage("/a") }).await, "INVALID_FIELD");
    assert_eq!(refused(PrimaryStorage { path: "/a/../b".into(), ..world.storage("/a") }).await, "INVALID_FIELD");
    world.done(world.create_storage(world.storage("/a")).await).await;
    assert_eq!(refused(world.storage("/a/")).await, "PATH_IN_USE");
    assert_eq!(world.count(ROWS).await, 1);
}

#[tokio::test]
async fn a_host_that_cannot_prepare_it_leaves_nothing() {
    let world = World::new().await;
    world.add_host("host-1").await;
    world.add_host("host-2").await;
    world.host.fail("prepare-storage", Fault::Refuse("HOST_PERMISSION_DENIED"));
    let error = world.failed(world.create_storage(world.storage("/a")).await).await;
    assert_eq!(error.reason(), "HOST_PERMISSION_DENIED");
    assert_eq!(error.metadata().len(), 1, "the host is named: {error:?}");
    assert_eq!((world.count(ROWS).await, world.count(HOST_ROWS).await), (0, 0));
    world.done(world.create_storage(world.storage("/a")).await).await;
}

#[tokio::test]
async fn it_is_changed_within_its_bounds() {
    let world = World::new().await;
    let host = world.add_host("host-1").await;
    let uuid = world.done(world.create_storage(world.storage("/a")).await).await;
    world.done(world.create_volume(host, GIB).await).await;
    let update = async |storage: PrimaryStorage| {
        let storage = PrimaryStorage { uuid: uuid.to_string(), ..storage };
        let request = UpdatePrimaryStorageRequest {
            primary_storage: Some(storage),
            update_mask: None,
            request_id: String::new(),
        };
        world.storages().update_primary_storage(world.admin.request(request)).await
    };
    let changed = update(PrimaryStorage { overcommit: 50, name: "new".into(), ..PrimaryStorage::default() }).await;
    let changed = changed.expect("a change").into_inner();
    assert_eq!((changed.overcommit, changed.name.as_str(), changed.used_bytes), (50, "new", GIB));
    for wrong in [
        PrimaryStorage { overcommit: 10, ..PrimaryStorage::default() },
        PrimaryStorage { path: "/b".into(), ..PrimaryStorage::default() },
    ] {
        assert_eq!(reason(update(wrong).await.unwrap_err()), "INVALID_FIELD");
    }
    // 5 GiB are promised at most now
    assert_eq!(reason(world.create_volume(host, 5 * GIB).await.unwrap_err()), "NO_STORAGE_ROOM");
    world.check_room().await;
}

#[tokio::test]
async fn it_is_deleted_when_it_is_empty() {
    let world = World::new().await;
    let host = world.add_host("host-1").await;
    let uuid = world.done(world.create_storage(world.storage("/a")).await).await;
    let volume = world.done(world.create_volume(host, GIB).await).await;
    let refused = gyre_model::Error::from(delete(&world, uuid).await.unwrap_err());
    assert_eq!((refused.kind(), refused.reason()), (Kind::FailedPrecondition, "NEEDS_CASCADE"));
    assert_eq!(refused.metadata()["volumes"], "1");
    let request = DeleteVolumeRequest { uuid: volume.to_string(), expunge: true, ..Default::default() };
    world.done(world.volumes().delete_volume(world.user.request(request)).await).await;
    world.done(delete(&world, uuid).await).await;
    assert_eq!((world.count(ROWS).await, world.count(HOST_ROWS).await), (0, 0));
    assert_eq!(reason(delete(&world, uuid).await.unwrap_err()), "NOT_FOUND");
}

#[tokio::test]
async fn a_host_that_is_removed_takes_its_room_along() {
    let config = Config { totals_period: Duration::from_millis(20), ..Config::default() };
    let world = World::with(config).await;
    let host = world.add_host("host-1").await;
    world.add_host("host-2").await;
    world.done(world.create_storage(world.storage("/a")).await).await;
    let remove = move |conn: &mut _| gyre_query::delete::<Host>(conn, &Change::by(gyre_model::Caller::system()), host);
    world.store.write("remove-host", remove).await.expect("nothing refers to it");
    world.wait_for("the total", "SELECT total_bytes FROM primary_storage", TOTAL).await;
    world.check_room().await;
}
