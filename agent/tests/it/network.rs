//! Bridges and taps, in a network namespace of the test's own.

use std::process::Command;

use gyre_agent::drivers::bridge::{self, BridgeNetwork};
use gyre_agent::ports::{Network, NicBackend};
use gyre_model::Uuid;
use gyre_proto::agent::v1::MachineNic;

use crate::common::has;

struct Namespace(String);

impl Namespace {
    fn new() -> Option<Self> {
        let name = format!("gyre-test-{}", &Uuid::new_v4().simple().to_string()[..8]);
        let made = Command::new("ip").args(["netns", "add", &name]).status().is_ok_and(|status| status.success());
        made.then_some(Self(name))
    }

    fn shows(&self, device: &str) -> String {
        let output = Command::new("ip").args(["-netns", &self.0, "-d", "link", "show", "dev", device]).output().expect("runs");
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
