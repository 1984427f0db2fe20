//! Streams from the caller: routed by their first message.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests too")]

mod support;

use std::sync::Arc;

use gyre_mesh::member::Member;
use gyre_mesh::serve::layered;
use gyre_model::{Caller, Uuid};
use gyre_proto::common::v1::Operation;
use gyre_proto::storage::v1::image_service_client::ImageServiceClient;
use gyre_proto::storage::v1::image_service_server::{ImageService, ImageServiceServer};
use gyre_proto::storage::v1::{
    CreateImageRequest, DeleteImageRequest, ExpungeImageRequest, GetImageRequest, Image, ListImagesRequest,
    ListImagesResponse, RecoverImageRequest, SweepImageRequest, UpdateImageRequest, UploadImageRequest,
};
use parking_lot::Mutex;
use support::{Node, owned_by, retries};
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

const STORAGE: &str = "storage";

#[derive(Clone)]
struct Images {
    instance: Uuid,
    bytes: Arc<Mutex<Vec<(Uuid, usize)>>>,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ImageService for Images {
    async fn upload_image(&self, request: Request<Streaming<UploadImageRequest>>) -> Answer<Operation> {
        gyre_mesh::serve::caller(&request)?;
        let mut stream = request.into_inner();
        let mut read = 0;
        let mut uuid = String::new();
        while let Some(part) = stream.message().await? {
            read += part.data.len();
            if uuid.is_empty() {
                uuid = part.uuid;
            }
        }
        self.bytes.lock().push((self.instance, read));
        Ok(Response::new(Operation { resource_uuid: uuid, ..Operation::default() }))
    }

    async fn create_image(&self, _: Request<CreateImageRequest>) -> Answer<Operation> {
        Err(Status::unimplemented(""))
    }

    async fn get_image(&self, _: Request<GetImageRequest>) -> Answer<Image> {
        Err(Status::unimplemented(""))
    }

    async fn list_images(&self, _: Request<ListImagesRequest>) -> Answer<ListImagesResponse> {
        Err(Status::unimplemented(""))
    }

    async fn update_image(&self, _: Request<UpdateImageRequest>) -> Answer<Image> {
        Err(Status::unimplemented(""))
    }

    async fn delete_image(&self, _: Request<DeleteImageRequest>) -> Answer<Operation> {
        Err(Status::unimplemented(""))
    }

    async fn recover_image(&self, _: Request<RecoverImageRequest>) -> Answer<Operation> {
        Err(Status::unimplemented(""))
    }

    async fn expunge_image(&self, _: Request<ExpungeImageRequest>) -> Answer<Operation> {
        Err(Status::unimplemented(""))
    }

    async fn sweep_image(&self, _: Request<SweepImageRequest>) -> Answer<Operation> {
        Err(Status::unimplemented(""))
    }
}

async fn node(bytes: &Arc<Mutex<Vec<(Uuid, usize)>>>) -> (Node, Member) {
    use gyre_mesh::serve::{Limits, Listener};
    let node = Node::client(None);
    let images = Images { instance: node.mesh.instance(), bytes: bytes.clone() };
    let service = layered(Routes::new(ImageServiceServer::new(images)), &node.mesh, STORAGE);
    node.mesh.serve_local(STORAGE, service.clone());
    let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::bind(loopback, None, Limits::default()).await.unwrap();
    let member = Member::new(node.mesh.instance(), STORAGE, listener.address().to_string());
    tokio::spawn(listener.serve(service, node.stop.clone(), node.cut.clone()));
    (node, member)
}

#[tokio::test]
async fn an_upload_reaches_the_owner_whole() {
    let bytes = Arc::default();
    let ((a, a_member), (b, b_member)) = (node(&bytes).await, node(&bytes).await);
    let client = Node::client(None);
    let members = vec![a_member.clone(), b_member.clone()];
    for node in [&a, &b, &client] {
        node.membership.set(1, members.clone());
    }
    for (node, owner) in [(&client, &a_member), (&client, &b_member), (&a, &a_member), (&a, &b_member)] {
        let image = owned_by(owner, &members).to_string();
        let first = UploadImageRequest { uuid: image.clone(), data: vec![1; 1000].into() };
        let rest = (0..40).map(|_| UploadImageRequest { uuid: String::new(), data: vec![2; 1 << 18].into() });
        let parts: Vec<_> = std::iter::once(first).chain(rest).collect();
        let channel = node.mesh.channel(STORAGE).on_behalf_of(Caller::system());
        let answer = ImageServiceClient::new(channel).upload_image(tokio_stream::iter(parts)).await.unwrap();
        assert_eq!(answer.into_inner().resource_uuid, image);
        assert_eq!(bytes.lock().pop(), Some((owner.uuid, 1000 + (40 << 18))));
    }
    assert_eq!(retries("not_owner"), 0);
}

#[tokio::test]
async fn an_upload_that_nobody_can_route_is_refused_before_it_is_read() {
    let bytes = Arc::default();
    let (a, member) = node(&bytes).await;
    a.membership.set(1, vec![member]);
    let channel = a.mesh.channel(STORAGE);
    let part = UploadImageRequest { uuid: Uuid::new_v4().to_string(), data: vec![1; 10].into() };
    let error = ImageServiceClient::new(channel).upload_image(tokio_stream::iter([part])).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::Unauthenticated);
    assert!(bytes.lock().is_empty());
}
