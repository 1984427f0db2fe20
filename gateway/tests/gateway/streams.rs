//! Server-sent events, and what becomes of streams when the gateway stops.

use std::time::Duration;

use gyre_proto::vm::v1::ReadVmConsoleRequest;
use gyre_proto::vm::v1::vm_service_client::VmServiceClient;
use http_body_util::BodyExt as _;

use crate::fakes::{OPERATION, VM};
use crate::fixture::Fixture;

/// The kinds of the events of a text, and their data.
fn events(text: &str) -> Vec<(String, serde_json::Value)> {
    let line = |event: &str, name: &str| {
        event.lines().find_map(|line| line.strip_prefix(name).map(|value| value.trim().to_owned()))
    };
    text.split("\n\n")
        .filter_map(|event| Some((line(event, "event:")?, serde_json::from_str(&line(event, "data:")?).unwrap())))
        .collect()
}

#[tokio::test]
async fn an_operation_is_watched() {
    let gateway = Fixture::new().await;
    let said = gateway.get(&format!("/v1/operations/{OPERATION}:watch")).await;
    assert_eq!(said.header("content-type"), "text/event-stream", "{said:?}");
    let events = events(std::str::from_utf8(&said.body).unwrap());
    let kinds: Vec<_> = events.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["message", "message", "end"]);
    assert_eq!(events[1].1["state"], "OPERATION_STATE_SUCCEEDED");
}

#[tokio::test]
async fn a_console_is_read_and_its_end_is_told() {
    let gateway = Fixture::new().await;
    let said = gateway.get(&format!("/v1/vms/{VM}:console")).await;
    let text = std::str::from_utf8(&said.body).unwrap();
    assert!(text.starts_with("id: 1\nevent: message\ndata: {\"data\":\"aGVsbG8g\"}\n\n"), "{text}");
    let said = gateway.get(&format!("/v1/vms/{VM}:console?tailBytes=1")).await;
    let events = events(std::str::from_utf8(&said.body).unwrap());
    assert_eq!(events[2].0, "error");
    assert_eq!(events[2].1["reason"], "HOST_GONE");
    let said = gateway.get(&format!("/v1/vms/{OPERATION}:console")).await;
    assert_eq!((said.status.as_u16(), said.reason().as_str()), (404, "NOT_FOUND"));
}

#[tokio::test]
async fn streams_end_with_the_gateway_and_calls_finish() {
    let gateway = Fixture::new().await;
    let response = gateway.open("GET", &format!("/v1/vms/{VM}:console?follow=true"), &[], "").await;
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("aGVsbG8g"));
    let mut client = VmServiceClient::new(gateway.channel());
    let request = ReadVmConsoleRequest { uuid: VM.into(), follow: true, ..Default::default() };
    let mut stream = client.read_vm_console(gateway.with_token(request, &gateway.user())).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().data, "hello ");
    gateway.stop.cancel();
    let rest = body.collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&rest).contains("GATEWAY_STOPPING"), "{rest:?}");
    let status = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended as if nothing were"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
    drop((client, stream));
    tokio::time::timeout(Duration::from_secs(5), gateway.served).await.unwrap().unwrap();
}
