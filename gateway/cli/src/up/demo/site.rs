//! The demo's resources, each made where it is not there yet.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use gyre_proto::host::v1::cluster_service_client::ClusterServiceClient;
use gyre_proto::host::v1::host_service_client::HostServiceClient;
use gyre_proto::host::v1::zone_service_client::ZoneServiceClient;
use gyre_proto::host::v1::{
    Cluster, CreateClusterRequest, CreateHostRequest, CreateZoneRequest, GetHostRequest, Host, HostStatus,
    ReconnectHostRequest, Zone,
};
use gyre_proto::network::v1::ip_range_service_client::IpRangeServiceClient;
use gyre_proto::network::v1::l2_network_service_client::L2NetworkServiceClient;
use gyre_proto::network::v1::l3_network_service_client::L3NetworkServiceClient;
use gyre_proto::network::v1::{
    CreateIpRangeRequest, CreateL2NetworkRequest, CreateL3NetworkRequest, IpRange, L2Network, L2NetworkType, L3Network,
};
use gyre_proto::storage::v1::image_server_service_client::ImageServerServiceClient;
use gyre_proto::storage::v1::primary_storage_service_client::PrimaryStorageServiceClient;
use gyre_proto::storage::v1::{
    CreateImageServerRequest, CreatePrimaryStorageRequest, ImageServer, PrimaryStorage, PrimaryStorageType,
};
use gyre_proto::vm::v1::instance_offering_service_client::InstanceOfferingServiceClient;
use gyre_proto::vm::v1::{CreateInstanceOfferingRequest, InstanceOffering};

use super::DemoSetup;
use super::ensure::{ensure, ensure_by_operation};
use super::image::image;
use super::step::{by_name, found, made, settled, waited};
use crate::client::Client;
use crate::commands::wait;
use crate::failure::Failure;
use crate::ui::Ui;

/// How long a host's agent may take to answer.
const CONNECT: Duration = Duration::from_secs(60);

/// What a machine needs.
#[derive(Debug)]
pub struct Site {
    /// The cluster.
    pub cluster: String,
    /// The image.
    pub image: String,
    /// The L3 network.
    pub network: String,
    /// The offering.
    pub offering: String,
}

/// Makes everything but the machine.
pub async fn prepare(client: &Client, setup: &DemoSetup, ui: &Ui) -> anyhow::Result<Site> {
    let name = setup.name.as_str();
    let owned = || name.to_owned();
    let zone = ensure!(
        client,
        ui,
        "zone",
        name,
        ZoneServiceClient.create_zone(CreateZoneRequest {
            zone: Zone { name: owned(), description: "made by gyre up --demo".to_owned(), ..Zone::default() }
        })
    );
    let cluster = ensure!(
        client,
        ui,
        "cluster",
        name,
        ClusterServiceClient.create_cluster(CreateClusterRequest {
            cluster: Cluster { name: owned(), zone_uuid: zone.clone(), ..Cluster::default() }
        })
    );
    let host = ensure_by_operation!(
        client,
        ui,
        "host",
        name,
        HostServiceClient.create_host(CreateHostRequest {
            host: Host {
                name: owned(),
                cluster_uuid: cluster.clone(),
                address: setup.host_address.clone(),
                ..Host::default()
            }
        })
    );
    connected(client, ui, &host).await?;
    ensure_by_operation!(
        client,
        ui,
        "primary-storage",
        name,
        PrimaryStorageServiceClient.create_primary_storage(CreatePrimaryStorageRequest {
            primary_storage: PrimaryStorage {
                name: owned(),
                r#type: PrimaryStorageType::Local.into(),
                cluster_uuid: cluster.clone(),
                path: path(&setup.storage_path)?,
                ..PrimaryStorage::default()
            }
        })
    );
    let server = ensure_by_operation!(
        client,
        ui,
        "image-server",
        name,
        ImageServerServiceClient.create_image_server(CreateImageServerRequest {
            image_server: ImageServer {
                name: owned(),
                host_uuid: host.clone(),
                path: path(&setup.image_server_path)?,
                ..ImageServer::default()
            }
        })
    );
    let image = image(client, setup, ui, server).await?;
    let l2 = ensure!(
        client,
        ui,
        "l2-network",
        name,
        L2NetworkServiceClient.create_l2_network(CreateL2NetworkRequest {
            l2_network: L2Network {
                name: owned(),
                r#type: L2NetworkType::Bridge.into(),
                cluster_uuid: cluster.clone(),
                bridge: setup.bridge.clone(),
                ..L2Network::default()
            }
        })
    );
    let network = ensure!(
        client,
        ui,
        "l3-network",
        name,
        L3NetworkServiceClient.create_l3_network(CreateL3NetworkRequest {
            l3_network: L3Network { name: owned(), l2_network_uuid: l2.clone(), shared: true, ..L3Network::default() }
        })
    );
    let (start, end, gateway, prefix_length) = setup.addresses.clone();
    ensure!(
        client,
        ui,
        "ip-range",
        name,
        IpRangeServiceClient.create_ip_range(CreateIpRangeRequest {
            ip_range: IpRange {
                name: owned(),
                l3_network_uuid: network.clone(),
                start_address: start,
                end_address: end,
                gateway,
                prefix_length,
                ..IpRange::default()
            }
        })
    );
    let offering = ensure!(
        client,
        ui,
        "instance-offering",
        name,
        InstanceOfferingServiceClient.create_instance_offering(CreateInstanceOfferingRequest {
            instance_offering: InstanceOffering {
                name: owned(),
                cpu_count: setup.cpu_count,
                memory_bytes: setup.memory_bytes,
                ..InstanceOffering::default()
            }
        })
    );
    Ok(Site { cluster, image, network, offering })
}

fn path(path: &Path) -> anyhow::Result<String> {
    let path = std::path::absolute(path)?;
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
}

/// Waits until the host's agent answers. After a restart of the node the session is opened anew, which may take a moment.
async fn connected(client: &Client, ui: &Ui, uuid: &str) -> anyhow::Result<()> {
    let hosts = || HostServiceClient::new(client.channel());
    let status = || async {
        let request = client.request(GetHostRequest { uuid: uuid.to_owned() });
        let host = hosts().get_host(request).await?.into_inner();
        Ok::<_, Failure>((host.status() == HostStatus::Connected).then_some(()))
    };
    if status().await?.is_some() {
        return Ok(());
    }
    let step = ui.step("connect host");
    step.progress(0, "waiting for the agent");
    if wait::until("connecting the host", CONNECT / 4, status).await.is_err() {
        let request = client.request(ReconnectHostRequest { uuid: uuid.to_owned(), request_id: String::new() });
        let operation = hosts().reconnect_host(request).await.map_err(Failure::from)?.into_inner();
        waited(client, ui, &operation).await?;
        wait::until("connecting the host", CONNECT, status).await?;
    }
    step.done("");
    Ok(())
}
