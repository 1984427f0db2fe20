//! The gateway as a process of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use gyre_gateway::{Gateway, GatewayConfig, Limits, tls};
use gyre_mesh::config::ProcessArgs;
use gyre_mesh::serve::Process;
use gyre_mesh::telemetry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The portal: one door for gRPC, HTTP/JSON and browsers
#[derive(Debug, Parser)]
#[command(name = "gyre-gateway", version)]
struct Args {
    /// Address to answer users at
    #[arg(long, env = "GYRE_API_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    api_listen: SocketAddr,

    /// Certificate to show to users (PEM), with those between it and its authority; without one the port speaks plain text
    #[arg(long, env = "GYRE_API_TLS_CERT", value_name = "FILE", requires = "api_tls_key")]
    api_tls_cert: Option<PathBuf>,

    /// Key of that certificate (PEM)
    #[arg(long, env = "GYRE_API_TLS_KEY", value_name = "FILE", requires = "api_tls_cert")]
    api_tls_key: Option<PathBuf>,

    /// Bounds of what comes from outside
    #[command(flatten)]
    limits: Limits,

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
    let tls = match (&args.api_tls_cert, &args.api_tls_key) {
        (Some(certificate), Some(key)) => Some(tls::from_files(certificate, key)?),
        _ => None,
    };
    let listener = TcpListener::bind(args.api_listen)
        .await
        .with_context(|| format!("cannot listen on {} (--api-listen)", args.api_listen))?;
    let address = listener.local_addr()?;
    let mut process = Process::open("gyre-gateway", &args.process).await?;
    let gateway = Gateway::new(process.mesh().clone(), GatewayConfig { tls, limits: args.limits })?;
    let (stop, done) = (CancellationToken::new(), CancellationToken::new());
    let (stopping, stopped) = (stop.clone(), done.clone());
    process.join_as("gateway").before_leave("gateway", move || async move {
        stopping.cancel();
        stopped.cancelled().await;
    });
    let tasks = process.tasks().clone();
    let running = process.start().await?;
    tasks.spawn("gateway", async move {
        gateway.serve(listener, stop).await;
        done.cancel();
    });
    tracing::info!(%address, "gateway answers");
    running.until_signal().await
}
