//! A mesh to test with: several processes in one, each with its own view, that call each other over real sockets.
#![allow(dead_code, missing_docs, reason = "each test file uses a part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gyre_mesh::member::{LocalMembership, Member};
use gyre_mesh::serve::{Limits, Listener, layered};
use gyre_mesh::tls::Identity;
use gyre_mesh::{Mesh, MeshChannel};
use gyre_model::{Caller, Uuid};
use gyre_proto::common::v1::operation_service_server::{OperationService, OperationServiceServer};
use gyre_proto::common::v1::{
    CancelOperationRequest, ExplainOperationRequest, ExplainOperationResponse, GetOperationRequest,
    ListOperationsRequest, ListOperationsResponse, Operation, RetryOperationRequest, WaitOperationRequest,
    WatchOperationRequest,
};
use gyre_proto::host::v1::zone_service_client::ZoneServiceClient;
use gyre_proto::host::v1::zone_service_server::{ZoneService, ZoneServiceServer};
use gyre_proto::host::v1::{
    CreateZoneRequest, DeleteZoneRequest, GetZoneRequest, ListZonesRequest, ListZonesResponse, UpdateZoneRequest, Zone,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

pub const HOST: &str = "host";

/// What reached a handler.
#[derive(Debug, Clone)]
pub struct Seen {
    pub instance: Uuid,
    pub call: &'static str,
    pub uuid: String,
    pub request_id: String,
    pub caller: Option<Caller>,
    pub traceparent: String,
}

/// Zones and operations that remember who asked.
#[derive(Clone)]
pub struct Fake {
    pub instance: Uuid,
    pub seen: mpsc::UnboundedSender<Seen>,
    /// A channel for calls that a handler makes itself.
    pub onward: MeshChannel,
}

impl Fake {
    fn saw<T>(&self, call: &'static str, request: &Request<T>, uuid: &str, request_id: &str) {
        let seen = Seen {
            instance: self.instance,
            call,
            uuid: uuid.to_owned(),
            request_id: request_id.to_owned(),
            caller: gyre_mesh::serve::caller_if_any(request),
            traceparent: gyre_mesh::telemetry::propagate::traceparent(),
        };
        // The test may have seen enough.
        let _ = self.seen.send(seen);
    }
}

#[tonic::async_trait]
impl ZoneService for Fake {
    async fn create_zone(&self, request: Request<CreateZoneRequest>) -> Result<Response<Zone>, Status> {
        gyre_mesh::serve::caller(&request)?;
        let message = request.get_ref();
        let zone = message.zone.clone().unwrap_or_default();
        self.saw("create", &request, &zone.uuid, &message.request_id);
        Ok(Response::new(zone))
    }

    async fn get_zone(&self, request: Request<GetZoneRequest>) -> Result<Response<Zone>, Status> {
        let uuid = request.get_ref().uuid.clone();
        self.saw("get", &request, &uuid, "");
        Ok(Response::new(Zone { uuid, name: self.instance.to_string(), ..Zone::default() }))
    }

    /// Never answers where the filter is "hang", panics where it is "panic", and asks onward where it is "onward".
    async fn list_zones(&self, request: Request<ListZonesRequest>) -> Result<Response<ListZonesResponse>, Status> {
        self.saw("list", &request, "", "");
        match request.get_ref().filter.as_str() {
            "hang" => std::future::pending().await,
            "panic" => panic!("on purpose"),
            "onward" => {
                let caller = gyre_mesh::serve::caller(&request)?;
                let hang = ListZonesRequest { filter: "hang".into(), ..Default::default() };
                ZoneServiceClient::new(self.onward.clone()).list_zones(caller.request(hang)).await
            }
            _ => Ok(Response::new(ListZonesResponse::default())),
        }
    }

    async fn update_zone(&self, _: Request<UpdateZoneRequest>) -> Result<Response<Zone>, Status> {
        Err(gyre_model::Error::unavailable("STORE_BUSY", "the store is busy").into())
    }

    async fn delete_zone(&self, request: Request<DeleteZoneRequest>) -> Result<Response<Operation>, Status> {
        let message = request.get_ref();
        self.saw("delete", &request, &message.uuid, &message.request_id);
        Ok(Response::new(Operation::default()))
    }
}

#[tonic::async_trait]
impl OperationService for Fake {
    type WatchOperationStream = UnboundedReceiverStream<Result<Operation, Status>>;

    async fn get_operation(&self, request: Request<GetOperationRequest>) -> Result<Response<Operation>, Status> {
        Ok(Response::new(Operation { uuid: request.into_inner().uuid, ..Operation::default() }))
    }

    async fn list_operations(
        &self,
        _: Request<ListOperationsRequest>,
    ) -> Result<Response<ListOperationsResponse>, Status> {
        Ok(Response::new(ListOperationsResponse::default()))
    }

    /// One operation, and then nothing more, for ever.
    async fn watch_operation(
        &self,
        request: Request<WatchOperationRequest>,
    ) -> Result<Response<Self::WatchOperationStream>, Status> {
        let uuid = request.get_ref().uuid.clone();
        self.saw("watch", &request, &uuid, "");
        let (sender, receiver) = mpsc::unbounded_channel();
        let _ = sender.send(Ok(Operation { uuid, ..Operation::default() }));
        tokio::spawn(async move { sender.closed().await });
        Ok(Response::new(UnboundedReceiverStream::new(receiver)))
    }

    async fn wait_operation(&self, _: Request<WaitOperationRequest>) -> Result<Response<Operation>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn cancel_operation(&self, _: Request<CancelOperationRequest>) -> Result<Response<Operation>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn explain_operation(
        &self,
        _: Request<ExplainOperationRequest>,
    ) -> Result<Response<ExplainOperationResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn retry_operation(&self, _: Request<RetryOperationRequest>) -> Result<Response<Operation>, Status> {
        Err(Status::unimplemented("not in this test"))
    }
}

/// A process.
pub struct Node {
    pub mesh: Mesh,
    pub membership: Arc<LocalMembership>,
    pub address: Option<SocketAddr>,
    pub stop: CancellationToken,
    pub cut: CancellationToken,
    _drop: DropGuard,
}

impl Node {
    /// A process that only calls.
    pub fn client(identity: Option<&Identity>) -> Self {
        let membership = Arc::new(LocalMembership::new());
        let mesh = Mesh::new(Uuid::new_v4(), membership.clone(), identity);
        let cut = CancellationToken::new();
        let drop = cut.clone().drop_guard();
        Self { mesh, membership, address: None, stop: CancellationToken::new(), cut, _drop: drop }
    }

    /// A process that serves zones and operations on a socket.
    pub async fn server(identity: Option<&Identity>, seen: &mpsc::UnboundedSender<Seen>) -> Self {
        let mut node = Self::client(identity);
        let routes = routes(&node.mesh, seen);
        let service = layered(routes, &node.mesh, HOST);
        node.mesh.serve_local(HOST, service.clone());
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(loopback, identity, Limits::default()).await.unwrap();
        node.address = Some(listener.address());
        tokio::spawn(listener.serve(service, node.stop.clone(), node.cut.clone()));
        node
    }

    pub fn member(&self) -> Member {
        let address = self.address.map_or_else(|| "local".to_owned(), |address| address.to_string());
        Member::new(self.mesh.instance(), HOST, address)
    }

    pub fn zones(&self) -> ZoneServiceClient<MeshChannel> {
        ZoneServiceClient::new(self.mesh.channel(HOST).on_behalf_of(Caller::system()))
    }
}

pub fn routes(mesh: &Mesh, seen: &mpsc::UnboundedSender<Seen>) -> Routes {
    let fake = Fake {
        instance: mesh.instance(),
        seen: seen.clone(),
        onward: mesh.channel(HOST).on_behalf_of(Caller::system()),
    };
    Routes::new(ZoneServiceServer::new(fake.clone())).add_service(OperationServiceServer::new(fake))
}

pub fn seen() -> (mpsc::UnboundedSender<Seen>, mpsc::UnboundedReceiver<Seen>) {
    mpsc::unbounded_channel()
}

/// A UUID that this member owns among these.
pub fn owned_by(owner: &Member, members: &[Member]) -> Uuid {
    let ring = gyre_mesh::ring::Ring::new(members.iter().map(|member| member.uuid));
    std::iter::repeat_with(Uuid::new_v4).find(|key| ring.owner(*key) == Some(owner.uuid)).unwrap()
}

/// An address where nobody listens.
pub async fn dead_address() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

/// How often calls were tried again for a reason, in this process.
pub fn retries(reason: &str) -> u64 {
    let label = format!("gyre_mesh_retries_total{{reason=\"{reason}\"}} ");
    let text = gyre_mesh::telemetry::metrics::encode();
    text.lines().find_map(|line| line.strip_prefix(&label)?.parse().ok()).unwrap_or(0)
}

/// Waits until something is so, and says what was not where it takes too long.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), waited).await.is_ok(), "waited in vain: {what}");
}
