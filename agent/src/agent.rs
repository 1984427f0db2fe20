//! The agent as a whole: its hosts (one, or as many simulated ones as controllers name), its service, its start and its end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gyre_model::{Error, Result, Uuid};
use gyre_proto::agent::v1::MachineState;
use gyre_proto::agent::v1::agent_service_server::AgentServiceServer;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{AgentConfig, Mode, NetworkMode, RealHost};
use crate::drivers::bridge::{self, BridgeNetwork};
use crate::drivers::fetch::Fetcher;
use crate::drivers::local::LocalStorage;
use crate::drivers::qemu::Qemu;
use crate::drivers::simulator::{self, Faults, Simulation};
use crate::drivers::user_net::UserNetwork;
use crate::failure;
use crate::host::{Binding, Host, HostParts, Run, Widths};
use crate::journal::{Journal, Kept, Thing};
use crate::ports::{Fetch, Network, Ports};
use crate::service::Service;

/// The largest message that is taken: a batch of tasks, or a piece of an image.
const MESSAGE_BYTES: usize = 8 << 20;

/// A running agent. Clones share it.
#[derive(Clone)]
pub struct Agent(Arc<Shared>);

struct Shared {
    hosts: Hosts,
    faults: Option<Arc<Faults>>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

/// What there is on a simulated host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Machines, and what they are doing.
    pub machines: BTreeMap<Uuid, MachineState>,
    /// Files of images and volumes, without caches.
    pub files: BTreeSet<PathBuf>,
    /// Tasks that run or wait.
    pub tasks: usize,
}

enum Hosts {
    Real { host: Host, _lock: std::fs::File },
    Simulated(Box<Simulator>),
}

/// As many simulated hosts as controllers name.
struct Simulator {
    simulation: Simulation,
    fetch: Arc<dyn Fetch>,
    max_image_bytes: u64,
    run: Run,
    journal: Journal,
    hosts: Mutex<HashMap<Uuid, Host>>,
    _lock: Option<std::fs::File>,
}

impl Agent {
    /// Starts an agent: a real one finds the machines that run and goes on with the tasks that it had not finished.
    ///
    /// # Errors
    /// What is missing on the host, or why its state cannot be read, with the remedy.
    pub async fn start(config: AgentConfig) -> Result<Self> {
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let fetch = Fetcher::new(config.images, config.peers).shared();
        let simulation = match config.mode {
            Mode::Real(real) => {
                let hosts = real_host(real, fetch, config.max_image_bytes, &tracker, &stop).await?;
                return Ok(Self(Arc::new(Shared { hosts, faults: None, tracker, stop })));
            }
            Mode::Simulated(simulation) => simulation,
        };
        let faults = Some(Arc::new(Faults::new(simulation.delay, &simulation.fault_rates, simulation.seed)));
        let run_id: Arc<str> = Uuid::new_v4().to_string().into();
        let (lock, boot_id, (journal, kept)) = match &simulation.state_dir {
            None => (None, run_id.clone(), (Journal::none(), HashMap::new())),
            Some(folder) => {
                let lock = lock(folder)?;
                let boot_id = simulator::boot_id(folder, simulation.reboot)?;
                (Some(lock), boot_id, Journal::open(&folder.join("simulator.journal"))?)
            }
        };
        let simulator = Simulator {
            simulation,
            fetch,
            max_image_bytes: config.max_image_bytes,
            run: Run { boot_id, run_id },
            journal,
            hosts: Mutex::default(),
            _lock: lock,
        };
        let agent = Self(Arc::new(Shared { hosts: Hosts::Simulated(Box::new(simulator)), faults, tracker, stop }));
        agent.resume(kept).await?;
        Ok(agent)
    }

    /// Takes up the simulated hosts that the journal knows.
    async fn resume(&self, kept: HashMap<Option<Uuid>, Kept>) -> Result<()> {
        let Hosts::Simulated(simulator) = &self.0.hosts else { return Ok(()) };
        let count = kept.len();
        for (uuid, mut kept) in kept.into_iter().filter_map(|(uuid, kept)| Some((uuid?, kept))) {
            let host = self.simulated_host(uuid, simulator, std::mem::take(&mut kept.things), kept.bound);
            simulator.hosts.lock().insert(uuid, host.clone());
            host.resume(kept).await?;
        }
        if count > 0 {
            tracing::info!(hosts = count, "simulated hosts found");
        }
        Ok(())
    }

    /// The service, for a server's router or to stack a client on.
    pub fn service(&self) -> AgentServiceServer<Service> {
        AgentServiceServer::new(Service::new(self.clone())).max_decoding_message_size(MESSAGE_BYTES)
    }

    /// The faults of simulated hosts; nothing on a real one.
    pub fn faults(&self) -> Option<&Faults> {
        self.0.faults.as_deref()
    }

    /// Lets a machine of a simulated host end as if its process had died. Answers whether there is such a machine.
    pub async fn crash_machine(&self, host: Uuid, vm: Uuid) -> bool {
        let Hosts::Simulated(simulator) = &self.0.hosts else { return false };
        let Some(host) = simulator.hosts.lock().get(&host).cloned() else { return false };
        host.machines().state(vm).is_some() && host.ports().hypervisor.kill(vm).await.is_ok()
    }

    /// The host that a session or a stream names.
    pub(crate) fn host(&self, host_uuid: &str, opening: bool) -> Result<Host> {
        let named = if host_uuid.is_empty() { None } else { Some(failure::uuid("host_uuid", host_uuid)?) };
        match (&self.0.hosts, named) {
            (Hosts::Real { host, .. }, named) => {
                // opening a session judges that itself, with the fence
                if opening || named.is_none() || named == host.uuid() {
                    return Ok(host.clone());
                }
                Err(unknown(named))
            }
            (Hosts::Simulated(simulator), Some(named)) => {
                let mut hosts = simulator.hosts.lock();
                if let Some(host) = hosts.get(&named) {
                    return Ok(host.clone());
                }
                if !opening {
                    return Err(unknown(Some(named)));
                }
                let host = self.simulated_host(named, simulator, Vec::new(), None);
                hosts.insert(named, host.clone());
                Ok(host)
            }
            (Hosts::Simulated(_), None) => {
                Err(Error::invalid("host_uuid", "must be given: this is a simulator of many hosts"))
            }
        }
    }

    fn simulated_host(&self, uuid: Uuid, simulator: &Simulator, things: Vec<Thing>, bound: Option<i64>) -> Host {
        let agent = Arc::downgrade(&self.0);
        let released = move || {
            if let Some(agent) = agent.upgrade()
                && let Hosts::Simulated(simulator) = &agent.hosts
            {
                simulator.hosts.lock().remove(&uuid);
            }
        };
        let journal = simulator.journal.of(uuid);
        Host::new(HostParts {
            ports: simulator::ports(simulator.fetch.clone(), &journal, &simulator.run.boot_id, things),
            facts: simulator::facts(&simulator.simulation),
            run: simulator.run.clone(),
            binding: Binding::journaled(journal.clone(), uuid, bound),
            journal,
            widths: Widths::unbounded(),
            max_image_bytes: simulator.max_image_bytes,
            faults: self.0.faults.clone(),
            released: Some(Box::new(released)),
            tracker: self.0.tracker.clone(),
            stop: self.0.stop.clone(),
        })
    }

    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// What there is on each simulated host: machines with what they are doing, and files of images and volumes. Nothing on a
    /// real host.
    pub fn inventory(&self) -> BTreeMap<Uuid, Inventory> {
        let Hosts::Simulated(simulator) = &self.0.hosts else { return BTreeMap::new() };
        let of = |host: &Host| {
            let machines = host.machines().list().0.into_iter().filter_map(|machine| {
                let uuid = gyre_model::parse_uuid(&machine.vm_uuid)?;
                Some((uuid, machine.state()))
            });
            Inventory {
                machines: machines.collect(),
                files: host.ports().storage.simulated_files().into_iter().collect(),
                tasks: host.tasks_running(),
            }
        };
        simulator.hosts.lock().iter().map(|(uuid, host)| (*uuid, of(host))).collect()
    }

    /// How many hosts, machines and unfinished tasks there are.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |host: &Host| (host.machines().count(), host.tasks_running());
        match &self.0.hosts {
            Hosts::Real { host, .. } => {
                let (machines, tasks) = count(host);
                (1, machines, tasks)
            }
            Hosts::Simulated(simulator) => {
                let hosts = simulator.hosts.lock();
                hosts.values().map(count).fold((hosts.len(), 0, 0), |all, one| (all.0, all.1 + one.0, all.2 + one.1))
            }
        }
    }

    /// Ends the agent: sessions are told, no task begins, and machines run on. Tasks that did not end go on after the next start.
    pub async fn shutdown(&self) {
        self.0.stop.cancel();
        self.0.tracker.close();
        if tokio::time::timeout(AgentConfig::SHUTDOWN, self.0.tracker.wait()).await.is_err() {
            tracing::warn!(tasks = self.0.tracker.len(), "the agent's tasks did not end in time");
        }
    }
}

fn unknown(host: Option<Uuid>) -> Error {
    failure::precondition(
        "AGENT_HOST_UNKNOWN",
        format!("this agent does not serve host {}; call the agent of that host", host.unwrap_or_default()),
    )
}

fn lock(state_dir: &Path) -> Result<std::fs::File> {
    std::fs::create_dir_all(state_dir).map_err(|error| failure::io("make the state folder", state_dir, &error))?;
    let path = state_dir.join("lock");
    let file = std::fs::File::create(&path).map_err(|error| failure::io("open", &path, &error))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        failure::precondition(
            "AGENT_RUNS_ALREADY",
            format!("another agent works in {}; stop it, or choose another --state-dir", state_dir.display()),
        )
    })?;
    Ok(file)
}

fn network(mode: NetworkMode) -> Result<Arc<dyn Network>> {
    let possible = if mode == NetworkMode::User { Ok(()) } else { bridge::available() };
    Ok(match (mode, possible) {
        (NetworkMode::Bridge, Err(error)) => return Err(error),
        (NetworkMode::Auto, Err(error)) => {
            tracing::info!(because = error.message(), "machines get the user-mode network");
            Arc::new(UserNetwork)
        }
        (NetworkMode::User, _) => Arc::new(UserNetwork),
        (NetworkMode::Auto | NetworkMode::Bridge, Ok(())) => Arc::new(BridgeNetwork::default()),
    })
}

async fn real_host(
    real: RealHost,
    fetch: Arc<dyn Fetch>,
    max_image_bytes: u64,
    tracker: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Hosts> {
    let lock = lock(&real.state_dir)?;
    let network = network(real.network)?;
    let qemu = Qemu::new(&real, tracker.clone(), stop.clone()).await?;
    let binding = Binding::open(&real.state_dir.join("host.json"))?;
    let (journal, mut kept) = Journal::open(&real.state_dir.join("tasks.journal"))?;
    let host = Host::new(HostParts {
        ports: Ports { hypervisor: Arc::new(qemu), storage: Arc::new(LocalStorage), network, fetch },
        facts: crate::facts::of_this_machine(),
        run: Run { boot_id: crate::facts::boot_id().into(), run_id: Uuid::new_v4().to_string().into() },
        journal,
        binding,
        widths: Widths::bounded(real.start_width, real.image_width),
        max_image_bytes,
        faults: None,
        released: None,
        tracker: tracker.clone(),
        stop: stop.clone(),
    });
    host.resume(kept.remove(&None).unwrap_or_default()).await?;
    Ok(Hosts::Real { host, _lock: lock })
}
