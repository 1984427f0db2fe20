//! The identity service as a process of its own.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use gyre_identity::{Config, Service};
use gyre_mesh::config::{ProcessArgs, parse_duration};

/// Accounts, signing in, and API keys.
#[derive(Debug, Parser)]
#[command(name = "gyre-identity", version)]
struct Args {
    /// File that the first administrator's name and password are written to, when there is no account yet.
    #[arg(long, env = "GYRE_ADMIN_FILE", value_name = "FILE", requires = "public_endpoint")]
    admin_file: Option<PathBuf>,

    /// Where users reach the gateway: stands in the administrator's file.
    #[arg(long, env = "GYRE_PUBLIC_ENDPOINT", value_name = "URL")]
    public_endpoint: Option<String>,

    /// File whose first line is the first administrator's password, instead of a random one.
    #[arg(long, env = "GYRE_ADMIN_PASSWORD_FILE", value_name = "FILE", requires = "admin_file")]
    admin_password_file: Option<PathBuf>,

    /// How long a token is good.
    #[arg(long, env = "GYRE_TOKEN_TTL", value_name = "TIME", default_value = "60m", value_parser = parse_duration)]
    token_ttl: std::time::Duration,

    /// What every process is told.
    #[command(flatten)]
    process: ProcessArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let admin_password = match &args.admin_password_file {
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            Some(text.lines().next().unwrap_or_default().to_owned())
        }
        None => None,
    };
    let workflows = args.process.workflows.clone();
    let config = Config { token_ttl: args.token_ttl, admin_password, workflows, ..Config::default() };
    let first = args.admin_file.zip(args.public_endpoint);
    gyre_flow::process::run("gyre-identity", &args.process, |mesh, store| async move {
        let service = Service::start(mesh, store, config).await?;
        if let Some((file, endpoint)) = first {
            service.bootstrap(&endpoint, &file).await?;
        }
        Ok(service)
    })
    .await
}
