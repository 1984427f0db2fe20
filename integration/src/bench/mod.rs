//! What `gyre-bench` measures, one file a subject. Figures are of one run on whatever machine it is: compare ratios.

pub mod args;
pub mod calls;
pub mod changes;
pub mod counters;
pub mod delete_account;
pub mod figures;
pub mod flood;
pub mod hosts;
pub mod mixed;
pub mod opened;
pub mod over_tls;
pub mod processes;
pub mod query;
pub mod read;
pub mod ring;
pub mod start;
pub mod stats;
pub mod step;
pub mod sums;
pub mod takeover;
pub mod vms;
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
