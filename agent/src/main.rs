//! The host agent as a process of its own. Its machines live on when it ends.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{CommandFactory, FromArgMatches, Parser};
use gyre_agent::{
    AcceleratorChoice, Agent, AgentConfig, Delay, Mode, NetworkMode, PeerTls, RealHost, Simulation, UrlPolicy, WorkKind,
};
use gyre_mesh::config::ProcessArgs;
use gyre_mesh::serve::{Limits, Process};
use gyre_mesh::telemetry;
use tonic::service::Routes;

/// Calls at a time on one connection to a simulator: each of its hosts has a session, and a controller keeps few connections to one
/// address.
const SIMULATED_CALLS: u32 = 1 << 16;
/// Connections to a simulator: up to a few for each of its hosts.
const SIMULATED_CONNECTIONS: usize = 1 << 16;

/// The agent of a Gyre host: runs machines, keeps images and volumes. Controllers connect to it.
#[derive(Debug, Parser)]
#[command(name = "gyre-agent", version)]
struct Args {
    #[command(flatten)]
    process: ProcessArgs,

    /// Folder of the agent's journal and its machines' files; /var/lib/gyre/agent where it is not given. Simulated hosts live as long as
    /// the process where it is not given.
    #[arg(long, env = "GYRE_AGENT_STATE_DIR", value_name = "FOLDER")]
    state_dir: Option<PathBuf>,

    /// How machines reach the network: bridge (needs CAP_NET_ADMIN), user (QEMU's own), or auto: bridge where that may be.
    #[arg(long, env = "GYRE_AGENT_NETWORK", value_name = "auto|bridge|user", default_value = "auto")]
    network: NetworkMode,

    /// How guests' instructions run: kvm, tcg (emulation), or auto: kvm where it was seen to work.
    #[arg(long, env = "GYRE_AGENT_ACCEL", value_name = "auto|kvm|tcg", default_value = "auto")]
    accel: AcceleratorChoice,

    /// The QEMU program; found on the PATH where it is not given.
    #[arg(long, env = "GYRE_AGENT_QEMU", value_name = "FILE")]
    qemu: Option<PathBuf>,

    /// Images may be imported from URLs below this one, such as https://images.example.com/; may be repeated. None by default.
    #[arg(long, env = "GYRE_AGENT_ALLOW_IMAGE_URL", value_name = "PREFIX", value_delimiter = ',')]
    allow_image_url: Vec<String>,

    /// Images may be imported from files in this folder, as file:// URLs; may be repeated. None by default.
    #[arg(long, env = "GYRE_AGENT_ALLOW_IMAGE_PATH", value_name = "FOLDER", value_delimiter = ',')]
    allow_image_path: Vec<PathBuf>,

    /// The largest image file, in MiB.
    #[arg(long, env = "GYRE_AGENT_MAX_IMAGE_MIB", value_name = "MIB", default_value_t = 1 << 20)]
    max_image_mib: u64,

    /// The longest console log of a machine, in KiB; what is older goes.
    #[arg(long, env = "GYRE_AGENT_CONSOLE_KIB", value_name = "KIB", default_value_t = 4096)]
    console_kib: u64,

    /// How many machines are started at once.
    #[arg(long, env = "GYRE_AGENT_START_WIDTH", value_name = "COUNT", default_value_t = 8)]
    start_width: usize,

    /// How many images are moved at once.
    #[arg(long, env = "GYRE_AGENT_IMAGE_WIDTH", value_name = "COUNT", default_value_t = 2)]
    image_width: usize,

    /// Simulate hosts: as many as controllers name, without QEMU; with --state-dir they outlive the process.
    #[arg(long, env = "GYRE_AGENT_SIMULATE")]
    simulate: bool,

    /// Threads of a simulated host's processors.
    #[arg(long, value_name = "COUNT", default_value_t = 64, requires = "simulate")]
    sim_cpus: i32,

    /// Memory of a simulated host, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 262_144, requires = "simulate")]
    sim_memory: i64,

    /// How long simulated tasks take: milliseconds such as 20 or 20-50, constant:20ms, uniform:20ms:50ms, exponential:50ms (the mean),
    /// or lognormal:50ms:0.5 (the median, and the deviation of the logarithm).
    #[arg(
        long,
        alias = "sim-delay-ms",
        env = "GYRE_AGENT_SIM_DELAY",
        value_name = "DELAY",
        default_value = "0",
        requires = "simulate"
    )]
    sim_delay: Delay,

    /// Lets simulated tasks of every kind fail by chance: 0.01 is one in a hundred.
    #[arg(long, env = "GYRE_AGENT_SIM_FAIL_RATE", value_name = "CHANCE", value_parser = parse_chance, requires = "simulate")]
    sim_fail_rate: Option<f64>,

    /// What delays and faults by chance follow from, in the order in which tasks begin. One is made up, and logged, where none is given.
    #[arg(long, env = "GYRE_AGENT_SIM_SEED", value_name = "NUMBER", requires = "simulate")]
    sim_seed: Option<u64>,

    /// Ports to listen on, from that of --listen on, so that simulated hosts can have addresses, and controllers connections, of their own.
    #[arg(long, env = "GYRE_AGENT_SIM_PORTS", value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..), requires = "simulate")]
    sim_ports: u16,

    /// The simulated hosts have been rebooted since the last start: their machines are off.
    #[arg(long, requires = "simulate", requires = "state_dir")]
    reboot: bool,

    /// Lets simulated tasks of a kind fail by chance, such as start_machine=0.01; may be repeated.
    #[arg(long, env = "GYRE_AGENT_SIM_FAULT", value_name = "KIND=CHANCE", value_delimiter = ',', value_parser = parse_fault, requires = "simulate")]
    sim_fault: Vec<(WorkKind, f64)>,
}

fn parse_fault(text: &str) -> Result<(WorkKind, f64), String> {
    let (kind, chance) = text.split_once('=').ok_or_else(|| format!("{text:?} is not like start_machine=0.01"))?;
    let kind = WorkKind::by_name(kind).ok_or_else(|| {
        let known: Vec<_> = WorkKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("{kind:?} is no kind of work; known are {}", known.join(", "))
    })?;
    Ok((kind, parse_chance(chance)?))
}

fn parse_chance(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(chance) if (0.0..=1.0).contains(&chance) => Ok(chance),
        _ => Err(format!("the chance must be 0 to 1, got {text:?}")),
    }
}

impl Args {
    fn agent(&self) -> anyhow::Result<AgentConfig> {
        let mode = if self.simulate {
            if self.sim_cpus < 1 || self.sim_memory < 1 {
                bail!("a simulated host needs at least one processor and 1 MiB of memory");
            }
            let every = self.sim_fail_rate.map(|chance| WorkKind::ALL.map(|kind| (kind, chance)));
            let seed = self.sim_seed.unwrap_or_else(|| gyre_model::Uuid::new_v4().as_u64_pair().0);
            tracing::info!(seed, delay = %self.sim_delay, "hosts are simulated");
            Mode::Simulated(Simulation {
                cpus: self.sim_cpus,
                memory_bytes: self.sim_memory.saturating_mul(1 << 20),
                delay: self.sim_delay,
                // what is said of one kind stands behind, and so above, what is said of all
                fault_rates: every.into_iter().flatten().chain(self.sim_fault.iter().copied()).collect(),
                seed,
                state_dir: self.state_dir.clone(),
                reboot: self.reboot,
            })
        } else {
            Mode::Real(RealHost {
                state_dir: self.state_dir.clone().unwrap_or_else(|| "/var/lib/gyre/agent".into()),
                network: self.network,
                accelerator: self.accel,
                qemu: self.qemu.clone(),
                console_bytes: self.console_kib.saturating_mul(1 << 10),
                start_width: self.start_width,
                image_width: self.image_width,
            })
        };
        let peers = self.process.identity()?.map_or(PeerTls::Loopback, |identity| PeerTls::Mutual(identity.client()));
        Ok(AgentConfig {
            mode,
            images: UrlPolicy::new(&self.allow_image_url, &self.allow_image_path)?,
            max_image_bytes: self.max_image_mib.saturating_mul(1 << 20),
            peers,
        })
    }
}

fn args() -> Args {
    // an agent is a member of no ring and has no database: controllers find it by its host's address
    let hidden = ["etcd", "database", "advertise", "lease_ttl"];
    let command = hidden.iter().fold(Args::command(), |command, arg| command.mut_arg(arg, |arg| arg.hide(true)));
    let mut args = Args::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    args.process.etcd.clear();
    args.process.database = None;
    args
}

async fn run(args: Args) -> anyhow::Result<()> {
    let telemetry = telemetry::init("gyre-agent", &args.process.telemetry)?;
    let config = args.agent()?;
    let agent = Agent::start(config).await.map_err(|error| anyhow::anyhow!("{error}"))?;
    let usual = Limits::default();
    let limits = if args.simulate {
        Limits { calls: SIMULATED_CALLS, connections: SIMULATED_CONNECTIONS, ..usual }
    } else {
        usual
    };
    let mut process = Process::open_within("gyre-agent", &args.process, limits).await?;
    process.listen_further(usize::from(args.sim_ports) - 1).await?;
    process.serve_outside_ring("agent", Routes::new(agent.service()));
    let ending = agent.clone();
    process.before_leave("agent", move || async move { ending.shutdown().await });
    let running = process.start().await?;
    // for whoever started this process and wants to know the port that was taken
    println!(
        "gyre-agent listens on {}",
        running.address().context("an agent must listen: name an address with --listen")?
    );
    let result = running.until_signal().await;
    telemetry.flush().await;
    result
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(args()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gyre-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_hold_together() {
        Args::command().debug_assert();
        let args = Args::try_parse_from([
            "gyre-agent",
            "--insecure",
            "--simulate",
            "--sim-delay-ms",
            "5-9",
            "--sim-fault",
            "start_machine=0.5",
        ]);
        let Mode::Simulated(simulation) = args.expect("sound").agent().expect("sound").mode else {
            panic!("simulated")
        };
        assert_eq!(simulation.fault_rates, [(WorkKind::StartMachine, 0.5)]);
        let simulated =
            |more: &[&str]| Args::try_parse_from([&["gyre-agent", "--insecure", "--simulate"], more].concat());
        let args = simulated(&["--sim-fail-rate", "0.01", "--sim-fault", "stop_machine=0.5", "--sim-seed", "7"]);
        let Mode::Simulated(simulation) = args.expect("sound").agent().expect("sound").mode else {
            panic!("simulated")
        };
        assert_eq!((simulation.fault_rates.len(), simulation.seed), (WorkKind::ALL.len() + 1, 7));
        assert_eq!(simulation.fault_rates.last(), Some(&(WorkKind::StopMachine, 0.5)));
        for wrong in [["--sim-fail-rate", "2"], ["--sim-delay", "lognormal:50ms"], ["--sim-ports", "0"]] {
            assert!(simulated(&wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["start_machine", "fly=0.5", "start_machine=2"] {
            assert!(parse_fault(wrong).is_err(), "{wrong}");
        }
        assert!(Args::try_parse_from(["gyre-agent", "--network", "pigeon"]).is_err());
    }
}
