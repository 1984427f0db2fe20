//! What a machine is by its row and what its host says come apart, and are made to agree again: see docs/reconciliation.md.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use gyre_agent::Simulation;
use gyre_integration::front::Site;
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode};
use gyre_model::{Caller, Uuid};
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{MachineSpec, StartMachine, Task};
use gyre_proto::host::v1::RunTaskRequest;
use gyre_proto::host::v1::host_task_service_client::HostTaskServiceClient;
use http::Method;
use serde_json::{Value, json};

/// Longer than some periods of reports of a [`TestNode`].
const SOON: Duration = Duration::from_secs(30);

struct World {
    node: TestNode,
    front: Front,
    site: Site,
    image: String,
}

/// A node whose simulated hosts outlive it.
async fn node(folder: &Path, reboot: bool) -> Result<TestNode> {
    let simulation = Simulation { state_dir: Some(folder.join("agent")), reboot, ..Simulation::default() };
    TestNode::start(folder, Hosts::Simulated(simulation)).await
}

impl World {
    async fn new(folder: &Path) -> Result<Self> {
        let node = node(folder, false).await?;
        let front = node.front().await?;
        let site = front.site("site", &["local"], "/var/lib/gyre").await?;
        let image = front.upload(&site, "empty", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
        Ok(Self { node, front, site, image })
    }

    /// The node ends and starts again.
    async fn again(self, folder: &Path, reboot: bool) -> Result<Self> {
        self.node.shutdown().await;
        let node = node(folder, reboot).await?;
        let front = node.front().await?;
        Ok(Self { node, front, ..self })
    }

    async fn make(&self, name: &str) -> Result<String> {
        self.front.done(Method::POST, "/v1/vms", Some(Front::vm(&self.site, &self.image, name))).await
    }

    async fn act(&self, vm: &str, action: &str) -> Result<String> {
        self.front.done(Method::POST, &format!("/v1/vms/{vm}:{action}"), Some(json!({}))).await
    }

    async fn vm(&self, vm: &str) -> Result<Value> {
        self.front.get(&format!("/v1/vms/{vm}")).await?.good()
    }

    async fn host(&self) -> Result<Value> {
        self.front.get(&format!("/v1/hosts/{}", self.site.hosts[0])).await?.good()
    }

    /// Waits until something is so.
    async fn until(&self, what: &str, holds: impl AsyncFn() -> Result<(bool, Value)>) -> Result<()> {
        let began = Instant::now();
        loop {
            let (so, seen) = holds().await?;
            if so {
                return Ok(());
            }
            ensure!(began.elapsed() < SOON, "{what}: not within {SOON:?}: {seen}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_state(&self, vm: &str, state: &str) -> Result<()> {
        let what = format!("vm {vm} is {state}");
        self.until(&what, async || {
            let vm = self.vm(vm).await?;
            Ok((vm["state"] == format!("VM_STATE_{state}"), vm))
        })
        .await
    }

    async fn until_room(&self, cpus: i64) -> Result<()> {
        self.until("the host has room", async || {
            let used = self.host().await?["cpuUsed"].as_str().and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
            Ok((used == cpus, json!(used)))
        })
        .await
    }

    /// Waits for an operation of a workflow on a machine to end well.
    async fn until_mended(&self, vm: &str, workflow: &str) -> Result<()> {
        self.until(workflow, async || {
            let all = self.front.get("/v1/operations?pageSize=1000").await?.good()?;
            let mended = all["operations"].as_array().into_iter().flatten().any(|one| {
                one["resourceUuid"] == vm && one["workflow"] == workflow && one["state"] == "OPERATION_STATE_SUCCEEDED"
            });
            Ok((mended, all))
        })
        .await
    }

    /// Starts a machine on the host by hand, behind everybody's back.
    async fn start_by_hand(&self, vm: &str) -> Result<()> {
        let spec = MachineSpec {
            vm_uuid: vm.to_owned(),
            name: "by hand".to_owned(),
            cpu_count: 1,
            memory_bytes: 64 << 20,
            ..MachineSpec::default()
        };
        let work = Some(Work::StartMachine(StartMachine { machine: Some(spec) }));
        let task = Some(Task { id: Uuid::new_v4().to_string(), work, ..Task::default() });
        let channel = self.node.node().mesh().channel("host").on_behalf_of(Caller::system());
        let request = RunTaskRequest { host_uuid: self.site.hosts[0].clone(), task };
        let mut events = HostTaskServiceClient::new(channel).run_task(request).await?.into_inner();
        while events.message().await?.is_some() {}
        Ok(())
    }

    fn machines(&self) -> usize {
        self.node.node().agent().map_or(0, |agent| agent.counts().1)
    }

    async fn crash(&self, vm: &str) -> Result<()> {
        let uuid = |text: &str| gyre_model::parse_uuid(text).unwrap_or_default();
        let agent = self.node.node().agent().ok_or_else(|| anyhow::anyhow!("no agent"))?;
        ensure!(agent.crash_machine(uuid(&self.site.hosts[0]), uuid(vm)).await, "no such machine");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_ends_by_itself_is_stopped_whenever_that_happens() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::new(folder.path()).await?;
    let vm = world.make("crashes").await?;
    world.crash(&vm).await?;
    world.until_state(&vm, "STOPPED").await?;
    assert_eq!(world.vm(&vm).await?["stateReason"], "it stopped by itself");
    world.until_room(0).await?;
    // in the very moment in which a start ends: again and again, since nobody can hit it surely
    for _ in 0..5 {
        let started = world.act(&vm, "start");
        let crashes = async {
            loop {
                world.crash(&vm).await?;
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            started = started => drop(started?),
            crashed = crashes => { let crashed: Result<()> = crashed; crashed? }
        }
        world.crash(&vm).await?;
        world.until_state(&vm, "STOPPED").await?;
        world.until_room(0).await?;
    }
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_outlive_the_agent_and_are_off_after_a_reboot_of_the_host() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::new(folder.path()).await?;
    let (one, two) = (world.make("one").await?, world.make("two").await?);
    world.act(&two, "stop").await?;
    let world = world.again(folder.path(), false).await?;
    world
        .until("the host is connected", async || {
            let host = world.host().await?;
            Ok((host["status"] == "HOST_STATUS_CONNECTED", host))
        })
        .await?;
    assert_eq!(world.machines(), 2, "the simulator knows its machines");
    world.act(&two, "start").await?;
    assert_eq!(world.vm(&one).await?["state"], "VM_STATE_RUNNING");
    world.until_room(2).await?;

    let world = world.again(folder.path(), true).await?;
    for vm in [&one, &two] {
        world.until_state(vm, "STOPPED").await?;
    }
    world.until_room(0).await?;
    for vm in [&one, &two] {
        world.act(vm, "start").await?;
        assert_eq!(world.vm(vm).await?["state"], "VM_STATE_RUNNING");
    }
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_and_should_not_is_stopped_or_removed_and_what_is_unknown_is_left_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::new(folder.path()).await?;
    let (off, gone, stranger) = (world.make("off").await?, world.make("gone").await?, Uuid::new_v4().to_string());
    world.act(&off, "stop").await?;
    world.front.done(Method::DELETE, &format!("/v1/vms/{gone}"), None).await?;
    world.act(&gone, "expunge").await?;
    assert_eq!(world.machines(), 1);
    for vm in [&off, &gone, &stranger] {
        world.start_by_hand(vm).await?;
    }
    assert_eq!(world.machines(), 3);
    world.until_mended(&off, "stop-again-vm").await?;
    world.until_mended(&gone, "sweep-vm").await?;
    world
        .until("the stranger is listed", async || {
            let host = world.host().await?;
            Ok((host["unknownVmUuids"] == json!([stranger]) && host["unknownVmCount"] == 1, host))
        })
        .await?;
    assert_eq!(world.machines(), 2, "the one that should be off, and the stranger");
    assert_eq!(world.vm(&off).await?["state"], "VM_STATE_STOPPED");
    world.act(&off, "start").await?;
    world.node.shutdown().await;
    Ok(())
}
