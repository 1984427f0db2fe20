//! More calls than a gateway has places for: who is refused and how, who goes next, and what holds no place.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gyre_gateway::Limits;
use gyre_gateway::metrics::{Class, Refused, metrics};
use gyre_model::Error;
use gyre_proto::common::v1::WaitOperationRequest;
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::vm::v1::vm_service_client::VmServiceClient;
use gyre_proto::vm::v1::{CreateVmRequest, ReadVmConsoleRequest, Vm};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::Code;

use crate::fakes::{ADMIN, HELD, IMAGE, OPERATION, USER, VM};
use crate::fixture::{Fixture, Said};

/// Longer than anything here takes.
const BOUND: Duration = Duration::from_secs(30);

async fn gateway(calls: usize, waiting: usize) -> Arc<Fixture> {
    // what is held here keeps its place
    let read_time = BOUND * 100;
    let limits =
        Limits { reads: Some(calls), read_time, changes: calls, waiting, waiting_time: BOUND, ..Limits::default() };
    Arc::new(Fixture::limited(limits).await)
}

/// The draft of a machine.
fn draft(name: &str) -> String {
    format!(r#"{{"name": "{name}", "cpuCount": 1, "memoryBytes": "1073741824", "imageUuid": "{IMAGE}"}}"#)
}

/// A machine that is asked for beside the test.
fn create(gateway: &Arc<Fixture>, name: &str) -> JoinHandle<Said> {
    let (gateway, body) = (Arc::clone(gateway), draft(name));
    tokio::spawn(async move { gateway.post("/v1/vms", &body).await })
}

/// A call that goes on beside the test.
fn beside(gateway: &Arc<Fixture>, path: &'static str, token: String) -> JoinHandle<Said> {
    let gateway = Arc::clone(gateway);
    tokio::spawn(async move { gateway.send("GET", path, &[("authorization", &format!("Bearer {token}"))], "").await })
}

async fn until(what: &str, level: impl Fn() -> bool) {
    let reached = async {
        while !level() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(BOUND, reached).await.unwrap_or_else(|_| panic!("{what} is not reached"));
}

async fn held(gateway: &Fixture, count: usize) {
    until("calls held", || gateway.state.held.load(Ordering::Relaxed) == count).await;
}

async fn waiting(class: Class, count: i64) {
    until("calls waiting", || metrics().line(class) == count).await;
}

const HOLD: &str = "/v1/vms?filter=hold";
const GET: &str = "/v1/vms/33333333-3333-4333-8333-333333333333";

#[tokio::test]
async fn what_is_too_much_is_refused_early_and_others_do_not_notice() {
    let gateway = gateway(3, 2).await;
    // two of three places are one account's; the next two calls wait in its line
    let mut calls: Vec<_> = (0..2).map(|_| create(&gateway, "hold")).collect();
    held(&gateway, 2).await;
    calls.extend((0..2).map(|_| create(&gateway, "waits")));
    waiting(Class::Change, 2).await;
    assert_eq!(metrics().working(Class::Change), 2);

    let before = metrics().refusals(Refused::Overloaded);
    let said = gateway.post("/v1/vms", &draft("refused")).await;
    assert_eq!((said.status.as_u16(), said.reason().as_str()), (429, "OVERLOADED"));
    assert_eq!(said.header("retry-after"), "1");
    assert!(
        said.json()["detail"].as_str().unwrap().contains("nothing was done for this one: try it again"),
        "{said:?}"
    );
    // not even the body of what is refused is looked at
    assert_eq!(gateway.post("/v1/vms", "no JSON").await.status, 429);
    let mut vms = VmServiceClient::new(gateway.channel());
    let wanted = || CreateVmRequest {
        vm: Some(Vm { name: "refused".into(), image_uuid: IMAGE.into(), ..Vm::default() }),
        ..Default::default()
    };
    let status = vms.create_vm(gateway.with_token(wanted(), &gateway.user())).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let error = Error::from(status);
    assert_eq!(error.reason(), "OVERLOADED");
    assert!((Duration::from_secs(1)..Duration::from_secs(2)).contains(&error.retry().unwrap()), "{error:?}");
    assert_eq!(metrics().refusals(Refused::Overloaded), before + 3);
    assert_eq!(gateway.state.callers.lock().len(), 2, "nothing else came through");

    // another account has its part, over either transport; and what the first one reads is another matter
    tokio::time::timeout(BOUND, vms.create_vm(gateway.with_token(wanted(), &gateway.admin()))).await.unwrap().unwrap();
    for token in [gateway.admin(), gateway.user()] {
        assert_eq!(tokio::time::timeout(BOUND, beside(&gateway, GET, token)).await.unwrap().unwrap().status, 200);
    }
    assert_eq!(metrics().line(Class::Change), 2, "the first account still waits");

    gateway.state.release.notify_waiters();
    for call in calls {
        assert_eq!(call.await.unwrap().status, 202, "who waited is answered");
    }
    assert_eq!(gateway.post("/v1/vms", &draft("web")).await.status, 202, "and room is back");
    until("places free", || metrics().working(Class::Change) == 0).await;
}

#[tokio::test]
async fn strangers_have_their_part_too() {
    let gateway = gateway(3, 1).await;
    let calls: Vec<_> = (0..2).map(|_| beside(&gateway, HOLD, gateway.user())).collect();
    held(&gateway, 2).await;
    let _waits = beside(&gateway, GET, gateway.user());
    waiting(Class::Read, 1).await;
    assert_eq!(gateway.get(GET).await.status, 429);
    let known = r#"{"account": "admin", "password": "right-password"}"#;
    let sign_in = gateway.send("POST", "/v1/sessions", &[("authorization", "")], known);
    assert_eq!(tokio::time::timeout(BOUND, sign_in).await.unwrap().status, 200);
    gateway.state.release.notify_waiters();
    for call in calls {
        assert_eq!(call.await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn accounts_that_wait_take_turns() {
    let gateway = gateway(1, 100).await;
    let first = beside(&gateway, HOLD, gateway.user());
    held(&gateway, 1).await;
    let mut calls = Vec::new();
    for at in 1..=3 {
        calls.push(beside(&gateway, GET, gateway.user()));
        waiting(Class::Read, at).await;
    }
    calls.push(beside(&gateway, GET, gateway.admin()));
    waiting(Class::Read, 4).await;
    gateway.state.callers.lock().clear();
    gateway.state.release.notify_waiters();
    for call in calls {
        assert_eq!(call.await.unwrap().status, 200);
    }
    assert_eq!(first.await.unwrap().status, 200);
    let order: Vec<_> = gateway.state.callers.lock().iter().map(|caller| caller.unwrap().account_uuid).collect();
    assert_eq!(order, [USER, ADMIN, USER, USER]);
}

#[tokio::test]
async fn what_waits_for_too_long_is_refused() {
    let limits =
        Limits { reads: Some(1), read_time: BOUND, waiting_time: Duration::from_millis(50), ..Limits::default() };
    let gateway = Arc::new(Fixture::limited(limits).await);
    let first = beside(&gateway, HOLD, gateway.user());
    held(&gateway, 1).await;
    let said = gateway.get(GET).await;
    assert_eq!((said.status.as_u16(), said.reason().as_str()), (429, "OVERLOADED"));
    waiting(Class::Read, 0).await;
    gateway.state.release.notify_waiters();
    assert_eq!(first.await.unwrap().status, 200);
}

#[tokio::test]
async fn who_goes_away_gives_its_place_back() {
    let gateway = gateway(1, 100).await;
    let first = beside(&gateway, HOLD, gateway.user());
    held(&gateway, 1).await;
    let second = beside(&gateway, GET, gateway.user());
    waiting(Class::Read, 1).await;
    second.abort();
    waiting(Class::Read, 0).await;
    first.abort();
    let third = beside(&gateway, GET, gateway.user());
    assert_eq!(tokio::time::timeout(BOUND, third).await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn what_merely_waits_holds_no_place() {
    let gateway = gateway(1, 100).await;
    // an operation, waited for over either transport
    let own = Arc::clone(&gateway);
    let prefer = format!("wait={HELD}");
    let waits = tokio::spawn(async move { own.send("POST", "/v1/vms", &[("prefer", &prefer)], &draft("waits")).await });
    held(&gateway, 1).await;
    let timeout = Some(gyre_proto::Duration { seconds: HELD, nanos: 0 });
    let request = gateway.with_token(WaitOperationRequest { uuid: OPERATION.into(), timeout }, &gateway.user());
    let mut operations = OperationServiceClient::new(gateway.channel());
    let over_grpc = tokio::spawn(async move { operations.wait_operation(request).await });
    held(&gateway, 2).await;
    // a stream of events, and one over gRPC
    let console = "/v1/vms/33333333-3333-4333-8333-333333333333:console?follow=true";
    let stream = gateway.open("GET", console, &[], "").await;
    assert_eq!(stream.status(), 200);
    let request = ReadVmConsoleRequest { uuid: VM.into(), follow: true, ..Default::default() };
    let request = gateway.with_token(request, &gateway.user());
    let followed = VmServiceClient::new(gateway.channel()).read_vm_console(request).await.unwrap();
    // an upload of which more is to come, and a body of which the rest is missing
    let mut sockets = Vec::new();
    for (path, kind) in
        [("/v1/images/55555555-5555-4555-8555-555555555555:upload", "octet-stream"), ("/v1/vms", "json")]
    {
        let mut socket = TcpStream::connect(gateway.address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/{kind}\r\ncontent-length: 100\r\n\r\n{{",
            gateway.user()
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        sockets.push(socket);
    }
    until("the upload", || gateway.state.uploaded.load(Ordering::Relaxed) == 1).await;
    // all of them are under way, and the one place is free
    for _ in 0..3 {
        let said = tokio::time::timeout(BOUND, gateway.get(GET)).await.unwrap();
        assert_eq!(said.status, 200);
    }
    until("places free", || Class::ALL.iter().all(|class| metrics().working(*class) == 0)).await;
    gateway.state.release.notify_waiters();
    assert_eq!(waits.await.unwrap().status, 200);
    over_grpc.await.unwrap().unwrap();
    drop((stream, followed, sockets));
}

#[tokio::test]
async fn what_reads_for_long_lets_others_in() {
    let limits = Limits { reads: Some(1), waiting_time: BOUND, ..Limits::default() };
    let gateway = Arc::new(Fixture::limited(limits).await);
    let long: Vec<_> = (0..3).map(|_| beside(&gateway, HOLD, gateway.user())).collect();
    held(&gateway, 3).await;
    for token in [gateway.user(), gateway.admin()] {
        assert_eq!(tokio::time::timeout(BOUND, beside(&gateway, GET, token)).await.unwrap().unwrap().status, 200);
    }
    gateway.state.release.notify_waiters();
    for call in long {
        assert_eq!(call.await.unwrap().status, 200);
    }
}
