//! A process's place in the mesh: its instance, what it sees, what it serves itself, and its connections to others.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use gyre_model::Result;
use http::{Request, Response};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::body::Body;
use tonic::service::Routes;
use tower::util::BoxCloneSyncService;
use uuid::Uuid;

use crate::channel::MeshChannel;
use crate::channel::peers::Peers;
use crate::egress::Allow;
use crate::member::{LOCAL, LocalMembership, Member, Membership, View, Views};
use crate::refused::{Refused, RefusedCall};
use crate::serve;
use crate::tls::Identity;

/// Most operations of one account that a service has under way in this process, where nobody says otherwise.
pub const OPERATIONS: usize = 25_000;

/// A service in this process, with its layers.
pub type LocalService = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// What this process serves itself.
#[derive(Clone, Default)]
struct Here {
    services: BTreeMap<&'static str, LocalService>,
    addresses: BTreeMap<String, LocalService>,
}

struct Place {
    instance: Uuid,
    membership: Arc<dyn Membership>,
    here: ArcSwap<Here>,
    peers: Peers,
    calls: TaskTracker,
    refusing: CancellationToken,
    callbacks: ArcSwap<Allow>,
    operations: AtomicUsize,
    refused: Refused,
}

/// A process's place in the mesh. Cheap to clone.
#[derive(Clone)]
pub struct Mesh(Arc<Place>);

impl fmt::Debug for Mesh {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Mesh").field(&self.0.instance).finish()
    }
}

impl Mesh {
    /// A place in the mesh. With an identity, peers are called over mutual TLS.
    pub fn new(instance: Uuid, membership: Arc<dyn Membership>, identity: Option<&Identity>) -> Self {
        Self(Arc::new(Place {
            instance,
            membership,
            here: ArcSwap::default(),
            peers: Peers::new(identity.map(Identity::client)),
            calls: TaskTracker::new(),
            refusing: CancellationToken::new(),
            callbacks: ArcSwap::default(),
            operations: AtomicUsize::new(OPERATIONS),
            refused: Refused::default(),
        }))
    }

    /// A mesh of this process alone. [`Mesh::host`] puts services into it: for tests, with fakes of what is called.
    pub fn local() -> Self {
        Self::new(Uuid::new_v4(), Arc::new(LocalMembership::new()), None)
    }

    /// This process's instance, chosen when it started.
    pub fn instance(&self) -> Uuid {
        self.0.instance
    }

    /// How this process is a member.
    pub fn membership(&self) -> &Arc<dyn Membership> {
        &self.0.membership
    }

    /// What this process sees now.
    pub fn view(&self) -> Arc<View> {
        self.0.membership.views().now()
    }

    /// The place of views: for lookups without counting references.
    pub fn current(&self) -> &Views {
        self.0.membership.views()
    }

    /// Views as they come. They are hints: whoever wakes up looks again.
    pub fn views(&self) -> watch::Receiver<Arc<View>> {
        self.current().watch()
    }

    /// Whether this process owns a UUID of a service, as it sees it.
    pub fn owns(&self, service: &str, key: Uuid) -> bool {
        self.current().peek().owner(service, key).is_some_and(|member| member.uuid == self.0.instance)
    }

    /// Whether this process may start work that only an owner may do: its lease holds by its own clock, and it does not shut
    /// down. To be asked before every step.
    pub fn may_work(&self) -> bool {
        self.0.membership.lease_valid() && !self.0.refusing.is_cancelled()
    }

    /// Where callbacks may go.
    pub fn callbacks(&self) -> Arc<Allow> {
        self.0.callbacks.load_full()
    }

    /// Says where callbacks may go; until then nowhere.
    pub fn allow_callbacks(&self, allow: Allow) {
        self.0.callbacks.store(Arc::new(allow));
    }

    /// Most operations of one account that a service has under way in this process.
    pub fn operations_per_account(&self) -> usize {
        self.0.operations.load(Ordering::Relaxed)
    }

    /// Says how many operations of one account a service may have under way in this process.
    pub fn bound_operations(&self, most: usize) {
        self.0.operations.store(most, Ordering::Relaxed);
    }

    /// Tells this one of calls that would have changed something here and were refused, unless another one is told already. It must
    /// not wait.
    pub fn on_refused(&self, listener: impl Fn(RefusedCall) + Send + Sync + 'static) {
        self.0.refused.listen(listener);
    }

    pub(crate) fn tell_refused(&self, call: RefusedCall) {
        self.0.refused.tell(call);
    }

    /// A channel to a service, for any generated client.
    pub fn channel(&self, service: &'static str) -> MeshChannel {
        MeshChannel::new(self.clone(), service)
    }

    /// Answers calls to a service in this process. The service should have its layers ([`serve::layered`]).
    pub fn serve_local(&self, service: &'static str, local: LocalService) {
        self.0.here.rcu(|here| {
            let mut here = Here::clone(here);
            here.services.insert(service, local.clone());
            here
        });
    }

    /// Answers calls to an address in this process ([`MeshChannel::at`]), such as the agent "local".
    pub fn serve_address(&self, address: &str, local: LocalService) {
        self.0.here.rcu(|here| {
            let mut here = Here::clone(here);
            here.addresses.insert(address.to_owned(), local.clone());
            here
        });
    }

    /// Stops answering at an address in this process.
    pub fn forget_address(&self, address: &str) {
        self.0.here.rcu(|here| {
            let mut here = Here::clone(here);
            here.addresses.remove(address);
            here
        });
    }

    /// Stacks the layers around routes, serves them in this process alone, and joins: what a test needs.
    ///
    /// # Errors
    /// When the membership does not answer.
    pub async fn host(&self, service: &'static str, routes: Routes) -> Result<()> {
        self.serve_local(service, serve::layered(routes, self, service));
        self.0.membership.join(vec![Member::new(self.0.instance, service, LOCAL)]).await
    }

    /// The service in this process.
    pub fn local_service(&self, service: &str) -> Option<LocalService> {
        self.0.here.load().services.get(service).cloned()
    }

    /// Some service in this process, for calls that every service answers alike.
    pub(crate) fn any_local_service(&self) -> Option<LocalService> {
        self.0.here.load().services.values().next().cloned()
    }

    /// The service at an address in this process.
    pub(crate) fn local_address(&self, address: &str) -> Option<LocalService> {
        self.0.here.load().addresses.get(address).cloned()
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.0.peers
    }

    /// Counts a call as under way until the token is dropped.
    pub(crate) fn begin_call(&self) -> TaskTrackerToken {
        self.0.calls.token()
    }

    /// Cancelled once this process takes no new calls from others; streams that it answers to them end then too.
    pub fn refusing(&self) -> &CancellationToken {
        &self.0.refusing
    }

    /// Refuses new calls from other processes and waits until those under way have ended, for so long at most. Answers whether
    /// they did. What this process asks itself goes on: calls that end need it.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.0.refusing.cancel();
        self.0.calls.close();
        tokio::time::timeout(limit, self.0.calls.wait()).await.is_ok()
    }

    /// Forgets the services of this process, which hold on to the mesh themselves.
    pub(crate) fn clear(&self) {
        self.0.here.store(Arc::default());
    }
}
