//! The vm service as a process of its own.

use clap::Parser;
use gyre_mesh::config::ProcessArgs;
use gyre_vm::{Config, Service};

/// Machines and their offerings.
#[derive(Debug, Parser)]
#[command(name = "gyre-vm", version)]
struct Args {
    /// What every process is told.
    #[command(flatten)]
    process: ProcessArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let config = Config { workflows: args.process.workflows.clone(), ..Config::default() };
    gyre_flow::process::run("gyre-vm", &args.process, |mesh, store| Service::start(mesh, store, config)).await
}
