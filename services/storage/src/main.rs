//! The storage service as a process of its own.

use std::time::Duration;

use clap::Parser;
use gyre_mesh::config::{ProcessArgs, parse_duration};
use gyre_storage::{Config, Service};

/// The storage service of Gyre: primary storage, volumes, image servers, images.
#[derive(Debug, Parser)]
#[command(name = "gyre-storage", version)]
struct Args {
    /// What every process is told.
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
    let Args { process, transfer_limit, task_limit, upload_pause } = Args::parse();
    let workflows = process.workflows.clone();
    let config = Config { transfer_limit, task_limit, upload_pause, workflows, ..Config::default() };
    gyre_flow::process::run("gyre-storage", &process, |mesh, store| Service::start(mesh, store, config)).await
}
