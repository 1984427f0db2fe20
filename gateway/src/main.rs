//! The gateway as a process of its own.

use clap::Parser;
use gyre_gateway::{ApiArgs, Door, Gateway};
use gyre_mesh::config::ProcessArgs;
use gyre_mesh::serve::Process;
use gyre_mesh::telemetry;

/// A fifth more calls a second than with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The portal: one door for gRPC, HTTP/JSON and browsers
#[derive(Debug, Parser)]
#[command(name = "gyre-gateway", version)]
struct Args {
    /// What users see
    #[command(flatten)]
    api: ApiArgs,

    /// What every process is told
    #[command(flatten)]
    process: ProcessArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let telemetry = telemetry::init("gyre-gateway", &args.process.telemetry)?;
    let outcome = run(args).await;
    telemetry.flush().await;
    outcome
}

async fn run(args: Args) -> anyhow::Result<()> {
    let (listener, config) = args.api.open().await?;
    let address = listener.local_addr()?;
    let mut process = Process::open("gyre-gateway", &args.process).await?;
    let gateway = Gateway::new(process.mesh().clone(), config)?;
    let door = Door::of(gateway, &mut process);
    let running = process.start().await?;
    door.open(listener);
    tracing::info!(%address, "gateway answers");
    running.until_signal().await
}
