//! The members as etcd tells of them: from a list, and from the changes that follow it.
//!
//! Nothing is asked for here: [`super::etcd`] does that, and the simulation of `gyre-flow` with streams that break, repeat and come
//! late.
//!
//! Ground rules:
//! 1. A change counts once, by its revision: what is not newer than the last that was seen was seen. Several changes may have
//!    the same revision (one transaction), and come together.
//! 2. A watch that ends is opened again after the last revision seen. Where that is compacted away, or etcd knows less than we do
//!    (it was restored from a copy), only a list helps.
//! 3. The epoch is the revision of the last change under the prefix, deletions included. Whoever lists can see only the changes
//!    that left a key; it takes the highest of those, or the revision of the list where it misses a member that it knew.

use std::collections::BTreeMap;

use super::{Member, View};

/// A change of one key.
#[derive(Debug, Clone)]
pub struct Change {
    /// When.
    pub revision: i64,
    /// The end of the key: "vm/6f0c…".
    pub key: String,
    /// What stands there now; none where it was deleted, or cannot be read.
    pub member: Option<Member>,
}

/// The members, as far as etcd told.
#[derive(Debug, Default, Clone)]
pub struct Roster {
    /// By the end of their keys.
    members: BTreeMap<String, Member>,
    /// The revision of the last change under the prefix.
    epoch: i64,
    /// The revision up to which everything was seen.
    seen: i64,
}

impl Roster {
    /// The revision of the last change.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// The revision up to which everything was seen: a watch begins with the next.
    pub fn seen(&self) -> i64 {
        self.seen
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The members.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Takes a list of all keys, as they stood at a revision; each with that of its last change.
    pub fn listed(&mut self, revision: i64, keys: impl IntoIterator<Item = Change>) {
        let mut members = BTreeMap::new();
        let mut newest = 0;
        for key in keys {
            newest = newest.max(key.revision);
            if let Some(member) = key.member {
                members.insert(key.key, member);
            }
        }
        if revision < self.seen {
            // an etcd that lost what it knew counts anew
            self.epoch = 0;
        }
        let missing = self.members.keys().any(|key| !members.contains_key(key));
        self.epoch = if missing { revision } else { self.epoch.max(newest) };
        self.seen = revision;
        self.members = members;
    }

    /// A watch was opened on an etcd that is at this revision. False where it knows less than we do, and must be listed.
    pub fn opened(&mut self, revision: i64) -> bool {
        let known = revision >= self.seen;
        if !known {
            self.epoch = 0;
        }
        known
    }

    /// Takes changes that came together. Says whether any was new.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) -> bool {
        let before = self.seen;
        let mut changed = false;
        for change in changes {
            if change.revision <= before {
                continue;
            }
            self.seen = self.seen.max(change.revision);
            self.epoch = self.epoch.max(change.revision);
            changed = true;
            match change.member {
                Some(member) => self.members.insert(change.key, member),
                None => self.members.remove(&change.key),
            };
        }
        changed
    }

    /// Those of others that are not here, with their keys.
    pub fn missing<'a>(&self, others: &'a Self) -> impl Iterator<Item = (&'a String, &'a Member)> {
        others.members.iter().filter(|(key, _)| !self.members.contains_key(*key))
    }

    /// Whether a key is here.
    pub fn has(&self, key: &str) -> bool {
        self.members.contains_key(key)
    }

    /// What a process sees now that saw this before.
    pub fn view(&self, before: &View) -> View {
        before.next(self.epoch, self.members.values().cloned())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn put(revision: i64, uuid: u128) -> Change {
        let member = Member::new(Uuid::from_u128(uuid), "vm", "local");
        Change { revision, key: uuid.to_string(), member: Some(member) }
    }

    fn delete(revision: i64, uuid: u128) -> Change {
        Change { revision, key: uuid.to_string(), member: None }
    }

    #[test]
    fn a_change_counts_once_and_those_of_one_revision_all_count() {
        let mut roster = Roster::default();
        roster.listed(5, [put(3, 1)]);
        assert_eq!((roster.epoch(), roster.seen(), roster.len()), (3, 5, 1));
        assert!(roster.apply([put(6, 2), put(6, 3)]));
        assert!(roster.apply([delete(7, 2)]));
        // what a watch repeats that was opened too early
        assert!(!roster.apply([put(6, 2), put(6, 3)]));
        assert!(roster.apply([put(6, 2), delete(8, 3)]));
        assert_eq!((roster.epoch(), roster.seen(), roster.len()), (8, 8, 1));
    }

    #[test]
    fn a_list_that_misses_somebody_is_a_change_of_its_own() {
        let mut roster = Roster::default();
        roster.listed(5, [put(3, 1), put(4, 2)]);
        roster.listed(9, [put(3, 1)]);
        assert_eq!((roster.epoch(), roster.len()), (9, 1));
        roster.listed(12, [put(3, 1)]);
        assert_eq!((roster.epoch(), roster.seen()), (9, 12));
    }

    #[test]
    fn an_etcd_that_knows_less_is_believed_once_it_was_listed() {
        let mut roster = Roster::default();
        roster.listed(50, [put(40, 1), put(41, 2)]);
        assert!(roster.opened(50) && !roster.opened(10));
        roster.listed(10, [put(8, 1), put(9, 2)]);
        assert_eq!((roster.epoch(), roster.seen()), (9, 10));
    }
}
