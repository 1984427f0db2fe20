//! Bridges and taps, in a network namespace of the test's own.

use std::process::Command;

use gyre_agent::drivers::bridge::{self, BridgeNetwork};
use gyre_agent::ports::{Network, NicBackend};
use gyre_agent::{Agent, Mode, NetworkMode};
use gyre_model::Uuid;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{MachineNic, MachineSpec, RemoveMachine, StartMachine};

use crate::common::{has, open, until};
use crate::machines::Place;

struct Namespace(String);

impl Namespace {
    fn new() -> Option<Self> {
        let name = format!("gyre-test-{}", &Uuid::new_v4().simple().to_string()[..8]);
        let made = Command::new("ip").args(["netns", "add", &name]).status().is_ok_and(|status| status.success());
        made.then_some(Self(name))
    }

    fn shows(&self, device: &str) -> String {
        let output =
            Command::new("ip").args(["-netns", &self.0, "-d", "link", "show", "dev", device]).output().expect("runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

#[tokio::test]
async fn an_interface_is_plugged_into_its_bridge_and_out_again() {
    if !has("ip", "iproute2") {
        return;
    }
    if let Err(error) = bridge::available() {
        eprintln!("skipped: {error}");
        return;
    }
    let Some(namespace) = Namespace::new() else {
        eprintln!("skipped: network namespaces cannot be made here; run as root");
        return;
    };
    let network = BridgeNetwork { namespace: Some(namespace.0.clone()) };
    let nic = |bridge: &str| MachineNic {
        nic_uuid: "6f2a0c6e-8d3c-4a0e-9b61-0d5b7f6f9b10".into(),
        bridge: bridge.into(),
        ..MachineNic::default()
    };
    let tap = "gy6f2a0c6e8d3c";
    for _ in 0..2 {
        let plugged = network.plug(&nic("gyre-br0")).await.expect("plugged");
        assert_eq!(plugged, NicBackend::Tap { interface: tap.into() });
    }
    let shown = namespace.shows(tap);
    assert!(shown.contains("master gyre-br0") && shown.contains("tun type tap"), "{shown}");
    assert!(namespace.shows("gyre-br0").contains("bridge"), "the bridge is made");
    // many at once make the bridge once
    let nics: Vec<_> = (0..8).map(|_| MachineNic { nic_uuid: Uuid::new_v4().to_string(), ..nic("gyre-br1") }).collect();
    for plugged in futures::future::join_all(nics.iter().map(|nic| network.plug(nic))).await {
        plugged.expect("plugged");
    }
    for _ in 0..2 {
        network.unplug(&nic("gyre-br0")).await.expect("unplugged");
    }
    assert!(namespace.shows(tap).is_empty());
    for wrong in ["", "a-name-that-is-too-long", "br 0", "-x", "../x", "br0;reboot"] {
        assert_eq!(network.plug(&nic(wrong)).await.expect_err(wrong).reason(), "INVALID_FIELD", "{wrong}");
    }
}

fn device(name: &str) -> String {
    let output = Command::new("ip").args(["link", "show", "dev", name]).output().expect("runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A machine on a bridge. The test runs itself again inside a network namespace, so that the agent and QEMU are in it too.
#[tokio::test]
async fn a_machine_stands_on_its_bridge() {
    const INSIDE: &str = "GYRE_TEST_INSIDE_NAMESPACE";
    if !has("ip", "iproute2") || !has("qemu-system-x86_64", "qemu-system-x86") {
        return;
    }
    if let Err(error) = bridge::available() {
        eprintln!("skipped: {error}");
        return;
    }
    if std::env::var_os(INSIDE).is_none() {
        let Some(namespace) = Namespace::new() else {
            eprintln!("skipped: network namespaces cannot be made here; run as root");
            return;
        };
        let itself = std::env::current_exe().expect("a program");
        let mut again = tokio::process::Command::new("ip");
        again.args(["netns", "exec", &namespace.0]).arg(itself).args([
            "--exact",
            "network::a_machine_stands_on_its_bridge",
            "--nocapture",
        ]);
        let status = again.env(INSIDE, "1").kill_on_drop(true).status().await.expect("runs");
        assert!(status.success(), "{status}");
        return;
    }
    let place = Place::new();
    let mut config = place.config();
    let Mode::Real(real) = &mut config.mode else { panic!("a real host") };
    real.network = NetworkMode::Bridge;
    let agent = Agent::start(config).await.expect("starts");
    let mut session = open(&agent, Uuid::new_v4(), 1).await.expect("admitted");
    assert_eq!(session.hello.facts.clone().expect("facts").network_mode, "bridge");
    let nic_uuid = Uuid::new_v4().to_string();
    let tap = bridge::tap_name(&nic_uuid).expect("a name");
    let nic =
        MachineNic { nic_uuid, mac: "52:54:00:00:00:02".into(), bridge: "gyre-br2".into(), ..MachineNic::default() };
    let vm_uuid = Uuid::new_v4().to_string();
    let spec = MachineSpec {
        vm_uuid: vm_uuid.clone(),
        name: "bridged".into(),
        cpu_count: 1,
        memory_bytes: 32 << 20,
        disks: Vec::new(),
        nics: vec![nic],
        ..MachineSpec::default()
    };
    session.run(Work::StartMachine(StartMachine { machine: Some(spec.clone()) })).await.expect("starts");
    until("qemu holds the tap", async || {
        let shown = device(&tap);
        shown.contains("master gyre-br2") && shown.contains("LOWER_UP")
    })
    .await;
    // a crash while nobody looks: the next start clears the tap away
    agent.shutdown().await;
    drop((session, agent));
    drop_machines(&place);
    let mut config = place.config();
    let Mode::Real(real) = &mut config.mode else { panic!("a real host") };
    real.network = NetworkMode::Auto;
    let agent = Agent::start(config).await.expect("starts");
    assert!(device(&tap).is_empty());
    let host = std::fs::read(place.path("state/host.json")).expect("bound");
    let host: serde_json::Value = serde_json::from_slice(&host).expect("JSON");
    let host = gyre_model::parse_uuid(host["host_uuid"].as_str().expect("a host")).expect("a host");
    let mut session = open(&agent, host, 2).await.expect("admitted");
    session.run(Work::StartMachine(StartMachine { machine: Some(spec) })).await.expect("starts");
    assert!(!device(&tap).is_empty());
    session.run(Work::RemoveMachine(RemoveMachine { vm_uuid })).await.expect("removed");
    assert!(device(&tap).is_empty());
    agent.shutdown().await;
}

/// Kills all machines of a place, and waits until they are gone.
fn drop_machines(place: &Place) {
    for pid in place.processes() {
        let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).expect("a process");
        rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL).expect("killed");
        while std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).is_ok_and(|line| !line.is_empty()) {
            std::thread::yield_now();
        }
    }
}
