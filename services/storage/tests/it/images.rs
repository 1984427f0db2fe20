//! Images that are fetched.

use gyre_model::{Caller, Kind, Uuid};
use gyre_proto::common::v1::Operation;
use gyre_proto::storage::v1::{
    DeleteImageRequest, GetImageRequest, Image, ImageState, ListImagesRequest, UpdateImageRequest, Volume,
};
use tonic::{Response, Status};

use crate::fake_host::{Fault, IMAGE_BYTES, SHA256};
use crate::world::{World, reason};

const ROWS: &str = "SELECT COUNT(*) FROM image";
const URL: &str = "https://example.org/a.qcow2";

async fn delete(world: &World, caller: Caller, uuid: Uuid) -> Result<Response<Operation>, Status> {
    let request = DeleteImageRequest { uuid: uuid.to_string(), expunge: true, ..Default::default() };
    world.images().delete_image(caller.request(request)).await
}

async fn update(world: &World, caller: Caller, image: Image) -> Result<Response<Image>, Status> {
    let request = UpdateImageRequest { image: Some(image), ..UpdateImageRequest::default() };
    world.images().update_image(caller.request(request)).await
}

#[tokio::test]
async fn an_image_is_fetched_and_kept_and_deleted() {
    let world = World::new().await;
    let host = world.add_host("host-1").await;
    world.done(world.create_server(host, "/images").await).await;
    let asked = Image { sha256: SHA256.to_uppercase(), size_bytes: 7, ..world.image(URL) };
    let uuid = world.done(world.create_image(world.user, asked).await).await;
    let image: Image = world.find(uuid).await.expect("it is there");
    assert_eq!(image.state(), ImageState::Ready);
    assert_eq!((image.size_bytes, image.file_bytes, image.sha256.as_str()), (IMAGE_BYTES, 1 << 20, SHA256));
    assert_eq!(image.account_uuid, world.user.account_uuid.to_string());
    assert_eq!(world.host.files(), [format!("{host}:/images/{uuid}")]);

    // another account does not see it until it is shared, and then may only look
    let request = GetImageRequest { uuid: uuid.to_string() };
    let seen = world.images().get_image(world.other.request(request.clone())).await;
    assert_eq!(reason(seen.unwrap_err()), "NOT_FOUND");
    assert_eq!(reason(delete(&world, world.other, uuid).await.unwrap_err()), "NOT_FOUND");
    let patch = |image: Image| Image { uuid: uuid.to_string(), ..image };
    let shared = patch(Image { shared: true, ..Image::default() });
    assert_eq!(reason(update(&world, world.user, shared.clone()).await.unwrap_err()), "SHARED_BY_ADMIN_ONLY");
    update(&world, world.admin, shared).await.expect("an administrator may share");
    world.images().get_image(world.other.request(request)).await.expect("seen now");
    let listed = world.images().list_images(world.other.request(ListImagesRequest::default())).await.expect("a list");
    assert_eq!(listed.into_inner().images.len(), 1);
    let named = patch(Image { name: "mine".into(), ..Image::default() });
    assert_eq!(reason(update(&world, world.other, named.clone()).await.unwrap_err()), "IMAGE_NOT_YOURS");
    assert_eq!(reason(delete(&world, world.other, uuid).await.unwrap_err()), "IMAGE_NOT_YOURS");
    assert_eq!(update(&world, world.user, named).await.expect("its owner may").into_inner().name, "mine");

    world.done(delete(&world, world.user, uuid).await).await;
    assert!(world.find::<Image>(uuid).await.is_none() && world.host.files().is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_an_image_is_refused() {
    let world = World::new().await;
    let refused = async |caller, image| reason(world.create_image(caller, image).await.unwrap_err());
    assert_eq!(refused(world.user, world.image(URL)).await, "NO_IMAGE_SERVER");
    let host = world.add_host("host-1").await;
    let server = world.done(world.create_server(host, "/images").await).await;
    for sha256 in ["abc".to_owned(), "g".repeat(64), "0".repeat(63), "0".repeat(65)] {
        let status = world.create_image(world.user, Image { sha256, ..world.image(URL) }).await.unwrap_err();
        let error = gyre_model::Error::from(status);
        assert_eq!(error.violations()[0].field, "image.sha256");
    }
    assert_eq!(refused(world.user, Image { shared: true, ..world.image(URL) }).await, "SHARED_BY_ADMIN_ONLY");
    assert_eq!(refused(world.user, Image { format: 0, ..world.image(URL) }).await, "INVALID_FIELD");
    assert_eq!(refused(world.user, world.image("ftp://example.org/a")).await, "INVALID_FIELD");
    let elsewhere = Image { image_server_uuid: Uuid::new_v4().to_string(), ..world.image(URL) };
    assert_eq!(refused(world.user, elsewhere).await, "NOT_FOUND");
    world.execute(gyre_store::Sql::new("UPDATE image_server SET total_bytes = 0")).await;
    let unprepared = Image { image_server_uuid: server.to_string(), ..world.image(URL) };
    assert_eq!(refused(world.user, unprepared).await, "IMAGE_SERVER_NOT_READY");
    assert_eq!(refused(world.user, world.image(URL)).await, "NO_IMAGE_SERVER");
    assert_eq!(world.count(ROWS).await, 0);
}

#[tokio::test]
async fn an_image_that_cannot_be_had_leaves_nothing() {
    let world = World::new().await;
    let host = world.add_host("host-1").await;
    world.done(world.create_server(host, "/images").await).await;
    let wrong = Image { sha256: "1".repeat(64), ..world.image(URL) };
    assert_eq!(world.failed(world.create_image(world.user, wrong).await).await.reason(), "IMAGE_CHECKSUM_MISMATCH");
    world.host.fail("import-image", Fault::Spoil("IMAGE_FETCH_FAILED"));
    let failed = world.failed(world.create_image(world.user, world.image(URL)).await).await;
    assert_eq!(failed.reason(), "IMAGE_FETCH_FAILED");
    assert_eq!(world.host.tasks("delete-image").len(), 2);
    world.set_connected(host, false).await;
    let failed = world.failed(world.create_image(world.user, world.image(URL)).await).await;
    assert_eq!((failed.kind(), failed.reason()), (Kind::Unavailable, "HOST_NOT_CONNECTED"));
    assert_eq!(world.host.tasks("delete-image").len(), 2, "a host that was not asked has nothing to delete");
    assert_eq!(world.count(ROWS).await, 0);
    assert!(world.host.files().is_empty());
}

#[tokio::test]
async fn the_image_server_with_most_room_is_chosen() {
    let world = World::new().await;
    let hosts = [world.add_host("host-1").await, world.add_host("host-2").await, world.add_host("host-3").await];
    for (host, (path, bytes)) in hosts.iter().zip([("/a", 10), ("/b", 30), ("/c", 40)]) {
        world.host.set_available(path, bytes);
        world.done(world.create_server(*host, path).await).await;
    }
    // the emptiest cannot be reached
    world.set_connected(hosts[2], false).await;
    let uuid = world.done(world.create_image(world.user, world.image(URL)).await).await;
    assert_eq!(world.host.files(), [format!("{}:/b/{uuid}", hosts[1])]);
}

#[tokio::test]
async fn an_image_stays_while_a_volume_is_made_from_it() {
    let world = World::new().await;
    let (host, _, image) = world.furnished().await;
    let gate = world.host.hold("create-volume");
    let making = world.create_root(world.root(host, image, 0)).await;
    let volume =
        gyre_model::parse_uuid(&making.as_ref().expect("an operation").get_ref().resource_uuid).expect("a volume");
    assert_eq!(reason(delete(&world, world.user, image).await.unwrap_err()), "IMAGE_IN_USE");
    gate.add_permits(1);
    world.done(making).await;
    world.done(delete(&world, world.user, image).await).await;
    let volume: Volume = world.find(volume).await.expect("it stays");
    assert!(volume.image_uuid.is_empty() && !volume.path.is_empty());
}

#[tokio::test]
async fn a_delete_that_failed_can_be_asked_for_again() {
    let world = World::new().await;
    let (host, _, image) = world.furnished().await;
    let state = async || world.find::<Image>(image).await.map(|image| image.state());
    // not asked, or refused for certain: the image is as it was
    world.set_connected(host, false).await;
    let failed = world.failed(delete(&world, world.user, image).await).await;
    assert_eq!((failed.reason(), state().await), ("HOST_NOT_CONNECTED", Some(ImageState::Ready)));
    world.set_connected(host, true).await;
    world.host.fail("delete-image", Fault::Refuse("HOST_PERMISSION_DENIED"));
    let failed = world.failed(delete(&world, world.user, image).await).await;
    assert_eq!((failed.reason(), state().await), ("HOST_PERMISSION_DENIED", Some(ImageState::Ready)));
    // the file may be gone: nobody starts from it any more
    world.host.fail("delete-image", Fault::Vanish);
    let failed = world.failed(delete(&world, world.user, image).await).await;
    assert_eq!((failed.reason(), state().await), ("HOST_NOT_CONNECTED", Some(ImageState::Deleting)));
    world.set_connected(host, true).await;
    assert_eq!(reason(world.create_root(world.root(host, image, 0)).await.unwrap_err()), "IMAGE_NOT_READY");
    world.done(delete(&world, world.user, image).await).await;
    assert_eq!(state().await, None);
}
