//! The lease of a process, as the process itself can judge it: what to ask of etcd next, and until when it may work.
//!
//! Nothing is sent and no clock is read here: [`super::etcd`] does that for real, and the simulation of `gyre-flow` with a virtual
//! clock. Moments are counted from a fixed one on a clock that never goes back.
//!
//! Ground rules:
//! 1. etcd counts a lease from the moment when it took the last request; that is later than the moment when we sent it. So the
//!    lease counts as held until *the moment the last confirmed request was sent* + its time − a fifth. The fifth is for clocks
//!    that run at different speeds.
//! 2. What was not confirmed proves nothing, and an answer that comes late proves only what its request's moment says.
//! 3. A lease that etcd does not know any more is gone at once, whatever the clock says.

use std::time::Duration;

/// A moment of this process: the time since a fixed one, by a clock that never goes back.
pub type Moment = Duration;

/// What is to be asked of etcd next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// A new lease for so long.
    Grant(Duration),
    /// That this lease lasts for another while; no answer within this time is none.
    KeepAlive(i64, Duration),
    /// That the members of this process stand under this lease.
    Register(i64),
}

/// The lease of a process.
#[derive(Debug, Clone)]
pub struct Lease {
    /// What is asked for.
    ttl: Duration,
    held: Option<Held>,
    /// Until when this process may work; zero: it must not.
    until: Moment,
    /// Whether all that is wanted stands under the lease.
    registered: bool,
    /// Whether the lease was asked for in this turn.
    asked: bool,
    /// Turns that failed since the last that did not.
    failures: u32,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    id: i64,
    ttl: Duration,
}

impl Lease {
    /// None yet; one of this time will be asked for.
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, held: None, until: Moment::ZERO, registered: true, asked: false, failures: 0 }
    }

    /// Until when this process may start work that only an owner may do, unless something else is heard.
    pub fn until(&self) -> Moment {
        self.until
    }

    /// Whether this process may start such work now.
    pub fn holds(&self, now: Moment) -> bool {
        now < self.until
    }

    /// What is to be asked for next in this turn; none where the turn is over ([`Lease::turn_done`]).
    pub fn next(&self) -> Option<Ask> {
        match self.held {
            None => Some(Ask::Grant(self.ttl)),
            Some(held) if !self.asked => Some(Ask::KeepAlive(held.id, held.ttl / 3)),
            Some(held) if !self.registered => Some(Ask::Register(held.id)),
            Some(_) => None,
        }
    }

    /// A lease was granted, for which the request was sent at this moment.
    pub fn granted(&mut self, sent: Moment, id: i64, ttl: Duration) {
        // etcd may give more than was asked for, never less.
        let ttl = ttl.max(Duration::from_secs(1));
        self.held = Some(Held { id, ttl });
        self.registered = false;
        self.asked = true;
        self.until = sent + ttl - ttl / 5;
    }

    /// The lease was kept alive by a request that was sent at this moment.
    pub fn kept(&mut self, sent: Moment) {
        self.asked = true;
        if let Some(held) = self.held {
            self.until = self.until.max(sent + held.ttl - held.ttl / 5);
        }
    }

    /// etcd does not know the lease any more.
    pub fn ran_out(&mut self) {
        self.held = None;
        self.registered = false;
        self.until = Moment::ZERO;
    }

    /// The members stand under the lease.
    pub fn registered(&mut self) {
        self.registered = true;
    }

    /// Something is wanted under the lease that does not stand there.
    pub fn register(&mut self) {
        self.registered = false;
    }

    /// All was asked and answered. Says how many turns had failed before.
    pub fn turn_done(&mut self) -> u32 {
        self.asked = false;
        std::mem::take(&mut self.failures)
    }

    /// A request failed, or its answer did not come: the rest of the turn is left to the next.
    pub fn turn_failed(&mut self) {
        self.asked = false;
        self.failures += 1;
    }

    /// How long until the next turn.
    pub fn wait(&self) -> Duration {
        let period = self.held.map_or(self.ttl, |held| held.ttl) / 3;
        if self.failures == 0 { period } else { period.min(Duration::from_millis(200) * self.failures.min(5)) }
    }

    /// This process leaves: it must not work from now on. Answers the lease to give back.
    pub fn leave(&mut self) -> Option<i64> {
        self.until = Moment::ZERO;
        self.registered = true;
        self.failures = 0;
        self.held.take().map(|held| held.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_turn_asks_for_the_lease_and_then_for_what_should_stand_under_it() {
        let mut lease = Lease::new(5 * SECOND);
        assert_eq!(lease.next(), Some(Ask::Grant(5 * SECOND)));
        lease.granted(SECOND, 7, 5 * SECOND);
        assert_eq!(lease.next(), Some(Ask::Register(7)));
        lease.registered();
        assert_eq!(lease.next(), None);
        lease.turn_done();
        assert_eq!(lease.next(), Some(Ask::KeepAlive(7, 5 * SECOND / 3)));
        lease.ran_out();
        assert_eq!((lease.next(), lease.holds(2 * SECOND)), (Some(Ask::Grant(5 * SECOND)), false));
    }

    #[test]
    fn a_lease_is_proved_from_the_time_its_request_was_sent() {
        let mut lease = Lease::new(5 * SECOND);
        assert!(!lease.holds(Moment::ZERO));
        lease.granted(SECOND, 7, 5 * SECOND);
        assert!(lease.holds(4 * SECOND) && !lease.holds(5 * SECOND));
        lease.kept(3 * SECOND);
        assert!(lease.holds(6 * SECOND) && !lease.holds(7 * SECOND));
        // an answer to an older request takes nothing away
        lease.kept(2 * SECOND);
        assert_eq!(lease.until(), 7 * SECOND);
        assert_eq!((lease.leave(), lease.holds(4 * SECOND)), (Some(7), false));
        lease.kept(6 * SECOND);
        assert!(!lease.holds(6 * SECOND));
    }

    #[test]
    fn a_turn_that_failed_comes_again_soon() {
        let mut lease = Lease::new(6 * SECOND);
        lease.turn_failed();
        assert_eq!(lease.wait(), Duration::from_millis(200));
        for _ in 0..20 {
            lease.turn_failed();
        }
        assert_eq!((lease.wait(), lease.turn_done()), (SECOND, 21));
        assert_eq!(lease.wait(), 2 * SECOND);
    }
}
