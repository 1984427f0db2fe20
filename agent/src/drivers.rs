//! The drivers behind the ports.

pub mod bridge;
pub mod fetch;
pub mod local;
pub mod qemu;
pub mod simulator;
pub mod user_net;
