//! One trace goes from the caller through gateway and services to the agent's task, and is exported over OTLP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use gyre_agent::Simulation;
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode};
use gyre_mesh::config::TelemetryArgs;
use http::{Method, Request};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use parking_lot::Mutex;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Response, Status};

/// The spans of each trace.
type Traces = Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>;

struct Collector(Traces);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let spans = request.into_inner().resource_spans.into_iter().flat_map(|all| all.scope_spans);
        let mut traces = self.0.lock();
        for span in spans.flat_map(|all| all.spans) {
            let id = span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
            traces.entry(id).or_default().insert(span.name);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_from_the_call_to_the_agents_task() -> Result<()> {
    let traces = Traces::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let collector = TraceServiceServer::new(Collector(traces.clone()));
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(collector)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let args = TelemetryArgs { otlp_endpoint: Some(endpoint), log: "error".into(), log_json: false };
    let guard = gyre_mesh::telemetry::init("gyre-test", &args)?;

    let folder = tempfile::tempdir()?;
    let node = TestNode::start(folder.path(), Hosts::Simulated(Simulation::default())).await?;
    let front = node.front().await?;
    let site = front.site("trace", &["local"], "/var/lib/gyre").await?;
    let image = front.upload(&site, "empty", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;

    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{}/v1/vms", front.endpoint()))
        .header("content-type", "application/json")
        .header("prefer", "wait=60")
        .header("traceparent", format!("00-{id}-00f067aa0ba902b7-01"));
    let made = front.send(request, Front::vm(&site, &image, "traced").to_string()).await?.good()?;
    ensure!(made["state"] == "OPERATION_STATE_SUCCEEDED", "{made}");
    node.shutdown().await;
    guard.flush().await;

    let begun = Instant::now();
    loop {
        let spans = traces.lock().get(id).cloned().unwrap_or_default();
        let has = |part: &str| spans.iter().any(|name| name.contains(part));
        if ["CreateVm", "operation", "step", "ReservePlacement", "RunTask", "task"].iter().all(|part| has(part)) {
            return Ok(());
        }
        ensure!(begun.elapsed() < Duration::from_secs(15), "the trace has only {spans:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
