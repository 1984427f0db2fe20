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
}
