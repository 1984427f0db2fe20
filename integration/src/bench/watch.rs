//! What operations under way and those who watch them cost in memory: machines that take long to start, and a stream for each of their
//! operations, over a few connections. Where driver and node are one process, the figures hold both ends.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use gyre_proto::common::v1::WatchOperationRequest;
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use super::calls::{Extent, Ran, Runner, timed};
use super::figures::Figures;
use super::opened::Opened;
use super::rss_mib;
use crate::front::Front;

/// Streams that share a connection.
const STREAMS: usize = 500;
/// Machines that are asked for at a time.
const CALLERS: usize = 64;

/// How operations are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Way {
    /// `WatchOperation` over gRPC.
    Grpc,
    /// Server-sent events, over HTTP/2.
    Events,
}

/// The resident memory once it stays as it is: operations that have just begun still grow.
async fn settled_mib(pid: u32) -> Result<f64> {
    let mut before = rss_mib(pid)?;
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = rss_mib(pid)?;
        if (now - before).abs() < before / 200.0 {
            return Ok(now);
        }
        before = now;
    }
    bail!("the memory of process {pid} does not settle")
}

/// Makes machines and watches all of their operations, until each watcher has heard something. The calls are those that ask for
/// machines. What is left of the memory of one phase is not taken out of the next.
///
/// # Errors
/// When a call is refused or a stream breaks.
pub async fn run(opened: &Opened, operations: usize, pid: u32, way: Way) -> Result<Figures> {
    let front = &opened.node.front;
    let idle_mib = settled_mib(pid).await?;
    let Ran { figures: asked, made: uuids, .. } = begin(opened, operations).await?;
    let under_way_mib = settled_mib(pid).await?;
    let mut watchers = JoinSet::new();
    let (told, mut first) = tokio::sync::mpsc::channel(operations.max(1));
    for group in uuids.chunks(STREAMS) {
        let connection = Connection::open(front, way).await?;
        for uuid in group {
            watchers.spawn(connection.clone().watch(front.clone(), uuid.clone(), told.clone()));
        }
    }
    drop(told);
    let all = async {
        for _ in 0..uuids.len() {
            first.recv().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.context("not all watchers heard anything within 60 s")?;
    let watched_mib = rss_mib(pid)?;
    let watching = watchers.len();
    while let Some(ended) = watchers.try_join_next() {
        ended??;
    }
    let under_way = watchers.len();
    ensure!(
        under_way * 10 >= watching * 9,
        "only {under_way} of {watching} are still under way: let hosts take longer"
    );
    let (operations_mib, watchers_mib) = (under_way_mib - idle_mib, watched_mib - under_way_mib);
    let each = |mib: f64| mib * 1024.0 / watching as f64;
    let way = match way {
        Way::Grpc => "grpc",
        Way::Events => "events",
    };
    let figures = asked.with("operations", under_way).with("way", way);
    let figures =
        figures.with("idle_mib", idle_mib).with("under_way_mib", under_way_mib).with("watched_mib", watched_mib);
    let figures = figures.with("operations_mib", operations_mib).with("watchers_mib", watchers_mib);
    Ok(figures.with("kib_per_operation", each(operations_mib)).with("kib_per_watcher", each(watchers_mib)))
}

/// Asks for machines; answers the UUIDs of their operations, too.
async fn begin(opened: &Opened, operations: usize) -> Result<Ran<String>> {
    let (front, site, image) = (opened.node.front.clone(), opened.site.clone(), opened.image.clone());
    let call = move |at: usize| {
        let (front, vm) = (front.clone(), Front::vm(&site, &image, &format!("watched-{at}")));
        timed(async move {
            let operation = front.post("/v1/vms", vm).await?.good()?;
            Ok(operation["uuid"].as_str().context("an operation without UUID")?.to_owned())
        })
    };
    let runner = Runner { concurrency: CALLERS, ..opened.node.runner.clone() };
    let begun = runner.run("watch", Extent::of(operations), call).await?;
    let problem = begun.figures.problem.clone().unwrap_or_default();
    ensure!(begun.figures.failed == 0, "{} machines were refused: {problem}", begun.figures.failed);
    Ok(begun)
}

/// Streams that are being opened: one account has so many calls at a time and may let some more wait.
static OPENING: Semaphore = Semaphore::const_new(64);

/// A connection that watchers share.
#[derive(Clone)]
enum Connection {
    Grpc(Channel),
    Events(Box<Client<HttpConnector, Empty<Bytes>>>),
}

impl Connection {
    async fn open(front: &Front, way: Way) -> Result<Self> {
        Ok(match way {
            Way::Grpc => {
                let endpoint = Endpoint::from_shared(front.endpoint().to_owned())?.tcp_nodelay(true);
                Self::Grpc(endpoint.connect().await?)
            }
            Way::Events => {
                let mut connector = HttpConnector::new();
                connector.set_nodelay(true);
                Self::Events(Box::new(Client::builder(TokioExecutor::new()).http2_only(true).build(connector)))
            }
        })
    }

    /// Watches an operation to its end; tells when the first was heard of it.
    async fn watch(self, front: Front, uuid: String, told: Sender<()>) -> Result<()> {
        let token = format!("Bearer {}", front.token());
        let mut told = Some(told);
        let opening = OPENING.acquire().await?;
        match self {
            Self::Grpc(channel) => {
                let mut request = tonic::Request::new(WatchOperationRequest { uuid });
                request.metadata_mut().insert("authorization", token.parse()?);
                let mut stream = OperationServiceClient::new(channel).watch_operation(request).await?.into_inner();
                drop(opening);
                while stream.message().await?.is_some() {
                    tell(&mut told).await;
                }
            }
            Self::Events(client) => {
                let path = format!("{}/v1/operations/{uuid}:watch", front.endpoint());
                let request = http::Request::get(path).header("authorization", token).body(Empty::new())?;
                let response = client.request(request).await?;
                drop(opening);
                ensure!(response.status().is_success(), "watching was answered with {}", response.status());
                let mut body = response.into_body();
                while let Some(frame) = body.frame().await {
                    frame?;
                    tell(&mut told).await;
                }
            }
        }
        Ok(())
    }
}

async fn tell(told: &mut Option<Sender<()>>) {
    if let Some(told) = told.take() {
        // whoever counts may have stopped
        let _ = told.send(()).await;
    }
}
