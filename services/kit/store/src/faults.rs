//! A store that stops for good after a number of commits, for tests of crashes (the feature `faults`).
//!
//! What a crash leaves on the disk is what was committed before it; so crashing between any two commits is crashing anywhere,
//! except for what the process told others meanwhile. Hence two moments for each commit: as soon as the end of the process takes
//! nothing from it, before who wrote hears of it ([`Moment::Durable`]); and before the next one begins, with all done that could
//! be done without it ([`Moment::BeforeNext`]). The thread that comes to the moment waits there, and whoever asked waits for it; the test then ends
//! the process (or the runtime that plays it) and drops the [`Arrest`].

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use tokio::sync::watch;

use crate::Store;
use crate::error::{DbError, DbResult};

/// When a store stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// When the last commit that it makes is durable, and nobody has heard of it.
    Durable,
    /// When the commit after it would begin.
    BeforeNext,
}

#[derive(Debug, Default)]
struct State {
    /// Commits to make, and when to stop; nothing where it does not stop.
    plan: Option<(usize, Moment)>,
    released: bool,
}

/// What the connections of a store look at.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    reached: watch::Sender<bool>,
}

impl Gate {
    pub fn new() -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), wake: Condvar::new(), reached: watch::channel(false).0 }))
    }

    /// Before a commit.
    ///
    /// # Errors
    /// The store had stopped: the connection is as good as lost.
    pub fn before(&self) -> DbResult<()> {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.plan {
            Some((0, _)) => self.stop(state),
            _ => Ok(()),
        }
    }

    /// After a commit.
    ///
    /// # Errors
    /// The store had stopped: the connection is as good as lost.
    pub fn after(&self) -> DbResult<()> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((left, moment)) = &mut state.plan else { return Ok(()) };
        *left = left.saturating_sub(1);
        if *left == 0 && *moment == Moment::Durable { self.stop(state) } else { Ok(()) }
    }

    fn stop(&self, state: std::sync::MutexGuard<'_, State>) -> DbResult<()> {
        self.0.reached.send_replace(true);
        let _state = self.0.wake.wait_while(state, |state| !state.released).unwrap_or_else(PoisonError::into_inner);
        Err(DbError::Lost("the store was stopped on purpose".to_owned()))
    }
}

/// A store that stops after some commits. When this is dropped, the threads that wait go on with an error; end what uses the
/// store before. One that has not stopped goes on as if nothing had been.
pub struct Arrest(Gate);

impl Arrest {
    /// Returns when the store has stopped.
    pub async fn reached(&self) {
        let mut reached = self.0.0.reached.subscribe();
        // the sender lives as long as this
        let _ = reached.wait_for(|reached| *reached).await;
    }
}

impl Drop for Arrest {
    fn drop(&mut self) {
        let mut state = self.0.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *self.0.0.reached.borrow() {
            state.released = true;
        } else {
            state.plan = None;
        }
        drop(state);
        self.0.0.wake.notify_all();
    }
}

impl Store {
    /// Stops this store, in all its clones, after so many commits from now.
    pub fn arrest_after(&self, commits: usize, moment: Moment) -> Arrest {
        let gate = self.threads.gate();
        gate.0.state.lock().unwrap_or_else(PoisonError::into_inner).plan = Some((commits, moment));
        Arrest(gate)
    }

    /// Closes the connections of this store, whoever holds clones of it still: what a process that ended in disorder held on to
    /// is gone with it, but for this process, which plays it.
    pub fn end(&self) {
        self.threads.close();
    }
}
