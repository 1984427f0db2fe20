//! Makes links what they should be: one for each host that the ring gives to this instance, at the host's address, and no other.
//!
//! Woken by a change of the ring, by calls that changed a host, and by a period. Twice in a row it changes nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use gyre_mesh::tasks::{Background, Status};
use gyre_model::{Result, Uuid};

use super::{Link, Shared};
use crate::store::host::{self, HostPlace};

struct Reconciler {
    shared: Arc<Shared>,
}

/// Starts it.
pub(super) fn start(shared: &Arc<Shared>) {
    let (activator, period) = (shared.activator.clone(), shared.config.scan_period);
    let reconciler = Reconciler { shared: Arc::clone(shared) };
    // its report is for whoever looks; nobody waits for it
    drop(shared.tasks.background("host-sessions", period, activator.clone(), reconciler));
    let mut views = shared.mesh.views();
    shared.tasks.spawn_until_stop("host-ring", async move {
        while views.changed().await.is_ok() {
            activator.activate();
        }
    });
}

impl Background for Reconciler {
    async fn activate(&mut self) -> Status {
        if !self.shared.mesh.may_work() {
            return Status::default();
        }
        let read_at = Instant::now();
        match self.hosts().await {
            Ok(hosts) => self.shared.apply(hosts, read_at),
            Err(error) => {
                tracing::warn!(%error, "cannot list hosts");
                Status { errors: 1, ..Status::default() }
            }
        }
    }
}

impl Reconciler {
    async fn hosts(&self) -> Result<Vec<HostPlace>> {
        self.shared.store.read("host-places", host::places).await
    }
}

impl Shared {
    /// Makes links of hosts as they were read. A link that was made since then knows better.
    fn apply(self: &Arc<Self>, hosts: Vec<HostPlace>, read_at: Instant) -> Status {
        let mine: HashMap<Uuid, HostPlace> = hosts
            .into_iter()
            .filter(|place| self.mesh.owns(crate::NAME, place.uuid))
            .map(|place| (place.uuid, place))
            .collect();
        let mut status = Status { found: mine.len() as u64, ..Status::default() };
        let (lost, kept) = {
            let mut links = self.links.lock();
            let gone = |uuid: &Uuid, link: &Arc<Link>| !mine.contains_key(uuid) && link.born < read_at;
            let lost: Vec<_> = links.all.extract_if(|uuid, link| gone(uuid, link)).map(|(_, link)| link).collect();
            links.retired.retain(|uuid| mine.contains_key(uuid));
            let kept: HashMap<_, _> = links.all.iter().map(|(uuid, link)| (*uuid, Arc::clone(link))).collect();
            (lost, kept)
        };
        for link in lost {
            tracing::debug!(host = %link.host, "host lost");
            if self.mesh.owns(crate::NAME, link.host) {
                // the row is gone
                link.release();
            } else {
                link.stop();
            }
            status.changed += 1;
        }
        for place in mine.values() {
            match kept.get(&place.uuid) {
                Some(link) if *link.address == place.address => link.rename(&place.name),
                Some(link) if link.born >= read_at => status.already_ok += 1,
                Some(_) | None => status.changed += u64::from(self.ensure(place).is_some()),
            }
        }
        status
    }
}
