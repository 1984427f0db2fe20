//! The node as a process of its own: one of several in a cluster.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use gyre_gateway::ApiArgs;
use gyre_mesh::config::ProcessArgs;
use gyre_mesh::telemetry;
use gyre_node::{Node, NodeConfig, Services};

/// A fifth more calls a second than with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// All services and the gateway in one process: a management node of a cluster.
#[derive(Debug, Parser)]
#[command(name = "gyre-node", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a node.
    Run(Box<Run>),
    /// Brings the schema of a database up to date. Safe while nodes of the version before run.
    Migrate {
        /// The database: postgres://… or sqlite:///path.
        #[arg(long, env = "GYRE_DATABASE", value_name = "URL", hide_env_values = true)]
        database: String,
    },
}

#[derive(Debug, clap::Args)]
struct Run {
    /// Where and how users are answered.
    #[command(flatten)]
    api: ApiArgs,

    /// File that the first administrator's name and password are written to, when there is no account yet.
    #[arg(long, env = "GYRE_ADMIN_FILE", value_name = "FILE")]
    admin_file: Option<PathBuf>,

    /// What every process is told.
    #[command(flatten)]
    process: ProcessArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Migrate { database } => {
            let ran = gyre_node::migrate(&database).await?;
            match ran.len() {
                0 => println!("the schema is up to date"),
                _ => ran.iter().for_each(|migration| println!("migrated {migration}")),
            }
            Ok(())
        }
        Command::Run(args) => {
            let telemetry = telemetry::init("gyre-node", &args.process.telemetry)?;
            let outcome = run(*args).await;
            telemetry.flush().await;
            outcome
        }
    }
}

async fn run(args: Run) -> anyhow::Result<()> {
    let node = Node::start(NodeConfig {
        process: args.process,
        migrate: false,
        api: args.api,
        services: Services::default(),
        agent: None,
        admin_file: args.admin_file,
    })
    .await?;
    tracing::info!(address = %node.address(), "node answers");
    node.until_signal().await
}
