//! Linux bridges: each interface of a machine is a tap device on the bridge that its network names.
//!
//! The bridge is made where it is missing and stays; the tap is made when the machine starts and removed when it is off. Everything
//! is idempotent, since any of it may be there from a run before. Needs CAP_NET_ADMIN and /dev/net/tun.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use gyre_model::{Error, Kind, Result};
use gyre_proto::agent::v1::MachineNic;
use tokio::process::Command;

use crate::failure;
use crate::ports::{Network, NicBackend};

const LIMIT: Duration = Duration::from_secs(10);

/// The driver.
#[derive(Debug, Default, Clone)]
pub struct BridgeNetwork {
    /// A network namespace to work in, for tests.
    pub namespace: Option<String>,
}

/// Whether this process may make bridges and taps; else why not.
///
/// # Errors
/// What is missing, and the remedy.
pub fn available() -> Result<()> {
    const CAP_NET_ADMIN: u64 = 1 << 12;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    if effective & CAP_NET_ADMIN == 0 {
        return Err(failure::precondition(
            "HOST_PERMISSION_DENIED",
            "bridges need the capability CAP_NET_ADMIN; run the agent as root, or choose --network user",
        ));
    }
    let tun = Path::new("/dev/net/tun");
    std::fs::OpenOptions::new().read(true).write(true).open(tun).map_err(|error| failure::io("open", tun, &error))?;
    if crate::drivers::qemu::find_program("ip").is_none() {
        return Err(failure::missing("ip", "iproute2"));
    }
    Ok(())
}

/// The name of an interface's tap device: 14 of the 15 bytes that Linux allows.
pub fn tap_name(nic_uuid: &str) -> Result<String> {
    Ok(format!("gy{}", &failure::uuid("nic_uuid", nic_uuid)?.simple().to_string()[..12]))
}

fn check_bridge(name: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let sound = (1..=15).contains(&name.len()) && name.bytes().all(plain) && !matches!(name.as_bytes()[0], b'-' | b'.');
    if sound {
        return Ok(());
    }
    Err(Error::invalid("bridge", format!("must be 1 to 15 letters, digits, dots, dashes or underscores, got {name:?}")))
}

impl BridgeNetwork {
    /// Runs `ip`. Answers what it said when it failed.
    async fn ip(&self, args: &[&str]) -> Result<Result<(), String>> {
        let mut command = Command::new("ip");
        if let Some(namespace) = &self.namespace {
            command.args(["-netns", namespace]);
        }
        command.args(args).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(LIMIT, command.output()).await.map_err(|_| {
            Error::new(Kind::Unavailable, "HOST_NETWORK_FAILED", format!("ip {} did not end in time", args.join(" ")))
        })?;
        let output = output.map_err(|error| failure::io("run", Path::new("ip"), &error))?;
        if output.status.success() {
            return Ok(Ok(()));
        }
        Ok(Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }

    async fn must(&self, args: &[&str]) -> Result<()> {
        self.ip(args).await?.map_err(|said| failed(args, &said))
    }

    async fn is_there(&self, device: &str) -> Result<bool> {
        Ok(self.ip(&["link", "show", "dev", device]).await?.is_ok())
    }

    /// Makes a device unless it is there; somebody else may make it at the same time.
    async fn ensure(&self, device: &str, make: &[&str]) -> Result<()> {
        if self.is_there(device).await? {
            return Ok(());
        }
        match self.ip(make).await? {
            Ok(()) => Ok(()),
            Err(said) if said.contains("exists") => Ok(()),
            Err(said) => match self.is_there(device).await? {
                true => Ok(()),
                false => Err(failed(make, &said)),
            },
        }
    }
}

fn failed(args: &[&str], said: &str) -> Error {
    failure::host("HOST_NETWORK_FAILED", format!("ip {}: {said}; check the host's network", args.join(" ")))
}

#[async_trait]
impl Network for BridgeNetwork {
    fn mode(&self) -> &'static str {
        "bridge"
    }

    async fn plug(&self, nic: &MachineNic) -> Result<NicBackend> {
        check_bridge(&nic.bridge)?;
        let (bridge, tap) = (nic.bridge.as_str(), tap_name(&nic.nic_uuid)?);
        self.ensure(bridge, &["link", "add", "name", bridge, "type", "bridge"]).await?;
        self.must(&["link", "set", "dev", bridge, "up"]).await?;
        self.ensure(&tap, &["tuntap", "add", "dev", &tap, "mode", "tap"]).await?;
        self.must(&["link", "set", "dev", &tap, "master", bridge, "up"]).await?;
        Ok(NicBackend::Tap { interface: tap })
    }

    async fn unplug(&self, nic: &MachineNic) -> Result<()> {
        let tap = tap_name(&nic.nic_uuid)?;
        if !self.is_there(&tap).await? {
            return Ok(());
        }
        match self.ip(&["link", "del", "dev", &tap]).await? {
            Ok(()) => Ok(()),
            Err(said) if said.contains("Cannot find") => Ok(()),
            Err(said) => Err(failed(&["link", "del", "dev", &tap], &said)),
        }
    }
}
