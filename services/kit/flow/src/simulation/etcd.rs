//! A model of etcd: keys under leases, revisions, watches. One member; a restart keeps all and lengthens the leases, as a new
//! leader does.

use std::collections::BTreeMap;

use gyre_mesh::member::roster::Change;
use gyre_mesh::member::{LOCAL, Member};
use gyre_model::Uuid;

use super::world::{Life, SECOND, Time};

/// What a process asks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ask {
    Grant(Time),
    KeepAlive(i64),
    Register(i64, Uuid),
    Revoke(i64),
    List,
    /// From a revision.
    Watch(i64),
}

/// What etcd answers.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Granted(i64, Time),
    Kept,
    NoLease,
    Registered,
    Listed(i64, Vec<Change>),
    /// The stream, etcd's revision, and what was missed.
    Watching(u64, i64, Vec<Change>),
    Compacted,
}

#[derive(Default)]
pub(super) struct Etcd {
    pub revision: i64,
    compacted: i64,
    keys: BTreeMap<Uuid, (i64, i64)>,
    leases: BTreeMap<i64, (Time, Time)>,
    log: Vec<Change>,
    last_id: i64,
    /// Streams that are open: of whom, and when its last message arrives.
    pub streams: BTreeMap<u64, (Life, Time)>,
    last_stream: u64,
}

fn member(uuid: Uuid) -> Member {
    Member { uuid, service: "vm".into(), address: LOCAL.into(), version: String::new(), start_time: 0 }
}

impl Etcd {
    fn change(&mut self, uuid: Uuid, there: bool) -> Change {
        self.revision += 1;
        let change = Change { revision: self.revision, key: uuid.to_string(), member: there.then(|| member(uuid)) };
        self.log.push(change.clone());
        change
    }

    /// Whether a lease has not run out.
    pub fn proves(&self, id: i64, now: Time) -> bool {
        self.leases.get(&id).is_some_and(|(end, _)| *end > now)
    }

    /// Answers, with what changed by it.
    pub fn ask(&mut self, now: Time, who: Life, ask: Ask) -> (Answer, Vec<Change>) {
        match ask {
            Ask::Grant(ttl) => {
                self.last_id += 1;
                self.leases.insert(self.last_id, (now + ttl, ttl));
                (Answer::Granted(self.last_id, ttl), Vec::new())
            }
            Ask::KeepAlive(id) => match self.leases.get_mut(&id) {
                Some(lease) => {
                    lease.0 = now + lease.1;
                    (Answer::Kept, Vec::new())
                }
                None => (Answer::NoLease, Vec::new()),
            },
            Ask::Register(id, uuid) if self.leases.contains_key(&id) => {
                let change = self.change(uuid, true);
                self.keys.insert(uuid, (id, self.revision));
                (Answer::Registered, vec![change])
            }
            Ask::Register(..) => (Answer::NoLease, Vec::new()),
            Ask::Revoke(id) => {
                self.leases.remove(&id);
                (Answer::Registered, self.drop_keys())
            }
            Ask::List => {
                let change = |(uuid, (_, revision)): (&Uuid, &(i64, i64))| Change {
                    revision: *revision,
                    key: uuid.to_string(),
                    member: Some(member(*uuid)),
                };
                (Answer::Listed(self.revision, self.keys.iter().map(change).collect()), Vec::new())
            }
            Ask::Watch(from) if from <= self.compacted => (Answer::Compacted, Vec::new()),
            Ask::Watch(from) => {
                self.last_stream += 1;
                self.streams.insert(self.last_stream, (who, now));
                let missed = self.log.iter().filter(|change| change.revision >= from).cloned().collect();
                (Answer::Watching(self.last_stream, self.revision, missed), Vec::new())
            }
        }
    }

    fn drop_keys(&mut self) -> Vec<Change> {
        let gone: Vec<_> =
            self.keys.iter().filter(|(_, (id, _))| !self.leases.contains_key(id)).map(|(uuid, _)| *uuid).collect();
        gone.into_iter()
            .map(|uuid| {
                self.keys.remove(&uuid);
                self.change(uuid, false)
            })
            .collect()
    }

    /// Ends the leases that ran out, as etcd does twice a second.
    pub fn expire(&mut self, now: Time) -> Vec<Change> {
        self.leases.retain(|_, (end, _)| *end > now);
        self.drop_keys()
    }

    pub fn compact(&mut self) {
        self.compacted = self.revision;
        self.log.clear();
    }

    /// Comes back: leases begin anew, streams are gone.
    pub fn restart(&mut self, now: Time) -> Vec<Life> {
        for (end, ttl) in self.leases.values_mut() {
            *end = now + *ttl + SECOND / 2;
        }
        std::mem::take(&mut self.streams).into_values().map(|(life, _)| life).collect()
    }
}
