use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;

/// Numbers that look random and are the same in every run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn uuid(&mut self) -> Uuid {
        let (high, low) = (self.next(), self.next());
        uuid::Builder::from_u128(u128::from(high) << 64 | u128::from(low))
            .with_version(uuid::Version::Random)
            .into_uuid()
    }

    fn uuids(&mut self, count: usize) -> Vec<Uuid> {
        (0..count).map(|_| self.uuid()).collect()
    }
}

/// The ring by the book: no index, no sorting tricks.
fn plain(members: &[Uuid]) -> BTreeMap<u64, Uuid> {
    let mut points = BTreeMap::new();
    for member in members {
        for replica in 0..VIRTUAL_NODES {
            let holder = points.entry(point(*member, replica)).or_insert(*member);
            *holder = (*holder).min(*member);
        }
    }
    points
}

#[test]
fn the_index_finds_what_the_plain_search_finds() {
    for count in [1, 2, 3, 7, 20] {
        let mut numbers = Numbers(count as u64);
        let members = numbers.uuids(count);
        let (ring, points) = (Ring::new(members.clone()), plain(&members));
        for key in numbers.uuids(5000) {
            let owner = points.range(hash(key)..).next().or(points.iter().next()).map(|(_, member)| *member);
            assert_eq!(ring.owner(key), owner, "{count} members, key {key}");
        }
    }
}

#[test]
fn nobody_owns_anything_in_an_empty_ring() {
    assert_eq!(Ring::new([]).owner(Uuid::new_v4()), None);
}

#[test]
fn the_order_and_repetition_of_members_do_not_matter() {
    let mut numbers = Numbers(9);
    let members = numbers.uuids(5);
    let ring = Ring::new(members.clone());
    let turned = Ring::new(members.iter().rev().chain(&members).copied());
    assert_eq!(ring.members(), turned.members());
    for key in numbers.uuids(1000) {
        assert_eq!(ring.owner(key), turned.owner(key));
    }
}

#[test]
fn a_million_keys_spread_evenly() {
    for (count, limit) in [(3usize, 1.10), (10, 1.15), (100, 1.25)] {
        for seed in [1u64, 2, 3] {
            let mut numbers = Numbers(seed << 32 | count as u64);
            let ring = Ring::new(numbers.uuids(count));
            let mut shares = vec![0u32; count];
            for _ in 0..1_000_000 {
                shares[ring.owner_index(numbers.uuid()).unwrap()] += 1;
            }
            let largest = shares.iter().copied().max().unwrap();
            let imbalance = f64::from(largest) * count as f64 / 1_000_000.0;
            assert!(imbalance < limit, "{count} members, seed {seed}: {imbalance}");
        }
    }
}

#[test]
fn a_join_or_leave_moves_no_key_between_members_that_stayed() {
    for seed in 0..8 {
        let mut numbers = Numbers(seed);
        let members = numbers.uuids(2 + seed as usize * 3);
        let newcomer = numbers.uuid();
        let before = Ring::new(members.clone());
        let after = Ring::new(members.iter().copied().chain([newcomer]));
        let mut moved = 0;
        for key in numbers.uuids(20_000) {
            // Read forwards it is a join, backwards a leave: only what the newcomer owns has another owner.
            if after.owner(key) == Some(newcomer) {
                moved += 1;
            } else {
                assert_eq!(before.owner(key), after.owner(key), "seed {seed}, key {key}");
            }
        }
        assert!(moved > 0);
    }
}

#[test]
fn points_of_different_members_do_not_meet_in_the_vectors() {
    let mut numbers = Numbers(5);
    let members = numbers.uuids(128);
    let all: HashSet<u64> =
        members.iter().flat_map(|member| (0..VIRTUAL_NODES).map(|replica| point(*member, replica))).collect();
    assert_eq!(all.len(), 128 * VIRTUAL_NODES as usize);
}

fn vectors_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../docs/ring-vectors.json")
}

fn vectors() -> Value {
    let mut numbers = Numbers(0x6779_7265);
    let members = numbers.uuids(10);
    let mut keys = vec![Uuid::nil(), Uuid::max()];
    keys.extend(numbers.uuids(62));
    let points: Vec<_> = members[..3]
        .iter()
        .flat_map(|member| {
            [0, 1, 2, 255, 256, 1023].map(|replica| {
                json!({"member": member.to_string(), "replica": replica,
                       "hash": format!("{:016x}", point(*member, replica))})
            })
        })
        .collect();
    let hashes: Vec<_> =
        keys.iter().map(|key| json!({"key": key.to_string(), "hash": format!("{:016x}", hash(*key))})).collect();
    let rings: Vec<_> = [1usize, 2, 3, 10]
        .map(|count| {
            let ring = Ring::new(members[..count].iter().copied());
            let owners: Vec<_> = keys
                .iter()
                .map(|key| json!({"key": key.to_string(), "owner": ring.owner(*key).unwrap().to_string()}))
                .collect();
            let names: Vec<_> = members[..count].iter().map(Uuid::to_string).collect();
            json!({"members": names, "owners": owners})
        })
        .into();
    json!({
        "description": "Test vectors of Gyre's hash ring; docs/ring.md says how it works. Hashes are 64-bit numbers in hexadecimal.",
        "virtualNodes": VIRTUAL_NODES,
        "points": points,
        "keys": hashes,
        "rings": rings,
    })
}

#[test]
fn the_vectors_in_docs_hold() {
    let text = std::fs::read_to_string(vectors_path()).unwrap();
    let written: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(written, vectors(), "docs/ring-vectors.json and the ring differ");
}

#[test]
#[ignore = "writes docs/ring-vectors.json; the ring is a contract, so this is for its first day only"]
fn write_vectors() {
    std::fs::write(vectors_path(), serde_json::to_string_pretty(&vectors()).unwrap() + "\n").unwrap();
}
