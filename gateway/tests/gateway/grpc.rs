//! gRPC through the port.

use gyre_model::Error;
use gyre_proto::agent::v1::agent_service_client::AgentServiceClient;
use gyre_proto::common::v1::ListMembersRequest;
use gyre_proto::common::v1::member_service_client::MemberServiceClient;
use gyre_proto::identity::v1::authentication_service_client::AuthenticationServiceClient;
use gyre_proto::identity::v1::session_service_client::SessionServiceClient;
use gyre_proto::identity::v1::{CheckAccountRequest, CreateSessionRequest};
use gyre_proto::storage::v1::UploadImageRequest;
use gyre_proto::storage::v1::image_service_client::ImageServiceClient;
use gyre_proto::vm::v1::vm_service_client::VmServiceClient;
use gyre_proto::vm::v1::{CreateVmRequest, GetVmRequest, ListVmsRequest, ReadVmConsoleRequest, StopVmRequest, Vm};
use tokio_stream::StreamExt as _;
use tonic::Code;

use crate::fakes::{ADMIN, IMAGE, USER, VM};
use crate::fixture::Fixture;

#[tokio::test]
async fn calls_of_all_shapes_pass_through() {
    let gateway = Fixture::new().await;
    let mut vms = VmServiceClient::new(gateway.channel());
    let token = gateway.user();
    let vm = vms.get_vm(gateway.with_token(GetVmRequest { uuid: VM.into() }, &token)).await.unwrap();
    assert!(vm.metadata().contains_key("traceresponse"));
    assert_eq!(vm.into_inner().name, "web");
    let create = CreateVmRequest {
        vm: Some(Vm { name: "a".into(), image_uuid: IMAGE.into(), ..Vm::default() }),
        request_id: "r".into(),
    };
    let operation = vms.create_vm(gateway.with_token(create, &token)).await.unwrap().into_inner();
    assert_eq!(operation.resource_uuid, gateway.state.last_create.lock().clone().unwrap().vm.unwrap().uuid);
    let read = ReadVmConsoleRequest { uuid: VM.into(), ..Default::default() };
    let console = vms.read_vm_console(gateway.with_token(read, &token)).await.unwrap().into_inner();
    let read: Vec<_> = console.map(|piece| piece.unwrap().data).collect().await;
    assert_eq!(read.concat(), b"hello world");
    let mut images = ImageServiceClient::new(gateway.channel());
    let pieces = (0..40).map(|at| UploadImageRequest {
        uuid: if at == 0 { IMAGE.into() } else { String::new() },
        data: vec![7; 100_000].into(),
    });
    let upload = gateway.with_token(tokio_stream::iter(pieces.collect::<Vec<_>>()), &token);
    assert_eq!(images.upload_image(upload).await.unwrap().into_inner().resource_uuid, IMAGE);
    assert_eq!(gateway.state.uploaded.load(std::sync::atomic::Ordering::Relaxed), 4_000_000);
}

#[tokio::test]
async fn errors_keep_their_details() {
    let gateway = Fixture::new().await;
    let mut vms = VmServiceClient::new(gateway.channel());
    let stop = StopVmRequest { uuid: VM.into(), ..Default::default() };
    let status = vms.stop_vm(gateway.with_token(stop, &gateway.user())).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let error = Error::from(status);
    assert_eq!((error.reason(), error.metadata()["state"].as_str()), ("WRONG_STATE", "STOPPED"));
    let stop = StopVmRequest { uuid: "nonsense".into(), grace_seconds: -1, ..Default::default() };
    let status = vms.stop_vm(gateway.with_token(stop, &gateway.user())).await.unwrap_err();
    assert_eq!(Error::from(status).violations().len(), 2);
    let mut hang = gateway.with_token(ListVmsRequest { filter: "hang".into(), ..Default::default() }, &gateway.user());
    hang.set_timeout(std::time::Duration::from_millis(100));
    // tonic's own clock runs as well, and says "cancelled" when it is first.
    let late = vms.list_vms(hang).await.unwrap_err().code();
    assert!(matches!(late, Code::DeadlineExceeded | Code::Cancelled), "{late:?}");
}

#[tokio::test]
async fn members_and_agents_cannot_be_called_from_outside() {
    let gateway = Fixture::new().await;
    let token = gateway.admin();
    let mut identity = AuthenticationServiceClient::new(gateway.channel());
    let check = CheckAccountRequest { account_uuid: USER.to_string() };
    let internal = identity.check_account(gateway.with_token(check, &token)).await.unwrap_err();
    let mut agent = AgentServiceClient::new(gateway.channel());
    let session = gateway.with_token(tokio_stream::empty(), &token);
    let agents = agent.session(session).await.unwrap_err();
    let unknown = tonic::client::Grpc::new(gateway.channel());
    let unknown = unknown_call(unknown).await;
    for status in [&internal, &agents, &unknown] {
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(status.message().starts_with("there is no call /"), "{}", status.message());
        assert_eq!(Error::from(status.clone()).reason(), "NO_SUCH_CALL");
    }
}

async fn unknown_call(mut client: tonic::client::Grpc<tonic::transport::Channel>) -> tonic::Status {
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<GetVmRequest, Vm>::default();
    let path = http::uri::PathAndQuery::from_static("/gyre.vm.v1.VmService/NoSuchCall");
    client.unary(tonic::Request::new(GetVmRequest::default()), path, codec).await.unwrap_err()
}

#[tokio::test]
async fn callers_are_found_out() {
    let gateway = Fixture::new().await;
    let mut vms = VmServiceClient::new(gateway.channel());
    let status = vms.get_vm(GetVmRequest { uuid: VM.into() }).await.unwrap_err();
    assert_eq!((status.code(), Error::from(status).reason()), (Code::Unauthenticated, "NO_TOKEN"));
    let mut forged = gateway.with_token(GetVmRequest { uuid: VM.into() }, &gateway.user());
    forged.metadata_mut().insert("gyre-account", ADMIN.to_string().parse().unwrap());
    forged.metadata_mut().insert("gyre-admin", "1".parse().unwrap());
    vms.get_vm(forged).await.unwrap();
    let caller = gateway.state.callers.lock().first().copied().flatten().unwrap();
    assert_eq!((caller.account_uuid, caller.admin), (USER, false));
    let mut members = MemberServiceClient::new(gateway.channel());
    let status = members.list_members(gateway.with_token(ListMembersRequest {}, &gateway.user())).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let listed = members.list_members(gateway.with_token(ListMembersRequest {}, &gateway.admin())).await.unwrap();
    assert_eq!(listed.into_inner().members.len(), 5);
    let mut sessions = SessionServiceClient::new(gateway.channel());
    let wrong = CreateSessionRequest { account: "admin".into(), password: "wrong".into() };
    for _ in 0..10 {
        assert_eq!(sessions.create_session(wrong.clone()).await.unwrap_err().code(), Code::Unauthenticated);
    }
    assert_eq!(sessions.create_session(wrong).await.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn reflection_and_health_are_open() {
    use tonic_health::pb::health_client::HealthClient;
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_response};
    let gateway = Fixture::new().await;
    let mut health = HealthClient::new(gateway.channel());
    for service in ["", "gyre.vm.v1.VmService"] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    }
    let mut reflection = ServerReflectionClient::new(gateway.channel());
    let ask =
        |request| tokio_stream::once(ServerReflectionRequest { host: String::new(), message_request: Some(request) });
    let list = ask(MessageRequest::ListServices(String::new()));
    let answer = reflection.server_reflection_info(list).await.unwrap().into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(services)) = answer.message_response else { panic!() };
    let names: Vec<_> = services.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"gyre.vm.v1.VmService") && names.contains(&"grpc.health.v1.Health"), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("agent") || name.contains("AuthenticationService")), "{names:?}");
    let symbol = ask(MessageRequest::FileContainingSymbol("gyre.vm.v1.VmService".into()));
    let answer =
        reflection.server_reflection_info(symbol).await.unwrap().into_inner().message().await.unwrap().unwrap();
    assert!(matches!(
        answer.message_response,
        Some(server_reflection_response::MessageResponse::FileDescriptorResponse(_))
    ));
}
