//! Options that scenarios share.

use clap::Args;
use gyre_agent::Delay;

use crate::front::RANGE;

/// What is measured: a node inside the driver, or one that runs.
#[derive(Debug, Clone, Args)]
#[group(id = "target", required = true, multiple = false)]
pub struct Target {
    /// Starts a node with simulated hosts inside the driver.
    #[arg(long)]
    pub embedded: bool,
    /// A gateway that runs; GYRE_TOKEN signs in, and agents of simulated hosts are named with GYRE_BENCH_AGENTS.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
}

/// How many calls are made, and how.
#[derive(Debug, Clone, Args)]
pub struct Load {
    /// What is measured.
    #[command(flatten)]
    pub target: Target,
    /// Calls that count; without it what the scenario usually makes.
    #[arg(long)]
    pub count: Option<usize>,
    /// Calls at a time.
    #[arg(long, alias = "callers")]
    pub concurrency: Option<usize>,
    /// Calls before those that count.
    #[arg(long)]
    pub warm_up: Option<usize>,
    /// Metrics of a cluster's processes (http://127.0.0.1:9090), with commas between them.
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub metrics: Vec<String>,
    /// Other processes whose processor time and memory count, with those below them: those of a cluster, and of its database.
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pub pids: Vec<u32>,
    /// The hosts.
    #[command(flatten)]
    pub cloud: Cloud,
}

/// The hosts that machines are made on.
#[derive(Debug, Clone, Default, Args)]
pub struct Cloud {
    /// Simulated hosts; in a cluster they are spread over its agents.
    #[arg(long)]
    pub hosts: Option<usize>,
    /// Ranges of addresses, 65,521 each; without it as many as the machines need.
    #[arg(long)]
    pub ranges: Option<usize>,
    /// How long tasks take on the hosts of an embedded node: 20 (milliseconds), uniform:20ms:50ms, exponential:50ms, lognormal:50ms:0.5.
    #[arg(long, value_name = "DELAY", conflicts_with = "endpoint")]
    pub delay: Option<Delay>,
    /// Lets tasks on the hosts of an embedded node fail by chance: 0.01 is one in a hundred.
    #[arg(long, value_name = "CHANCE", value_parser = chance, conflicts_with = "endpoint")]
    pub fail_rate: Option<f64>,
    /// What everything by chance follows from; one is made up, and printed, where none is given.
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// The hosts of an embedded node have an agent that is called over mutual TLS, not inside the process.
    #[arg(long, conflicts_with = "endpoint")]
    pub tls: bool,
    /// Addresses of that agent: hosts are spread over them, and each has connections of its own. Without it each host has one.
    #[arg(long, requires = "tls")]
    pub addresses: Option<usize>,
}

fn chance(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(chance) if (0.0..=1.0).contains(&chance) => Ok(chance),
        _ => Err(format!("the chance must be 0 to 1, got {text:?}")),
    }
}

impl Cloud {
    /// Ranges for so many machines.
    pub fn ranges_for(&self, machines: usize) -> usize {
        self.ranges.unwrap_or_else(|| machines.div_ceil(RANGE).max(1))
    }

    /// The seed, or one that is made up.
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| gyre_model::Uuid::new_v4().as_u64_pair().0 >> 1)
    }
}
