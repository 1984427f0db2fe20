//! The rows of interfaces follow their machines', also those of machines that were made before there were such rows.

use std::time::Duration;

use gyre_model::{Caller, Uuid};
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::common::v1::{OperationState, WaitOperationRequest};
use gyre_proto::network::v1::{L2Network, L2NetworkType, L3Network};
use gyre_proto::vm::v1::vm_service_client::VmServiceClient;
use gyre_proto::vm::v1::{Nic, StopVmRequest, Vm, VmNic, VmState};
use gyre_query::Change;
use gyre_store::{Dialect, Sql};

use crate::fakes::World;

/// A network in the cluster of the world's hosts.
async fn network(world: &World, cluster: &str) -> String {
    let (l2, l3) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    let mut wire = L2Network { uuid: l2.clone(), cluster_uuid: cluster.to_owned(), ..L2Network::default() };
    (wire.name, wire.bridge) = ("wire".into(), "br0".into());
    wire.set_type(L2NetworkType::Bridge);
    world.insert(wire).await;
    world.insert(L3Network { uuid: l3.clone(), name: "lan".into(), l2_network_uuid: l2, ..L3Network::default() }).await;
    l3
}

/// A machine with two interfaces, as a version wrote it that knew no rows of interfaces.
async fn machine_of_before(world: &World) -> Vm {
    let uuid = world.machine(world.host, VmState::Running).await;
    let mut vm = world.vm(uuid).await;
    let network = network(world, &vm.cluster_uuid).await;
    let full = VmNic {
        uuid: Uuid::new_v4().to_string(),
        l3_network_uuid: network.clone(),
        mac: "fa:16:00:00:00:01".into(),
        address: "10.0.0.7".into(),
        gateway: "10.0.0.1".into(),
        prefix_length: 24,
        bridge: "br0".into(),
    };
    let bare = VmNic { uuid: Uuid::new_v4().to_string(), l3_network_uuid: network, ..VmNic::default() };
    vm.nics = vec![full, bare];
    let write = move |conn: &mut _| gyre_query::update(conn, &Change::by(Caller::system()), &vm);
    world.store.write("test", write).await.expect("a machine")
}

async fn rows(world: &World) -> Vec<Nic> {
    let read = |conn: &mut _| gyre_query::select(conn, Sql::new("1 = 1 ORDER BY name"));
    world.store.read("test", read).await.expect("rows")
}

fn agree(vm: &Vm, rows: &[Nic]) {
    assert_eq!(rows.len(), vm.nics.len());
    for (place, (nic, row)) in vm.nics.iter().zip(rows).enumerate() {
        let expected = Nic {
            uuid: nic.uuid.clone(),
            name: format!("nic-{place}"),
            account_uuid: vm.account_uuid.clone(),
            vm_uuid: vm.uuid.clone(),
            l3_network_uuid: nic.l3_network_uuid.clone(),
            mac: nic.mac.clone(),
            ip: nic.address.clone(),
            gateway: nic.gateway.clone(),
            prefix_length: nic.prefix_length,
            bridge: nic.bridge.clone(),
            generation: 1,
            create_time: row.create_time,
            update_time: row.update_time,
            ..Nic::default()
        };
        assert_eq!(*row, expected);
    }
}

#[tokio::test]
async fn the_migration_fills_the_table_from_the_machines_that_are_there() {
    let world = World::new().await;
    let vm = machine_of_before(&world).await;
    let up = match world.store.dialect() {
        Dialect::Sqlite => include_str!("../../../../migrations/sqlite/0012_nic/up.sql"),
        Dialect::Postgres => include_str!("../../../../migrations/postgres/0012_nic/up.sql"),
    };
    world.execute(Sql::new("DROP TABLE nic")).await;
    for statement in up.split(';').filter(|statement| !statement.trim().is_empty()) {
        world.execute(Sql::new(statement)).await;
    }
    let rows = rows(&world).await;
    agree(&vm, &rows);
    assert_eq!(rows[0].create_time, vm.create_time);
}

#[tokio::test]
async fn an_operation_makes_the_rows_that_are_missing() {
    let world = World::new().await;
    let vm = machine_of_before(&world).await;
    assert!(rows(&world).await.is_empty());
    let channel = || world.mesh.channel("vm").on_behalf_of(Caller::system());
    let stop = StopVmRequest { uuid: vm.uuid.clone(), force: true, ..StopVmRequest::default() };
    let begun = VmServiceClient::new(channel()).stop_vm(stop).await.expect("begun").into_inner();
    let timeout = Some(Duration::from_secs(30).into());
    let wait = WaitOperationRequest { uuid: begun.uuid, timeout };
    let ended = OperationServiceClient::new(channel()).wait_operation(wait).await.expect("an end").into_inner();
    assert_eq!(ended.state(), OperationState::Succeeded, "{ended:?}");
    agree(&vm, &rows(&world).await);
}
