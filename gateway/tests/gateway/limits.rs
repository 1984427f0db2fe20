//! What is hostile is refused and counted, and the process lives on.

use std::time::Duration;

use gyre_gateway::metrics::{Refused, metrics};
use gyre_gateway::{GatewayConfig, Limits, tls};
use gyre_proto::vm::v1::vm_service_client::VmServiceClient;
use gyre_proto::vm::v1::{GetVmRequest, ListVmsRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;

use crate::fakes::VM;
use crate::fixture::Fixture;

/// Sends bytes and reads what comes back until the other side ends.
async fn raw(gateway: &Fixture, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    // The other side may have ended before it took all.
    let _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut answer)).await.expect("it ends");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn lives(gateway: &Fixture) {
    assert_eq!(gateway.get(&format!("/v1/vms/{VM}")).await.status, 200);
}

#[tokio::test]
async fn garbage_is_refused_and_counted() {
    let gateway = Fixture::new().await;
    let before = metrics().refusals(Refused::Garbage);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let broken_frame = [preface.as_slice(), &[0, 0, 9, 0xfe, 0xff, 0, 0, 0, 0], &[0xff; 64]].concat();
    let tls_hello = [&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03][..], &[0xaa; 600]].concat();
    for garbage in [&b"\0\0\0\0\0\0garbage\xff\xfe\r\n\r\n"[..], b"GET\r\n\r\n", &tls_hello, &broken_frame] {
        raw(&gateway, garbage).await;
    }
    assert!(metrics().refusals(Refused::Garbage) >= before + 4, "{}", metrics().refusals(Refused::Garbage));
    lives(&gateway).await;
}

#[tokio::test]
async fn headers_are_bounded() {
    let gateway = Fixture::new().await;
    let large = format!("GET /v1/vms HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    let said = raw(&gateway, large.as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 431 ") && said.contains("HEADERS_TOO_LARGE"), "{said}");
    let huge = format!("GET /v1/vms HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    // What was not read yet makes the end abrupt; the answer may be lost in it.
    let before = metrics().refusals(Refused::Headers);
    raw(&gateway, huge.as_bytes()).await;
    assert!(metrics().refusals(Refused::Headers) > before);
    let many = format!("GET /v1/vms HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(500));
    let said = raw(&gateway, many.as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
    lives(&gateway).await;
}

#[tokio::test]
async fn messages_are_bounded() {
    let gateway = Fixture::limited(Limits { message_bytes: 1000, ..Limits::default() }).await;
    let mut vms = VmServiceClient::new(gateway.channel());
    let request = ListVmsRequest { filter: "x".repeat(2000), ..Default::default() };
    let status = vms.list_vms(gateway.with_token(request, &gateway.user())).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    vms.get_vm(gateway.with_token(GetVmRequest { uuid: VM.into() }, &gateway.user())).await.unwrap();
    let body = format!("content-type: application/grpc\r\nauthorization: Bearer {}\r\n", gateway.user());
    let one = format!(
        "POST /gyre.vm.v1.VmService/GetVm HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{body}content-length: 0\r\n\r\n"
    );
    assert!(raw(&gateway, one.as_bytes()).await.contains("gRPC%20needs%20HTTP/2"));
}

#[tokio::test]
async fn slow_callers_do_not_hold_connections() {
    let limits = Limits {
        header_time: Duration::from_millis(100),
        body_time: Duration::from_millis(100),
        idle_time: Duration::from_millis(400),
        ..Limits::default()
    };
    let gateway = Fixture::limited(limits).await;
    for said_so_far in ["", "GET /v1/vms HT"] {
        raw(&gateway, said_so_far.as_bytes()).await;
    }
    let half = format!(
        "POST /v1/vms HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{",
        gateway.user()
    );
    let said = raw(&gateway, half.as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("BODY_TOO_SLOW"), "{said}");
    let quiet = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    assert!(raw(&gateway, quiet.as_bytes()).await.ends_with("ok\n"));
    // A call under way is no idle connection, however long it takes.
    let long = gateway.send("GET", "/v1/vms?filter=hang", &[("x-request-timeout", "1s")], "").await;
    assert_eq!(long.status, 504);
    assert!(metrics().refusals(Refused::Slow) >= 3 && metrics().refusals(Refused::Idle) >= 1);
    lives(&gateway).await;
}

#[tokio::test]
async fn connections_are_bounded() {
    let gateway = Fixture::limited(Limits { connections: 2, ..Limits::default() }).await;
    let ask = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut socket = TcpStream::connect(gateway.address).await.unwrap();
        socket.write_all(ask).await.unwrap();
        let mut first = [0; 12];
        socket.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        held.push(socket);
    }
    assert_eq!(raw(&gateway, ask).await, "");
    drop(held);
    let freed = tokio::time::timeout(Duration::from_secs(5), async {
        while raw(&gateway, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.is_empty() {}
    });
    freed.await.unwrap();
}

#[tokio::test]
async fn the_port_speaks_tls_when_it_is_given_a_certificate() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let config = tls::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap();
    let gateway = Fixture::with(GatewayConfig { tls: Some(config), limits: Limits::default() }).await;
    let trusted = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(made.cert.pem()))
        .domain_name("localhost");
    let channel = tonic::transport::Endpoint::from_shared(format!("https://{}", gateway.address))
        .unwrap()
        .tls_config(trusted)
        .unwrap()
        .connect_lazy();
    let request = gateway.with_token(GetVmRequest { uuid: VM.into() }, &gateway.user());
    assert_eq!(VmServiceClient::new(channel).get_vm(request).await.unwrap().into_inner().name, "web");
    let before = metrics().refusals(Refused::Tls);
    raw(&gateway, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(metrics().refusals(Refused::Tls) > before);
}
