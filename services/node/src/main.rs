//! The node as a process of its own: one of several in a cluster.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use gyre_gateway::{GatewayConfig, Limits, tls};
use gyre_mesh::config::ProcessArgs;
use gyre_mesh::telemetry;
use gyre_node::{Node, NodeConfig, Services};

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
    /// Address to answer users at.
    #[arg(long, env = "GYRE_API_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    api_listen: SocketAddr,

    /// Certificate to show to users (PEM), with those between it and its authority; without one the port speaks plain text.
    #[arg(long, env = "GYRE_API_TLS_CERT", value_name = "FILE", requires = "api_tls_key")]
    api_tls_cert: Option<PathBuf>,

    /// Key of that certificate (PEM).
    #[arg(long, env = "GYRE_API_TLS_KEY", value_name = "FILE", requires = "api_tls_cert")]
    api_tls_key: Option<PathBuf>,

    /// File that the first administrator's name and password are written to, when there is no account yet.
    #[arg(long, env = "GYRE_ADMIN_FILE", value_name = "FILE")]
    admin_file: Option<PathBuf>,

    /// Bounds of what comes from outside.
    #[command(flatten)]
    limits: Limits,

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
    let tls = match (&args.api_tls_cert, &args.api_tls_key) {
        (Some(certificate), Some(key)) => Some(tls::from_files(certificate, key)?),
        _ => None,
    };
    let node = Node::start(NodeConfig {
        process: args.process,
        migrate: false,
        api_listen: args.api_listen,
        gateway: GatewayConfig { tls, limits: args.limits },
        services: Services::default(),
        agent: None,
        admin_file: args.admin_file,
    })
    .await?;
    tracing::info!(address = %node.address(), "node answers");
    node.until_signal().await
}
