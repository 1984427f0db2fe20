//! A gateway as a part of a process: what `gyre-gateway`, `gyre-node` and `gyre up` have in common.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use gyre_mesh::serve::Process;
use gyre_mesh::tasks::Tasks;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Gateway, GatewayConfig, Limits, tls};

/// What a process is told of its gateway. For flattening into a binary's own arguments.
#[derive(Debug, Clone, Args)]
pub struct ApiArgs {
    /// Address to answer users at
    #[arg(long, env = "GYRE_API_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    pub api_listen: SocketAddr,

    /// Certificate to show to users (PEM), with those between it and its authority
    #[arg(long, env = "GYRE_API_TLS_CERT", value_name = "FILE", requires = "api_tls_key")]
    pub api_tls_cert: Option<PathBuf>,

    /// Key of that certificate (PEM)
    #[arg(long, env = "GYRE_API_TLS_KEY", value_name = "FILE", requires = "api_tls_cert")]
    pub api_tls_key: Option<PathBuf>,

    /// Speak plain text to users although the address is not loopback: behind a proxy that speaks TLS
    #[arg(long, env = "GYRE_API_PLAINTEXT", conflicts_with = "api_tls_cert")]
    pub api_plaintext: bool,

    /// Bounds of what comes from outside
    #[command(flatten)]
    pub limits: Limits,
}

impl ApiArgs {
    /// Reads the certificate and binds the port.
    ///
    /// # Errors
    /// When one of them cannot be had, or users' tokens would travel in plain text without the operator having asked for it.
    pub async fn open(&self) -> anyhow::Result<(TcpListener, GatewayConfig)> {
        let tls = match (&self.api_tls_cert, &self.api_tls_key) {
            (Some(certificate), Some(key)) => Some(tls::from_files(certificate, key)?),
            _ => None,
        };
        if tls.is_none() && !self.api_plaintext && !self.api_listen.ip().is_loopback() {
            bail!(
                "{} is not a loopback address: name a certificate with --api-tls-cert and --api-tls-key, or --api-plaintext \
                 behind a proxy that speaks TLS",
                self.api_listen
            );
        }
        let listener = TcpListener::bind(self.api_listen)
            .await
            .with_context(|| format!("cannot listen on {}: choose another address", self.api_listen))?;
        Ok((listener, GatewayConfig { tls, limits: self.limits.clone() }))
    }
}

/// A gateway's place in a process: it stops before the process leaves the ring.
#[derive(Debug)]
pub struct Door {
    gateway: Gateway,
    tasks: Tasks,
    stop: CancellationToken,
    done: DropGuard,
}

impl Door {
    /// Makes a process a member "gateway", and lets it close the door first when it shuts down.
    pub fn of(gateway: Gateway, process: &mut Process) -> Self {
        let (stop, done) = (CancellationToken::new(), CancellationToken::new());
        let (stopping, stopped) = (stop.clone(), done.clone());
        process.join_as("gateway").before_leave("gateway", move || async move {
            stopping.cancel();
            stopped.cancelled().await;
        });
        Self { gateway, tasks: process.tasks().clone(), stop, done: done.drop_guard() }
    }

    /// Answers what comes in at a listener, until the process shuts down. To be called once the process has started.
    pub fn open(self, listener: TcpListener) {
        let Self { gateway, tasks, stop, done } = self;
        tasks.spawn("gateway", async move {
            gateway.serve(listener, stop).await;
            drop(done);
        });
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Binary {
        #[command(flatten)]
        api: ApiArgs,
    }

    #[tokio::test]
    async fn plain_text_beyond_loopback_must_be_asked_for() {
        let open =
            async |args: &[&str]| Binary::try_parse_from([&["gyre-test"], args].concat()).unwrap().api.open().await;
        assert!(open(&["--api-listen", "127.0.0.1:0"]).await.is_ok());
        assert!(open(&["--api-listen", "0.0.0.0:0"]).await.unwrap_err().to_string().contains("--api-plaintext"));
        assert!(open(&["--api-listen", "0.0.0.0:0", "--api-plaintext"]).await.is_ok());
    }
}
