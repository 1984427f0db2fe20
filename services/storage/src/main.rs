//! The storage service as a process of its own.

use std::time::Duration;

use clap::Parser;
use gyre_mesh::config::{ProcessArgs, parse_duration};
use gyre_mesh::serve::Process;
use gyre_mesh::telemetry;
use gyre_storage::{Config, NAME, Service};
use gyre_store::{Store, StoreConfig};

/// The storage service of Gyre: primary storage, volumes, image servers, images.
#[derive(Debug, Parser)]
#[command(name = "gyre-storage", version)]
struct Args {
    #[command(flatten)]
    process: ProcessArgs,

    /// How long a host may take to bring an image from elsewhere.
    #[arg(long, env = "GYRE_TRANSFER_LIMIT", value_name = "TIME", default_value = "60m", value_parser = parse_duration)]
    transfer_limit: Duration,

    /// How long a host may take for any other storage task.
    #[arg(long, env = "GYRE_STORAGE_TASK_LIMIT", value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    task_limit: Duration,

    /// How long an image's upload may pause before it is given up.
    #[arg(long, env = "GYRE_UPLOAD_PAUSE", value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    upload_pause: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let _telemetry = telemetry::init("gyre-storage", &args.process.telemetry)?;
    let mut process = Process::open("gyre-storage", &args.process).await?;
    let store = Store::open(&StoreConfig::new(args.process.database()?))?;
    let config = Config {
        transfer_limit: args.transfer_limit,
        task_limit: args.task_limit,
        upload_pause: args.upload_pause,
        ..Config::default()
    };
    let service = Service::start(process.mesh().clone(), store, config).await?;
    let limit = args.process.drain_timeout;
    process.serve(NAME, service.routes());
    process.after_drain(NAME, move || async move { service.shutdown(limit).await });
    process.start().await?.until_signal().await
}
