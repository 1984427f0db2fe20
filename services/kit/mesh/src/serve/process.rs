//! The life of a process: start-up and shutdown, in a fixed order.
//!
//! Up: read the identity, see the members, bind the port ([`Process::open`]); then whoever assembles the process makes its
//! services, which find the mesh ready to call; then listen, answer health with "not serving", join, and answer "serving"
//! ([`Process::start`]).
//!
//! Down ([`Running::shutdown`]):
//! 1. health says "not serving"; what must stop before the ring changes does (`before_leave`: a gateway stops taking requests);
//! 2. leave the ring, and see that we are gone: owners change, and peers hear `NOT_OWNER` and go to the new ones;
//! 3. refuse new calls from other processes, end streams to them, and wait for their calls under way, for `--drain-timeout` at
//!    most; what this process asks itself goes on, since those calls need it;
//! 4. stop listening, tell the tasks to end, and wait for them as long again;
//! 5. what must come last does (`after_drain`: closing a store).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::future::BoxFuture;
use gyre_model::catalog;
use gyre_model::catalog::HostedBy;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};
use tower::util::BoxCloneSyncService;
use uuid::Uuid;

use super::infrastructure::{Dispatch, reflection};
use super::layered;
use super::listen::{Limits, Listener};
use crate::config::ProcessArgs;
use crate::egress::Allow;
use crate::member::{LOCAL, LocalMembership, Member, Membership};
use crate::mesh::Mesh;
use crate::tasks::Tasks;
use crate::telemetry;
use crate::tls::Identity;

/// Work at shutdown.
type Hook = (&'static str, Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>);

/// A process that is being put together.
pub struct Process {
    name: &'static str,
    args: ProcessArgs,
    mesh: Mesh,
    tasks: Tasks,
    listener: Option<Listener>,
    services: Vec<(&'static str, Routes)>,
    joined: Vec<&'static str>,
    before_leave: Vec<Hook>,
    after_drain: Vec<Hook>,
}

/// A process that runs.
pub struct Running {
    name: &'static str,
    mesh: Mesh,
    tasks: Tasks,
    address: Option<SocketAddr>,
    metrics_address: Option<SocketAddr>,
    drain_timeout: Duration,
    serving: Arc<AtomicBool>,
    health: HealthReporter,
    answering: Option<Answering>,
    before_leave: Vec<Hook>,
    after_drain: Vec<Hook>,
}

struct Answering {
    stop: CancellationToken,
    cut: CancellationToken,
    ended: JoinHandle<()>,
}

async fn membership(args: &ProcessArgs, identity: Option<&Identity>) -> Result<Arc<dyn Membership>> {
    if args.etcd.is_empty() {
        return Ok(Arc::new(LocalMembership::new()));
    }
    #[cfg(feature = "etcd")]
    {
        let config = crate::member::etcd::Config::new(args.etcd.clone(), args.lease_ttl, identity);
        Ok(Arc::new(crate::member::etcd::EtcdMembership::connect(config).await?))
    }
    #[cfg(not(feature = "etcd"))]
    {
        let _ = identity;
        bail!("this build has no etcd in it: use a service's binary or gyre-node, or leave --etcd out")
    }
}

impl Process {
    /// Reads the identity, sees the members and binds the port. Nothing is answered yet, and nobody sees this process.
    ///
    /// # Errors
    /// When something that the arguments name cannot be used or does not answer.
    pub async fn open(name: &'static str, args: &ProcessArgs) -> Result<Self> {
        Self::open_within(name, args, Limits::default()).await
    }

    /// The same, with other bounds of its listener than the usual ones.
    ///
    /// # Errors
    /// Those of [`Process::open`].
    pub async fn open_within(name: &'static str, args: &ProcessArgs, limits: Limits) -> Result<Self> {
        let identity = args.identity()?;
        let listener = match args.listen {
            Some(address) => Some(Listener::bind(address, identity.as_ref(), limits).await?),
            None => None,
        };
        if listener.is_none() && !args.etcd.is_empty() {
            bail!("a member of a mesh must be reachable: name an address with --listen");
        }
        if args.advertise.is_none()
            && listener.as_ref().is_some_and(|listener| listener.address().ip().is_unspecified())
        {
            bail!("name the address that others reach this process at with --advertise: it listens on all");
        }
        let membership = membership(args, identity.as_ref()).await?;
        let mesh = Mesh::new(Uuid::new_v4(), membership, identity.as_ref());
        mesh.allow_callbacks(Allow::new(args.callback_allow.iter().cloned()));
        mesh.bound_operations(args.operations_per_account);
        tracing::info!(process = name, instance = %mesh.instance(), "process opened");
        Ok(Self {
            name,
            args: args.clone(),
            mesh,
            tasks: Tasks::new(),
            listener,
            services: Vec::new(),
            joined: Vec::new(),
            before_leave: Vec::new(),
            after_drain: Vec::new(),
        })
    }

    /// Listens on so many further ports, those after the first: for a simulator of hosts that have addresses of their own.
    ///
    /// # Errors
    /// When one is taken, or this process does not listen.
    pub async fn listen_further(&mut self, count: usize) -> Result<()> {
        match (&mut self.listener, count) {
            (_, 0) => Ok(()),
            (Some(listener), count) => listener.bind_further(count).await,
            (None, _) => bail!("name an address with --listen: there are {count} ports to be counted from it"),
        }
    }

    /// The mesh, for the services of this process.
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// The tasks of this process: told to end after the calls have ended.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// The arguments.
    pub fn args(&self) -> &ProcessArgs {
        &self.args
    }

    /// Where this process is reached: what it advertises, or [`LOCAL`].
    pub fn address(&self) -> String {
        match (&self.args.advertise, &self.listener) {
            (Some(advertised), _) => advertised.clone(),
            (None, Some(listener)) => listener.address().to_string(),
            (None, None) => LOCAL.to_owned(),
        }
    }

    /// Adds a service: its routes get their layers, and it joins the ring.
    pub fn serve(&mut self, service: &'static str, routes: Routes) -> &mut Self {
        self.joined.push(service);
        self.serve_outside_ring(service, routes)
    }

    /// Adds a service that is no member of a ring, such as an agent, which is called at its address.
    pub fn serve_outside_ring(&mut self, service: &'static str, routes: Routes) -> &mut Self {
        self.services.push((service, routes));
        self
    }

    /// Makes this process a member of a service that others only see, such as a gateway that listens by itself.
    pub fn join_as(&mut self, service: &'static str) -> &mut Self {
        self.joined.push(service);
        self
    }

    /// Adds work that must be done before this process leaves the ring. Later additions are done first.
    pub fn before_leave<F>(&mut self, name: &'static str, hook: impl FnOnce() -> F + Send + 'static) -> &mut Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.before_leave.push((name, Box::new(move || Box::pin(hook()))));
        self
    }

    /// Adds work that must be done when calls and tasks have ended. Later additions are done first.
    pub fn after_drain<F>(&mut self, name: &'static str, hook: impl FnOnce() -> F + Send + 'static) -> &mut Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.after_drain.push((name, Box::new(move || Box::pin(hook()))));
        self
    }

    /// Listens, joins, and answers.
    ///
    /// # Errors
    /// When the membership does not answer, or the metrics' port is taken.
    pub async fn start(self) -> Result<Running> {
        let address = self.address();
        let serving = Arc::new(AtomicBool::new(false));
        let metrics_address = match self.args.metrics_listen {
            Some(listen) => Some(telemetry::http::serve(listen, &self.tasks, healthy(&self.mesh, &serving)).await?),
            None => None,
        };
        let (health, health_server) = health_reporter();
        health.set_service_status("", ServingStatus::NotServing).await;
        for (service, routes) in self.services {
            self.mesh.serve_local(service, layered(routes, &self.mesh, service));
        }
        let bound = self.listener.as_ref().map(Listener::address);
        let answering = match self.listener {
            Some(listener) => {
                let infrastructure = reflection(Routes::new(health_server))?;
                let dispatch = BoxCloneSyncService::new(Dispatch::new(self.mesh.clone(), infrastructure));
                let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
                let ended = tokio::spawn(listener.serve(dispatch, stop.clone(), cut.clone()));
                Some(Answering { stop, cut, ended })
            }
            None => None,
        };
        let members: Vec<_> =
            self.joined.iter().map(|service| Member::new(self.mesh.instance(), *service, address.clone())).collect();
        if !members.is_empty() {
            self.mesh.membership().join(members).await.context("cannot join the mesh")?;
        }
        let running = Running {
            name: self.name,
            mesh: self.mesh,
            tasks: self.tasks,
            address: bound,
            metrics_address,
            drain_timeout: self.args.drain_timeout,
            serving,
            health,
            answering,
            before_leave: self.before_leave,
            after_drain: self.after_drain,
        };
        running.say(ServingStatus::Serving).await;
        tracing::info!(process = self.name, %address, services = ?self.joined, "process serves");
        Ok(running)
    }
}

fn healthy(mesh: &Mesh, serving: &Arc<AtomicBool>) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
    let (mesh, serving) = (mesh.clone(), serving.clone());
    move || match () {
        () if !serving.load(Ordering::Relaxed) => Err("not serving".to_owned()),
        () if !mesh.membership().lease_valid() => Err("membership cannot be proved".to_owned()),
        () => Ok(()),
    }
}

impl Running {
    /// The mesh.
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// The address that it listens on.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The address of its metrics.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Serves until the process is told to end (SIGTERM, Ctrl-C), then shuts down; a second signal ends it at once.
    ///
    /// # Errors
    /// When signals cannot be waited for.
    pub async fn until_signal(self) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let again = async {
            // Ctrl-C in a terminal and a supervisor may both speak at once: what comes within a second is the same wish.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            Ok::<_, std::io::Error>(())
        };
        tokio::select! {
            () = self.shutdown() => Ok(()),
            told = again => {
                told?;
                bail!("told twice to end")
            }
        }
    }

    /// Shuts down in order, as the head of the module says.
    pub async fn shutdown(mut self) {
        tracing::info!(process = self.name, "process shuts down");
        self.say(ServingStatus::NotServing).await;
        run(std::mem::take(&mut self.before_leave)).await;
        self.mesh.membership().leave().await;
        if !self.mesh.drain(self.drain_timeout).await {
            tracing::warn!(process = self.name, "calls did not end in time");
        }
        if let Some(Answering { stop, cut, mut ended }) = self.answering.take() {
            stop.cancel();
            // Answers that were given are still on their way.
            if tokio::time::timeout(Duration::from_secs(1), &mut ended).await.is_err() {
                cut.cancel();
                // The task ends at the cut; it has no result.
                let _ = ended.await;
            }
        }
        self.tasks.shutdown(self.drain_timeout).await;
        run(std::mem::take(&mut self.after_drain)).await;
        self.mesh.clear();
        tracing::info!(process = self.name, "process ended");
    }

    /// Tells whoever asks for its health, for the whole process and each of its gRPC services.
    async fn say(&self, status: ServingStatus) {
        self.serving.store(status == ServingStatus::Serving, Ordering::Relaxed);
        self.health.set_service_status("", status).await;
        let here = |host: HostedBy| match host {
            HostedBy::Service(name) => self.mesh.local_service(name).is_some(),
            HostedBy::Gateway => self.mesh.local_service("gateway").is_some(),
            HostedBy::Agent => self.mesh.local_service("agent").is_some(),
            HostedBy::Plugin => false,
            HostedBy::Every => self.mesh.any_local_service().is_some(),
        };
        let mut services: Vec<_> =
            catalog().methods().filter(|info| here(info.host)).map(|info| info.service).collect();
        services.sort_unstable();
        services.dedup();
        for service in services {
            self.health.set_service_status(service, status).await;
        }
    }
}

async fn run(mut hooks: Vec<Hook>) {
    while let Some((name, hook)) = hooks.pop() {
        tracing::debug!(hook = name, "shutting down");
        hook().await;
    }
}
