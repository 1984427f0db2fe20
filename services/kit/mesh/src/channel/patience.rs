//! How long the tries of one call wait for each other. No clock is read here: the simulation of `gyre-flow` has its own.

use std::time::{Duration, Instant};

use uuid::Uuid;

/// How long a call without a deadline is tried.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a call waits for a member of a service that has none: longer than the lease of one that died and is being replaced.
const PATIENCE_FOR_MEMBERS: Duration = Duration::from_secs(10);
/// How long a call is tried while this process is cut off from the membership: nobody replaces whoever does not take the call,
/// and those who take it would have done so by then.
const PATIENCE_CUT_OFF: Duration = Duration::from_millis(1_500);
/// How long a call is tried while those who would take it say that they cannot prove their membership: who was cut off alone has a
/// successor by then, since etcd ends a lease a fifth of its time after its holder stops relying on it.
const PATIENCE_FOR_LEASE: Duration = Duration::from_secs(2);
/// How long a call is tried at one owner that does not answer: longer than it takes to replace one that died (a lease and a look
/// at the ring). Who is there for etcd and cannot be reached from here is not replaced at all.
const PATIENCE_FOR_OWNER: Duration = Duration::from_secs(10);
/// How long a call waits for the ring that the receiver knew already.
const PATIENCE_FOR_EPOCH: Duration = Duration::from_secs(1);
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// The patience of one call.
#[derive(Debug, Clone)]
pub struct Patience {
    started: Instant,
    wait: Duration,
    /// Since when all tries met members without a lease.
    leaseless: Option<Instant>,
    /// Since when all tries failed to reach this one owner.
    unreached: Option<(Uuid, Instant)>,
}

/// Why a try failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Who should take it cannot prove its membership.
    Leaseless,
    /// This owner could not be reached.
    Unreached(Uuid),
    /// All else: it refused for a moment, or there is nobody.
    Other,
}

/// A wait before the next try: until a view of this epoch comes, or until this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// The epoch of a view that is worth a try.
    pub epoch: i64,
    /// When to try in any case.
    pub until: Instant,
}

impl Patience {
    /// Of a call that begins now.
    pub fn new(now: Instant) -> Self {
        Self { started: now, wait: FIRST_WAIT, leaseless: None, unreached: None }
    }

    /// Whether it still waits for a member of a service that has none.
    pub fn for_members(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.started) <= PATIENCE_FOR_MEMBERS
    }

    /// Whether it is still tried while this process is cut off from the membership.
    pub fn while_cut_off(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.started) <= PATIENCE_CUT_OFF
    }

    /// A try failed.
    pub fn failed(&mut self, now: Instant, why: Failure) {
        self.leaseless = (why == Failure::Leaseless).then(|| self.leaseless.unwrap_or(now));
        self.unreached = match (why, self.unreached) {
            (Failure::Unreached(owner), Some((before, since))) if owner == before => Some((owner, since)),
            (Failure::Unreached(owner), _) => Some((owner, now)),
            _ => None,
        };
    }

    /// Whether it still waits for a successor of those who cannot prove their membership.
    pub fn for_lease(&self, now: Instant) -> bool {
        self.leaseless.is_none_or(|since| now.saturating_duration_since(since) <= PATIENCE_FOR_LEASE)
    }

    /// Whether it still waits for an owner that cannot be reached to be replaced, or to be reached after all.
    pub fn for_owner(&self, now: Instant) -> bool {
        self.unreached.is_none_or(|(_, since)| now.saturating_duration_since(since) <= PATIENCE_FOR_OWNER)
    }

    /// After a try by the view of an epoch failed: how long to wait. `newer`: the receiver knows a later epoch. None where the
    /// call has no deadline, and was tried for long enough.
    pub fn pause(&mut self, now: Instant, seen: i64, newer: Option<i64>, deadline: Option<Instant>) -> Option<Pause> {
        if deadline.is_none() && now.saturating_duration_since(self.started) > PATIENCE {
            return None;
        }
        let (epoch, longest) = match newer {
            Some(epoch) => (epoch, PATIENCE_FOR_EPOCH),
            None => (seen + 1, self.wait),
        };
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        let until = now + longest;
        Some(Pause { epoch, until: deadline.map_or(until, |at| at.min(until)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end_with_the_deadline() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut patience = Patience::new(start);
        assert_eq!(patience.pause(start, 4, None, None), Some(Pause { epoch: 5, until: at(20) }));
        assert_eq!(patience.pause(start, 4, None, None), Some(Pause { epoch: 5, until: at(40) }));
        assert_eq!(patience.pause(start, 4, Some(9), None), Some(Pause { epoch: 9, until: at(1000) }));
        assert_eq!(patience.pause(start, 4, None, Some(at(100))), Some(Pause { epoch: 5, until: at(100) }));
        assert!(patience.while_cut_off(at(1_500)) && !patience.while_cut_off(at(1_501)));
        assert!(patience.for_members(at(10_000)) && !patience.for_members(at(10_001)));
        patience.failed(at(100), Failure::Leaseless);
        patience.failed(at(2_000), Failure::Leaseless);
        assert!(patience.for_lease(at(2_100)) && !patience.for_lease(at(2_101)));
        patience.failed(at(2_200), Failure::Other);
        assert!(patience.for_lease(at(9_000)));
        let (owner, successor) = (Failure::Unreached(Uuid::from_u128(1)), Failure::Unreached(Uuid::from_u128(2)));
        patience.failed(at(3_000), owner);
        patience.failed(at(12_000), owner);
        assert!(patience.for_owner(at(13_000)) && !patience.for_owner(at(13_001)));
        patience.failed(at(13_000), successor);
        assert!(patience.for_owner(at(23_000)));
        assert_eq!(patience.pause(at(30_001), 4, None, None), None);
        assert!(patience.pause(at(30_001), 4, None, Some(at(40_000))).is_some());
    }
}
