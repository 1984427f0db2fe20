//! The demo's machine.

use anyhow::Context as _;
use gyre_proto::vm::v1::vm_service_client::VmServiceClient;
use gyre_proto::vm::v1::{CreateVmRequest, GetVmRequest, ListVmsRequest, StartVmRequest, Vm, VmState};

use super::DemoSetup;
use super::site::Site;
use super::step::{found, settled, waited};
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::ui::Ui;

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
