//! Machines that end by themselves, and what becomes of their network.

use async_trait::async_trait;

use super::*;
use crate::drivers::fetch::{Fetcher, PeerTls, UrlPolicy};
use crate::drivers::simulator;
use crate::journal::Journal;
use crate::ports::{Network, NicBackend};

/// What was asked of the network, in order.
#[derive(Default)]
struct Cables(Mutex<Vec<&'static str>>);

#[async_trait]
impl Network for Cables {
    fn mode(&self) -> &'static str {
        "simulated"
    }

    async fn plug(&self, _: &MachineNic) -> Result<NicBackend> {
        self.0.lock().push("plug");
        Ok(NicBackend::Simulated)
    }

    async fn unplug(&self, _: &MachineNic) -> Result<()> {
        self.0.lock().push("unplug");
        Ok(())
    }
}

struct Site {
    machines: Machines,
    lanes: Lanes,
    tracker: TaskTracker,
    cables: Arc<Cables>,
    ports: Ports,
    spec: MachineSpec,
    vm: Uuid,
}

impl Site {
    fn new() -> Self {
        let fetch = Fetcher::new(UrlPolicy::default(), PeerTls::default()).shared();
        let cables = Arc::new(Cables::default());
        let ports =
            Ports { network: cables.clone(), ..simulator::ports(fetch, &Journal::none(), &"boot".into(), Vec::new()) };
        let (tracker, lanes) = (TaskTracker::new(), Lanes::default());
        let machines = Machines::new(ports.clone(), tracker.clone(), lanes.clone(), Arc::new(|_| ()));
        let vm = Uuid::new_v4();
        let nic = MachineNic {
            nic_uuid: Uuid::new_v4().to_string(),
            mac: "52:54:00:00:00:02".into(),
            ..MachineNic::default()
        };
        let spec = MachineSpec {
            vm_uuid: vm.to_string(),
            name: "ends".into(),
            cpu_count: 1,
            memory_bytes: 32 << 20,
            nics: vec![nic],
            ..MachineSpec::default()
        };
        Self { machines, lanes, tracker, cables, ports, spec, vm }
    }

    fn lane(&self) -> lanes::Place {
        self.lanes.enter(work::machine_lane(&self.spec.vm_uuid))
    }

    /// Starts the machine in its lane, as a task does.
    async fn start(&self, mut place: lanes::Place) {
        place.turn().await;
        place.hold(self.machines.start(self.spec.clone(), &Progress::silent())).await.expect("started");
    }

    /// The guest ends by itself.
    async fn ends(&self) {
        self.ports.hypervisor.kill(self.vm).await.expect("killed");
        assert_eq!(self.machines.state(self.vm), Some(MachineState::Stopped));
    }

    /// All that was begun has ended.
    async fn quiet(&self) -> Vec<&'static str> {
        self.tracker.close();
        tokio::time::timeout(Duration::from_secs(10), self.tracker.wait()).await.expect("it ends");
        self.cables.0.lock().clone()
    }
}

#[tokio::test]
async fn a_machine_that_ends_is_unplugged() {
    let site = Site::new();
    site.start(site.lane()).await;
    site.ends().await;
    assert_eq!(site.quiet().await, ["plug", "unplug"]);
}

#[tokio::test]
async fn a_start_that_stands_in_the_lane_before_the_end_keeps_its_network() {
    let site = Site::new();
    site.start(site.lane()).await;
    let next = site.lane();
    site.ends().await;
    site.start(next).await;
    assert_eq!(site.quiet().await, ["plug", "plug"]);
    assert_eq!(site.machines.state(site.vm), Some(MachineState::Running));
}

#[tokio::test]
async fn a_start_that_comes_behind_the_end_waits_for_the_unplugging() {
    let site = Site::new();
    site.start(site.lane()).await;
    site.ends().await;
    site.start(site.lane()).await;
    assert_eq!(site.quiet().await, ["plug", "unplug", "plug"]);
}
