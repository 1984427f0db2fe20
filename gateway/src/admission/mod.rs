//! Who may work now: the calls that work in a gateway at once are bounded, and accounts have their parts of them.
//!
//! # Theory
//! 1. A call that works has one of a fixed number of places from the moment at which its request is there until it is answered. More at
//!    once would not be answered sooner: they would only wait further inside, each for all others. Calls that read and calls that change
//!    something have places apart ([`Bounds`]): the former need processors, of which few calls make full use and behind which
//!    everybody waits; the latter wait for the disk together, and the more there are, the more share a wait.
//! 2. One account may hold less than twice as many as are free ([`gyre_model::fair::fits`]): alone two thirds. So whoever comes while
//!    another floods the gateway finds a place at once.
//! 3. A call that may not begin waits in its account's line; accounts with lines are served in turns, one call each
//!    ([`gyre_model::fair::Turns`]). A line is bounded in length and time. What is beyond is refused with `OVERLOADED` and when to come
//!    again, before its body is read; the hint differs from call to call, so that those who were refused together do not come
//!    together.
//! 4. A place is held by what works, not by what waits: not while a body comes in, while an operation is waited for, or while a stream
//!    lasts. Such calls pass here when they begin ([`merely_waits`]). A call that reads gives its place back once it has lasted longer than short
//!    ones do ([`Bounds::held`]).
//! 5. Here is the only door: what services ask each other passes no admission, so that work that has begun is never refused for the
//!    sake of work that is to begin.
//! 6. Those who show no token count by their address, all of a network of IPv6 as one.
//!
//! The number is fixed: what it should be follows from the processors and hardly from the load, and who looks at a
//! refusal can understand it. (Limits that follow latency, as Netflix' concurrency-limits has them, take one account's dear
//! questions for a slow system.) The scheme of 2 and 3 is that of queues in switches; `gyre_model::fair` names the sources.
//!
//! Concurrency: one lock, held for a look-up and a few additions, never over an await. Who waits is told through a channel of its own,
//! and gets its place with that; dropping the place, wherever it is by then, gives it back. Lock order: nothing else is locked inside.
//!
//! Not solved: a connection's bytes are read and its token is looked up before anything is refused, which costs some ten
//! microseconds; tokens that were never seen are verified before, too.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gyre_model::catalog::MethodInfo;
use gyre_model::fair::{Turns, fits};
use gyre_model::{Caller, Error, Kind, Uuid};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::auth::throttle::network_of;
use crate::front::Peer;
use crate::metrics::{Refused, metrics};
use crate::refusal::Refusal;

/// The call that waits for an operation and does nothing else.
const WAIT: &str = "/gyre.common.v1.OperationService/WaitOperation";
/// When to come again at the earliest.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// How much works, and how much waits.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Calls that read and work at once.
    pub reads: usize,
    /// How long a call that reads has its place at most. What takes longer does not work here but waits, mostly for the database, where
    /// accounts take turns again; and a few of those must not keep all short ones out.
    pub held: Duration,
    /// Calls that change something and work at once.
    pub changes: usize,
    /// Calls of one account that wait for a place of either kind.
    pub line: usize,
    /// How long they wait.
    pub patience: Duration,
}

/// For whom a call counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// An account.
    Account(Uuid),
    /// An address, of somebody who did not sign in.
    Address(IpAddr),
}

impl Who {
    /// For whom a call of this caller counts.
    pub fn of(caller: Option<&Caller>, peer: Peer) -> Self {
        match caller {
            Some(caller) => Self::Account(caller.account_uuid),
            None => Self::Address(network_of(peer.address.ip())),
        }
    }
}

/// What a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// It reads.
    Read,
    /// It changes something.
    Change,
}

impl Class {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Read, Self::Change];

    /// What a call needs.
    pub fn of(method: &MethodInfo) -> Self {
        if method.request_id.is_some() { Self::Change } else { Self::Read }
    }

    /// The class as the metrics have it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Change => "change",
        }
    }
}

/// Whether a call has nothing to do for most of its time: it is a stream, or waits for an operation.
pub fn merely_waits(method: &MethodInfo) -> bool {
    method.client_streaming || method.path == WAIT
}

/// The places of a gateway.
#[derive(Debug)]
pub struct Admission {
    reads: Arc<Places>,
    changes: Arc<Places>,
}

/// The places of one class of calls.
#[derive(Debug)]
struct Places {
    class: Class,
    bounds: Bounds,
    state: Mutex<State>,
    /// Spreads what is said to those who are refused.
    refused: AtomicU32,
}

#[derive(Debug)]
struct State {
    free: usize,
    held: HashMap<Who, usize>,
    waiting: Turns<Who, Waiter>,
    next: u64,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    grant: oneshot::Sender<Place>,
}

/// A place; dropping it lets another call work.
#[derive(Debug)]
pub struct Place {
    /// None where it was never used, and the giver has it back.
    places: Option<Arc<Places>>,
    who: Who,
}

impl Place {
    /// Makes a call with this place. One that changes something keeps it until it is answered; one that reads, for [`Bounds::held`] at most.
    pub async fn hold<T>(self, call: impl Future<Output = T>) -> T {
        let mut call = std::pin::pin!(call);
        let reads = self.places.as_ref().filter(|places| places.class == Class::Read);
        let held = reads.map(|places| places.bounds.held);
        let mut place = Some(self);
        if let Some(held) = held {
            if let Ok(answer) = tokio::time::timeout(held, &mut call).await {
                return answer;
            }
            place = None;
        }
        let answer = call.await;
        drop(place);
        answer
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(places) = self.places.take() {
            places.give_back(self.who);
        }
    }
}

impl Admission {
    /// So many places, all free.
    pub fn new(bounds: Bounds) -> Self {
        let places = |class, free: usize| {
            let state = State { free: free.max(1), held: HashMap::new(), waiting: Turns::default(), next: 0 };
            Arc::new(Places { class, bounds, state: Mutex::new(state), refused: AtomicU32::new(0) })
        };
        Self { reads: places(Class::Read, bounds.reads), changes: places(Class::Change, bounds.changes) }
    }

    fn of(&self, method: &MethodInfo) -> &Arc<Places> {
        match Class::of(method) {
            Class::Read => &self.reads,
            Class::Change => &self.changes,
        }
    }

    /// Refuses a call whose account's line is full, before anything is done for it.
    ///
    /// # Errors
    /// `OVERLOADED`.
    pub fn glance(&self, method: &MethodInfo, who: Who) -> Result<(), Refusal> {
        self.of(method).glance(who)
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// `OVERLOADED`, where the account's line is full, or the place did not come in time.
    pub async fn enter(&self, method: &MethodInfo, who: Who) -> Result<Place, Refusal> {
        self.of(method).enter(who).await
    }

    /// Waits for a place and gives it back at once: for calls that merely wait.
    ///
    /// # Errors
    /// Those of [`Admission::enter`].
    pub async fn pass(&self, method: &MethodInfo, who: Who) -> Result<(), Refusal> {
        self.enter(method, who).await.map(drop)
    }
}

/// Takes a call out of its line.
struct Leaves<'a> {
    places: &'a Places,
    who: Who,
    number: u64,
    /// Whether it stands there still.
    waits: bool,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        if !self.waits {
            return;
        }
        let mut state = self.places.state.lock();
        let gone = state.waiting.extract(&self.who, |waiter| waiter.number == self.number);
        metrics().waiting(self.places.class, state.waiting.len());
        drop(state);
        drop(gone);
    }
}

impl State {
    /// Takes a free place, if the account may have it.
    fn take(&mut self, who: Who) -> bool {
        let held = self.held.get(&who).copied().unwrap_or(0);
        if !fits(held, self.free) {
            return false;
        }
        self.free -= 1;
        self.held.insert(who, held + 1);
        true
    }

    fn give_back(&mut self, who: Who) {
        self.free += 1;
        if let Some(held) = self.held.get_mut(&who) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&who);
            }
        }
    }
}

impl Places {
    fn glance(&self, who: Who) -> Result<(), Refusal> {
        let state = self.state.lock();
        let full = state.waiting.of(&who) >= self.bounds.line;
        drop(state);
        if full { Err(self.refuse("wait here already")) } else { Ok(()) }
    }

    async fn enter(self: &Arc<Self>, who: Who) -> Result<Place, Refusal> {
        let (number, granted) = {
            let mut state = self.state.lock();
            // whoever waits already goes first
            let line = state.waiting.of(&who);
            if line == 0 && state.take(who) {
                return Ok(self.place(who));
            }
            if line >= self.bounds.line {
                drop(state);
                return Err(self.refuse("wait here already"));
            }
            let (grant, granted) = oneshot::channel();
            let number = state.next;
            state.next += 1;
            state.waiting.push(who, Waiter { number, grant }, false);
            metrics().waiting(self.class, state.waiting.len());
            (number, granted)
        };
        let began = Instant::now();
        // also where the caller goes away
        let mut leaves = Leaves { places: self, who, number, waits: true };
        let place = tokio::time::timeout(self.bounds.patience, granted).await;
        metrics().waited(began.elapsed());
        match place {
            Ok(Ok(place)) => {
                leaves.waits = false;
                Ok(place)
            }
            Ok(Err(_)) | Err(_) => Err(self.refuse("are here, and its turn did not come in time")),
        }
    }

    fn place(self: &Arc<Self>, who: Who) -> Place {
        metrics().works(self.class, 1);
        Place { places: Some(Arc::clone(self)), who }
    }

    /// A place is free: who has the next turn gets it.
    fn give_back(self: &Arc<Self>, who: Who) {
        metrics().works(self.class, -1);
        let mut state = self.state.lock();
        state.give_back(who);
        if state.waiting.is_empty() {
            return;
        }
        loop {
            let State { free, held, waiting, .. } = &mut *state;
            let may = |who: &Who| fits(held.get(who).copied().unwrap_or(0), *free);
            let Some((who, waiter)) = waiting.pop_where(may) else { break };
            state.take(who);
            // the lock is held: a place that nobody takes must not come back by itself
            if let Err(mut place) = waiter.grant.send(self.place(who)) {
                place.places = None;
                metrics().works(self.class, -1);
                state.give_back(who);
            }
        }
        metrics().waiting(self.class, state.waiting.len());
    }

    fn refuse(&self, why: &str) -> Refusal {
        let spread = self.refused.fetch_add(1, Ordering::Relaxed).wrapping_mul(617) % 1000;
        let after = COME_AGAIN + Duration::from_millis(u64::from(spread));
        let text = format!(
            "too many calls of this account {why}; nothing was done for this one: try it again after {} ms, and make fewer \
             calls at a time",
            after.as_millis()
        );
        Refusal::counted(
            Refused::Overloaded,
            Error::new(Kind::ResourceExhausted, "OVERLOADED", text).retry_after(after),
        )
    }
}

#[cfg(test)]
mod tests;
