//! The agent as a whole: its hosts (one, or as many simulated ones as controllers name), its service, its start and its end.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use gyre_model::{Error, Result, Uuid};
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
use crate::host::{Binding, Host, HostParts, Widths};
use crate::journal::Journal;
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

enum Hosts {
    Real { host: Host, _lock: std::fs::File },
    Simulated { simulation: Simulation, fetch: Arc<dyn Fetch>, max_image_bytes: u64, hosts: Mutex<HashMap<Uuid, Host>> },
}

impl Agent {
    /// Starts an agent: a real one finds the machines that run and goes on with the tasks that it had not finished.
    ///
    /// # Errors
    /// What is missing on the host, or why its state cannot be read, with the remedy.
    pub async fn start(config: AgentConfig) -> Result<Self> {
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let fetch = Fetcher::new(config.images, config.peers).shared();
        let (hosts, faults) = match config.mode {
            Mode::Real(real) => {
                let hosts = real_host(real, fetch, config.max_image_bytes, &tracker, &stop).await?;
                (hosts, None)
            }
            Mode::Simulated(simulation) => {
                let faults = Arc::new(Faults::new(simulation.delay, &simulation.fault_rates));
                let hosts = Mutex::default();
                (Hosts::Simulated { simulation, fetch, max_image_bytes: config.max_image_bytes, hosts }, Some(faults))
            }
        };
        Ok(Self(Arc::new(Shared { hosts, faults, tracker, stop })))
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
        let Hosts::Simulated { hosts, .. } = &self.0.hosts else { return false };
        let Some(host) = hosts.lock().get(&host).cloned() else { return false };
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
            (Hosts::Simulated { simulation, fetch, max_image_bytes, hosts }, Some(named)) => {
                let mut hosts = hosts.lock();
                if let Some(host) = hosts.get(&named) {
                    return Ok(host.clone());
                }
                if !opening {
                    return Err(unknown(Some(named)));
                }
                let host = self.simulated_host(named, simulation, fetch.clone(), *max_image_bytes);
                hosts.insert(named, host.clone());
                Ok(host)
            }
            (Hosts::Simulated { .. }, None) => {
                Err(Error::invalid("host_uuid", "must be given: this is a simulator of many hosts"))
            }
        }
    }

    fn simulated_host(&self, uuid: Uuid, simulation: &Simulation, fetch: Arc<dyn Fetch>, max_image_bytes: u64) -> Host {
        let agent = Arc::downgrade(&self.0);
        let released = move || {
            if let Some(agent) = agent.upgrade()
                && let Hosts::Simulated { hosts, .. } = &agent.hosts
            {
                hosts.lock().remove(&uuid);
            }
        };
        Host::new(HostParts {
            ports: simulator::ports(fetch),
            facts: simulator::facts(simulation),
            journal: Journal::none(),
            binding: Binding::in_memory(),
            widths: Widths::unbounded(),
            max_image_bytes,
            faults: self.0.faults.clone(),
            released: Some(Box::new(released)),
            tracker: self.0.tracker.clone(),
            stop: self.0.stop.clone(),
        })
    }

    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// How many hosts, machines and unfinished tasks there are.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |host: &Host| (host.machines().list().len(), host.tasks_running());
        match &self.0.hosts {
            Hosts::Real { host, .. } => {
                let (machines, tasks) = count(host);
                (1, machines, tasks)
            }
            Hosts::Simulated { hosts, .. } => {
                let hosts = hosts.lock();
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
    let (journal, kept) = Journal::open(&real.state_dir.join("tasks.journal"))?;
    let host = Host::new(HostParts {
        ports: Ports { hypervisor: Arc::new(qemu), storage: Arc::new(LocalStorage), network, fetch },
        facts: crate::facts::of_this_machine(),
        journal,
        binding,
        widths: Widths::bounded(real.start_width, real.image_width),
        max_image_bytes,
        faults: None,
        released: None,
        tracker: tracker.clone(),
        stop: stop.clone(),
    });
    host.resume(kept).await?;
    Ok(Hosts::Real { host, _lock: lock })
}
