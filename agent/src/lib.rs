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
//!
//! # What it promises to controllers
//! - A task is in the journal before it begins, and its outcome is kept there until it is acknowledged.
//! - A session with a lower fence than one before it is refused with `FENCED`; so is a task that says less than its operation has said
//!   before: a lower fence, or to go forward after something was undone with the same fence.
//! - After its own end, however sudden, and after a reboot of the host, it tells what it finds.
//!
//! # The log lines of tasks
//! Programs may rely on them (target `gyre_agent::task`). `task starts` comes when a task's turn has come and its work begins (again
//! after a restart of the agent, if it had not ended), `task done` and `task failed` when it ends, `task refused` when it is not taken.
//!
//! | field | what it is |
//! | --- | --- |
//! | `host` | the host's UUID |
//! | `task`, `kind` | the task's id, and the kind of its work |
//! | `operation`, `operation_fence`, `undo` | whose step it is, under which fence, and whether it is being undone |
//! | `session_fence` | the fence of the session that brought it |
//! | `vm`, `volume` | what it works on; empty where it is neither |
//! | `millis`, `reason`, `error` | how long it took, and why it failed or was refused |
//!
//! A simulator without a state folder writes the first two at the level `debug`, since its tasks come by the thousand.

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

pub use agent::{Agent, Inventory};
pub use config::{AgentConfig, Mode, NetworkMode, RealHost};
pub use drivers::fetch::{PeerTls, UrlPolicy};
pub use drivers::qemu::probe::{Accelerator, AcceleratorChoice, Missing, hypervisor_available};
pub use drivers::simulator::{Delay, Faults, Simulation};
pub use image_format::{Format, Probe, check as check_image};
pub use progress::Progress;
pub use service::Service;
pub use work::WorkKind;
