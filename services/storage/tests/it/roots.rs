//! Root volumes that are made and deleted within the operations of their machines.

use gyre_model::{Uuid, parse_uuid};
use gyre_proto::agent::v1::task::Work;
use gyre_proto::storage::v1::{
    AllocateRootVolumeResponse, ConfirmRootVolumeRequest, CreateRootVolumeRequest, ForgetRootVolumeRequest, Volume,
    VolumeState, VolumeType,
};
use tonic::Status;

use crate::world::{GIB, World, reason};

async fn allocate(world: &World, wish: &CreateRootVolumeRequest) -> Result<AllocateRootVolumeResponse, Status> {
    let answer = world.volumes().allocate_root_volume(world.user.request(wish.clone())).await;
    answer.map(tonic::Response::into_inner)
}

async fn confirm(world: &World, wish: &CreateRootVolumeRequest, vm: &str) -> Result<(), Status> {
    let (volume_uuid, path) = (wish.volume_uuid.clone(), "/storage/here.qcow2".to_owned());
    let request = ConfirmRootVolumeRequest { volume_uuid, vm_uuid: vm.to_owned(), path };
    world.volumes().confirm_root_volume(world.user.request(request)).await.map(drop)
}

async fn forget(world: &World, wish: &CreateRootVolumeRequest) -> Result<(), Status> {
    let (volume_uuid, vm_uuid) = (wish.volume_uuid.clone(), wish.vm_uuid.clone());
    let request = ForgetRootVolumeRequest { volume_uuid, vm_uuid };
    world.volumes().forget_root_volume(world.user.request(request)).await.map(drop)
}

#[tokio::test]
async fn it_is_written_down_with_its_room_and_told_of_again() {
    let world = World::new().await;
    let (host, storage, image) = world.furnished().await;
    let wish = world.root(host, image, 2 * GIB);
    let uuid = parse_uuid(&wish.volume_uuid).expect("a UUID");
    let told = allocate(&world, &wish).await.expect("work");
    assert!(!told.by_operation && told.limit_seconds > 0 && told.path.is_empty());
    let Some(Work::CreateVolume(work)) = told.task.clone().and_then(|task| task.work) else { panic!("{told:?}") };
    assert_eq!(
        (work.volume_uuid.as_str(), work.size_bytes, work.folder.as_str()),
        (&*wish.volume_uuid, 2 * GIB, "/storage")
    );
    assert_eq!(work.image.expect("an image").image_uuid, image.to_string());
    let volume: Volume = world.find(uuid).await.expect("it is there");
    assert_eq!((volume.state(), volume.r#type()), (VolumeState::Creating, VolumeType::Root));
    assert_eq!((volume.primary_storage_uuid.as_str(), &volume.vm_uuid), (&*storage.to_string(), &wish.vm_uuid));
    assert_eq!(allocate(&world, &wish).await.expect("the same"), told, "a repeat takes nothing more");
    world.check_room().await;

    let another = confirm(&world, &wish, &Uuid::new_v4().to_string()).await;
    assert_eq!(reason(another.unwrap_err()), "VOLUME_NOT_ITS_ROOT");
    for _ in 0..2 {
        confirm(&world, &wish, &wish.vm_uuid).await.expect("again is fine");
    }
    let volume: Volume = world.find(uuid).await.expect("it is there");
    assert_eq!((volume.state(), volume.path.as_str()), (VolumeState::Ready, "/storage/here.qcow2"));
    let there = allocate(&world, &wish).await.expect("it is there");
    assert_eq!((there.task, there.path.as_str(), there.by_operation), (None, "/storage/here.qcow2", false));
    let taken = CreateRootVolumeRequest { vm_uuid: Uuid::new_v4().to_string(), ..wish.clone() };
    assert_eq!(reason(allocate(&world, &taken).await.unwrap_err()), "VOLUME_EXISTS");

    for _ in 0..2 {
        forget(&world, &wish).await.expect("again is fine");
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM volume").await, 0);
    assert_eq!(world.count("SELECT COALESCE(SUM(used_bytes), 0) FROM primary_storage").await, 0);
    world.check_room().await;
}

#[tokio::test]
async fn what_cannot_be_made_that_way_is_said_and_nothing_is_written() {
    let world = World::new().await;
    let (host, _, image) = world.furnished().await;
    let late = world.add_host("host-2").await;
    let told = allocate(&world, &world.root(late, image, 0)).await.expect("an answer");
    assert!(told.by_operation && told.task.is_none(), "its storage is to be prepared first: {told:?}");

    world.set_status(host, false).await;
    let refused = allocate(&world, &world.root(host, image, 0)).await.unwrap_err();
    assert_eq!(reason(refused), "HOST_NOT_CONNECTED");
    world.set_status(host, true).await;
    let large = allocate(&world, &world.root(host, image, 1000 * GIB)).await.unwrap_err();
    assert_eq!(reason(large), "NO_STORAGE_ROOM");

    // an operation of its own is at it
    let gate = world.host.hold("create-volume");
    let wish = world.root(host, image, 0);
    let operation = world.create_root(wish.clone()).await;
    assert!(allocate(&world, &wish).await.expect("an answer").by_operation);
    gate.add_permits(1);
    world.done(operation).await;
    assert_eq!(world.count("SELECT COUNT(*) FROM volume").await, 1);
    world.check_room().await;
}
