//! The host agent: a gRPC server on each host that runs machines, keeps images and volumes, and tells what happens there.
//!
//! From the outside in:
//! - [`Agent`] puts everything together, in a process of its own or inside the one-process node.
//! - `service` adapts gRPC; `host` admits controllers (fences), takes tasks, runs them in lanes, keeps outcomes in the `journal`.
//! - `machines`, `images`, `volumes` are the state code: what is done, in which order, and what a failure undoes.
//! - [`ports`] is what they need of a host, [`drivers`] do it: QEMU, local folders, bridges or QEMU's user network, and the
//!   simulator, in which everything above the ports is the same.
//!
//! Machines outlive the agent: QEMU is a process of its own, and is found again through its QMP socket.

pub mod agent;
pub mod config;
pub mod drivers;
mod facts;
mod failure;
mod host;
mod image_format;
mod images;
mod journal;
mod lanes;
mod machines;
mod metrics;
pub mod ports;
mod progress;
mod qcow2;
mod service;
mod volumes;
mod work;

pub use agent::Agent;
pub use config::{AgentConfig, Mode, NetworkMode, RealHost};
pub use drivers::fetch::{PeerTls, UrlPolicy};
pub use drivers::qemu::probe::{Accelerator, AcceleratorChoice, Missing, hypervisor_available};
pub use drivers::simulator::{Delay, Faults, Simulation};
pub use image_format::{Format, Probe, check as check_image};
pub use progress::Progress;
pub use service::Service;
pub use work::WorkKind;
