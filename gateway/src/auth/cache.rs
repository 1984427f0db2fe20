//! Answers that are remembered for a while: bounded in number, without a lock that all calls meet at.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Instant;

use parking_lot::RwLock;

/// Parts that are locked one by one.
const SHARDS: usize = 16;

#[derive(Debug, Clone, Copy)]
struct Remembered<V> {
    value: V,
    until: Instant,
}

/// A bounded map whose entries end.
#[derive(Debug)]
pub struct Cache<K, V> {
    shards: [RwLock<HashMap<K, Remembered<V>>>; SHARDS],
    hasher: RandomState,
    most: usize,
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    /// A cache of at most about `most` entries.
    pub fn new(most: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            hasher: RandomState::new(),
            most: most.div_ceil(SHARDS),
        }
    }

    fn shard(&self, key: &K) -> &RwLock<HashMap<K, Remembered<V>>> {
        // The top bits, since the maps inside go by the low ones.
        &self.shards[(self.hasher.hash_one(key) >> 60) as usize % SHARDS]
    }

    /// What is remembered of a key.
    pub fn get(&self, key: &K, now: Instant) -> Option<V> {
        let shard = self.shard(key).read();
        shard.get(key).filter(|entry| entry.until > now).map(|entry| entry.value.clone())
    }

    /// Remembers a value until a time. A part that is full first loses what has ended, and where that is not enough everything:
    /// whoever fills it with nonsense makes others ask again, no more.
    pub fn put(&self, key: K, value: V, now: Instant, until: Instant) {
        let mut shard = self.shard(&key).write();
        if shard.len() >= self.most && !shard.contains_key(&key) {
            shard.retain(|_, entry| entry.until > now);
            if shard.len() >= self.most {
                shard.clear();
            }
        }
        shard.insert(key, Remembered { value, until });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn entries_end_and_are_bounded() {
        let cache = Cache::new(64);
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        cache.put(1, "a", now, later);
        assert_eq!(cache.get(&1, now), Some("a"));
        assert_eq!(cache.get(&1, later), None);
        assert_eq!(cache.get(&2, now), None);
        for key in 0..10_000 {
            cache.put(key, "b", now, later);
        }
        let held: usize = cache.shards.iter().map(|shard| shard.read().len()).sum();
        assert!(held <= 64, "{held}");
        assert_eq!(cache.get(&9_999, now), Some("b"));
    }
}
