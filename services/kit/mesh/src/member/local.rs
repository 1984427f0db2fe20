//! Membership of one process: nobody else is there, and nothing can be lost.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::{Member, Membership, Views};

/// The members of this process alone. The epoch counts the changes.
#[derive(Debug, Default)]
pub struct LocalMembership {
    state: Mutex<State>,
    views: Views,
    lease_lost: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    members: Vec<Member>,
    epoch: i64,
}

impl LocalMembership {
    /// Nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        // Held while publishing, so that views come in the order of their epochs.
        let mut state = self.state.lock();
        state.epoch += 1;
        change(&mut state);
        self.views.publish(self.views.now().next(state.epoch, state.members.iter().cloned()));
    }

    /// Sets all members and the epoch at once: for tests that play a mesh of several processes.
    pub fn set(&self, epoch: i64, members: Vec<Member>) {
        self.change(|state| *state = State { members, epoch });
    }

    /// Says whether the lease holds: for tests that lose it.
    pub fn set_lease_valid(&self, valid: bool) {
        self.lease_lost.store(!valid, Ordering::Relaxed);
    }
}

#[async_trait::async_trait]
impl Membership for LocalMembership {
    fn views(&self) -> &Views {
        &self.views
    }

    async fn join(&self, new: Vec<Member>) -> gyre_model::Result<()> {
        self.change(|state| state.members.extend(new));
        Ok(())
    }

    async fn leave(&self) {
        // There is nobody to hand over to, and what is under way still needs its owners.
    }

    fn lease_valid(&self) -> bool {
        !self.lease_lost.load(Ordering::Relaxed)
    }
}
