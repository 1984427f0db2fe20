//! How many machines are read by UUID in a second, over HTTP and over gRPC, with the driver on the same processors.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use gyre_proto::vm::v1::GetVmRequest;
use gyre_proto::vm::v1::vm_service_client::VmServiceClient;
use serde::Serialize;
use tokio::task::JoinSet;
use tonic::transport::Endpoint;

use super::stats::Latencies;
use crate::front::Front;

/// The figures.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// "http" or "grpc".
    pub way: &'static str,
    /// Callers at a time.
    pub callers: usize,
    /// Reads a second.
    pub per_second: f64,
    /// Of each read.
    pub latency: Latencies,
}

/// Reads machines over HTTP for so long.
///
/// # Errors
/// When a read fails.
pub async fn http(front: &Front, vms: &[String], callers: usize, time: Duration) -> Result<Figures> {
    let mut set = JoinSet::new();
    let begun = Instant::now();
    for caller in 0..callers {
        let (front, vms) = (front.clone(), vms.to_vec());
        set.spawn(async move {
            let mut samples = Vec::new();
            let mut at = caller;
            while begun.elapsed() < time {
                let read = Instant::now();
                let answer = front.get(&format!("/v1/vms/{}", vms[at % vms.len()])).await?;
                ensure!(answer.status.is_success(), "{}", answer.body);
                samples.push(read.elapsed());
                at += 1;
            }
            anyhow::Ok(samples)
        });
    }
    collect("http", callers, begun, set).await
}

/// Reads machines over gRPC for so long, over a few connections.
///
/// # Errors
/// When a read fails.
pub async fn grpc(front: &Front, vms: &[String], callers: usize, time: Duration) -> Result<Figures> {
    let mut channels = Vec::new();
    for _ in 0..4 {
        channels.push(Endpoint::from_shared(front.endpoint().to_owned())?.tcp_nodelay(true).connect().await?);
    }
    let mut set = JoinSet::new();
    let begun = Instant::now();
    for caller in 0..callers {
        let mut client = VmServiceClient::new(channels[caller % channels.len()].clone());
        let authorization: tonic::metadata::MetadataValue<_> = format!("Bearer {}", front.token()).parse()?;
        let vms = vms.to_vec();
        set.spawn(async move {
            let mut samples = Vec::new();
            let mut at = caller;
            while begun.elapsed() < time {
                let read = Instant::now();
                let mut request = tonic::Request::new(GetVmRequest { uuid: vms[at % vms.len()].clone() });
                request.metadata_mut().insert("authorization", authorization.clone());
                client.get_vm(request).await?;
                samples.push(read.elapsed());
                at += 1;
            }
            anyhow::Ok(samples)
        });
    }
    collect("grpc", callers, begun, set).await
}

async fn collect(
    way: &'static str,
    callers: usize,
    begun: Instant,
    mut set: JoinSet<Result<Vec<Duration>>>,
) -> Result<Figures> {
    let mut samples = Vec::new();
    while let Some(done) = set.join_next().await {
        samples.extend(done??);
    }
    let per_second = samples.len() as f64 / begun.elapsed().as_secs_f64();
    Ok(Figures { way, callers, per_second, latency: Latencies::of(samples) })
}
