//! Volumes.

use gyre_model::{Error, Kind, Uuid, parse_uuid};
use gyre_proto::agent::v1::task::Work;
use gyre_proto::common::v1::{Operation, OperationState};
use gyre_proto::host::v1::HostStatus;
use gyre_proto::storage::v1::{
    CreateRootVolumeRequest, CreateVolumeRequest, DeleteVolumeRequest, UpdateVolumeRequest, Volume, VolumeState,
    VolumeType,
};
use gyre_store::{Sql, Value};
use tonic::{Response, Status};

use crate::fake_host::{Fault, IMAGE_BYTES, TOTAL};
use crate::world::{GIB, MIB, World, reason};

const ROWS: &str = "SELECT COUNT(*) FROM volume";
const USED: &str = "SELECT COALESCE(SUM(used_bytes), 0) FROM primary_storage";

async fn delete(world: &World, uuid: Uuid) -> Result<Response<Operation>, Status> {
    let request = DeleteVolumeRequest { uuid: uuid.to_string(), expunge: true, ..Default::default() };
    world.volumes().delete_volume(world.user.request(request)).await
}

/// Nothing is left of any volume, in the tables and on the hosts.
async fn check_clean(world: &World) {
    assert_eq!((world.count(ROWS).await, world.count(USED).await), (0, 0));
    world.check_room().await;
    assert!(world.host.files().iter().all(|file| !file.ends_with(".qcow2")), "{:?}", world.host.files());
}

#[tokio::test]
async fn a_data_volume_is_made_and_deleted() {
    let world = World::new().await;
    let (host, storage, _) = world.furnished().await;
    let uuid = world.done(world.create_volume(host, GIB + 1).await).await;
    let volume: Volume = world.find(uuid).await.expect("it is there");
    assert_eq!((volume.state(), volume.r#type()), (VolumeState::Ready, VolumeType::Data));
    assert_eq!(volume.path, format!("/storage/{uuid}.qcow2"));
    assert_eq!((volume.size_bytes, volume.primary_storage_uuid), (GIB + 512, storage.to_string()));
    assert_eq!(world.count(USED).await, GIB + 512);
    world.check_room().await;

    let patch = Volume { uuid: uuid.to_string(), name: "new".into(), ..Volume::default() };
    let request = UpdateVolumeRequest { volume: Some(patch), ..UpdateVolumeRequest::default() };
    let changed = world.volumes().update_volume(world.user.request(request)).await.expect("a change").into_inner();
    assert_eq!((changed.name.as_str(), changed.state()), ("new", VolumeState::Ready));

    let request = DeleteVolumeRequest { uuid: uuid.to_string(), ..Default::default() };
    let foreign = world.volumes().delete_volume(world.other.request(request)).await;
    assert_eq!(reason(foreign.unwrap_err()), "NOT_FOUND");
    world.done(delete(&world, uuid).await).await;
    check_clean(&world).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_data_volume_is_refused() {
    let world = World::new().await;
    let host = world.add_host("host-1").await;
    let refused = async |volume: Volume| {
        let volume = Volume { name: "data".into(), ..volume };
        let request = CreateVolumeRequest { volume: Some(volume), request_id: String::new() };
        reason(world.volumes().create_volume(world.user.request(request)).await.unwrap_err())
    };
    let volume = Volume { host_uuid: host.to_string(), size_bytes: GIB, ..Volume::default() };
    assert_eq!(refused(volume.clone()).await, "NO_PRIMARY_STORAGE");
    let elsewhere = Uuid::new_v4();
    world.add_cluster(elsewhere).await;
    let far = world.add_host_to("host-2", elsewhere, HostStatus::Connected).await;
    let storage = world.done(world.create_storage(world.storage("/storage")).await).await;
    let named = Volume { primary_storage_uuid: storage.to_string(), ..volume.clone() };
    assert_eq!(refused(Volume { host_uuid: far.to_string(), ..named.clone() }).await, "PRIMARY_STORAGE_NOT_IN_CLUSTER");
    assert_eq!(refused(Volume { host_uuid: Uuid::new_v4().to_string(), ..volume.clone() }).await, "NOT_FOUND");
    let unknown = Volume { primary_storage_uuid: Uuid::new_v4().to_string(), ..volume.clone() };
    assert_eq!(refused(unknown).await, "NOT_FOUND");
    assert_eq!(refused(Volume { size_bytes: 7, ..volume.clone() }).await, "INVALID_FIELD");
    world.execute(Sql::new("UPDATE primary_storage SET state = 'DISABLED'")).await;
    assert_eq!(refused(named).await, "PRIMARY_STORAGE_DISABLED");
    assert_eq!(refused(volume).await, "NO_PRIMARY_STORAGE");
    check_clean(&world).await;
}

#[tokio::test]
async fn volumes_at_once_never_take_more_than_there_is() {
    let world = World::new().await;
    let (host, storage, _) = world.furnished().await;
    let room = 2 * TOTAL;
    let size = 3 * GIB;
    let asked = futures::future::join_all((0..20).map(|_| world.create_volume(host, size))).await;
    let mut made = 0;
    for answer in asked {
        match answer {
            Ok(operation) => {
                world.done(Ok(operation)).await;
                made += 1;
            }
            Err(status) => {
                let error = Error::from(status);
                assert_eq!((error.kind(), error.reason()), (Kind::ResourceExhausted, "NO_STORAGE_ROOM"));
                assert!(error.metadata()[&storage.to_string()].starts_with(&format!("needs {size} bytes, has ")));
            }
        }
    }
    assert_eq!(made, room / size);
    assert_eq!(world.count(USED).await, made * size);
    world.check_room().await;
    // the rest can still be taken
    world.done(world.create_volume(host, room - made * size).await).await;
    assert_eq!(reason(world.create_volume(host, MIB).await.unwrap_err()), "NO_STORAGE_ROOM");
}

#[tokio::test]
async fn a_volume_that_cannot_be_made_leaves_nothing() {
    let world = World::new().await;
    let (host, _, image) = world.furnished().await;
    world.host.fail("create-volume", Fault::Refuse("DISK_FULL"));
    assert_eq!(world.failed(world.create_volume(host, GIB).await).await.reason(), "DISK_FULL");
    check_clean(&world).await;
    world.host.fail("create-volume", Fault::Spoil("HOST_IO_ERROR"));
    assert_eq!(world.failed(world.create_root(world.root(host, image, 0)).await).await.reason(), "HOST_IO_ERROR");
    check_clean(&world).await;
    world.set_connected(host, false).await;
    assert_eq!(world.failed(world.create_volume(host, GIB).await).await.reason(), "HOST_NOT_CONNECTED");
    check_clean(&world).await;
}

#[tokio::test]
async fn room_is_kept_until_a_host_that_vanished_is_back() {
    let world = World::new().await;
    let (host, _, _) = world.furnished().await;
    world.host.fail("create-volume", Fault::Vanish);
    let operation = world.create_volume(host, GIB).await.expect("an operation").into_inner();
    world.wait_for("a stuck operation", "SELECT COUNT(*) FROM operation WHERE state = 'STUCK'", 1).await;
    assert_eq!((world.count(ROWS).await, world.count(USED).await), (1, GIB));
    world.set_connected(host, true).await;
    // as if it had rested for long
    let past = Sql::new("UPDATE operation SET update_time = ").bind(Value::time(0)).sql(" WHERE state = 'STUCK'");
    world.execute(past).await;
    world.wait_for("its end", "SELECT COUNT(*) FROM operation WHERE state = 'FAILED'", 1).await;
    let error = world.find::<Operation>(parse_uuid(&operation.uuid).expect("uuid")).await.expect("it").error;
    assert_eq!(error.expect("an error").reason, "HOST_NOT_CONNECTED");
    check_clean(&world).await;
}

#[tokio::test]
async fn a_host_that_came_later_is_prepared_with_its_first_volume() {
    let world = World::new().await;
    world.furnished().await;
    let late = world.add_host("host-2").await;
    let prepared = world.host.tasks("prepare-storage").len();
    let volumes = futures::future::join_all((0..5).map(|_| world.create_volume(late, 4 * GIB))).await;
    let mut made = 0;
    for answer in volumes {
        let operation = world.end(answer).await;
        match operation.state() {
            OperationState::Succeeded => made += 1,
            _ => assert_eq!(operation.error.expect("an error").reason, "NO_STORAGE_ROOM"),
        }
    }
    assert_eq!(made, 5, "20 GiB are there");
    assert!(world.host.tasks("prepare-storage").len() > prepared);
    assert_eq!(world.count("SELECT COUNT(*) FROM primary_storage_host").await, 2);
    assert_eq!(world.count("SELECT total_bytes FROM primary_storage").await, 2 * TOTAL);
    world.check_room().await;
    assert_eq!(reason(world.create_volume(late, MIB).await.unwrap_err()), "NO_STORAGE_ROOM");

    let full = world.add_host("host-3").await;
    let failed = world.failed(world.create_volume(full, 21 * GIB).await).await;
    assert_eq!(failed.reason(), "NO_STORAGE_ROOM");
    world.host.fail("prepare-storage", Fault::Refuse("HOST_PERMISSION_DENIED"));
    let failed = world.failed(world.create_volume(full, GIB).await).await;
    assert_eq!(failed.reason(), "HOST_PERMISSION_DENIED");
    assert_eq!(world.count(ROWS).await, 5);
    world.check_room().await;
}

#[tokio::test]
async fn a_root_volume_is_made_from_its_image_once() {
    let world = World::new().await;
    let (host, _, image) = world.furnished().await;
    let wish = CreateRootVolumeRequest { request_id: "wish".into(), ..world.root(host, image, 0) };
    let other = CreateRootVolumeRequest { request_id: "another".into(), ..wish.clone() };
    let gate = world.host.hold("create-volume");
    let (first, second) = tokio::join!(world.create_root(wish.clone()), world.create_root(other.clone()));
    let first = first.expect("an operation").into_inner();
    assert_eq!(first.uuid, second.expect("an operation").into_inner().uuid);
    gate.add_permits(1);
    let uuid = world.done(Ok(Response::new(first.clone()))).await;
    for again in [&wish, &other] {
        let again = world.create_root(again.clone()).await.expect("an operation").into_inner();
        assert_eq!((again.uuid.as_str(), again.state()), (first.uuid.as_str(), OperationState::Succeeded));
    }
    // its operation is forgotten, the volume is not
    world.execute(Sql::new("DELETE FROM operation")).await;
    let late = CreateRootVolumeRequest { request_id: "late".into(), ..wish.clone() };
    assert_eq!(world.done(world.create_root(late).await).await, uuid);

    let volume: Volume = world.find(uuid).await.expect("it is there");
    assert_eq!((volume.state(), volume.r#type()), (VolumeState::Ready, VolumeType::Root));
    assert_eq!((volume.size_bytes, &volume.vm_uuid), (IMAGE_BYTES, &wish.vm_uuid));
    assert_eq!(volume.account_uuid, world.user.account_uuid.to_string());
    let tasks = world.host.tasks("create-volume");
    let [(_, task)] = tasks.as_slice() else { panic!("made {} times", tasks.len()) };
    let Some(Work::CreateVolume(work)) = &task.work else { panic!("{task:?}") };
    let source = work.image.as_ref().expect("a source");
    assert_eq!((source.address.as_str(), source.folder.as_str()), ("host-1:7000", "/images"));
    assert_eq!((source.format.as_str(), source.file_bytes), ("qcow2", MIB));

    let foreign = CreateRootVolumeRequest { vm_uuid: Uuid::new_v4().to_string(), request_id: String::new(), ..wish };
    assert_eq!(reason(world.create_root(foreign).await.unwrap_err()), "VOLUME_EXISTS");
    assert_eq!(reason(delete(&world, uuid).await.unwrap_err()), "VOLUME_IS_ROOT");
    world.execute(Sql::new("UPDATE volume SET type = 'DATA'")).await;
    assert_eq!(reason(delete(&world, uuid).await.unwrap_err()), "VOLUME_ATTACHED");
}

#[tokio::test]
async fn what_is_wrong_with_a_root_volume_is_refused() {
    let world = World::new().await;
    let (host, _, image) = world.furnished().await;
    let refused = async |request| reason(world.create_root(request).await.unwrap_err());
    assert_eq!(refused(world.root(host, image, IMAGE_BYTES - 1)).await, "VOLUME_TOO_SMALL");
    assert_eq!(refused(world.root(host, image, -1)).await, "INVALID_FIELD");
    assert_eq!(refused(world.root(host, Uuid::new_v4(), 0)).await, "NOT_FOUND");
    assert_eq!(refused(world.root(Uuid::new_v4(), image, 0)).await, "NOT_FOUND");
    assert_eq!(refused(world.root(host, image, 21 * GIB)).await, "NO_STORAGE_ROOM");
    let foreign = world.volumes().create_root_volume(world.other.request(world.root(host, image, 0))).await;
    assert_eq!(reason(foreign.unwrap_err()), "NOT_FOUND");
    let waiting = world.done(world.create_image(world.user, world.image("upload")).await).await;
    assert_eq!(refused(world.root(host, waiting, 0)).await, "IMAGE_NOT_READY");
    world.execute(Sql::new("UPDATE primary_storage SET state = 'DISABLED'")).await;
    assert_eq!(refused(world.root(host, image, 0)).await, "NO_PRIMARY_STORAGE");
    check_clean(&world).await;
}

#[tokio::test]
async fn a_volume_is_destroyed_whatever_it_is() {
    let world = World::new().await;
    let (host, _, image) = world.furnished().await;
    // not there
    world.done(world.destroy(Uuid::new_v4()).await).await;
    // being made: it waits for its turn
    let gate = world.host.hold("create-volume");
    let making = world.create_root(world.root(host, image, GIB)).await;
    let uuid = parse_uuid(&making.as_ref().expect("an operation").get_ref().resource_uuid).expect("a volume");
    let destroying = world.destroy(uuid).await;
    gate.add_permits(1);
    world.done(making).await;
    world.done(destroying).await;
    check_clean(&world).await;
    world.done(world.destroy(uuid).await).await;
}

#[tokio::test]
async fn a_deletion_by_force_goes_on_past_a_host_that_is_away_and_owes_the_file() {
    let world = World::new().await;
    let (host, _, _) = world.furnished().await;
    let uuid = world.done(world.create_volume(host, GIB).await).await;
    let files = world.host.files();
    let delete = |force| DeleteVolumeRequest { uuid: uuid.to_string(), force, expunge: true, ..Default::default() };
    world.set_connected(host, false).await;
    let failed = world.failed(world.volumes().delete_volume(world.user.request(delete(false))).await).await;
    assert_eq!(failed.reason(), "HOST_NOT_CONNECTED");
    world.done(world.volumes().delete_volume(world.user.request(delete(true))).await).await;
    assert_eq!(world.count(ROWS).await, 0);
    let owed = "SELECT COUNT(*) FROM debt WHERE workflow = 'sweep-volume' AND reason = 'HOST_NOT_CONNECTED'";
    world.wait_for("the debt", owed, 1).await;
    assert_eq!(world.host.files(), files);
    world.set_connected(host, true).await;
    world.wait_for("the debt to be paid", "SELECT COUNT(*) FROM debt", 0).await;
    check_clean(&world).await;
}

#[tokio::test]
async fn a_destroy_that_failed_can_be_asked_for_again() {
    let world = World::new().await;
    let (host, _, image) = world.furnished().await;
    let request = world.root(host, image, GIB);
    let uuid = world.done(world.create_root(request.clone()).await).await;
    let state = async || world.find::<Volume>(uuid).await.map(|volume| volume.state());
    world.set_connected(host, false).await;
    let failed = world.failed(world.destroy(uuid).await).await;
    assert_eq!((failed.kind(), failed.reason()), (Kind::Unavailable, "HOST_NOT_CONNECTED"));
    assert_eq!((state().await, world.count(USED).await), (Some(VolumeState::Ready), GIB));
    world.set_connected(host, true).await;
    world.host.fail("delete-volume", Fault::Vanish);
    let failed = world.failed(world.destroy(uuid).await).await;
    assert_eq!(failed.reason(), "HOST_NOT_CONNECTED");
    // the file may be gone: the room is kept, and nobody gets the volume
    assert_eq!((state().await, world.count(USED).await), (Some(VolumeState::Deleting), GIB));
    world.set_connected(host, true).await;
    assert_eq!(reason(world.create_root(request).await.unwrap_err()), "VOLUME_BEING_DELETED");
    world.done(world.destroy(uuid).await).await;
    check_clean(&world).await;
}

#[tokio::test]
async fn an_ended_service_takes_no_more_work() {
    let world = World::new().await;
    let (host, _, _) = world.furnished().await;
    use gyre_flow::process::Service as _;
    world.service.shutdown(std::time::Duration::from_secs(5)).await;
    assert_eq!(reason(world.create_volume(host, GIB).await.unwrap_err()), "SHUTTING_DOWN");
    check_clean(&world).await;
}
