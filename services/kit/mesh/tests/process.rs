//! The life of a process: health, reflection, metrics, and an orderly end.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests too")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gyre_mesh::config::ProcessArgs;
use gyre_mesh::serve::{Process, Running};
use gyre_model::{Caller, Uuid};
use gyre_proto::common::v1::GetOperationRequest;
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::host::v1::ListZonesRequest;
use gyre_proto::host::v1::zone_service_client::ZoneServiceClient;
use parking_lot::Mutex;
use support::{HOST, Seen, routes, seen};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

async fn start(args: &ProcessArgs, sender: &mpsc::UnboundedSender<Seen>) -> Running {
    let mut process = Process::open("gyre-test", args).await.unwrap();
    let routes = routes(process.mesh(), sender);
    process.serve(HOST, routes);
    process.start().await.unwrap()
}

fn loopback() -> ProcessArgs {
    ProcessArgs { metrics_listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))), ..ProcessArgs::loopback() }
}

async fn connect(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

async fn http_get(address: SocketAddr, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_process_answers_calls_health_reflection_and_metrics() {
    let (sender, _seen) = seen();
    let running = start(&loopback(), &sender).await;
    let channel = connect(running.address().unwrap()).await;

    let call = Caller::system().request(ListZonesRequest::default());
    ZoneServiceClient::new(channel.clone()).list_zones(call).await.unwrap();
    let call = Caller::system().request(GetOperationRequest { uuid: Uuid::new_v4().to_string() });
    OperationServiceClient::new(channel.clone()).get_operation(call).await.unwrap();

    for service in ["", "gyre.host.v1.ZoneService", "gyre.common.v1.OperationService"] {
        let check = HealthCheckRequest { service: service.into() };
        let answer = HealthClient::new(channel.clone()).check(check).await.unwrap().into_inner();
        assert_eq!(answer.status, 1, "{service} serves");
    }

    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let ask = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel.clone())
        .server_reflection_info(tokio_stream::iter([ask]))
        .await
        .unwrap()
        .into_inner();
    let Some(MessageResponse::ListServicesResponse(listed)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list of services");
    };
    assert!(listed.service.iter().any(|service| service.name == "gyre.vm.v1.VmService"));

    let metrics = running.metrics_address().unwrap();
    let text = http_get(metrics, "/metrics").await;
    assert!(text.contains("gyre_rpc_total") && text.contains("gyre_ring_members{service=\"host\"} 1"), "{text}");
    assert!(http_get(metrics, "/healthz").await.starts_with("HTTP/1.1 200"));
    running.shutdown().await;
}

#[tokio::test]
async fn garbage_is_refused_and_the_process_lives_on() {
    let (sender, _seen) = seen();
    let running = start(&loopback(), &sender).await;
    let address = running.address().unwrap();
    for garbage in
        [b"GET / HTTP/1.1\r\n\r\n".as_slice(), &[0xff; 4096], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage follows"]
    {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        let mut answer = Vec::new();
        // Closed or reset: either way it ends.
        let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap();
    }
    let call = Caller::system().request(ListZonesRequest::default());
    ZoneServiceClient::new(connect(address).await).list_zones(call).await.unwrap();
    running.shutdown().await;
}

#[tokio::test]
async fn shutdown_goes_in_order_and_lets_calls_end() {
    let (sender, mut seen) = seen();
    let order: Arc<Mutex<Vec<&str>>> = Arc::default();
    let mut process = Process::open("gyre-test", &loopback()).await.unwrap();
    let mesh = process.mesh().clone();
    let routes = routes(&mesh, &sender);
    let log = |what: &'static str| {
        let (order, mesh) = (order.clone(), mesh.clone());
        move |is_so: fn(&gyre_mesh::Mesh) -> bool| {
            assert!(is_so(&mesh), "{what}");
            order.lock().push(what);
        }
    };
    let (before, after, task) = (log("before leave"), log("after drain"), log("task"));
    process.serve(HOST, routes);
    process.before_leave("test", move || async move { before(|mesh| mesh.view().has(HOST, mesh.instance())) });
    process.after_drain("test", move || async move { after(|mesh| mesh.refusing().is_cancelled()) });
    let stopping = process.tasks().stopping();
    process.tasks().spawn("test", async move {
        stopping.cancelled().await;
        task(|mesh| mesh.refusing().is_cancelled());
    });
    let running = process.start().await.unwrap();

    // A call that is under way when the end begins, and is over when its deadline is.
    let client = support::Node::client(None);
    let address = running.address().unwrap().to_string();
    let mut zones = ZoneServiceClient::new(client.mesh.channel(HOST).at(address));
    let mut request = Caller::system().request(ListZonesRequest { filter: "hang".into(), ..Default::default() });
    request.set_timeout(Duration::from_millis(500));
    let call = tokio::spawn(async move { zones.list_zones(request).await });
    seen.recv().await.unwrap();
    running.shutdown().await;
    assert_eq!(call.await.unwrap().unwrap_err().code(), tonic::Code::DeadlineExceeded, "it was not cut off");
    assert_eq!(*order.lock(), ["before leave", "task", "after drain"]);
}

#[tokio::test]
async fn a_process_without_a_port_serves_itself() {
    let (sender, mut seen) = seen();
    let args = ProcessArgs { callback_allow: vec!["public".parse().unwrap()], ..ProcessArgs::embedded() };
    let running = start(&args, &sender).await;
    assert_eq!(running.address(), None);
    assert!(!running.mesh().callbacks().is_empty());
    assert_eq!(running.mesh().view().members(HOST)[0].address, "local");
    let channel = running.mesh().channel(HOST).on_behalf_of(Caller::system());
    ZoneServiceClient::new(channel).list_zones(ListZonesRequest::default()).await.unwrap();
    assert_eq!(seen.recv().await.unwrap().call, "list");
    running.shutdown().await;
}

#[tokio::test]
async fn a_member_must_be_reachable_and_plaintext_stays_on_loopback() {
    let etcd = ProcessArgs { etcd: vec!["http://127.0.0.1:1".into()], ..ProcessArgs::embedded() };
    assert!(Process::open("gyre-test", &etcd).await.is_err());
    let open = ProcessArgs { listen: Some(SocketAddr::from(([0, 0, 0, 0], 0))), ..ProcessArgs::loopback() };
    assert!(Process::open("gyre-test", &open).await.is_err());
}
