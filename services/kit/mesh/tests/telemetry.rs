//! Spans reach a collector over OTLP, under the trace that the caller named. One test: the subscriber is the process's.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests too")]

mod support;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gyre_mesh::config::TelemetryArgs;
use gyre_mesh::serve::{Limits, Listener};
use gyre_mesh::telemetry;
use gyre_model::{Uuid, wire};
use gyre_proto::host::v1::{GetZoneRequest, ListZonesRequest};
use http_body_util::{BodyExt as _, Full};
use parking_lot::Mutex;
use support::{Node, seen};
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;

/// A collector that keeps what it is sent, and answers an empty message.
async fn collector(sent: &Arc<Mutex<Vec<u8>>>) -> SocketAddr {
    let sent = sent.clone();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let sent = sent.clone();
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            sent.lock().extend_from_slice(&body);
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let body = Full::new(wire::frame(b"")).with_trailers(async move { Some(Ok(trailers)) });
            let answer = http::Response::builder().header("content-type", "application/grpc").body(Body::new(body));
            Ok::<_, Infallible>(answer.unwrap())
        }
    });
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), None, Limits::default()).await.unwrap();
    let address = listener.address();
    let service = BoxCloneSyncService::new(service);
    tokio::spawn(listener.serve(service, CancellationToken::new(), CancellationToken::new()));
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_goes_through_processes_to_the_collector() {
    let sent = Arc::default();
    let endpoint = format!("http://{}", collector(&sent).await);
    let args = TelemetryArgs { otlp_endpoint: Some(endpoint), log: "warn".into(), log_json: true };
    let guard = telemetry::init("gyre-test", &args).unwrap();

    let (sender, mut seen) = seen();
    let server = Node::server(None, &sender).await;
    let client = Node::client(None);
    server.membership.set(1, vec![server.member()]);
    client.membership.set(1, vec![server.member()]);

    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut request = Request::new(GetZoneRequest { uuid: Uuid::new_v4().to_string() });
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    client.zones().get_zone(request).await.unwrap();
    let inside = seen.recv().await.unwrap().traceparent;
    assert!(inside.starts_with(&format!("00-{trace}-")) && inside != parent, "a span of its own: {inside}");

    // Two processes behind one call: the second stands under the first.
    let mut request = Request::new(ListZonesRequest { filter: "onward".into(), ..Default::default() });
    request.set_timeout(Duration::from_millis(300));
    client.zones().list_zones(request).await.unwrap_err();
    let (first, second) = (seen.recv().await.unwrap().traceparent, seen.recv().await.unwrap().traceparent);
    assert_eq!(first[..35], second[..35]);
    assert_ne!(first, second);

    guard.flush().await;
    let sent = sent.lock();
    let has = |what: &[u8]| sent.windows(what.len()).any(|window| window == what);
    assert!(has(&u128::from_str_radix(trace, 16).unwrap().to_be_bytes()), "the trace is there");
    assert!(has(b"gyre-test") && has(b"/gyre.host.v1.ZoneService/GetZone"), "service and method are there");
}
