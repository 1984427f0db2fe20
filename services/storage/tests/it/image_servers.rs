//! Image servers.

use gyre_model::Uuid;
use gyre_proto::storage::v1::{DeleteImageRequest, DeleteImageServerRequest, ImageServer, UpdateImageServerRequest};

use crate::fake_host::{AVAILABLE, Fault, TOTAL};
use crate::world::{World, reason};

const ROWS: &str = "SELECT COUNT(*) FROM image_server";

async fn delete(
    world: &World,
    uuid: Uuid,
) -> Result<tonic::Response<gyre_proto::common::v1::Operation>, tonic::Status> {
    let request = DeleteImageServerRequest { uuid: uuid.to_string(), ..Default::default() };
    world.servers().delete_image_server(world.admin.request(request)).await
}

#[tokio::test]
async fn its_folder_is_prepared_and_measured() {
    let world = World::new().await;
    let host = world.add_host("host-1").await;
    let uuid = world.done(world.create_server(host, "/images/").await).await;
    let server: ImageServer = world.find(uuid).await.expect("it is there");
    assert_eq!((server.total_bytes, server.available_bytes, server.path.as_str()), (TOTAL, AVAILABLE, "/images"));
    assert_eq!(reason(world.create_server(host, "/images").await.unwrap_err()), "PATH_IN_USE");
    assert_eq!(reason(world.create_server(Uuid::new_v4(), "/images").await.unwrap_err()), "NOT_FOUND");

    // an image takes room, which is measured again
    world.host.set_available("/images", 5);
    let image = world.done(world.create_image(world.user, world.image("https://example.org/a")).await).await;
    assert_eq!(world.find::<ImageServer>(uuid).await.expect("it is there").available_bytes, 5);

    let patch = ImageServer { uuid: uuid.to_string(), name: "new".into(), ..ImageServer::default() };
    let request = UpdateImageServerRequest { image_server: Some(patch), ..UpdateImageServerRequest::default() };
    let changed = world.servers().update_image_server(world.admin.request(request)).await.expect("a change");
    assert_eq!(changed.into_inner().name, "new");

    assert_eq!(reason(delete(&world, uuid).await.unwrap_err()), "NEEDS_CASCADE");
    let request = DeleteImageRequest { uuid: image.to_string(), expunge: true, ..Default::default() };
    world.done(world.images().delete_image(world.user.request(request)).await).await;
    world.done(delete(&world, uuid).await).await;
    assert_eq!(world.count(ROWS).await, 0);
}

#[tokio::test]
async fn a_folder_that_cannot_be_prepared_leaves_nothing() {
    let world = World::new().await;
    let host = world.add_host("host-1").await;
    world.host.fail("prepare-storage", Fault::Refuse("DISK_FULL"));
    assert_eq!(world.failed(world.create_server(host, "/images").await).await.reason(), "DISK_FULL");
    world.set_connected(host, false).await;
    let error = world.failed(world.create_server(host, "/images").await).await;
    assert_eq!(error.reason(), "HOST_NOT_CONNECTED");
    assert!(error.message().contains("host-1"), "{error}");
    assert_eq!(world.count(ROWS).await, 0);
}
