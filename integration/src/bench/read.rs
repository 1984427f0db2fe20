//! How many machines are read by UUID in a second, over HTTP and over gRPC, with the driver on the same processors.

use std::sync::Arc;

use anyhow::{Result, ensure};
use gyre_proto::vm::v1::GetVmRequest;
use gyre_proto::vm::v1::vm_service_client::VmServiceClient;
use tonic::transport::{Channel, Endpoint};

use super::args::Load;
use super::calls::{Extent, timed};
use super::figures::Figures;
use super::opened::Opened;
use super::vms;
use crate::front::Front;

/// Reads of each way where nobody says how many.
const COUNT: usize = 100_000;
/// Of a warm-up.
const WARM_UP: usize = 2_000;
/// Reads at a time.
const CONCURRENCY: usize = 64;
/// Connections that gRPC calls share.
const CONNECTIONS: usize = 4;

/// Reads machines, in each way.
///
/// # Errors
/// When the machines cannot be made.
pub async fn run(load: &Load, machines: usize, mut told: impl FnMut(Figures) -> Result<()>) -> Result<()> {
    let opened = Opened::of(load, machines, 1, CONCURRENCY).await?;
    let vms: Arc<[String]> = vms::create(&opened, "read", machines).await?.made.into();
    let warm_up = load.warm_up.unwrap_or(WARM_UP);
    let count = load.count.unwrap_or(COUNT);
    let channels = channels(&opened.node.front).await?;
    for extent in [warm_up, count].map(|count| Extent { machines: machines as u64, ..Extent::of(count) }) {
        if extent.count == 0 {
            continue;
        }
        let ways = [http(&opened, &vms, extent).await?, grpc(&opened, &channels, &vms, extent).await?];
        if extent.count == count {
            ways.into_iter().try_for_each(&mut told)?;
        }
    }
    vms::expunge(&opened, vms.to_vec()).await?;
    opened.close().await;
    Ok(())
}

async fn http(opened: &Opened, vms: &Arc<[String]>, extent: Extent) -> Result<Figures> {
    let (front, vms) = (opened.node.front.clone(), Arc::clone(vms));
    let call = move |at: usize| {
        let (front, path) = (front.clone(), format!("/v1/vms/{}", vms[at % vms.len()]));
        timed(async move {
            let (status, body) = front.fetch(&path).await?;
            ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
            Ok(())
        })
    };
    Ok(opened.node.runner.run("read-http", extent, call).await?.figures)
}

async fn channels(front: &Front) -> Result<Arc<[Channel]>> {
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(Endpoint::from_shared(front.endpoint().to_owned())?.tcp_nodelay(true).connect().await?);
    }
    Ok(channels.into())
}

async fn grpc(opened: &Opened, channels: &Arc<[Channel]>, vms: &Arc<[String]>, extent: Extent) -> Result<Figures> {
    let authorization: tonic::metadata::MetadataValue<_> = format!("Bearer {}", opened.node.front.token()).parse()?;
    let (channels, vms) = (Arc::clone(channels), Arc::clone(vms));
    let call = move |at: usize| {
        let mut client = VmServiceClient::new(channels[at % channels.len()].clone());
        let mut request = tonic::Request::new(GetVmRequest { uuid: vms[at % vms.len()].clone() });
        request.metadata_mut().insert("authorization", authorization.clone());
        timed(async move {
            client.get_vm(request).await?;
            Ok(())
        })
    };
    Ok(opened.node.runner.run("read-grpc", extent, call).await?.figures)
}
