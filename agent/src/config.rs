//! What an agent is told at its start. The binary reads it from its arguments; the one-process node fills it in itself.

use std::path::PathBuf;
use std::time::Duration;

use crate::drivers::fetch::{PeerTls, UrlPolicy};
use crate::drivers::qemu::probe::AcceleratorChoice;
use crate::drivers::simulator::Simulation;

/// What an agent is told at its start.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// A real host, or simulated ones.
    pub mode: Mode,
    /// Where images may come from.
    pub images: UrlPolicy,
    /// The most bytes of an image's file.
    pub max_image_bytes: u64,
    /// How agents of other hosts are spoken to, for their images.
    pub peers: PeerTls,
}

/// A real host, or simulated ones.
#[derive(Debug, Clone)]
pub enum Mode {
    /// This machine.
    Real(RealHost),
    /// As many hosts as controllers name.
    Simulated(Simulation),
}

/// How this machine is used as a host.
#[derive(Debug, Clone)]
pub struct RealHost {
    /// Where the journal, the binding and the machines' files are kept.
    pub state_dir: PathBuf,
    /// How machines reach the network.
    pub network: NetworkMode,
    /// How guests' instructions run.
    pub accelerator: AcceleratorChoice,
    /// The program that runs machines; found on the PATH where nothing is said.
    pub qemu: Option<PathBuf>,
    /// The longest console log of a machine; what is older goes.
    pub console_bytes: u64,
    /// How many machines are started at once.
    pub start_width: usize,
    /// How many images are moved at once.
    pub image_width: usize,
}

/// How machines reach the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NetworkMode {
    /// Bridges where this process may make them, else the user-mode network.
    #[default]
    Auto,
    /// Linux bridges; refused where this process may not make them.
    Bridge,
    /// QEMU's own user-mode network.
    User,
}

impl std::str::FromStr for NetworkMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "bridge" => Ok(Self::Bridge),
            "user" => Ok(Self::User),
            _ => Err(format!("{text:?} is no way to the network; write auto, bridge or user")),
        }
    }
}

impl AgentConfig {
    /// The longest time that [`crate::Agent::shutdown`] waits.
    pub const SHUTDOWN: Duration = Duration::from_secs(10);

    /// This machine as a host, with everything as it is by default.
    pub fn real(state_dir: impl Into<PathBuf>) -> Self {
        Self::of(Mode::Real(RealHost {
            state_dir: state_dir.into(),
            network: NetworkMode::Auto,
            accelerator: AcceleratorChoice::Auto,
            qemu: None,
            console_bytes: 4 << 20,
            start_width: 8,
            image_width: 2,
        }))
    }

    /// Simulated hosts.
    pub fn simulated(simulation: Simulation) -> Self {
        Self::of(Mode::Simulated(simulation))
    }

    fn of(mode: Mode) -> Self {
        Self { mode, images: UrlPolicy::default(), max_image_bytes: 1 << 40, peers: PeerTls::Alone }
    }
}
