//! Sessions with agents: one for each host that this instance owns.
//!
//! # Theory
//! - A [`Link`] is what this instance has of a host: one task that opens a session, works it, and opens the next when it breaks
//!   ([`link`]), a board of tasks ([`board`]), and reports of machines on their way ([`report`]). Links are made by a reconciler
//!   that compares the hosts in the database with the ring ([`reconciler`]); whoever needs one at once makes it the same way.
//! - **Fence.** A session begins with the next number of `host_fence`, taken durably, so that of two instances that both believe
//!   to own a host the later wins: the agent cuts the session with the lower one. A number that no agent has seen yet is used for
//!   the next try, so a host that is off costs no writes.
//! - **Signs of life.** Any message is one. The status is a function of the last sign, not of the session: a session that breaks
//!   and comes back within the grace period changes nothing; silence beyond it is `DISCONNECTED`, also while a session is
//!   open. A new owner waits one grace period before it declares anybody dead, since its own view is young.
//! - **Writes** name the fence: the database takes neither facts nor status from a session that is not the newest.
//! - **Losing a host** (the ring moved, the row is gone) ends the link without a word to the database. Those who wait for tasks
//!   hear `HOST_MOVED` and join again at the new owner.
//! - **Removing a host** lets its agent go ([`release`]): in the session that is open, else in one that is opened for it, once. A link
//!   whose row is gone does the same, so that no session of a late owner binds an agent to a host that nobody knows.

pub(crate) mod board;
mod connect;
mod link;
mod reconciler;
mod release;
mod report;
mod session;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use gyre_mesh::Mesh;
use gyre_mesh::tasks::{Activator, Tasks};
use gyre_model::{Error, Result, Uuid};
use gyre_proto::common::v1::Lane;
use gyre_store::Store;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::store::host::{self, HostPlace};

pub(crate) use link::{Link, LinkStatus};

/// Most reports of machines on their way at once.
const REPORTS: usize = 64;

/// The sessions of this instance. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sessions(Arc<Shared>);

/// What links share.
pub(crate) struct Shared {
    pub mesh: Mesh,
    pub store: Store,
    pub config: Arc<Config>,
    pub tasks: Tasks,
    pub reports: Semaphore,
    activator: Activator,
    links: Mutex<Links>,
}

#[derive(Default)]
struct Links {
    all: HashMap<Uuid, Arc<Link>>,
    /// Hosts that are being removed: no link is made for them.
    retired: HashSet<Uuid>,
}

impl Sessions {
    pub fn new(mesh: Mesh, store: Store, config: Arc<Config>) -> Self {
        Self(Arc::new(Shared {
            mesh,
            store,
            config,
            tasks: Tasks::new(),
            reports: Semaphore::new(REPORTS),
            activator: Activator::default(),
            links: Mutex::default(),
        }))
    }

    /// Begins to look after the hosts that this instance owns.
    pub fn start(&self) {
        reconciler::start(&self.0);
    }

    /// Ends all sessions.
    pub async fn shutdown(&self, limit: Duration) {
        self.0.tasks.shutdown(limit).await;
    }

    /// Wakes the reconciler.
    pub fn wake(&self) {
        self.0.activator.activate();
    }

    /// The link with a host that this instance owns; made now where the reconciler has not come to it yet.
    ///
    /// # Errors
    /// `NOT_FOUND`, `HOST_NOT_CONNECTED` for a host that is being removed.
    pub async fn link(&self, uuid: Uuid) -> Result<Arc<Link>> {
        if let Some(link) = self.existing(uuid) {
            return Ok(link);
        }
        let place = self.0.store.read("host-place", move |conn| host::place(conn, uuid)).await?;
        let place = place.ok_or_else(|| Error::not_found("host", uuid))?;
        self.0.ensure(&place).ok_or_else(|| not_connected(uuid, &place.name, "it is being removed"))
    }

    /// The link with a host, where there is one.
    pub fn existing(&self, uuid: Uuid) -> Option<Arc<Link>> {
        self.0.links.lock().all.get(&uuid).cloned()
    }

    /// The lanes of all hosts, with work.
    pub fn lanes(&self) -> Vec<Lane> {
        let links: Vec<_> = self.0.links.lock().all.values().cloned().collect();
        links.iter().flat_map(|link| link.board.lanes(link.host)).collect()
    }

    /// Lets the agent of a host go that is being removed, as far as it answers in time, and opens no other session with it.
    pub async fn release(&self, uuid: Uuid) {
        // after a takeover the session may be still to come
        let link = self.link(uuid).await.ok();
        let link = {
            let mut links = self.0.links.lock();
            links.retired.insert(uuid);
            links.all.remove(&uuid).or(link)
        };
        let Some(link) = link else { return };
        link.release();
        let limit = self.0.config.connect_timeout;
        if tokio::time::timeout(limit, link.stopped().cancelled()).await.is_err() {
            tracing::warn!(host = %uuid, address = %link.address, "the agent was not let go in time; it stays bound to its host");
        }
        link.stop();
    }

    /// A host is not removed after all.
    pub fn restore(&self, uuid: Uuid) {
        self.0.links.lock().retired.remove(&uuid);
        self.wake();
    }
}

impl Shared {
    /// The link with a host at this address. One with another address is ended, and another takes its place.
    fn ensure(self: &Arc<Self>, place: &HostPlace) -> Option<Arc<Link>> {
        let mut links = self.links.lock();
        if links.retired.contains(&place.uuid) {
            return None;
        }
        if let Some(link) = links.all.get(&place.uuid) {
            if *link.address == place.address {
                link.rename(&place.name);
                return Some(Arc::clone(link));
            }
            link.stop();
        }
        let link = Arc::new(Link::new(place, &self.config));
        links.all.insert(place.uuid, Arc::clone(&link));
        drop(links);
        link::start(self, &link);
        Some(link)
    }

    /// Takes a link out that has ended.
    fn forget(&self, link: &Arc<Link>) {
        let mut links = self.links.lock();
        if links.all.get(&link.host).is_some_and(|known| Arc::ptr_eq(known, link)) {
            links.all.remove(&link.host);
        }
    }

    /// Whether this instance may hold the session with a host.
    fn may_hold(&self, host: Uuid) -> bool {
        self.mesh.may_work() && self.mesh.owns(crate::NAME, host)
    }
}

/// The host does not answer.
pub(crate) fn not_connected(host: Uuid, name: &str, why: &str) -> Error {
    Error::unavailable("HOST_NOT_CONNECTED", format!("host {name} ({host}) is not connected: {why}"))
        .with("host_uuid", host.to_string())
        .with("host_name", name)
}
