//! The agent from outside: through its gRPC service, over real and over simulated ports.

mod common;
mod images;
mod journal;
mod machines;
mod network;
mod release;
mod session;
mod simulator;
mod simulator_process;
mod tls;
