//! The flags of `gyre up`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// How the one-process node is started.
#[derive(Debug, Clone, Args)]
pub struct UpArgs {
    /// Where the gateway listens; plaintext, so on loopback only
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    pub listen: SocketAddr,
    /// Where everything is kept [default: $XDG_DATA_HOME/gyre]
    #[arg(long, value_name = "PATH", env = "GYRE_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Sets up everything that a machine needs, and starts one
    #[arg(long)]
    pub demo: bool,
    /// The disk image of the demo's machine, qcow2 or raw, instead of the one that Gyre makes
    #[arg(long, value_name = "PATH", requires = "demo")]
    pub image: Option<PathBuf>,
    /// Uses the simulated host even where QEMU is installed
    #[arg(long)]
    pub simulated: bool,
    /// How machines reach the network: user (QEMU's own, nothing on this machine is changed), bridge, or auto (bridge where that is allowed)
    #[arg(long, value_name = "MODE", default_value = "user")]
    pub network: gyre_agent::NetworkMode,
    /// Images may be fetched from URLs that begin so; several by repeating it
    #[arg(long, value_name = "PREFIX")]
    pub allow_image_url: Vec<String>,
    /// Images may be taken from this folder by file:// URLs; several by repeating it
    #[arg(long, value_name = "PATH")]
    pub allow_image_path: Vec<PathBuf>,
    /// Directory of files that change workflows, in a folder for each service; docs/workflows.md says how
    #[arg(long, value_name = "DIR", env = "GYRE_WORKFLOWS")]
    pub workflows: Option<PathBuf>,
    /// Where callbacks may go: public, hooks.example.com, *.example.com:8443, or a network such as 127.0.0.0/8; several by repeating it
    #[arg(long, env = "GYRE_CALLBACK_ALLOW", value_name = "RULE", value_delimiter = ',')]
    pub callback_allow: Vec<gyre_mesh::egress::Rule>,
    /// Address of the plain HTTP listener for /metrics and /healthz
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,
    /// OTLP endpoint (gRPC) that spans are sent to, such as http://127.0.0.1:4317
    #[arg(long, env = "GYRE_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// What is logged to standard error: a level, or levels by module
    #[arg(long, env = "GYRE_LOG", value_name = "FILTER", default_value = "warn")]
    pub log: String,
    /// Logs JSON, one object a line
    #[arg(long, env = "GYRE_LOG_JSON")]
    pub log_json: bool,
}
