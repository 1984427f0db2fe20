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
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use super::rss_mib;
use crate::front::{Front, Site};

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

/// The figures. What is left of the memory of one phase is not taken out of the next.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Operations watched at once, none of which had ended.
    pub operations: usize,
    /// How they were watched.
    pub way: Way,
    /// Resident memory before the first operation.
    pub idle_mib: f64,
    /// With all operations under way, and nobody watching.
    pub under_way_mib: f64,
    /// With a watcher of each.
    pub watched_mib: f64,
    /// What the operations cost.
    pub operations_mib: f64,
    /// What the watchers cost.
    pub watchers_mib: f64,
    /// What one operation under way costs, with all that its host and the other services have of it.
    pub kib_per_operation: f64,
    /// What one watcher costs.
    pub kib_per_watcher: f64,
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

/// Makes machines and watches all of their operations, until each watcher has heard something.
///
/// # Errors
/// When a call is refused or a stream breaks.
pub async fn run(front: &Front, site: &Site, image: &str, operations: usize, pid: u32, way: Way) -> Result<Figures> {
    let idle_mib = settled_mib(pid).await?;
    let uuids = begin(front, site, image, operations).await?;
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
    Ok(Figures {
        operations: under_way,
        way,
        idle_mib,
        under_way_mib,
        watched_mib,
        operations_mib,
        watchers_mib,
        kib_per_operation: each(operations_mib),
        kib_per_watcher: each(watchers_mib),
    })
}

/// Asks for machines; answers the UUIDs of their operations.
async fn begin(front: &Front, site: &Site, image: &str, operations: usize) -> Result<Vec<String>> {
    let mut set = JoinSet::new();
    for caller in 0..CALLERS {
        let (front, site, image) = (front.clone(), site.clone(), image.to_owned());
        set.spawn(async move {
            let mut uuids = Vec::new();
            for at in (caller..operations).step_by(CALLERS) {
                let vm = Front::vm(&site, &image, &format!("watched-{at}"));
                let operation = front.post("/v1/vms", vm).await?.good()?;
                uuids.push(operation["uuid"].as_str().context("an operation without UUID")?.to_owned());
            }
            anyhow::Ok(uuids)
        });
    }
    let mut uuids = Vec::with_capacity(operations);
    while let Some(made) = set.join_next().await {
        uuids.extend(made??);
    }
    Ok(uuids)
}

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
        match self {
            Self::Grpc(channel) => {
                let mut request = tonic::Request::new(WatchOperationRequest { uuid });
                request.metadata_mut().insert("authorization", token.parse()?);
                let mut stream = OperationServiceClient::new(channel).watch_operation(request).await?.into_inner();
                while stream.message().await?.is_some() {
                    tell(&mut told).await;
                }
            }
            Self::Events(client) => {
                let path = format!("{}/v1/operations/{uuid}:watch", front.endpoint());
                let request = http::Request::get(path).header("authorization", token).body(Empty::new())?;
                let response = client.request(request).await?;
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
