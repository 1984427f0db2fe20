//! A gateway on a free port with fakes behind it, and clients.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use gyre_gateway::{Gateway, GatewayConfig, Limits};
use gyre_mesh::Mesh;
use gyre_mesh::egress::Allow;
use gyre_mesh::member::Member;
use gyre_proto::common::v1::operation_service_server::OperationServiceServer;
use gyre_proto::identity::v1::authentication_service_server::AuthenticationServiceServer;
use gyre_proto::identity::v1::session_service_server::SessionServiceServer;
use gyre_proto::storage::v1::image_service_server::ImageServiceServer;
use gyre_proto::vm::v1::vm_service_server::VmServiceServer;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};

use crate::fakes::{ADMIN, Fakes, State, USER};

pub struct Fixture {
    pub address: SocketAddr,
    pub fakes: Fakes,
    pub state: Arc<State>,
    pub stop: CancellationToken,
    pub served: JoinHandle<()>,
    client: Client<HttpConnector, Full<Bytes>>,
    _drop: DropGuard,
}

/// A response, read whole.
#[derive(Debug)]
pub struct Said {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The reason of a problem document.
    pub fn reason(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        problem["reason"].as_str().unwrap().to_owned()
    }
}

impl Fixture {
    pub async fn new() -> Self {
        Self::with(GatewayConfig::default()).await
    }

    pub async fn limited(limits: Limits) -> Self {
        Self::with(GatewayConfig { tls: None, limits }).await
    }

    pub async fn with(config: GatewayConfig) -> Self {
        let fakes = Fakes::new();
        let mesh = Mesh::local();
        mesh.allow_callbacks(Allow::new(["hooks.example.com".parse().unwrap()]));
        let identity = Routes::new(AuthenticationServiceServer::new(fakes.clone()))
            .add_service(SessionServiceServer::new(fakes.clone()));
        mesh.host("identity", identity).await.unwrap();
        let vm = Routes::new(VmServiceServer::new(fakes.clone()));
        mesh.host("vm", vm).await.unwrap();
        let storage = Routes::new(ImageServiceServer::new(fakes.clone()));
        mesh.host("storage", storage).await.unwrap();
        mesh.host("host", Routes::new(OperationServiceServer::new(fakes.clone()))).await.unwrap();
        mesh.membership().join(vec![Member::new(mesh.instance(), "gateway", "local")]).await.unwrap();
        let gateway = Gateway::new(mesh, config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let told = stop.clone();
        let served = tokio::spawn(async move { gateway.serve(listener, told).await });
        let client = Client::builder(TokioExecutor::new()).build_http();
        let drop = stop.clone().drop_guard();
        Self { address, state: fakes.state.clone(), fakes, stop, served, client, _drop: drop }
    }

    pub fn user(&self) -> String {
        self.fakes.token(USER, false, "k1", 600)
    }

    pub fn admin(&self) -> String {
        self.fakes.token(ADMIN, true, "k1", 600)
    }

    /// Sends a request as the user, without reading the answer's body.
    pub async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> http::Response<Incoming> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", format!("Bearer {}", self.user()));
        }
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        self.client.request(request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()).await.unwrap()
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Said {
        let (head, body) = self.open(method, path, headers, body).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Said { status: head.status, headers: head.headers, body }
    }

    pub async fn get(&self, path: &str) -> Said {
        self.send("GET", path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: &str) -> Said {
        self.send("POST", path, &[], body).await
    }

    pub fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect_lazy()
    }

    /// A request with a token.
    pub fn with_token<T>(&self, message: T, token: &str) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    }
}
