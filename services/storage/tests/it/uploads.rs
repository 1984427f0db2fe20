//! Images that are sent.

use gyre_model::{Caller, Uuid};
use gyre_proto::common::v1::Operation;
use gyre_proto::storage::v1::{DeleteImageRequest, Image, ImageState, UploadImageRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use crate::fake_host::{Fault, SHA256};
use crate::world::{World, reason};

async fn waiting(world: &World) -> (Uuid, Uuid) {
    let host = world.add_host("host-1").await;
    world.done(world.create_server(host, "/images").await).await;
    (host, next(world).await)
}

async fn next(world: &World) -> Uuid {
    let image = Image { sha256: SHA256.into(), ..world.image("upload") };
    let uuid = world.done(world.create_image(world.user, image).await).await;
    assert_eq!(state(world, uuid).await, Some(ImageState::Uploading));
    uuid
}

async fn state(world: &World, uuid: Uuid) -> Option<ImageState> {
    world.find::<Image>(uuid).await.map(|image| image.state())
}

fn piece(uuid: Option<Uuid>, data: impl Into<Vec<u8>>) -> UploadImageRequest {
    let uuid = uuid.map(|uuid| uuid.to_string()).unwrap_or_default();
    UploadImageRequest { uuid, data: data.into().into() }
}

async fn send(world: &World, caller: Caller, pieces: Vec<UploadImageRequest>) -> Result<Response<Operation>, Status> {
    world.images().upload_image(caller.request(tokio_stream::iter(pieces))).await
}

#[tokio::test]
async fn an_upload_is_relayed_checked_and_kept() {
    let world = World::new().await;
    let (host, uuid) = waiting(&world).await;
    let gate = world.host.hold("finish-upload");
    let pieces = vec![piece(Some(uuid), *b"one "), piece(None, *b"two "), piece(None, *b"three")];
    let answer = send(&world, world.user, pieces).await;
    assert_eq!(world.host.uploaded(uuid).as_deref(), Some(b"one two three".as_slice()));
    // it is being checked: neither sent nor kept twice
    let again = send(&world, world.user, vec![piece(Some(uuid), *b"again")]).await;
    assert_eq!(reason(again.unwrap_err()), "IMAGE_NOT_UPLOADING");
    gate.add_permits(1);
    world.done(answer).await;
    let image: Image = world.find(uuid).await.expect("it is there");
    assert_eq!((image.state(), image.sha256.as_str()), (ImageState::Ready, SHA256));
    assert_eq!(world.host.files(), [format!("{host}:/images/{uuid}")]);
}

#[tokio::test]
async fn who_may_not_or_sends_nonsense_is_refused() {
    let world = World::new().await;
    let (_, uuid) = waiting(&world).await;
    let refused = async |caller, pieces| reason(send(&world, caller, pieces).await.unwrap_err());
    assert_eq!(refused(world.other, vec![piece(Some(uuid), *b"x")]).await, "NOT_FOUND");
    assert_eq!(refused(world.user, vec![piece(Some(Uuid::new_v4()), *b"x")]).await, "NOT_FOUND");
    let large = vec![piece(Some(uuid), *b"x"), piece(None, vec![0; (1 << 20) + 1])];
    assert_eq!(refused(world.user, large).await, "INVALID_FIELD");
    assert_eq!(world.host.uploaded(uuid), None);
    assert_eq!(state(&world, uuid).await, Some(ImageState::Uploading));
}

#[tokio::test]
async fn an_upload_that_is_not_what_it_claims_leaves_nothing() {
    let world = World::new().await;
    let (_, uuid) = waiting(&world).await;
    let failed = world.failed(send(&world, world.user, vec![piece(Some(uuid), *b"garbage")]).await).await;
    assert_eq!(failed.reason(), "IMAGE_FORMAT_WRONG");
    assert_eq!((state(&world, uuid).await, world.host.uploaded(uuid)), (None, None));
    let uuid = next(&world).await;
    world.host.fail("finish-upload", Fault::Spoil("DISK_FULL"));
    let failed = world.failed(send(&world, world.user, vec![piece(Some(uuid), *b"x")]).await).await;
    assert_eq!(failed.reason(), "DISK_FULL");
    assert_eq!((state(&world, uuid).await, world.host.files().len()), (None, 0));
}

#[tokio::test]
async fn an_upload_that_breaks_off_breaks_off_on_the_host_too() {
    let world = World::new().await;
    let (_, uuid) = waiting(&world).await;
    let (out, pieces) = mpsc::channel(4);
    let (mut images, request) = (world.images(), world.user.request(ReceiverStream::new(pieces)));
    let sending = tokio::spawn(async move { images.upload_image(request).await });
    out.send(piece(Some(uuid), *b"one")).await.expect("taken");
    world.host.upload_begun().await;
    let second = send(&world, world.user, vec![piece(Some(uuid), *b"x")]).await;
    assert_eq!(reason(second.unwrap_err()), "IMAGE_UPLOAD_RUNNING");
    let request = DeleteImageRequest { uuid: uuid.to_string(), ..Default::default() };
    let deletion = world.images().delete_image(world.user.request(request)).await;
    assert_eq!(reason(deletion.unwrap_err()), "IMAGE_UPLOAD_RUNNING");

    sending.abort();
    assert!(sending.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!((world.host.broken_uploads(), world.host.uploaded(uuid)), (1, None));
    world.done(send(&world, world.user, vec![piece(Some(uuid), *b"whole")]).await).await;
    assert_eq!(state(&world, uuid).await, Some(ImageState::Ready));
}

#[tokio::test]
async fn a_host_that_went_away_leaves_the_image_waiting() {
    let world = World::new().await;
    let (host, uuid) = waiting(&world).await;
    world.set_status(host, false).await;
    let failed = world.failed(send(&world, world.user, vec![piece(Some(uuid), *b"x")]).await).await;
    assert_eq!(failed.reason(), "HOST_NOT_CONNECTED");
    assert_eq!(state(&world, uuid).await, Some(ImageState::Uploading));
    let request = DeleteImageRequest { uuid: uuid.to_string(), ..Default::default() };
    world.set_status(host, true).await;
    world.done(world.images().delete_image(world.user.request(request)).await).await;
    assert_eq!((state(&world, uuid).await, world.host.uploaded(uuid)), (None, None));
}
