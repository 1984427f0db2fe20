//! The host service as a process of its own.

use std::time::Duration;

use clap::Parser;
use gyre_host::{Config, Service, Widths};
use gyre_mesh::config::{ProcessArgs, parse_duration};

/// Gyre's host service: zones, clusters, hosts, and the sessions with their agents.
#[derive(Debug, Parser)]
#[command(name = "gyre-host", version)]
struct Args {
    #[command(flatten)]
    process: ProcessArgs,

    /// How often an agent sends a heartbeat.
    #[arg(long, env = "GYRE_HEARTBEAT", value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    heartbeat: Duration,

    /// After how many heartbeats without a sign of life a host counts as disconnected.
    #[arg(long, env = "GYRE_MISSED_HEARTBEATS", value_name = "COUNT", default_value_t = 3)]
    missed_heartbeats: u32,

    /// How long connecting to an agent may take.
    #[arg(long, env = "GYRE_CONNECT_TIMEOUT", value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    connect_timeout: Duration,

    /// How many tasks of each kind run on one host at once.
    #[arg(long, env = "GYRE_TASK_WIDTH", value_name = "COUNT", default_value_t = 16)]
    task_width: usize,

    /// How many imports of images, and how many checks of uploads, run on one host at once.
    #[arg(long, env = "GYRE_IMAGE_WIDTH", value_name = "COUNT", default_value_t = 2)]
    image_width: usize,
}

impl Args {
    fn config(&self) -> Config {
        Config {
            heartbeat: self.heartbeat,
            missed: self.missed_heartbeats,
            connect_timeout: self.connect_timeout,
            widths: Widths { light: self.task_width, image: self.image_width, ..Widths::default() },
            workflows: self.process.workflows.clone(),
            ..Config::default()
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let config = args.config();
    gyre_flow::process::run("gyre-host", &args.process, |mesh, store| Service::start(mesh, store, config)).await
}
