//! The simulator: ports without a host behind them. Everything above the ports (sessions, tasks, lanes, machines' states, image
//! checks) is the real agent's; here are only delays, faults, and as much memory as a machine, a volume or an image needs.
//!
//! One process stands for thousands of hosts: any host UUID that a session names gets its own. Nothing is written to the disk, and
//! what was made is gone with the process.

mod faults;
mod hypervisor;
mod storage;

use std::sync::Arc;

use async_trait::async_trait;
use gyre_model::Result;
use gyre_proto::agent::v1::{HostFacts, MachineNic};

pub use self::faults::{Delay, Faults};
use self::hypervisor::SimHypervisor;
use self::storage::{SimFetch, SimStorage};
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
}

impl Default for Simulation {
    fn default() -> Self {
        Self { cpus: 64, memory_bytes: 256 << 30, delay: Delay::default(), fault_rates: Vec::new() }
    }
}

/// The ports of a new simulated host. Each has its own folders; `fetch` is shared.
pub fn ports(fetch: Arc<dyn Fetch>) -> Ports {
    Ports {
        hypervisor: Arc::new(SimHypervisor::default()),
        storage: Arc::new(SimStorage::default()),
        network: Arc::new(SimNetwork),
        fetch: Arc::new(SimFetch(fetch)),
    }
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
