//! A node that can die, and an agent that outlives it.
//!
//! The node has a runtime of its own, and dies with it: no task of it runs on, nothing is said to anybody. The agent stands beside
//! it on a port of the loopback, as on another host.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use gyre_agent::{Agent, AgentConfig, Simulation};
use gyre_mesh::Mesh;
use gyre_mesh::config::ProcessArgs;
use gyre_mesh::egress::Allow;
use gyre_mesh::serve::{Process, Running};
use gyre_model::Caller;
use gyre_node::{Node, NodeConfig};
use gyre_store::{Conn, Sql, Store};
use tokio::runtime::Runtime;
use tonic::service::Routes;

use crate::slate::Dialect;

/// Where nobody listens, and webhooks may point.
pub const NOBODY: &str = "127.0.0.1:9";

/// What differs between sites.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Whether the database is PostgreSQL's, at `GYRE_TEST_POSTGRES`.
    pub postgres: bool,
    /// How often machines that are off are looked through for room that they hold.
    pub reconcile_period: Duration,
    /// How often hosts are asked what machines there are.
    pub report_period: Duration,
}

/// An agent, a database, and a node that may die.
pub struct Site {
    settings: Settings,
    folder: tempfile::TempDir,
    database: String,
    pub agent: Agent,
    pub agent_address: String,
    node: Option<Live>,
    // ends last
    _agent_process: Running,
    agent_runtime: Option<Runtime>,
}

struct Live {
    node: Node,
    runtime: Runtime,
}

fn runtime(name: &str) -> Result<Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name(name).enable_all().build();
    built.context("no runtime")
}

/// A folder in memory where there is one: nothing here has to survive a power cut.
fn scratch() -> Result<tempfile::TempDir> {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir())
    } else {
        tempfile::tempdir()
    };
    Ok(folder?)
}

impl Site {
    pub fn start(settings: Settings) -> Result<Self> {
        let folder = scratch()?;
        let agent_runtime = runtime("agent")?;
        let (agent, running) = agent_runtime.block_on(async {
            let agent = Agent::start(AgentConfig::simulated(Simulation::default())).await?;
            let listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
            let args = ProcessArgs { listen, insecure: true, ..ProcessArgs::embedded() };
            let mut process = Process::open("gyre-agent", &args).await?;
            process.serve_outside_ring("agent", Routes::new(agent.service()));
            anyhow::Ok((agent, process.start().await?))
        })?;
        let agent_address = running.address().context("the agent listens nowhere")?.to_string();
        let database = if settings.postgres {
            agent_runtime.block_on(gyre_store::testing::url(folder.path()))?
        } else {
            format!("sqlite://{}", folder.path().join("gyre.db").display())
        };
        let mut site = Self {
            settings,
            folder,
            database,
            agent,
            agent_address,
            node: None,
            _agent_process: running,
            agent_runtime: Some(agent_runtime),
        };
        site.revive()?;
        Ok(site)
    }

    /// Starts another node on the same database.
    pub fn revive(&mut self) -> Result<()> {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = NodeConfig::embedded(&self.folder.path().join("gyre.db"), listen);
        config.process.database = Some(self.database.clone());
        config.admin_file = Some(self.folder.path().join("admin.json"));
        config.services.identity.password_cost = gyre_identity::PasswordCost { memory_kib: 64, passes: 1 };
        config.services.vm.reconcile_period = self.settings.reconcile_period;
        config.services.storage.totals_period = Duration::from_secs(3600);
        config.services.host.report_period = self.settings.report_period;
        config.services.host.report_compare = self.settings.report_period;
        config.services.host.reconnect_longest = Duration::from_millis(200);
        config.services.host.scan_period = Duration::from_millis(200);
        let runtime = runtime("node")?;
        let node = runtime.block_on(Node::start(config))?;
        let nobody = NOBODY.parse().map_err(anyhow::Error::msg)?;
        node.mesh().allow_callbacks(Allow::new([nobody]));
        self.node = Some(Live { node, runtime });
        Ok(())
    }

    /// Ends the node where it stands.
    pub fn kill(&mut self) {
        if let Some(Live { node, runtime }) = self.node.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
            node.store().end();
        }
    }

    fn live(&self) -> &Live {
        self.node.as_ref().expect("a node that lives")
    }

    /// Runs something in the node's runtime, up to its end.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.live().runtime.block_on(future)
    }

    /// Lets some time pass.
    pub fn wait(&self, time: Duration) {
        self.run(async move { tokio::time::sleep(time).await });
    }

    /// Lets something run in the node's runtime, until the node dies.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.live().runtime.spawn(future)
    }

    pub fn mesh(&self) -> Mesh {
        self.live().node.mesh().clone()
    }

    pub fn store(&self) -> Store {
        self.live().node.store().clone()
    }

    pub fn dialect(&self) -> Dialect {
        self.store().dialect()
    }

    /// Reads from the database.
    pub fn look<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Conn) -> gyre_model::Result<T> + Send + 'static,
    ) -> Result<T> {
        Ok(self.run(self.store().read("matrix", run))?)
    }

    /// Changes the database behind everybody's back.
    pub fn sql<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Conn) -> gyre_model::Result<T> + Send + 'static,
    ) -> Result<T> {
        Ok(self.run(self.store().write("matrix", run))?)
    }

    /// The first administrator.
    pub fn admin(&self) -> Result<Caller> {
        let account = self.look(|conn| {
            let row = conn.query_one(Sql::new("SELECT uuid FROM account ORDER BY create_time LIMIT 1"))?;
            row.ok_or_else(|| gyre_model::Error::internal("no account"))?.id(0)
        })?;
        Ok(Caller::of(account, true))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.kill();
        if let Some(runtime) = self.agent_runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}
