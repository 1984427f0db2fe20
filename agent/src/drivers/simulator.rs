//! The simulator: ports without a host behind them. Everything above the ports (sessions, tasks, lanes, machines' states, image
//! checks) is the real agent's; here are only delays, faults, and as much memory as a machine, a volume or an image needs.
//!
//! One process stands for thousands of hosts: any host UUID that a session names gets its own. With a state folder, what a host has
//! (machines, volumes, images) is kept in the journal beside its tasks, one file for all hosts, so that a process that was killed
//! knows them when it starts again, as a real agent finds its QEMUs. A machine runs in the boot in which it was started: the file
//! `boot_id` in the folder names the present one, and where it was replaced or removed, every machine is off at the next start,
//! as after a reboot of the host. Without a folder nothing is written, and what was made is gone with the process.

mod delay;
mod faults;
mod hypervisor;
mod storage;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use gyre_model::{Result, Uuid};
use gyre_proto::agent::v1::{HostFacts, MachineNic};

pub use self::delay::Delay;
pub use self::faults::Faults;
use self::hypervisor::SimHypervisor;
use self::storage::{SimFetch, SimStorage};
use crate::failure;
use crate::journal::{Journal, Thing, replace};
use crate::ports::{Fetch, Network, NicBackend, Ports};

/// What simulated hosts are like.
#[derive(Debug, Clone)]
pub struct Simulation {
    /// Threads of a host's processors.
    pub cpus: i32,
    /// Memory of a host in bytes.
    pub memory_bytes: i64,
    /// How long each task takes.
    pub delay: Delay,
    /// Kinds of work that fail, and how often (0 to 1).
    pub fault_rates: Vec<(crate::work::WorkKind, f64)>,
    /// What delays and faults by chance follow from, in the order in which tasks begin.
    pub seed: u64,
    /// Where everything is kept; nothing where it need not outlive the process.
    pub state_dir: Option<PathBuf>,
    /// Whether the hosts have been rebooted since the last start: their machines are off.
    pub reboot: bool,
}

impl Default for Simulation {
    fn default() -> Self {
        Self {
            cpus: 64,
            memory_bytes: 256 << 30,
            delay: Delay::default(),
            fault_rates: Vec::new(),
            seed: 1,
            state_dir: None,
            reboot: false,
        }
    }
}

/// The ports of a simulated host, with what the journal kept of it. Each has its own folders; `fetch` is shared.
pub fn ports(fetch: Arc<dyn Fetch>, journal: &Journal, boot_id: &Arc<str>, kept: Vec<Thing>) -> Ports {
    let (machines, rest) = kept.into_iter().partition(|thing| hypervisor::KINDS.contains(&thing.kind.as_str()));
    Ports {
        hypervisor: Arc::new(SimHypervisor::new(journal.clone(), boot_id.clone(), machines)),
        storage: Arc::new(SimStorage::new(journal.clone(), rest)),
        network: Arc::new(SimNetwork),
        fetch: Arc::new(SimFetch(fetch)),
    }
}

/// The present boot of the simulated hosts of a state folder.
///
/// # Errors
/// The file cannot be read or written.
pub fn boot_id(folder: &Path, reboot: bool) -> Result<Arc<str>> {
    let path = folder.join("boot_id");
    match std::fs::read_to_string(&path) {
        Ok(text) if !reboot && !text.trim().is_empty() => return Ok(text.trim().into()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failure::io("read", &path, &error)),
    }
    let boot_id = Uuid::new_v4().to_string();
    replace(&path, format!("{boot_id}\n").as_bytes())?;
    Ok(boot_id.into())
}

/// The facts of a simulated host.
pub fn facts(simulation: &Simulation) -> HostFacts {
    HostFacts {
        cpu_count: simulation.cpus,
        memory_bytes: simulation.memory_bytes,
        architecture: std::env::consts::ARCH.to_owned(),
        operating_system: "simulated".to_owned(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..HostFacts::default()
    }
}

struct SimNetwork;

#[async_trait]
impl Network for SimNetwork {
    fn mode(&self) -> &'static str {
        "simulated"
    }

    async fn plug(&self, _nic: &MachineNic) -> Result<NicBackend> {
        Ok(NicBackend::Simulated)
    }

    async fn unplug(&self, _nic: &MachineNic) -> Result<()> {
        Ok(())
    }
}
