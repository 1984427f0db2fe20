//! What statements found out, for a short time: hints that cost more to find out than they are worth to keep.
//!
//! # Theory
//! One for each store, shared by its connections. What is remembered must be a hint only: it may be old by as much as its reader
//! accepts, and an answer must be right whatever it says. It is bounded: when it is full, it begins anew, which costs each hint one
//! more look.

use std::any::Any;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many hints are kept.
const MOST: usize = 4_096;

/// Something remembered, and when it was found out.
type Hint = (i64, Arc<dyn Any + Send + Sync>);

/// Hints by the hash of what they are about.
#[derive(Default)]
pub struct Memo(Mutex<HashMap<u64, Hint>>);

impl Memo {
    fn hints(&self) -> MutexGuard<'_, HashMap<u64, Hint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found out about this at `since` or later, in microseconds of the Unix epoch.
    pub fn recall<T: Any + Send + Sync>(&self, about: impl Hash, since: i64) -> Option<Arc<T>> {
        let (at, hint) = self.hints().get(&hash(about)).cloned()?;
        if at < since { None } else { hint.downcast().ok() }
    }

    /// Remembers what was found out about this now, in microseconds of the Unix epoch.
    pub fn keep<T: Any + Send + Sync>(&self, about: impl Hash, now: i64, hint: Arc<T>) {
        let mut hints = self.hints();
        if hints.len() >= MOST {
            hints.clear();
        }
        hints.insert(hash(about), (now, hint));
    }
}

fn hash(about: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    about.hash(&mut hasher);
    hasher.finish()
}
