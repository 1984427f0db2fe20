//! HTTP and JSON.

use gyre_proto::Message as _;
use serde_json::json;

use crate::fakes::{IMAGE, OPERATION, VM};
use crate::fixture::Fixture;

#[tokio::test]
async fn a_resource_is_read() {
    let gateway = Fixture::new().await;
    let said = gateway.get(&format!("/v1/vms/{VM}")).await;
    assert_eq!(said.status, 200, "{said:?}");
    assert_eq!(said.header("content-type"), "application/json");
    assert_eq!(
        said.json(),
        json!({"uuid": VM, "name": "web", "state": "VM_STATE_RUNNING", "cpuCount": 2, "memoryBytes": "1073741824"})
    );
    let head = gateway.send("HEAD", &format!("/v1/vms/{VM}"), &[], "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), said.body.len().to_string());
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let gateway = Fixture::new().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let said = gateway.send("GET", &format!("/v1/vms/{OPERATION}"), &[("traceparent", parent)], "").await;
    assert_eq!(said.status, 404);
    let problem = said.json();
    assert_eq!(problem["type"], "urn:gyre:error:NOT_FOUND");
    assert_eq!(problem["code"], "NOT_FOUND");
    assert_eq!(problem["metadata"]["kind"], "vm");
    assert_eq!(problem["traceId"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(said.header("traceresponse"), parent);
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_say_what_is() {
    let gateway = Fixture::new().await;
    let said = gateway.get("/v1/vmz").await;
    assert_eq!((said.status.as_u16(), said.reason().as_str()), (404, "UNKNOWN_PATH"));
    assert!(said.json()["detail"].as_str().unwrap().contains("/v1/vms"), "{said:?}");
    let said = gateway.send("DELETE", "/v1/vms", &[], "").await;
    assert_eq!((said.status.as_u16(), said.reason().as_str()), (405, "METHOD_NOT_ALLOWED"));
    assert_eq!(said.header("allow"), "POST, GET, HEAD, OPTIONS");
    let said = gateway.post(&format!("/v1/vms/{VM}:stpo"), "").await;
    assert_eq!((said.status.as_u16(), said.reason().as_str()), (404, "UNKNOWN_ACTION"));
    assert!(said.json()["detail"].as_str().unwrap().contains("stop"));
    let said = gateway.send("OPTIONS", "/v1/vms", &[], "").await;
    assert_eq!((said.status.as_u16(), said.header("allow")), (204, "POST, GET, HEAD, OPTIONS"));
    let said = gateway.get(&"/a".repeat(500)).await;
    assert_eq!(said.status, 404);
}

#[tokio::test]
async fn a_create_answers_an_operation() {
    let gateway = Fixture::new().await;
    let body = r#"{"name": "web", "cpuCount": 2, "memoryBytes": "1073741824", "imageUuid": "55555555-5555-4555-8555-555555555555"}"#;
    let said = gateway.send("POST", "/v1/vms", &[("x-request-id", "wish-1")], body).await;
    assert_eq!(said.status, 202, "{said:?}");
    assert_eq!(said.header("location"), format!("/v1/operations/{OPERATION}"));
    let create = gateway.state.last_create.lock().clone().unwrap();
    assert_eq!(create.request_id, "wish-1");
    let vm = create.vm.unwrap();
    assert_eq!((vm.name.as_str(), vm.cpu_count, vm.memory_bytes), ("web", 2, 1 << 30));
    assert_eq!(said.json()["resourceUuid"], vm.uuid);
    assert!(gyre_model::parse_uuid(&vm.uuid).is_some());
    let said = gateway.send("POST", "/v1/vms?requestId=wish-2", &[("x-request-id", "wish-1")], body).await;
    assert_eq!((said.status.as_u16(), said.json()["reason"].as_str()), (400, Some("TWO_REQUEST_IDS")), "{said:?}");
    let detail = said.json()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains("\"wish-1\"") && detail.contains("\"wish-2\""), "{detail}");
    let said = gateway.send("POST", "/v1/vms?requestId=wish-2", &[("x-request-id", "wish-2")], body).await;
    assert_eq!(said.status, 202);
    assert_eq!(gateway.state.last_create.lock().clone().unwrap().request_id, "wish-2");
}

#[tokio::test]
async fn waiting_answers_the_end_where_it_comes_in_time() {
    let gateway = Fixture::new().await;
    let path = format!("/v1/vms/{VM}:start");
    let said = gateway.send("POST", &path, &[("prefer", "wait=30")], "{}").await;
    assert_eq!(said.status, 200, "{said:?}");
    assert_eq!(said.header("preference-applied"), "wait=30");
    assert_eq!(
        (said.json()["state"].as_str(), said.json()["percent"].as_u64()),
        (Some("OPERATION_STATE_SUCCEEDED"), Some(100))
    );
    let said = gateway.send("POST", &path, &[("prefer", "wait=1")], "{}").await;
    assert_eq!((said.status.as_u16(), said.header("preference-applied")), (202, "wait=1"));
    let said = gateway.post(&path, "").await;
    assert_eq!(said.status, 202);
    let said = gateway.get(&format!("/v1/operations/{OPERATION}")).await;
    assert_eq!((said.status.as_u16(), said.header("location")), (200, ""));
}

#[tokio::test]
async fn a_patch_changes_what_its_body_names() {
    let gateway = Fixture::new().await;
    let said = gateway.send("PATCH", &format!("/v1/vms/{VM}"), &[], r#"{"name": "db", "description": ""}"#).await;
    assert_eq!(said.status, 200, "{said:?}");
    let update = gateway.state.last_update.lock().clone().unwrap();
    assert_eq!(update.update_mask.unwrap().paths, ["name", "description"]);
    assert_eq!(update.vm.unwrap().uuid, VM);
}

#[tokio::test]
async fn lists_take_their_parameters() {
    let gateway = Fixture::new().await;
    let said = gateway.get("/v1/vms?pageSize=5&filter=name%20%3D%20%22web%22&order_by=name").await;
    assert_eq!(said.json()["vms"][0]["name"], "web");
    let list = gateway.state.last_list.lock().clone().unwrap();
    assert_eq!((list.page_size, list.filter.as_str(), list.order_by.as_str()), (5, "name = \"web\"", "name"));
    let said = gateway.get("/v1/vms?page_siez=5").await;
    assert_eq!((said.status.as_u16(), said.reason().as_str()), (400, "INVALID_FIELD"));
    assert_eq!(
        said.json()["violations"][0],
        json!({"field": "page_siez", "description": "is not known; perhaps pageSize"})
    );
    let said = gateway.get("/v1/vms?pageSize=5000").await;
    assert_eq!(said.json()["violations"][0]["field"], "page_size");
}

#[tokio::test]
async fn wrong_bodies_say_where_and_what() {
    let gateway = Fixture::new().await;
    let said = gateway.post("/v1/vms", "{\n  \"name\": \"a\",\n  \"cpuCuont\": 1\n}").await;
    assert_eq!((said.status.as_u16(), said.reason().as_str()), (400, "INVALID_JSON"));
    let problem = said.json();
    assert_eq!(
        problem["violations"][0],
        json!({"field": "vm.cpuCuont", "description": "is not known; perhaps cpuCount"})
    );
    assert_eq!(problem["metadata"]["line"], "3");
    let said = gateway.post("/v1/vms", "{").await;
    assert_eq!((said.status.as_u16(), said.reason().as_str()), (400, "INVALID_JSON"));
    let said = gateway.post("/v1/vms", &"[".repeat(10_000)).await;
    assert_eq!((said.status.as_u16(), said.reason().as_str()), (400, "TOO_DEEP"));
    let said = gateway.post("/v1/vms", &format!("{{\"name\": \"{}\"}}", "x".repeat(2 << 20))).await;
    assert_eq!((said.status.as_u16(), said.reason().as_str()), (413, "BODY_TOO_LARGE"));
    let said = gateway.send("POST", "/v1/vms", &[("content-type", "text/plain")], "{}").await;
    assert_eq!((said.status.as_u16(), said.reason().as_str()), (415, "UNSUPPORTED_MEDIA_TYPE"));
    let said = gateway.send("GET", "/v1/vms", &[], "{}").await;
    assert_eq!((said.status.as_u16(), said.reason().as_str()), (400, "UNEXPECTED_BODY"));
    let said = gateway.post("/v1/vms", r#"{"name": "", "cpuCount": 9999}"#).await;
    assert_eq!(said.reason(), "INVALID_FIELD");
    let fields: Vec<_> = said.json()["violations"].as_array().unwrap().iter().map(|one| one["field"].clone()).collect();
    assert!(fields.contains(&json!("vm.name")) && fields.contains(&json!("vm.cpu_count")), "{fields:?}");
}

#[tokio::test]
async fn refusals_of_services_keep_their_reason() {
    let gateway = Fixture::new().await;
    for (verb, status, reason) in
        [("stop", 400, "WRONG_STATE"), ("reboot", 503, "BUSY"), ("recover", 409, "STALE"), ("expunge", 429, "QUOTA")]
    {
        let said = gateway.post(&format!("/v1/vms/{VM}:{verb}"), "{}").await;
        assert_eq!((said.status.as_u16(), said.reason().as_str()), (status, reason));
        if verb == "reboot" {
            assert_eq!(said.header("retry-after"), "7");
        }
    }
    let said = gateway.get("/v1/vms?filter=panic").await;
    assert_eq!((said.status.as_u16(), said.reason().as_str()), (500, "INTERNAL"));
    let said = gateway.get("/v1/zones").await;
    assert_eq!(said.status, 501, "{said:?}");
}

#[tokio::test]
async fn a_call_ends_with_its_time() {
    let gateway = Fixture::new().await;
    let said = gateway.send("GET", "/v1/vms?filter=hang", &[("x-request-timeout", "50ms")], "").await;
    assert_eq!((said.status.as_u16(), said.reason().as_str()), (504, "DEADLINE_EXCEEDED"));
    let said = gateway.send("GET", "/v1/vms", &[("x-request-timeout", "soon")], "").await;
    assert_eq!((said.status.as_u16(), said.reason().as_str()), (400, "INVALID_HEADER"));
}

#[tokio::test]
async fn members_are_answered_by_the_gateway_itself() {
    let gateway = Fixture::new().await;
    let said = gateway.get("/v1/members").await;
    assert_eq!((said.status.as_u16(), said.reason().as_str()), (403, "ADMIN_ONLY"));
    let bearer = format!("Bearer {}", gateway.admin());
    let said = gateway.send("GET", "/v1/members", &[("authorization", &bearer)], "").await;
    let services: Vec<_> =
        said.json()["members"].as_array().unwrap().iter().map(|member| member["service"].clone()).collect();
    assert_eq!(services, [json!("gateway"), json!("host"), json!("identity"), json!("storage"), json!("vm")]);
    assert!(said.json()["epoch"].as_str().is_some());
}

#[tokio::test]
async fn an_upload_is_cut_into_messages() {
    let gateway = Fixture::new().await;
    let body = "x".repeat(3 << 20);
    let headers = [("content-type", "application/octet-stream")];
    let said = gateway.send("POST", &format!("/v1/images/{IMAGE}:upload"), &headers, &body).await;
    assert_eq!(said.status, 202, "{said:?}");
    assert_eq!(said.json()["resourceUuid"], IMAGE);
    assert_eq!(gateway.state.uploaded.load(std::sync::atomic::Ordering::Relaxed), 3 << 20);
    let said = gateway.post(&format!("/v1/images/{IMAGE}:upload"), "").await;
    assert_eq!((said.status.as_u16(), said.json()["resourceUuid"].as_str()), (202, Some(IMAGE)));
}

#[tokio::test]
async fn documents_are_open_to_everybody() {
    let gateway = Fixture::new().await;
    let said = gateway.send("GET", "/openapi.json", &[("authorization", "")], "").await;
    assert_eq!((said.status.as_u16(), said.json()["openapi"].as_str()), (200, Some("3.1.0")));
    let said = gateway.send("GET", "/", &[("authorization", "")], "").await;
    assert!(said.header("content-type").starts_with("text/html"));
    assert!(said.header("content-security-policy").contains("script-src 'sha256-"));
    let said = gateway.send("GET", "/healthz", &[("authorization", "")], "").await;
    assert_eq!((said.status.as_u16(), said.body.as_ref()), (200, b"ok\n".as_slice()));
}

#[tokio::test]
async fn grpc_web_is_translated() {
    let gateway = Fixture::new().await;
    let message = gyre_proto::vm::v1::GetVmRequest { uuid: VM.into() }.encode_to_vec();
    let framed = gyre_model::wire::frame(&message);
    let body = std::str::from_utf8(&framed).unwrap();
    let headers = [("content-type", "application/grpc-web+proto"), ("accept", "application/grpc-web+proto")];
    let said = gateway.send("POST", "/gyre.vm.v1.VmService/GetVm", &headers, body).await;
    assert_eq!(said.status, 200, "{said:?}");
    let (_, message, length) = gyre_model::wire::unframe(&said.body).unwrap();
    assert_eq!(gyre_proto::vm::v1::Vm::decode(message).unwrap().name, "web");
    assert!(String::from_utf8_lossy(&said.body[length..]).contains("grpc-status:0"));
}
