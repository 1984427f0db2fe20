//! Membership of one process: nobody else is there, and nothing can be lost.

use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;

use super::{Member, Membership, Views};

/// The members of this process alone. The epoch counts the changes.
#[derive(Debug, Default)]
pub struct LocalMembership {
    members: Mutex<Vec<Member>>,
    epoch: AtomicI64,
    views: Views,
}

impl LocalMembership {
    /// Nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Member>)) {
        // Held while publishing, so that views come in the order of their epochs.
        let mut members = self.members.lock();
        change(&mut members);
        let epoch = self.epoch.fetch_add(1, Ordering::Relaxed) + 1;
        self.views.publish(self.views.now().next(epoch, members.iter().cloned()));
    }

    /// Sets all members at once: for tests that play a mesh of several processes.
    pub fn set(&self, all: Vec<Member>) {
        self.change(|members| *members = all);
    }
}

#[async_trait::async_trait]
impl Membership for LocalMembership {
    fn views(&self) -> &Views {
        &self.views
    }

    async fn join(&self, new: Vec<Member>) -> gyre_model::Result<()> {
        self.change(|members| members.extend(new));
        Ok(())
    }

    async fn leave(&self) {
        self.change(Vec::clear);
    }

    fn lease_valid(&self) -> bool {
        true
    }
}
