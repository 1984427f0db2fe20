//! The network service as a process of its own.

use clap::Parser;
use gyre_mesh::config::ProcessArgs;
use gyre_network::{Config, Service};

/// Networks, IP ranges and addresses.
#[derive(Debug, Parser)]
#[command(name = "gyre-network", version)]
struct Args {
    /// What every process is told.
    #[command(flatten)]
    process: ProcessArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let config = Config { workflows: args.process.workflows.clone() };
    gyre_flow::process::run("gyre-network", &args.process, |mesh, store| Service::start(mesh, store, config)).await
}
