//! The order in which hosts with room are tried.

use super::{Candidate, Want};
use crate::random::Random;

/// Hosts whose load differs by less than this count as equals.
const NEAR: f64 = 0.05;

/// How loaded a host would be after a placement: 0 is empty, 1 is full of both.
pub(super) fn load(want: &Want, candidate: &Candidate) -> f64 {
    let share = |used: i64, more: i64, capacity: i64| used.saturating_add(more) as f64 / capacity.max(1) as f64;
    let cpus = share(candidate.cpu_used, want.cpus, candidate.cpu_capacity);
    let memory = share(candidate.memory_used, want.memory, candidate.memory_capacity);
    (cpus + memory) / 2.0
}

/// Least loaded first, near-equals in any order, without those that may not be chosen.
pub(super) fn order(want: &Want, candidates: Vec<Candidate>, random: &mut Random) -> Vec<Candidate> {
    let mut keyed: Vec<_> = candidates
        .into_iter()
        .filter(|candidate| want.allows(&candidate.seat))
        .map(|candidate| (load(want, &candidate) + random.fraction() * NEAR, candidate))
        .collect();
    keyed.sort_by(|left, right| left.0.total_cmp(&right.0));
    keyed.into_iter().map(|(_, candidate)| candidate).collect()
}
