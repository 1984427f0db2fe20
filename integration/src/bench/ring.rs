//! How long finding an owner takes.

use std::hint::black_box;
use std::time::Instant;

use gyre_mesh::ring::Ring;
use gyre_model::Uuid;
use serde::Serialize;

/// The figures.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Members of the ring.
    pub members: usize,
    /// Nanoseconds for one lookup, on average.
    pub lookup_ns: f64,
    /// Milliseconds to build the ring.
    pub build_ms: f64,
}

/// Looks up `lookups` random keys in a ring of so many members.
pub fn run(members: usize, lookups: usize) -> Figures {
    let uuids: Vec<_> = (0..members).map(|_| Uuid::new_v4()).collect();
    let begun = Instant::now();
    let ring = Ring::new(uuids);
    let build_ms = begun.elapsed().as_secs_f64() * 1000.0;
    let keys: Vec<_> = (0..65_536).map(|_| Uuid::new_v4()).collect();
    let begun = Instant::now();
    for at in 0..lookups {
        black_box(ring.owner(black_box(keys[at % keys.len()])));
    }
    Figures { members, lookup_ns: begun.elapsed().as_nanos() as f64 / lookups as f64, build_ms }
}
