//! The channel and the stack of layers, between fakes of several processes. nextest runs each test in a process of its own, so
//! the metrics count one test's calls.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests too")]

mod support;

use std::time::{Duration, Instant};

use gyre_mesh::member::Member;
use gyre_mesh::serve::layered;
use gyre_mesh::{Mesh, reason};
use gyre_model::{Caller, Error, Kind, Uuid, parse_uuid};
use gyre_proto::common::v1::WatchOperationRequest;
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::host::v1::zone_service_client::ZoneServiceClient;
use gyre_proto::host::v1::{
    CreateZoneRequest, DeleteZoneRequest, GetZoneRequest, ListZonesRequest, UpdateZoneRequest, Zone,
};
use support::{HOST, Node, dead_address, owned_by, retries, routes, seen, until};
use tonic::Request;

const PATH: &str = "/gyre.host.v1.ZoneService/";

fn create(name: &str) -> CreateZoneRequest {
    CreateZoneRequest { zone: Some(Zone { name: name.into(), ..Zone::default() }), ..Default::default() }
}

fn list(filter: &str) -> ListZonesRequest {
    ListZonesRequest { filter: filter.into(), ..Default::default() }
}

fn get(uuid: Uuid) -> GetZoneRequest {
    GetZoneRequest { uuid: uuid.to_string() }
}

fn user() -> Caller {
    Caller::of(Uuid::new_v4(), false)
}

#[tokio::test]
async fn in_process_a_call_is_filled_in_and_reaches_the_handler() {
    let (sender, mut seen) = seen();
    let mesh = Mesh::local();
    mesh.host(HOST, routes(&mesh, &sender)).await.unwrap();
    let caller = Caller { admin: true, ..user() };
    let mut zones = ZoneServiceClient::new(mesh.channel(HOST));

    let zone = zones.create_zone(caller.request(create("a"))).await.unwrap().into_inner();
    let call = seen.recv().await.unwrap();
    assert_eq!((call.uuid.as_str(), zone.name.as_str()), (zone.uuid.as_str(), "a"));
    assert!(parse_uuid(&zone.uuid).is_some() && parse_uuid(&call.request_id).is_some());
    assert_eq!(call.caller, Some(caller));

    let wish = CreateZoneRequest { request_id: "once".into(), ..create("b") };
    let first = zones.create_zone(caller.request(wish.clone())).await.unwrap().into_inner();
    let second = zones.create_zone(caller.request(wish)).await.unwrap().into_inner();
    assert_eq!(first.uuid, second.uuid);
}

#[tokio::test]
async fn a_trace_goes_through_and_every_call_has_one() {
    let (sender, mut seen) = seen();
    let server = Node::server(None, &sender).await;
    let client = Node::client(None);
    client.membership.set(1, vec![server.member()]);
    server.membership.set(1, vec![server.member()]);

    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let mut request = Request::new(get(Uuid::new_v4()));
    request.metadata_mut().insert("traceparent", trace.parse().unwrap());
    client.zones().get_zone(request).await.unwrap();
    assert_eq!(seen.recv().await.unwrap().traceparent, trace);
    client.zones().get_zone(get(Uuid::new_v4())).await.unwrap();
    let made_up = seen.recv().await.unwrap().traceparent;
    assert!(gyre_mesh::context::Trace::parse(&made_up).is_some(), "{made_up}");
}

#[tokio::test]
async fn a_routed_call_goes_to_its_owner_over_the_network() {
    let (sender, mut seen) = seen();
    let (a, b) = (Node::server(None, &sender).await, Node::server(None, &sender).await);
    let client = Node::client(None);
    let members = vec![a.member(), b.member()];
    for node in [&a, &b, &client] {
        node.membership.set(1, members.clone());
    }
    for _ in 0..20 {
        let uuid = Uuid::new_v4();
        client.zones().delete_zone(DeleteZoneRequest { uuid: uuid.to_string(), ..Default::default() }).await.unwrap();
        let call = seen.recv().await.unwrap();
        assert_eq!(Some(call.instance), client.mesh.view().owner(HOST, uuid).map(|member| member.uuid));
    }
    assert_eq!(retries("not_owner"), 0);
}

#[tokio::test]
async fn an_old_ring_is_told_so_and_the_call_follows_the_new_one() {
    let (sender, mut seen) = seen();
    let (a, b) = (Node::server(None, &sender).await, Node::server(None, &sender).await);
    let client = Node::client(None);
    let members = vec![a.member(), b.member()];
    a.membership.set(2, members.clone());
    b.membership.set(2, members.clone());
    client.membership.set(1, vec![a.member()]);

    let uuid = owned_by(&b.member(), &members);
    let mut zones = client.zones();
    let call = tokio::spawn(async move {
        zones.delete_zone(DeleteZoneRequest { uuid: uuid.to_string(), ..Default::default() }).await
    });
    until("the owner of old refuses", || retries("not_owner") > 0).await;
    client.membership.set(2, members);
    call.await.unwrap().unwrap();
    assert_eq!(seen.recv().await.unwrap().instance, b.mesh.instance());
    assert_eq!(retries("not_owner"), 1, "the sender waited for the epoch that it was told");
}

#[tokio::test]
async fn a_receiver_with_an_old_ring_waits_for_the_senders() {
    let (sender, mut seen) = seen();
    let (a, b) = (Node::server(None, &sender).await, Node::server(None, &sender).await);
    let client = Node::client(None);
    let members = vec![a.member(), b.member()];
    client.membership.set(2, members.clone());
    b.membership.set(1, vec![a.member()]);

    let uuid = owned_by(&b.member(), &members);
    let mut zones = client.zones();
    let call = tokio::spawn(async move {
        zones.delete_zone(DeleteZoneRequest { uuid: uuid.to_string(), ..Default::default() }).await
    });
    // Whenever it comes: the call arrives before or after it.
    b.membership.set(2, members);
    call.await.unwrap().unwrap();
    assert_eq!(seen.recv().await.unwrap().instance, b.mesh.instance());
    assert_eq!(retries("not_owner"), 0);
}

#[tokio::test]
async fn a_call_without_a_uuid_goes_past_dead_peers_at_once() {
    let (sender, _seen) = seen();
    let a = Node::server(None, &sender).await;
    let client = Node::client(None);
    let mut members = vec![a.member()];
    for _ in 0..3 {
        members.push(Member::new(Uuid::new_v4(), HOST, dead_address().await));
    }
    a.membership.set(1, members.clone());
    client.membership.set(1, members);
    let started = Instant::now();
    for _ in 0..20 {
        client.zones().list_zones(list("")).await.unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(retries("unreachable") <= 3, "dead peers are passed over: {}", retries("unreachable"));
}

#[tokio::test]
async fn a_call_whose_owner_died_follows_its_successor() {
    let (sender, mut seen) = seen();
    let a = Node::server(None, &sender).await;
    let client = Node::client(None);
    let dead = Member::new(Uuid::new_v4(), HOST, dead_address().await);
    let members = vec![a.member(), dead.clone()];
    client.membership.set(1, members.clone());
    a.membership.set(2, vec![a.member()]);

    let uuid = owned_by(&dead, &members);
    let mut zones = client.zones();
    let call = tokio::spawn(async move {
        zones.delete_zone(DeleteZoneRequest { uuid: uuid.to_string(), ..Default::default() }).await
    });
    until("the dead peer was tried", || retries("unreachable") > 0).await;
    client.membership.set(2, vec![a.member()]);
    call.await.unwrap().unwrap();
    assert_eq!(seen.recv().await.unwrap().instance, a.mesh.instance());
}

#[tokio::test]
async fn a_call_that_was_under_way_when_its_peer_died_is_sent_again() {
    let (sender, mut seen) = seen();
    let (a, b) = (Node::server(None, &sender).await, Node::server(None, &sender).await);
    let client = Node::client(None);
    for node in [&a, &b, &client] {
        node.membership.set(1, vec![a.member()]);
    }
    let mut zones = client.zones();
    let call = tokio::spawn(async move { zones.list_zones(list("hang")).await });
    assert_eq!(seen.recv().await.unwrap().instance, a.mesh.instance());
    client.membership.set(2, vec![b.member()]);
    // The connection breaks in the middle of the call.
    a.cut.cancel();
    assert_eq!(seen.recv().await.unwrap().instance, b.mesh.instance());
    call.abort();
}

#[tokio::test]
async fn time_that_runs_out_is_always_deadline_exceeded() {
    let (sender, _seen) = seen();
    let server = Node::server(None, &sender).await;
    let remote = Node::client(None);
    let dead = Member::new(Uuid::new_v4(), HOST, dead_address().await);
    server.membership.set(1, vec![server.member()]);
    remote.membership.set(1, vec![server.member()]);

    for (name, zones, filter) in [
        ("in process", server.zones(), "hang"),
        ("over the network", remote.zones(), "hang"),
        ("of the call behind", server.zones(), "onward"),
        ("of the call behind, over the network", remote.zones(), "onward"),
    ] {
        let mut request = Request::new(list(filter));
        request.set_timeout(Duration::from_millis(300));
        let started = Instant::now();
        let error = Error::from(zones.clone().list_zones(request).await.unwrap_err());
        assert_eq!(error.kind(), Kind::DeadlineExceeded, "{name}: {error}");
        assert!(error.message().contains("ZoneService/ListZones was not answered within"), "{name}: {error}");
        assert!(started.elapsed() < Duration::from_secs(3), "{name}: {:?}", started.elapsed());
    }

    remote.membership.set(2, vec![dead]);
    let mut request = Request::new(DeleteZoneRequest { uuid: Uuid::new_v4().to_string(), ..Default::default() });
    request.set_timeout(Duration::from_millis(300));
    let error = Error::from(remote.zones().delete_zone(request).await.unwrap_err());
    assert_eq!((error.kind(), error.metadata()["cause"].as_str()), (Kind::DeadlineExceeded, reason::PEER_UNREACHABLE));
}

#[tokio::test]
async fn a_stream_goes_on_until_its_deadline_or_the_end_of_its_server() {
    let (sender, _seen) = seen();
    let server = Node::server(None, &sender).await;
    let remote = Node::client(None);
    server.membership.set(1, vec![server.member()]);
    remote.membership.set(1, vec![server.member()]);
    let watch = |node: &Node| {
        let channel = node.mesh.channel(HOST).on_behalf_of(Caller::system());
        OperationServiceClient::new(channel)
    };
    let uuid = Uuid::new_v4().to_string();

    for node in [&server, &remote] {
        let mut request = Request::new(WatchOperationRequest { uuid: uuid.clone() });
        request.set_timeout(Duration::from_millis(300));
        let mut stream = watch(node).watch_operation(request).await.unwrap().into_inner();
        assert_eq!(stream.message().await.unwrap().unwrap().uuid, uuid);
        let error = Error::from(stream.message().await.unwrap_err());
        assert_eq!(error.kind(), Kind::DeadlineExceeded, "{error}");
    }

    let open = async |node: &Node| {
        let request = WatchOperationRequest { uuid: uuid.clone() };
        let mut stream = watch(node).watch_operation(request).await.unwrap().into_inner();
        assert_eq!(stream.message().await.unwrap().unwrap().uuid, uuid);
        stream
    };
    let (mut here, mut there) = (open(&server).await, open(&remote).await);
    assert!(server.mesh.drain(Duration::from_secs(10)).await, "streams to other processes end");
    let error = Error::from(there.message().await.unwrap_err());
    assert_eq!((error.kind(), error.reason()), (Kind::Unavailable, reason::DRAINING));
    let next = tokio::time::timeout(Duration::from_millis(100), here.message()).await;
    assert!(next.is_err(), "what the process asks itself goes on");
    let text = gyre_mesh::telemetry::metrics::encode();
    let counted = r#"method="WatchOperation",code="UNAVAILABLE"} 1"#;
    assert!(text.contains(counted), "{text}");
}

#[tokio::test]
async fn a_stream_whose_peer_is_lost_ends_with_a_status() {
    let (sender, _seen) = seen();
    let server = Node::server(None, &sender).await;
    let remote = Node::client(None);
    server.membership.set(1, vec![server.member()]);
    remote.membership.set(1, vec![server.member()]);
    let mut operations = OperationServiceClient::new(remote.mesh.channel(HOST).on_behalf_of(Caller::system()));
    let watch = WatchOperationRequest { uuid: Uuid::new_v4().to_string() };
    let mut stream = operations.watch_operation(watch).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    server.cut.cancel();
    let error = Error::from(stream.message().await.unwrap_err());
    assert_eq!((error.kind(), error.reason()), (Kind::Unavailable, reason::PEER_UNREACHABLE));
}

#[tokio::test]
async fn a_handlers_own_unavailable_is_final() {
    let (sender, _seen) = seen();
    let server = Node::server(None, &sender).await;
    server.membership.set(1, vec![server.member()]);
    let zone = Zone { uuid: Uuid::new_v4().to_string(), name: "n".into(), ..Zone::default() };
    let update = UpdateZoneRequest { zone: Some(zone), ..Default::default() };
    let error = Error::from(server.zones().update_zone(update).await.unwrap_err());
    assert_eq!((error.kind(), error.reason()), (Kind::Unavailable, "STORE_BUSY"));
    assert_eq!(error.retry(), Some(Duration::from_secs(1)));
}

#[tokio::test]
async fn rules_of_access_and_fields_are_kept_before_the_handler() {
    let (sender, mut seen) = seen();
    let mesh = Mesh::local();
    mesh.host(HOST, routes(&mesh, &sender)).await.unwrap();
    let mut zones = ZoneServiceClient::new(mesh.channel(HOST));
    let reason_of = |status: tonic::Status| Error::from(status).reason().to_owned();

    assert_eq!(reason_of(zones.get_zone(get(Uuid::new_v4())).await.unwrap_err()), reason::NOT_SIGNED_IN);
    assert_eq!(reason_of(zones.create_zone(user().request(create("a"))).await.unwrap_err()), reason::ADMIN_ONLY);
    zones.get_zone(user().request(get(Uuid::new_v4()))).await.unwrap();
    assert_eq!(seen.recv().await.unwrap().call, "get");

    let long = CreateZoneRequest {
        zone: Some(Zone { name: "x".repeat(65), description: "y".repeat(1025), ..Zone::default() }),
        ..Default::default()
    };
    let error = Error::from(zones.create_zone(Caller::system().request(long)).await.unwrap_err());
    assert_eq!((error.kind(), error.violations().len()), (Kind::InvalidArgument, 2), "{error}");
    let error = zones.delete_zone(Caller::system().request(DeleteZoneRequest::default())).await.unwrap_err();
    assert_eq!(Error::from(error).kind(), Kind::InvalidArgument);
    assert!(seen.try_recv().is_err(), "nothing else reached the handler");
}

#[tokio::test]
async fn what_comes_from_outside_is_not_believed() {
    let (sender, mut seen) = seen();
    let mesh = Mesh::local();
    // Straight on the stack, as something would that is no listener and no channel.
    let mut zones = ZoneServiceClient::new(layered(routes(&mesh, &sender), &mesh, HOST));
    let error = zones.get_zone(Caller::system().request(get(Uuid::new_v4()))).await.unwrap_err();
    assert_eq!(Error::from(error).reason(), reason::NOT_SIGNED_IN);
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    let (sender, _seen) = seen();
    let server = Node::server(None, &sender).await;
    server.membership.set(1, vec![server.member()]);
    let error = Error::from(server.zones().list_zones(list("panic")).await.unwrap_err());
    assert_eq!(error.kind(), Kind::Internal);
    assert!(!error.message().contains("on purpose"), "causes are for the log: {error}");
    server.zones().list_zones(list("")).await.unwrap();
}

#[tokio::test]
async fn without_a_provable_lease_only_reads_go_on() {
    let (sender, mut seen) = seen();
    let server = Node::server(None, &sender).await;
    let client = Node::client(None);
    server.membership.set(1, vec![server.member()]);
    client.membership.set(1, vec![server.member()]);
    server.membership.set_lease_valid(false);
    assert!(!server.mesh.may_work());

    client.zones().get_zone(get(Uuid::new_v4())).await.unwrap();
    assert_eq!(seen.recv().await.unwrap().call, "get");
    let mut zones = client.zones();
    let call = tokio::spawn(async move { zones.create_zone(create("a")).await });
    until("the change is refused", || retries("lease_lost") > 0).await;
    server.membership.set_lease_valid(true);
    call.await.unwrap().unwrap();
    assert_eq!(seen.recv().await.unwrap().call, "create");
}

#[tokio::test]
async fn while_everybody_is_cut_off_changes_are_refused_soon_and_reads_go_on() {
    let (sender, mut seen) = seen();
    let server = Node::server(None, &sender).await;
    let client = Node::client(None);
    for node in [&server, &client] {
        node.membership.set(1, vec![server.member()]);
        node.membership.set_lease_valid(false);
    }
    client.zones().get_zone(get(Uuid::new_v4())).await.unwrap();
    assert_eq!(seen.recv().await.unwrap().call, "get");
    let began = std::time::Instant::now();
    let error = Error::from(client.zones().create_zone(create("a")).await.unwrap_err());
    assert_eq!((error.kind(), error.reason()), (Kind::Unavailable, reason::NO_LEASE), "{error}");
    assert!(error.retry().is_some());
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());

    // who is dead now is not replaced before etcd is back
    client.membership.set(2, vec![Member::new(Uuid::new_v4(), HOST, dead_address().await)]);
    let began = std::time::Instant::now();
    let error = Error::from(client.zones().create_zone(create("a")).await.unwrap_err());
    assert_eq!((error.kind(), error.reason()), (Kind::Unavailable, reason::NO_LEASE), "{error}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_owner_without_a_lease_that_nobody_replaces_is_not_waited_for_long() {
    let (sender, _seen) = seen();
    let server = Node::server(None, &sender).await;
    let client = Node::client(None);
    for node in [&server, &client] {
        node.membership.set(1, vec![server.member()]);
    }
    // the caller itself is in order
    server.membership.set_lease_valid(false);
    let began = Instant::now();
    let error = Error::from(client.zones().create_zone(create("a")).await.unwrap_err());
    assert_eq!((error.kind(), error.reason()), (Kind::Unavailable, reason::NO_LEASE), "{error}");
    assert_eq!(error.metadata()["cause"], reason::LEASE_LOST);
    assert!(error.retry().is_some());
    assert!(began.elapsed() < Duration::from_millis(3_500), "{:?}", began.elapsed());
}

/// Somebody who takes connections and never answers, as a process does that was stopped where it stands: its kernel goes on.
async fn frozen() -> Member {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let member = Member::new(Uuid::new_v4(), HOST, listener.local_addr().unwrap().to_string());
    tokio::spawn(async move {
        let mut taken = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            taken.push(stream);
        }
    });
    member
}

#[tokio::test]
async fn a_frozen_owner_is_noticed_and_its_successor_asked() {
    let (sender, mut seen) = seen();
    let server = Node::server(None, &sender).await;
    let client = Node::client(None);
    let frozen = frozen().await;
    client.membership.set(1, vec![frozen]);
    server.membership.set(2, vec![server.member()]);
    let began = Instant::now();
    let mut zones = client.zones();
    let call = tokio::spawn(async move { zones.create_zone(create("a")).await });
    until("the frozen peer was given up", || retries("unreachable") > 0).await;
    assert!(began.elapsed() < Duration::from_millis(4_500), "{:?}", began.elapsed());
    client.membership.set(2, vec![server.member()]);
    call.await.unwrap().unwrap();
    assert_eq!(seen.recv().await.unwrap().instance, server.mesh.instance());
}

#[tokio::test]
async fn a_frozen_owner_is_not_waited_for_while_nobody_can_replace_it() {
    let client = Node::client(None);
    client.membership.set(1, vec![frozen().await]);
    client.membership.set_lease_valid(false);
    for _ in 0..2 {
        let began = Instant::now();
        let error = Error::from(client.zones().get_zone(get(Uuid::new_v4())).await.unwrap_err());
        assert_eq!((error.kind(), error.reason()), (Kind::Unavailable, reason::NO_LEASE), "{error}");
        assert!(began.elapsed() < Duration::from_millis(4_500), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_handler_that_takes_long_is_no_frozen_peer() {
    let (sender, mut seen) = seen();
    let server = Node::server(None, &sender).await;
    let client = Node::client(None);
    for node in [&server, &client] {
        node.membership.set(1, vec![server.member()]);
    }
    let mut request = Request::new(list("hang"));
    request.set_timeout(Duration::from_secs(4));
    let error = Error::from(client.zones().list_zones(request).await.unwrap_err());
    assert_eq!((error.kind(), retries("unreachable")), (Kind::DeadlineExceeded, 0), "{error}");
    assert_eq!(seen.recv().await.unwrap().call, "list");
    assert!(seen.try_recv().is_err(), "it was asked once");
}

#[tokio::test]
async fn a_service_that_comes_late_is_waited_for() {
    let (sender, _seen) = seen();
    let mesh = Mesh::local();
    let mut zones = ZoneServiceClient::new(mesh.channel(HOST).on_behalf_of(Caller::system()));
    let call = tokio::spawn(async move { zones.create_zone(create("a")).await });
    until("nobody is there", || retries("no_member") > 0).await;
    mesh.host(HOST, routes(&mesh, &sender)).await.unwrap();
    call.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_address_is_called_directly_and_not_again() {
    let (sender, mut seen) = seen();
    let server = Node::server(None, &sender).await;
    let client = Node::client(None);
    let at =
        |address: String| ZoneServiceClient::new(client.mesh.channel(HOST).at(address).on_behalf_of(Caller::system()));
    at(server.address.unwrap().to_string()).list_zones(list("")).await.unwrap();
    assert_eq!(seen.recv().await.unwrap().instance, server.mesh.instance());
    let error = Error::from(at(dead_address().await).list_zones(list("")).await.unwrap_err());
    assert_eq!((error.kind(), error.reason()), (Kind::Unavailable, reason::PEER_UNREACHABLE));

    let error = Error::from(at("local".into()).list_zones(list("")).await.unwrap_err());
    assert_eq!(error.reason(), reason::NO_MEMBER);
    client.mesh.serve_address("local", layered(routes(&client.mesh, &sender), &client.mesh, HOST));
    at("local".into()).list_zones(list("")).await.unwrap();
    assert_eq!(seen.recv().await.unwrap().instance, client.mesh.instance());
}

#[tokio::test]
async fn an_unknown_call_is_unimplemented() {
    let mesh = Mesh::local();
    let request = http::Request::builder().uri(format!("{PATH}Nothing")).body(tonic::body::Body::empty()).unwrap();
    let response = tower::ServiceExt::oneshot(mesh.channel(HOST), request).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "12");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_etcd_hears_and_nobody_here_reaches_is_not_waited_for_to_the_deadline() {
    let client = Node::client(None);
    client.membership.set(1, vec![Member::new(Uuid::new_v4(), HOST, dead_address().await)]);
    let began = Instant::now();
    let error = Error::from(client.zones().create_zone(create("a")).await.unwrap_err());
    assert_eq!((error.kind(), error.reason()), (Kind::Unavailable, reason::PEER_UNREACHABLE), "{error}");
    assert!(error.retry().is_some());
    let took = began.elapsed();
    assert!(took > Duration::from_secs(7) && took < Duration::from_secs(13), "{took:?}");
}
