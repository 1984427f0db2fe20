//! A whole node in this process: the embedded defaults on a folder, with a simulated or a real host in it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use gyre_agent::{AgentConfig, Mode, NetworkMode, Simulation, UrlPolicy};
use gyre_node::{Node, NodeConfig};
use serde::Deserialize;

use crate::Front;

/// Which host the node has.
#[derive(Debug, Clone)]
pub enum Hosts {
    /// The simulator, at the address "local" for any number of hosts.
    Simulated(Simulation),
    /// This machine, with QEMU and its user network.
    Real,
}

/// A node in this process.
pub struct TestNode {
    node: Node,
    folder: PathBuf,
    sign_in: SignIn,
}

#[derive(Debug, Clone, Deserialize)]
struct SignIn {
    account: String,
    password: String,
}

impl TestNode {
    /// Starts a node on a folder, which may hold what an earlier one left.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start(folder: &Path, hosts: Hosts) -> Result<Self> {
        Self::start_with(folder, hosts, |_| ()).await
    }

    /// The same, with settings changed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start_with(folder: &Path, hosts: Hosts, change: impl FnOnce(&mut NodeConfig)) -> Result<Self> {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = NodeConfig::embedded(&folder.join("gyre.db"), listen);
        // what a host says is looked at soon
        config.services.host.report_period = std::time::Duration::from_secs(1);
        let admin_file = folder.join("admin.json");
        config.admin_file = Some(admin_file.clone());
        config.agent = Some(match hosts {
            Hosts::Simulated(simulation) => AgentConfig::simulated(simulation),
            Hosts::Real => {
                let mut agent = AgentConfig::real(folder.join("agent"));
                if let Mode::Real(real) = &mut agent.mode {
                    real.network = NetworkMode::User;
                }
                agent.images = UrlPolicy::new(&[], &[folder.to_owned()])?;
                agent
            }
        });
        change(&mut config);
        let node = Node::start(config).await?;
        let text = std::fs::read_to_string(&admin_file).context("the node wrote no sign-in file")?;
        Ok(Self { node, folder: folder.to_owned(), sign_in: serde_json::from_str(&text)? })
    }

    /// Where it answers.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.node.address())
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The node itself.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The sign-in of the first administrator: name and password.
    pub fn admin(&self) -> (&str, &str) {
        (&self.sign_in.account, &self.sign_in.password)
    }

    /// A client of its front door, signed in as the first administrator.
    ///
    /// # Errors
    /// When the sign-in fails.
    pub async fn front(&self) -> Result<Front> {
        Front::sign_in(&self.endpoint(), &self.sign_in.account, &self.sign_in.password).await
    }

    /// Shuts it down in order.
    pub async fn shutdown(self) {
        self.node.shutdown().await;
    }
}
