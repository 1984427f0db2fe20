//! How many letters are under way: a slow receiver keeps nobody waiting but itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use gyre_model::Uuid;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Most tries under way.
const EVERYWHERE: usize = 64;
/// Most tries under way to one destination.
const PER_DESTINATION: usize = 4;

/// The places for letters of one sort in a process.
#[derive(Default)]
pub struct Places {
    under_way: Mutex<UnderWay>,
    freed: Notify,
}

#[derive(Default)]
struct UnderWay {
    names: HashSet<Uuid>,
    destinations: HashMap<String, usize>,
}

/// A place that is given back when the try ends, however it does.
pub struct Place {
    places: Arc<Places>,
    name: Uuid,
    destination: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut under_way = self.places.under_way.lock();
        under_way.names.remove(&self.name);
        if let Some(count) = under_way.destinations.get_mut(&self.destination) {
            *count -= 1;
            if *count == 0 {
                under_way.destinations.remove(&self.destination);
            }
        }
        drop(under_way);
        self.places.freed.notify_one();
    }
}

impl Places {
    /// Waits until a place is given back; one that was since the last wait counts.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Whether no place is free at all.
    pub fn full(&self) -> bool {
        self.under_way.lock().names.len() >= EVERYWHERE
    }

    /// Destinations that take no more now.
    pub fn busy(&self) -> Vec<String> {
        let under_way = self.under_way.lock();
        let full = under_way.destinations.iter().filter(|(_, count)| **count >= PER_DESTINATION);
        let mut busy: Vec<_> = full.map(|(destination, _)| destination.clone()).collect();
        busy.sort_unstable();
        busy
    }

    /// Takes a place for a try, where one is free and what is tried has none yet.
    pub fn take(self: &Arc<Self>, name: Uuid, destination: &str) -> Option<Place> {
        let mut under_way = self.under_way.lock();
        let count = under_way.destinations.get(destination).copied().unwrap_or(0);
        if under_way.names.len() >= EVERYWHERE || count >= PER_DESTINATION || !under_way.names.insert(name) {
            return None;
        }
        under_way.destinations.insert(destination.to_owned(), count + 1);
        Some(Place { places: Arc::clone(self), name, destination: destination.to_owned() })
    }
}
