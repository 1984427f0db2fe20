//! What watching many operations at once costs in memory: a stream for each, over a few connections, of machines that take long to
//! start. Where driver and node are one process, the figure holds both ends.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use gyre_proto::common::v1::WatchOperationRequest;
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use serde::Serialize;
use tokio::task::JoinSet;
use tonic::transport::Endpoint;

use super::rss_mib;
use crate::front::{Front, Site};

/// Streams that share a connection.
const STREAMS: usize = 500;
/// Machines that are asked for at a time.
const CALLERS: usize = 64;

/// The figures.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Operations watched at once, none of which had ended.
    pub operations: usize,
    /// Resident memory before the watchers, with all operations under way.
    pub before_mib: f64,
    /// Resident memory with a watcher of each.
    pub watched_mib: f64,
    /// What the watchers cost.
    pub cost_mib: f64,
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
pub async fn run(front: &Front, site: &Site, image: &str, operations: usize, pid: u32) -> Result<Figures> {
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
    let before_mib = settled_mib(pid).await?;
    let mut watchers = JoinSet::new();
    let (told, mut first) = tokio::sync::mpsc::channel(operations.max(1));
    for group in uuids.chunks(STREAMS) {
        let channel = Endpoint::from_shared(front.endpoint().to_owned())?.tcp_nodelay(true).connect().await?;
        for uuid in group {
            let mut client = OperationServiceClient::new(channel.clone());
            let mut request = tonic::Request::new(WatchOperationRequest { uuid: uuid.clone() });
            request.metadata_mut().insert("authorization", format!("Bearer {}", front.token()).parse()?);
            let told = told.clone();
            watchers.spawn(async move {
                let mut stream = client.watch_operation(request).await?.into_inner();
                let mut told = Some(told);
                while stream.message().await?.is_some() {
                    if let Some(told) = told.take() {
                        // whoever counts may have stopped
                        let _ = told.send(()).await;
                    }
                }
                anyhow::Ok(())
            });
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
    Ok(Figures { operations: under_way, before_mib, watched_mib, cost_mib: watched_mib - before_mib })
}
