//! Lanes: the work on each resource, one after the other. A lane is there while it has work, and costs nothing when idle.

use std::collections::{HashMap, VecDeque};

use gyre_model::{Error, Kind, Result, Uuid};
use parking_lot::Mutex;

/// Most operations that wait for one resource.
pub(crate) const LONGEST: usize = 1000;

/// The lanes of a service in one process.
#[derive(Default)]
pub(crate) struct Lanes {
    lanes: Mutex<HashMap<Uuid, VecDeque<Uuid>>>,
}

impl Lanes {
    /// Whether a resource's lane takes another operation.
    pub fn check(&self, resource: Uuid) -> Result<()> {
        let waiting = self.lanes.lock().get(&resource).map_or(0, VecDeque::len);
        if waiting < LONGEST {
            return Ok(());
        }
        Err(Error::new(
            Kind::ResourceExhausted,
            "LANE_FULL",
            format!("{LONGEST} operations wait for {resource} already: wait for some of them to end"),
        ))
    }

    /// Puts an operation at the end of a lane. True where the lane was idle, and the caller must work it.
    pub fn push(&self, resource: Uuid, operation: Uuid) -> bool {
        let mut lanes = self.lanes.lock();
        match lanes.get_mut(&resource) {
            Some(lane) => {
                lane.push_back(operation);
                false
            }
            None => {
                lanes.insert(resource, VecDeque::from([operation]));
                true
            }
        }
    }

    /// The operation at the head; nothing where the lane is empty, which is gone then.
    pub fn head(&self, resource: Uuid) -> Option<Uuid> {
        let mut lanes = self.lanes.lock();
        let head = lanes.get(&resource).and_then(|lane| lane.front().copied());
        if head.is_none() {
            lanes.remove(&resource);
        }
        head
    }

    /// Takes the head off, once it has ended.
    pub fn pop(&self, resource: Uuid) {
        if let Some(lane) = self.lanes.lock().get_mut(&resource) {
            lane.pop_front();
        }
    }

    /// How many lanes have work, and how many operations are in them.
    pub fn depth(&self) -> (usize, usize) {
        let lanes = self.lanes.lock();
        (lanes.len(), lanes.values().map(VecDeque::len).sum())
    }
}
