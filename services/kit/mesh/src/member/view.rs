//! What a process sees of the mesh at one epoch, and the place where it is replaced.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use uuid::Uuid;

use super::Member;
use crate::ring::Ring;
use crate::telemetry::metrics;

/// The members of one service and their ring.
#[derive(Debug, Clone)]
pub struct ServiceView {
    members: Arc<[Arc<Member>]>,
    ring: Arc<Ring>,
}

/// All members at one epoch.
#[derive(Debug, Default)]
pub struct View {
    epoch: i64,
    services: BTreeMap<String, ServiceView>,
}

impl ServiceView {
    /// The members, sorted by UUID.
    pub fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    /// Their ring.
    pub fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// The member that owns a UUID.
    pub fn owner(&self, key: Uuid) -> Option<&Arc<Member>> {
        // The ring's members are sorted and unique, and so are these.
        self.ring.owner_index(key).and_then(|index| self.members.get(index))
    }
}

impl View {
    /// The epoch: the etcd revision of the last change, or a count of changes in one process.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// One service; none where it has no member.
    pub fn service(&self, service: &str) -> Option<&ServiceView> {
        self.services.get(service)
    }

    /// The members of one service, sorted by UUID.
    pub fn members(&self, service: &str) -> &[Arc<Member>] {
        self.services.get(service).map_or(&[], ServiceView::members)
    }

    /// All members, by service and UUID.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.services.values().flat_map(|service| service.members())
    }

    /// The member of a service that owns a UUID.
    pub fn owner(&self, service: &str, key: Uuid) -> Option<&Arc<Member>> {
        self.services.get(service)?.owner(key)
    }

    /// Whether an instance is a member of a service.
    pub fn has(&self, service: &str, instance: Uuid) -> bool {
        self.members(service).binary_search_by_key(&instance, |member| member.uuid).is_ok()
    }

    /// The view after this one. A ring is built only for a service whose instances changed.
    pub fn next(&self, epoch: i64, members: impl IntoIterator<Item = Member>) -> Self {
        let mut by_service: BTreeMap<String, BTreeMap<Uuid, Arc<Member>>> = BTreeMap::new();
        for member in members {
            by_service.entry(member.service.clone()).or_default().insert(member.uuid, Arc::new(member));
        }
        let services = by_service
            .into_iter()
            .map(|(service, members)| {
                let ring = match self.services.get(&service) {
                    Some(before) if before.ring.members().iter().eq(members.keys()) => before.ring.clone(),
                    _ => Arc::new(Ring::new(members.keys().copied())),
                };
                (service, ServiceView { members: members.into_values().collect(), ring })
            })
            .collect();
        Self { epoch, services }
    }
}

/// The present view, and a way to wait for the next.
#[derive(Debug, Clone, Default)]
pub struct Views(Arc<Place>);

#[derive(Debug)]
struct Place {
    now: ArcSwap<View>,
    changes: watch::Sender<Arc<View>>,
}

impl Default for Place {
    fn default() -> Self {
        let first = Arc::new(View::default());
        Self { now: ArcSwap::new(first.clone()), changes: watch::Sender::new(first) }
    }
}

impl Views {
    /// The present view.
    pub fn now(&self) -> Arc<View> {
        self.0.now.load_full()
    }

    /// The present view for a moment, without counting a reference: for a lookup.
    pub fn peek(&self) -> arc_swap::Guard<Arc<View>> {
        self.0.now.load()
    }

    /// Views as they come; the present one counts as seen.
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.0.changes.subscribe()
    }

    /// Replaces the view. Whoever wakes up by the watch finds it in [`Views::now`] already.
    pub(super) fn publish(&self, view: View) {
        let before = self.now();
        for service in before.services.keys().filter(|service| !view.services.contains_key(*service)) {
            metrics::ring_members(service, 0);
        }
        for (service, view) in &view.services {
            metrics::ring_members(service, view.members.len());
        }
        metrics::ring_epoch(view.epoch);
        let view = Arc::new(view);
        self.0.now.store(view.clone());
        self.0.changes.send_replace(view);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(service: &str) -> Member {
        Member::new(Uuid::new_v4(), service, "local")
    }

    #[test]
    fn rings_of_services_that_did_not_change_stay_the_same() {
        let (vm, storage, other) = (member("vm"), member("storage"), member("storage"));
        let first = View::default().next(1, [vm.clone(), storage.clone()]);
        let second = first.next(2, [storage.clone(), vm.clone(), other.clone()]);
        assert!(Arc::ptr_eq(first.service("vm").unwrap().ring(), second.service("vm").unwrap().ring()));
        assert!(!Arc::ptr_eq(first.service("storage").unwrap().ring(), second.service("storage").unwrap().ring()));
        assert_eq!(second.epoch(), 2);
        assert!(second.has("storage", other.uuid) && !first.has("storage", other.uuid));
        let key = Uuid::new_v4();
        let storage = second.service("storage").unwrap();
        assert_eq!(storage.owner(key).map(|member| member.uuid), storage.ring().owner(key));
    }

    #[tokio::test]
    async fn whoever_wakes_up_finds_the_new_view() {
        let views = Views::default();
        let mut watch = views.watch();
        views.publish(View::default().next(7, [member("vm")]));
        watch.changed().await.unwrap();
        assert_eq!((watch.borrow().epoch(), views.now().epoch(), views.peek().epoch()), (7, 7, 7));
    }
}
