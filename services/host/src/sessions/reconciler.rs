//! Makes links what they should be: one for each host that the ring gives to this instance, at the host's address, and no other.
//!
//! Woken by a change of the ring, by calls that changed a host, and by a period. Twice in a row it changes nothing.

use std::collections::HashMap;
use std::sync::Arc;

use gyre_mesh::tasks::{Background, Status};
use gyre_model::{Result, Uuid};

use super::Shared;
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
        match self.hosts().await {
            Ok(hosts) => self.shared.apply(hosts),
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
    fn apply(self: &Arc<Self>, hosts: Vec<HostPlace>) -> Status {
        let mine: HashMap<Uuid, HostPlace> = hosts
            .into_iter()
            .filter(|place| self.mesh.owns(crate::NAME, place.uuid))
            .map(|place| (place.uuid, place))
            .collect();
        let mut status = Status { found: mine.len() as u64, ..Status::default() };
        let (lost, had) = {
            let mut links = self.links.lock();
            let gone = |uuid: &Uuid| !mine.contains_key(uuid);
            let lost: Vec<_> = links.all.extract_if(|uuid, _| gone(uuid)).map(|(_, link)| link).collect();
            links.retired.retain(|uuid| mine.contains_key(uuid));
            (lost, links.all.values().map(|link| (link.host, Arc::clone(&link.address))).collect::<HashMap<_, _>>())
        };
        for link in lost {
            tracing::debug!(host = %link.host, "host lost");
            link.stop();
            status.changed += 1;
        }
        for place in mine.values() {
            self.ensure(place);
            if had.get(&place.uuid).is_none_or(|address| **address != *place.address) {
                status.changed += 1;
            }
        }
        status
    }
}
