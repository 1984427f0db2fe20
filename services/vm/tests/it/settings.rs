//! How long a guest may take to shut down follows the settings, from one call to the next.

use gyre_model::{Caller, Uuid};
use gyre_proto::agent::v1::task::Work;
use gyre_proto::vm::v1::vm_service_client::VmServiceClient;
use gyre_proto::vm::v1::{StopVmRequest, VmState};
use gyre_query::Change;
use gyre_query::settings::{self, Wish};

use crate::fakes::World;

impl World {
    async fn set(&self, value: &'static str, kind: &'static str, uuid: Option<Uuid>) {
        let uuid = uuid.map(|uuid| uuid.to_string()).unwrap_or_default();
        let write = move |conn: &mut _| {
            let wish = Wish { name: "vm.stop-grace", kind, uuid: &uuid };
            settings::set(conn, &Change::by(Caller::system()), &wish, value)
        };
        self.store.write("set", write).await.expect("set");
    }

    /// Stops a machine. Answers the grace that its host was told.
    async fn grace_of_stop(&self, vm: Uuid, grace_seconds: i32) -> i32 {
        let before = self.tasks().len();
        let channel = self.mesh.channel(gyre_vm::NAME).on_behalf_of(Caller::system());
        let request = StopVmRequest { uuid: vm.to_string(), grace_seconds, ..StopVmRequest::default() };
        VmServiceClient::new(channel).stop_vm(request).await.expect("accepted");
        match self.until_tasks(before + 1).await.pop() {
            Some((_, Work::StopMachine(stop))) => stop.grace_seconds,
            other => panic!("no stop: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_guest_has_the_time_that_the_nearest_setting_gives_it() {
    let world = World::new().await;
    let machine = async || world.machine(world.host, VmState::Running).await;
    assert_eq!(world.grace_of_stop(machine().await, 0).await, 30);
    world.set("10s", "", None).await;
    assert_eq!(world.grace_of_stop(machine().await, 0).await, 10);
    assert_eq!(world.grace_of_stop(machine().await, 7).await, 7);
    let vm = machine().await;
    world.set("2m", "vm", Some(vm)).await;
    assert_eq!(world.grace_of_stop(vm, 0).await, 120);
    assert_eq!(world.grace_of_stop(machine().await, 0).await, 10);
}
