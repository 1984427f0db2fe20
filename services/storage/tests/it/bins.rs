//! The bins of volumes and images: in, out, and gone for good.

use std::time::Duration;

use gyre_model::{Caller, Uuid};
use gyre_proto::common::v1::Operation;
use gyre_proto::storage::v1::{
    DeleteImageRequest, DeleteVolumeRequest, ExpungeImageRequest, ExpungeVolumeRequest, Image, ImageState,
    RecoverImageRequest, RecoverVolumeRequest, Volume, VolumeState, VolumeType,
};
use gyre_query::settings::Wish;
use gyre_query::{Change, settings};
use gyre_storage::Config;
use tonic::{Response, Status};

use crate::fake_host::Fault;
use crate::world::{GIB, World, reason};

const USED: &str = "SELECT COALESCE(SUM(used_bytes), 0) FROM primary_storage";

type Answer = Result<Response<Operation>, Status>;

async fn delete_volume(world: &World, uuid: Uuid, request_id: &str) -> Answer {
    let (uuid, request_id) = (uuid.to_string(), request_id.to_owned());
    let request = DeleteVolumeRequest { uuid, request_id, ..Default::default() };
    world.volumes().delete_volume(world.user.request(request)).await
}

async fn recover_volume(world: &World, uuid: Uuid) -> Answer {
    let request = RecoverVolumeRequest { uuid: uuid.to_string(), ..Default::default() };
    world.volumes().recover_volume(world.user.request(request)).await
}

async fn expunge_volume(world: &World, uuid: Uuid) -> Answer {
    let request = ExpungeVolumeRequest { uuid: uuid.to_string(), ..Default::default() };
    world.volumes().expunge_volume(world.user.request(request)).await
}

async fn delete_image(world: &World, caller: Caller, uuid: Uuid) -> Answer {
    let request = DeleteImageRequest { uuid: uuid.to_string(), ..Default::default() };
    world.images().delete_image(caller.request(request)).await
}

async fn recover_image(world: &World, caller: Caller, uuid: Uuid) -> Answer {
    let request = RecoverImageRequest { uuid: uuid.to_string(), ..Default::default() };
    world.images().recover_image(caller.request(request)).await
}

async fn set(world: &World, name: &'static str, value: &'static str) {
    let wish = Wish { name, kind: "", uuid: "" };
    let write = move |conn: &mut _| settings::set(conn, &Change::by(Caller::system()), &wish, value).map(drop);
    world.store.write("given", write).await.expect("a setting");
}

#[tokio::test]
async fn a_volume_in_the_bin_keeps_all_that_it_has_and_comes_back_as_it_was() {
    let world = World::new().await;
    let (host, _, _) = world.furnished().await;
    let uuid = world.done(world.create_volume(host, GIB).await).await;
    let before: Volume = world.find(uuid).await.expect("it is there");
    let files = world.host.files();

    assert_eq!(reason(recover_volume(&world, uuid).await.unwrap_err()), "WRONG_STATE");
    assert_eq!(reason(expunge_volume(&world, uuid).await.unwrap_err()), "WRONG_STATE");
    world.done(delete_volume(&world, uuid, "wish").await).await;
    let binned: Volume = world.find(uuid).await.expect("it stays");
    assert!(binned.state() == VolumeState::Destroyed && binned.destroy_time.is_some());
    assert_eq!((world.count(USED).await, world.host.files()), (GIB, files.clone()));
    world.check_room().await;
    let again = delete_volume(&world, uuid, "").await.unwrap_err();
    assert!(again.message().contains("recover it, or say expunge"), "{again:?}");

    world.done(recover_volume(&world, uuid).await).await;
    let after: Volume = world.find(uuid).await.expect("it is back");
    let same = |volume: Volume| Volume { generation: 0, update_time: None, ..volume };
    assert_eq!(same(after), same(before));
    assert_eq!(world.host.files(), files);

    world.done(delete_volume(&world, uuid, "").await).await;
    world.done(expunge_volume(&world, uuid).await).await;
    assert!(world.find::<Volume>(uuid).await.is_none());
    assert_eq!(world.count(USED).await, 0);
    assert!(world.host.files().iter().all(|file| !file.ends_with(".qcow2")), "{:?}", world.host.files());
    // the first deletion, said again: it is what it was, although nothing is there any more that could go into the bin
    set(&world, "volume.bin-delay", "0s").await;
    assert_eq!(world.done(delete_volume(&world, uuid, "wish").await).await, uuid);
    assert_eq!(reason(delete_volume(&world, uuid, "").await.unwrap_err()), "NOT_FOUND");
}

#[tokio::test]
async fn without_a_bin_a_deletion_is_for_good() {
    let world = World::new().await;
    let (host, _, image) = world.furnished().await;
    set(&world, "volume.bin-delay", "0s").await;
    set(&world, "image.bin-delay", "0s").await;
    let uuid = world.done(world.create_volume(host, GIB).await).await;
    world.done(delete_volume(&world, uuid, "").await).await;
    world.done(delete_image(&world, world.user, image).await).await;
    assert!(world.find::<Volume>(uuid).await.is_none() && world.find::<Image>(image).await.is_none());
    assert_eq!((world.count(USED).await, world.host.files().len()), (0, 0));
}

#[tokio::test]
async fn what_waits_for_its_turn_goes_into_the_bin_when_that_comes() {
    let world = World::new().await;
    let (host, _, _) = world.furnished().await;
    let gate = world.host.hold("create-volume");
    let making = world.create_volume(host, GIB).await;
    let uuid = gyre_model::parse_uuid(&making.as_ref().expect("an operation").get_ref().resource_uuid).expect("uuid");
    let binning = delete_volume(&world, uuid, "").await;
    let recovering = recover_volume(&world, uuid).await;
    gate.add_permits(1);
    world.done(making).await;
    world.done(binning).await;
    world.done(recovering).await;
    assert_eq!(world.find::<Volume>(uuid).await.map(|volume| volume.state()), Some(VolumeState::Ready));
}

#[tokio::test]
async fn nothing_new_starts_from_an_image_in_the_bin() {
    let world = World::new().await;
    let (host, _, image) = world.furnished().await;
    let root = world.done(world.create_root(world.root(host, image, 0)).await).await;
    // one that is being made from it goes on: its file stays
    let gate = world.host.hold("create-volume");
    let making = world.create_root(world.root(host, image, 0)).await;
    world.done(delete_image(&world, world.user, image).await).await;
    gate.add_permits(2);
    let second = world.done(making).await;
    for volume in [root, second] {
        let volume: Volume = world.find(volume).await.expect("it is there");
        assert_eq!((volume.state(), volume.r#type()), (VolumeState::Ready, VolumeType::Root));
        assert_eq!(volume.image_uuid, image.to_string());
    }
    let refused = gyre_model::Error::from(world.create_root(world.root(host, image, 0)).await.unwrap_err());
    assert!(refused.reason() == "IN_BIN" && refused.message().ends_with("recover it first"), "{refused}");
    assert_eq!(world.host.files().iter().filter(|file| file.ends_with(&image.to_string())).count(), 1);

    // it is its owner's to recover, also when others may see it
    world.execute(gyre_store::Sql::new("UPDATE image SET shared = ").bind(true)).await;
    assert_eq!(reason(recover_image(&world, world.other, image).await.unwrap_err()), "IMAGE_NOT_YOURS");
    let request = ExpungeImageRequest { uuid: image.to_string(), ..Default::default() };
    let foreign = world.images().expunge_image(world.other.request(request)).await;
    assert_eq!(reason(foreign.unwrap_err()), "IMAGE_NOT_YOURS");
    world.done(recover_image(&world, world.user, image).await).await;
    world.done(world.create_root(world.root(host, image, 0)).await).await;
}

#[tokio::test]
async fn an_image_that_waits_for_its_upload_has_nothing_to_recover() {
    let world = World::new().await;
    world.furnished().await;
    let waiting = world.done(world.create_image(world.user, world.image("upload")).await).await;
    world.done(delete_image(&world, world.user, waiting).await).await;
    assert!(world.find::<Image>(waiting).await.is_none());
}

#[tokio::test]
async fn an_expunge_that_failed_leaves_it_in_the_bin() {
    let world = World::new().await;
    let (host, _, image) = world.furnished().await;
    let volume = world.done(world.create_volume(host, GIB).await).await;
    world.done(delete_volume(&world, volume, "").await).await;
    world.done(delete_image(&world, world.user, image).await).await;
    world.set_connected(host, false).await;
    let failed = world.failed(expunge_volume(&world, volume).await).await;
    assert_eq!(failed.reason(), "HOST_NOT_CONNECTED");
    let request = ExpungeImageRequest { uuid: image.to_string(), ..Default::default() };
    let failed = world.failed(world.images().expunge_image(world.user.request(request)).await).await;
    assert_eq!(failed.reason(), "HOST_NOT_CONNECTED");
    let row: Volume = world.find(volume).await.expect("it stays");
    assert!(row.state() == VolumeState::Destroyed && row.destroy_time.is_some());
    assert_eq!(world.find::<Image>(image).await.map(|image| image.state()), Some(ImageState::Destroyed));
    world.set_connected(host, true).await;
    world.done(recover_volume(&world, volume).await).await;
    // half deleted: it cannot be recovered any more, and is deleted when that is said again
    world.host.fail("delete-image", Fault::Vanish);
    let request = ExpungeImageRequest { uuid: image.to_string(), ..Default::default() };
    world.failed(world.images().expunge_image(world.user.request(request)).await).await;
    world.set_connected(host, true).await;
    assert_eq!(reason(recover_image(&world, world.user, image).await.unwrap_err()), "WRONG_STATE");
    world.done(delete_image(&world, world.user, image).await).await;
    assert!(world.find::<Image>(image).await.is_none());
}

#[tokio::test]
async fn bins_are_emptied_when_the_time_of_what_is_there_is_up() {
    let world = World::with(Config { bin_period: Duration::from_millis(20), ..Config::default() }).await;
    let (host, _, image) = world.furnished().await;
    let (stays, goes) = (
        world.done(world.create_volume(host, GIB).await).await,
        world.done(world.create_volume(host, GIB).await).await,
    );
    let uuid = stays.to_string();
    let write = move |conn: &mut _| {
        let wish = Wish { name: "volume.bin-delay", kind: "volume", uuid: &uuid };
        settings::set(conn, &Change::by(Caller::system()), &wish, "30d").map(drop)
    };
    world.store.write("given", write).await.expect("a setting");
    for volume in [stays, goes] {
        world.done(delete_volume(&world, volume, "").await).await;
    }
    world.done(delete_image(&world, world.user, image).await).await;
    set(&world, "volume.bin-delay", "10ms").await;
    set(&world, "image.bin-delay", "10ms").await;
    world.wait_for("the image to go", "SELECT COUNT(*) FROM image", 0).await;
    world.wait_for("one volume to go", "SELECT COUNT(*) FROM volume", 1).await;
    assert!(world.find::<Volume>(stays).await.is_some(), "the nearest setting wins");
    let by_gyre = "SELECT COUNT(*) FROM operation WHERE workflow LIKE 'expunge-%' AND state = 'SUCCEEDED'";
    assert_eq!(world.count(by_gyre).await, 2);
}
