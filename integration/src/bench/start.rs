//! Starts `gyre up` on an empty folder: how long until it answers, and its memory when idle.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::rss_mib;
use crate::Front;

/// The figures.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// From the start until it answers.
    pub answering_ms: f64,
    /// Its memory after it had nothing to do for a while.
    pub idle_rss_mib: f64,
}

/// Starts it, and looks at it after so long.
///
/// # Errors
/// When it does not answer.
pub async fn run(gyre: &Path, idle: Duration) -> Result<Figures> {
    let folder = tempfile::tempdir()?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let begun = Instant::now();
    let mut child = tokio::process::Command::new(gyre)
        .args(["up", "--simulated", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(folder.path())
        .kill_on_drop(true)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    let front = Front::new(&format!("http://127.0.0.1:{port}"), "");
    let answering = tokio::time::timeout(Duration::from_secs(30), async {
        while front.get("/healthz").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        begun.elapsed()
    });
    let answering = answering.await.context("it does not answer")?;
    tokio::time::sleep(idle).await;
    let pid = child.id().context("it has ended")?;
    let idle_rss_mib = rss_mib(pid)?;
    child.kill().await?;
    Ok(Figures { answering_ms: answering.as_secs_f64() * 1000.0, idle_rss_mib })
}
