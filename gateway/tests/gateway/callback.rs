//! `X-Gyre-Callback` at the door.

use gyre_model::{Error, Kind};
use gyre_proto::vm::v1::vm_service_client::VmServiceClient;
use gyre_proto::vm::v1::{GetVmRequest, StartVmRequest};

use crate::fakes::{OPERATION, VM};
use crate::fixture::Fixture;

const HOOK: &str = "https://hooks.example.com/gyre?x=1";

#[tokio::test]
async fn a_callback_reaches_the_call_over_http_and_grpc() {
    let gateway = Fixture::new().await;
    let path = format!("/v1/vms/{VM}:start");
    // the call that waits for the operation has none
    assert_eq!(gateway.send("POST", &path, &[("X-Gyre-Callback", HOOK), ("prefer", "wait=1")], "").await.status, 202);
    let mut vms = VmServiceClient::new(gateway.channel());
    let start = StartVmRequest { uuid: VM.into(), ..Default::default() };
    let mut request = gateway.with_token(start.clone(), &gateway.user());
    request.metadata_mut().insert("x-gyre-callback", HOOK.parse().unwrap());
    vms.start_vm(request).await.unwrap();
    // the mesh's own header says nothing from outside
    let mut request = gateway.with_token(start, &gateway.user());
    request.metadata_mut().insert("gyre-callback", HOOK.parse().unwrap());
    vms.start_vm(request).await.unwrap();
    gateway.send("POST", &path, &[("gyre-callback", HOOK)], "").await;
    let hook = Some(HOOK.to_owned());
    assert_eq!(*gateway.state.callbacks.lock(), [hook.clone(), hook, None, None]);
}

#[tokio::test]
async fn a_callback_that_is_not_allowed_is_refused_at_once() {
    let gateway = Fixture::new().await;
    let path = format!("/v1/vms/{VM}:start");
    for (url, status, reason) in [
        ("http://127.0.0.1/", 403, "CALLBACK_NOT_ALLOWED"),
        ("http://169.254.169.254/latest/meta-data", 403, "CALLBACK_NOT_ALLOWED"),
        ("http://[::ffff:127.0.0.1]/", 403, "CALLBACK_NOT_ALLOWED"),
        ("https://hooks.example.com.evil.org/", 403, "CALLBACK_NOT_ALLOWED"),
        ("https://hooks.example.com:8443/", 403, "CALLBACK_NOT_ALLOWED"),
        ("https://user:password@hooks.example.com/", 400, "CALLBACK_INVALID"),
        ("http://2130706433/", 400, "CALLBACK_INVALID"),
        ("ftp://hooks.example.com/", 400, "CALLBACK_INVALID"),
    ] {
        let said = gateway.send("POST", &path, &[("x-gyre-callback", url)], "").await;
        assert_eq!((said.status.as_u16(), said.reason().as_str()), (status, reason), "{url}");
        let problem = said.json();
        let text = problem["detail"].as_str().unwrap();
        assert!(text.contains("x-gyre-callback") && text.contains(url), "{text}");
        assert!(status != 403 || text.contains("--callback-allow"), "{text}");
    }
    let twice = [("x-gyre-callback", HOOK), ("x-gyre-callback", HOOK)];
    assert_eq!(gateway.send("POST", &path, &twice, "").await.reason(), "CALLBACK_INVALID");
    assert!(gateway.state.callbacks.lock().is_empty());
}

#[tokio::test]
async fn a_call_that_begins_no_operation_takes_no_callback() {
    let gateway = Fixture::new().await;
    for (method, path) in [
        ("GET", format!("/v1/vms/{VM}")),
        ("GET", format!("/v1/operations/{OPERATION}")),
        ("POST", format!("/v1/operations/{OPERATION}:cancel")),
        ("GET", format!("/v1/operations/{OPERATION}:watch")),
    ] {
        let said = gateway.send(method, &path, &[("x-gyre-callback", HOOK)], "").await;
        assert_eq!((said.status.as_u16(), said.reason().as_str()), (400, "CALLBACK_UNEXPECTED"), "{path}");
    }
    let mut vms = VmServiceClient::new(gateway.channel());
    let mut request = gateway.with_token(GetVmRequest { uuid: VM.into() }, &gateway.user());
    request.metadata_mut().insert("x-gyre-callback", HOOK.parse().unwrap());
    let error = Error::from(vms.get_vm(request).await.unwrap_err());
    assert_eq!((error.kind(), error.reason()), (Kind::InvalidArgument, "CALLBACK_UNEXPECTED"));
}
