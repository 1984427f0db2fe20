//! The hash ring: from a UUID to the member that owns it, without asking anybody.
//!
//! The function is a contract with clients in other languages. `docs/ring.md` writes it down and `docs/ring-vectors.json` holds
//! vectors, which the tests here check; none of it may change without a new version of the members' prefix in etcd.
//!
//! A ring is built once and never changed. A lookup hashes the key, jumps through an index on the top bits of the hash to the
//! first point that can be the owner's, and looks at one or two points from there.

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

/// Points that each member has on the ring.
pub const VIRTUAL_NODES: u32 = 1024;

/// Where a member's point stands.
pub fn point(member: Uuid, replica: u32) -> u64 {
    let mut bytes = [0; 20];
    bytes[..16].copy_from_slice(member.as_bytes());
    bytes[16..].copy_from_slice(&replica.to_le_bytes());
    xxh3_64(&bytes)
}

/// Where a key stands.
pub fn hash(key: Uuid) -> u64 {
    xxh3_64(key.as_bytes())
}

#[derive(Debug, Clone, Copy)]
struct Point {
    hash: u64,
    member: u32,
}

/// Who owns what, among a fixed set of members.
#[derive(Debug)]
pub struct Ring {
    members: Box<[Uuid]>,
    points: Box<[Point]>,
    /// For each value of a hash's top bits: the first point that is not before it.
    buckets: Box<[u32]>,
    shift: u32,
}

impl Ring {
    /// The ring of these members, in whatever order they come; a member that comes twice counts once.
    pub fn new(members: impl IntoIterator<Item = Uuid>) -> Self {
        let mut members: Vec<Uuid> = members.into_iter().collect();
        members.sort_unstable();
        members.dedup();
        let mut points = Vec::with_capacity(members.len() * VIRTUAL_NODES as usize);
        for (member, uuid) in (0u32..).zip(&members) {
            points.extend((0..VIRTUAL_NODES).map(|replica| Point { hash: point(*uuid, replica), member }));
        }
        // Of equal points the first stays: members are sorted, so that is the smaller UUID's.
        points.sort_unstable_by_key(|point| (point.hash, point.member));
        points.dedup_by_key(|point| point.hash);

        let bits = points.len().next_power_of_two().trailing_zeros().max(1);
        let shift = 64 - bits;
        let mut buckets = vec![0; 1 << bits];
        let mut at = 0;
        for (top, bucket) in (0u64..).zip(buckets.iter_mut()) {
            while points.get(at as usize).is_some_and(|point| point.hash >> shift < top) {
                at += 1;
            }
            *bucket = at;
        }
        Self {
            members: members.into_boxed_slice(),
            points: points.into_boxed_slice(),
            buckets: buckets.into_boxed_slice(),
            shift,
        }
    }

    /// The members, sorted.
    pub fn members(&self) -> &[Uuid] {
        &self.members
    }

    /// The owner of a key; none where nobody is there.
    pub fn owner(&self, key: Uuid) -> Option<Uuid> {
        self.owner_index(key).map(|index| self.members[index])
    }

    /// The owner's place in [`Ring::members`].
    pub fn owner_index(&self, key: Uuid) -> Option<usize> {
        let hash = hash(key);
        let start = self.buckets[(hash >> self.shift) as usize] as usize;
        let found = self.points[start..].iter().find(|point| point.hash >= hash).or(self.points.first());
        found.map(|point| point.member as usize)
    }
}

#[cfg(test)]
mod tests;
