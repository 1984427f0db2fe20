//! A node in a process of its own, which can be killed: a test program that starts itself again.
//!
//! The program has a test `node_process` that calls [`serve`] and nothing else. Run as one of the tests it does nothing; run by
//! [`Killable::start`], which names a folder, it is a node on that folder until it is killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use gyre_agent::Simulation;
use gyre_node::NodeConfig;
use serde_json::{Value, json};

use crate::Front;
use crate::node::{Hosts, TestNode};

/// Names the folder of the node.
const NODE: &str = "GYRE_TEST_NODE_FOLDER";
/// How long a node may take to answer.
const SOON: Duration = Duration::from_secs(60);

/// A node in a process of its own. Dropped, it is killed.
pub struct Killable(Child);

/// Starts a node whose simulated hosts lie in the folder and outlive it.
///
/// # Errors
/// When it cannot be started.
pub async fn node(folder: &Path, change: impl FnOnce(&mut NodeConfig)) -> Result<TestNode> {
    let simulation = Simulation { state_dir: Some(folder.join("agent")), ..Simulation::default() };
    TestNode::start_with(folder, Hosts::Simulated(simulation), change).await
}

/// The folder that this process is to run a node on, where it was started to be one.
pub fn folder() -> Option<PathBuf> {
    std::env::var_os(NODE).map(Into::into)
}

/// Tells whoever started this process where its node answers, and goes on until it is killed.
///
/// # Errors
/// When it cannot be told.
pub async fn tell(folder: &Path, node: &TestNode) -> Result<()> {
    let (name, password) = node.admin();
    let told = json!({"endpoint": node.endpoint(), "account": name, "password": password});
    let written = folder.join("node.json.new");
    std::fs::write(&written, told.to_string())?;
    std::fs::rename(written, folder.join("node.json"))?;
    std::future::pending::<()>().await;
    Ok(())
}

/// The node, where this process is one; otherwise nothing.
///
/// # Errors
/// When it cannot be started.
pub async fn serve(change: impl FnOnce(&mut NodeConfig)) -> Result<()> {
    let Some(folder) = folder() else { return Ok(()) };
    let node = node(&folder, change).await?;
    tell(&folder, &node).await
}

impl Killable {
    /// Starts one on a folder, which may hold what an earlier one left, and signs in.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn start(folder: &Path) -> Result<(Self, Front)> {
        let told = folder.join("node.json");
        let _ = std::fs::remove_file(&told);
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--exact", "node_process", "--nocapture"]).env(NODE, folder);
        let child = Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        let began = Instant::now();
        while !told.exists() {
            ensure!(began.elapsed() < SOON, "the node does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let told: Value = serde_json::from_slice(&std::fs::read(told)?)?;
        let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        let front = Front::sign_in(&text("endpoint"), &text("account"), &text("password")).await?;
        Ok((child, front))
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        // SIGKILL: nothing is said to anybody
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
