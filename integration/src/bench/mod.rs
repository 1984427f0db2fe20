//! What `gyre-bench` measures, one file a subject. Figures are of one run on whatever machine it is: compare ratios.

pub mod create;
pub mod figures;
pub mod query;
pub mod read;
pub mod ring;
pub mod stats;
pub mod step;
pub mod takeover;
pub mod watch;

use anyhow::{Context as _, Result};

/// The resident memory of a process in MiB.
///
/// # Errors
/// When it has ended.
pub fn rss_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = rss.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}
