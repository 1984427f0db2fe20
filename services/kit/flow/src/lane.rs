//! Lanes: what waits for each resource. A lane is there while something waits or was let in by it, and costs nothing when idle.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gyre_model::{Error, Kind, Result, Uuid};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::queue::{Class, Queue};

/// Most operations that wait for one resource.
pub(crate) const LONGEST: usize = 1_000;
/// Most operations that wait in one process, for whatever.
pub(crate) const MOST: usize = 100_000;
/// When to come again where there is no room.
const COME_AGAIN: Duration = Duration::from_secs(5);

/// The lanes of a service in one process.
#[derive(Default)]
pub(crate) struct Lanes {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lanes: HashMap<Uuid, Lane>,
    waiting: usize,
}

#[derive(Default)]
struct Lane {
    queue: Queue<Uuid>,
    /// Told when the resource may be free, and when somebody came or went.
    wake: Arc<Notify>,
}

fn full(text: String) -> Error {
    Error::new(Kind::ResourceExhausted, "LANE_FULL", text).retry_after(COME_AGAIN)
}

impl Lanes {
    /// Whether another operation may wait for a resource.
    pub fn check(&self, resource: Uuid) -> Result<()> {
        let state = self.state.lock();
        if state.waiting >= MOST {
            return Err(full(format!("{MOST} operations wait in this instance already: wait for some of them to end")));
        }
        if state.lanes.get(&resource).is_some_and(|lane| lane.queue.len() >= LONGEST) {
            return Err(full(format!(
                "{LONGEST} operations wait for {resource} already: wait for some of them to end"
            )));
        }
        Ok(())
    }

    /// Puts an operation into a lane. Where the lane was idle, the caller must work it, and gets what wakes it.
    pub fn push(&self, resource: Uuid, operation: Uuid, class: Class) -> Option<Arc<Notify>> {
        let mut state = self.state.lock();
        state.waiting += 1;
        if let Some(lane) = state.lanes.get_mut(&resource) {
            lane.queue.push(operation, class);
            lane.wake.notify_one();
            return None;
        }
        let mut lane = Lane::default();
        lane.queue.push(operation, class);
        let wake = Arc::clone(&lane.wake);
        state.lanes.insert(resource, lane);
        Some(wake)
    }

    /// Whose turn is next; nothing where nobody waits, and the lane is gone then.
    pub fn next(&self, resource: Uuid) -> Option<Uuid> {
        let mut state = self.state.lock();
        let next = state.lanes.get(&resource).and_then(|lane| lane.queue.next().copied());
        if next.is_none() {
            state.lanes.remove(&resource);
        }
        next
    }

    /// Takes an operation out of a lane: its turn has come, or it waits no more.
    pub fn remove(&self, resource: Uuid, operation: Uuid) {
        let mut state = self.state.lock();
        if let Some(lane) = state.lanes.get_mut(&resource)
            && lane.queue.remove(&operation)
        {
            lane.wake.notify_one();
            state.waiting -= 1;
        }
    }

    /// It is not known whether an operation's turn has come: nothing else is next until it is.
    pub fn keep(&self, resource: Uuid, operation: Uuid) {
        if let Some(lane) = self.state.lock().lanes.get_mut(&resource) {
            lane.queue.keep(&operation);
        }
    }

    /// The turn has not come: whoever is next then may go.
    pub fn release(&self, resource: Uuid) {
        if let Some(lane) = self.state.lock().lanes.get_mut(&resource) {
            lane.queue.release();
        }
    }

    /// Says that a resource may be free.
    pub fn wake(&self, resource: Uuid) {
        if let Some(lane) = self.state.lock().lanes.get(&resource) {
            lane.wake.notify_one();
        }
    }

    /// How many lanes there are, and how many operations wait in them.
    pub fn depth(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.lanes.len(), state.waiting)
    }
}
