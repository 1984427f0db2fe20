//! All five services and the gateway in one process, with or without an agent.
//!
//! Alone ([`NodeConfig::embedded`]) it is the whole of Gyre on one machine: an embedded SQLite file, local membership, calls
//! that stay in the process. As one of several (`gyre-node`) it is a management node of a cluster on etcd and PostgreSQL, and may
//! stand beside separate service processes; nothing else is different. Start-up and shutdown follow
//! [`gyre_mesh::serve::Process`]: the gateway stops first, then the services leave the ring, then calls drain, then the agent and
//! the store end. Machines go on.

mod database;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use gyre_agent::{Agent, AgentConfig};
use gyre_gateway::{ApiArgs, Door, Gateway, Limits};
use gyre_mesh::Mesh;
use gyre_mesh::config::ProcessArgs;
use gyre_mesh::member::LOCAL;
use gyre_mesh::serve::{Process, Running, layered};
use gyre_store::{Dialect, Store};
use tonic::service::Routes;

pub use database::{migrate, open};

/// What a node is told.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// What every process is told; the database is named here.
    pub process: ProcessArgs,
    /// Whether to bring the schema up to date first. In a cluster a command does that.
    pub migrate: bool,
    /// Where and how the gateway answers users.
    pub api: ApiArgs,
    /// The services.
    pub services: Services,
    /// An agent inside this process, reached at the address "local".
    pub agent: Option<AgentConfig>,
    /// Where the sign-in file of the first administrator is written, when there is no account yet.
    pub admin_file: Option<PathBuf>,
}

/// The settings of the services.
#[derive(Debug, Clone, Default)]
pub struct Services {
    /// Accounts and sign-in.
    pub identity: gyre_identity::Config,
    /// Hosts and room on them.
    pub host: gyre_host::Config,
    /// Disks and images.
    pub storage: gyre_storage::Config,
    /// Networks and addresses.
    pub network: gyre_network::Config,
    /// Machines.
    pub vm: gyre_vm::Config,
}

impl NodeConfig {
    /// A node that is alone, on a database file, without an agent.
    pub fn embedded(database: &std::path::Path, api_listen: SocketAddr) -> Self {
        let process =
            ProcessArgs { database: Some(format!("sqlite://{}", database.display())), ..ProcessArgs::embedded() };
        Self {
            process,
            migrate: true,
            api: ApiArgs {
                api_listen,
                api_tls_cert: None,
                api_tls_key: None,
                api_plaintext: false,
                limits: Limits::default(),
            },
            services: Services::default(),
            agent: None,
            admin_file: None,
        }
    }
}

/// A node that runs.
pub struct Node {
    running: Running,
    address: SocketAddr,
    agent: Option<Agent>,
    store: Store,
}

impl Node {
    /// Starts a node: returns once it answers.
    ///
    /// # Errors
    /// When something that the configuration names cannot be used or does not answer.
    pub async fn start(config: NodeConfig) -> Result<Self> {
        let (listener, mut gateway) = config.api.open().await?;
        let address = listener.local_addr()?;
        let store = database::open(&config.process, config.migrate).await?;
        let mut process = Process::open("gyre-node", &config.process).await?;
        let mesh = process.mesh().clone();
        let limit = config.process.drain_timeout;
        gyre_flow::tidy::start(process.tasks(), &mesh, &store, config.process.keep_operations);

        let agent = match config.agent {
            Some(agent) => Some(serve_agent(&mut process, agent).await?),
            None => None,
        };
        start_services(&mut process, &store, config.services, limit).await?;
        if store.dialect() == Dialect::Sqlite {
            // nothing waits for anything but processors: one call more than there are keeps them all busy
            let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
            gateway.limits.reads.get_or_insert(processors + 1);
        }
        let door = Door::of(Gateway::new(mesh.clone(), gateway)?, &mut process);
        if let Some(file) = &config.admin_file {
            gyre_identity::bootstrap(&store, &format!("http://{address}"), file)
                .await
                .context("cannot make the first administrator")?;
        }
        let running = process.start().await?;
        door.open(listener);
        Ok(Self { running, address, agent, store })
    }

    /// Where the gateway answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its metrics are, if it serves them.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.running.metrics_address()
    }

    /// The mesh.
    pub fn mesh(&self) -> &Mesh {
        self.running.mesh()
    }

    /// The agent inside, where there is one.
    pub fn agent(&self) -> Option<&Agent> {
        self.agent.as_ref()
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Serves until the process is told to end, then shuts down in order.
    ///
    /// # Errors
    /// When signals cannot be waited for.
    pub async fn until_signal(self) -> Result<()> {
        self.running.until_signal().await
    }

    /// Shuts down in order.
    pub async fn shutdown(self) {
        self.running.shutdown().await;
    }
}

async fn start_services(process: &mut Process, store: &Store, config: Services, limit: Duration) -> Result<()> {
    let mesh = process.mesh().clone();
    let (mesh, store) = (&mesh, store);
    let Services { mut identity, mut host, mut storage, mut network, mut vm } = config;
    if let Some(directory) = &process.args().workflows {
        identity.workflows.get_or_insert_with(|| directory.clone());
        network.workflows.get_or_insert_with(|| directory.clone());
        host.workflows.get_or_insert_with(|| directory.clone());
        storage.workflows.get_or_insert_with(|| directory.clone());
        vm.workflows.get_or_insert_with(|| directory.clone());
    }
    host_service(process, gyre_identity::Service::start(mesh.clone(), store.clone(), identity).await?, limit);
    host_service(process, gyre_host::Service::start(mesh.clone(), store.clone(), host).await?, limit);
    host_service(process, gyre_storage::Service::start(mesh.clone(), store.clone(), storage).await?, limit);
    host_service(process, gyre_network::Service::start(mesh.clone(), store.clone(), network).await?, limit);
    host_service(process, gyre_vm::Service::start(mesh.clone(), store.clone(), vm).await?, limit);
    Ok(())
}

fn host_service<S: gyre_flow::process::Service>(process: &mut Process, service: S, limit: Duration) {
    process.serve(S::NAME, service.routes());
    process.before_leave(S::NAME, move || async move { service.shutdown(limit).await });
}

/// The agent answers at the address "local", through the same layers as one on another host.
async fn serve_agent(process: &mut Process, config: AgentConfig) -> Result<Agent> {
    let agent = Agent::start(config).await?;
    let mesh = process.mesh();
    mesh.serve_address(LOCAL, layered(Routes::new(agent.service()), mesh, "agent"));
    let ending = agent.clone();
    process.after_drain("agent", move || async move { ending.shutdown().await });
    Ok(agent)
}
