//! The demo's resources, each made where it is not there yet.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use futures::stream::{self, StreamExt as _};
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
use gyre_proto::storage::v1::image_service_client::ImageServiceClient;
use gyre_proto::storage::v1::primary_storage_service_client::PrimaryStorageServiceClient;
use gyre_proto::storage::v1::{
    CreateImageRequest, CreateImageServerRequest, CreatePrimaryStorageRequest, GetImageRequest, Image, ImageServer,
    ImageState, PrimaryStorage, PrimaryStorageType, UploadImageRequest,
};
use gyre_proto::vm::v1::instance_offering_service_client::InstanceOfferingServiceClient;
use gyre_proto::vm::v1::vm_service_client::VmServiceClient;
use gyre_proto::vm::v1::{
    CreateInstanceOfferingRequest, CreateVmRequest, GetVmRequest, InstanceOffering, ListVmsRequest, StartVmRequest, Vm,
    VmState,
};

use super::DemoSetup;
use super::step::{by_name, found, made, settled, waited};
use crate::client::Client;
use crate::commands::{pieces, wait};
use crate::failure::{Failure, Result};
use crate::ui::Ui;

/// How long a host's agent may take to answer.
const CONNECT: Duration = Duration::from_secs(60);

/// What a machine needs.
#[derive(Debug)]
pub struct Site {
    cluster: String,
    image: String,
    network: String,
    offering: String,
}

/// Makes a resource that is answered at once, unless one of its name is there; answers its UUID.
macro_rules! ensure {
    ($client:ident, $ui:ident, $kind:literal, $name:expr, $service:ident.$call:ident($request:ident { $field:ident: $resource:expr })) => {{
        let name: &str = $name;
        match by_name($client, $kind, name).await? {
            Some(uuid) => {
                found($ui, $kind, name);
                uuid
            }
            None => {
                let request = $client.request($request { $field: Some($resource), request_id: String::new() });
                let answer = $service::new($client.channel()).$call(request).await.map_err(Failure::from);
                let uuid = answer.with_context(|| format!("{} {name:?} cannot be made", $kind))?.into_inner().uuid;
                made($ui, $kind, name);
                uuid
            }
        }
    }};
}

/// Makes a resource that takes work, unless one of its name is there, and waits for the work of either; answers its UUID.
macro_rules! ensure_by_operation {
    ($client:ident, $ui:ident, $kind:literal, $name:expr, $service:ident.$call:ident($request:ident { $field:ident: $resource:expr })) => {{
        let name: &str = $name;
        // Work of a run before this one may end by undoing what was found, so it is looked for twice.
        if let Some(uuid) = by_name($client, $kind, name).await? {
            settled($client, $ui, &uuid).await?;
        }
        match by_name($client, $kind, name).await? {
            Some(uuid) => {
                found($ui, $kind, name);
                uuid
            }
            None => {
                let request = $client.request($request { $field: Some($resource), request_id: String::new() });
                let answer = $service::new($client.channel()).$call(request).await.map_err(Failure::from);
                let operation = answer.with_context(|| format!("{} {name:?} cannot be made", $kind))?.into_inner();
                waited($client, $ui, &operation).await.with_context(|| format!("{} {name:?} cannot be made", $kind))?
            }
        }
    }};
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

/// The image: made, then uploaded, where that did not happen yet.
async fn image(client: &Client, setup: &DemoSetup, ui: &Ui, server: String) -> anyhow::Result<String> {
    let uuid = ensure_by_operation!(
        client,
        ui,
        "image",
        &setup.image_name,
        ImageServiceClient.create_image(CreateImageRequest {
            image: Image {
                name: setup.image_name.clone(),
                image_server_uuid: server,
                url: "upload".to_owned(),
                format: setup.image_format.into(),
                shared: true,
                ..Image::default()
            }
        })
    );
    let request = client.request(GetImageRequest { uuid: uuid.clone() });
    let image = ImageServiceClient::new(client.channel()).get_image(request).await.map_err(Failure::from)?.into_inner();
    if image.state() == ImageState::Uploading {
        let operation = upload(client, setup, ui, &uuid)
            .await
            .with_context(|| format!("the image {} cannot be uploaded", setup.image_file.display()))?;
        waited(client, ui, &operation).await?;
    }
    Ok(uuid)
}

async fn upload(
    client: &Client,
    setup: &DemoSetup,
    ui: &Ui,
    uuid: &str,
) -> anyhow::Result<gyre_proto::common::v1::Operation> {
    let file = tokio::fs::File::open(&setup.image_file).await?;
    let total = file.metadata().await?.len();
    let step = Arc::new(ui.step("upload image"));
    let fault = Arc::new(Mutex::new(None));
    let broken = Arc::clone(&fault);
    let head = UploadImageRequest { uuid: uuid.to_owned(), data: bytes::Bytes::new() };
    let body = pieces(file, Some(total), Arc::clone(&step), move |error| {
        *broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    })
    .map(|data| UploadImageRequest { uuid: String::new(), data });
    let request = client.open_request(stream::iter([head]).chain(body));
    let answer = ImageServiceClient::new(client.channel()).upload_image(request).await;
    if let Some(error) = fault.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error.into());
    }
    let operation = answer.map_err(Failure::from)?.into_inner();
    if let Some(step) = Arc::into_inner(step) {
        step.done("");
    }
    Ok(operation)
}

/// The machine: made, or found and started.
pub async fn machine(client: &Client, setup: &DemoSetup, site: &Site, ui: &Ui) -> anyhow::Result<Vm> {
    let mut uuid = present(client, setup).await?;
    if let Some(vm) = &uuid {
        settled(client, ui, vm).await?;
        uuid = present(client, setup).await?;
    }
    let uuid = match uuid {
        Some(uuid) => {
            let state = get(client, &uuid).await?.state();
            if state == VmState::Stopped {
                let request = client.request(StartVmRequest { uuid: uuid.clone(), request_id: String::new() });
                let answer = VmServiceClient::new(client.channel()).start_vm(request).await.map_err(Failure::from)?;
                waited(client, ui, &answer.into_inner()).await.context("the machine cannot be started")?;
            } else {
                found(ui, "vm", &setup.name);
            }
            uuid
        }
        None => {
            let vm = Vm {
                name: setup.name.clone(),
                instance_offering_uuid: site.offering.clone(),
                image_uuid: site.image.clone(),
                l3_network_uuids: vec![site.network.clone()],
                cluster_uuid: site.cluster.clone(),
                ..Vm::default()
            };
            let request = client.request(CreateVmRequest { vm: Some(vm), request_id: String::new() });
            let answer = VmServiceClient::new(client.channel()).create_vm(request).await.map_err(Failure::from)?;
            waited(client, ui, &answer.into_inner()).await.context("the machine cannot be made")?
        }
    };
    Ok(get(client, &uuid).await?)
}

/// The machine of the demo, unless it is on its way out.
async fn present(client: &Client, setup: &DemoSetup) -> Result<Option<String>> {
    let name = crate::commands::quoted(&setup.name);
    let request = ListVmsRequest { filter: format!("name = {name}"), page_size: 100, ..ListVmsRequest::default() };
    let page = VmServiceClient::new(client.channel()).list_vms(client.request(request)).await?.into_inner();
    let leaving = |vm: &Vm| matches!(vm.state(), VmState::Destroying | VmState::Destroyed | VmState::Expunging);
    Ok(page.vms.into_iter().find(|vm| !leaving(vm)).map(|vm| vm.uuid))
}

async fn get(client: &Client, uuid: &str) -> Result<Vm> {
    let request = client.request(GetVmRequest { uuid: uuid.to_owned() });
    Ok(VmServiceClient::new(client.channel()).get_vm(request).await?.into_inner())
}
