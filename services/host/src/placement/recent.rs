//! Hosts with room, as they were seen a moment ago: what a placement would read again, and need not.
//!
//! They are hints and nothing more. Room is taken by a guarded statement that looks at the host as it is, so what is old here costs a try and
//! never a mistake: a host that is full, disabled or away by now is refused there, and the database is asked for a new sample. What was taken
//! is counted here, too, so that placements of the same moment do not all run after the host that was the emptiest.

use std::time::{Duration, Instant};

use gyre_model::Uuid;
use parking_lot::Mutex;

use super::{Candidate, Want};

/// How long a sample is believed.
const BELIEVED: Duration = Duration::from_millis(250);

/// The last sample that was read.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Option<Sample>>);

#[derive(Debug)]
struct Sample {
    read: Instant,
    cluster: Option<Uuid>,
    clusters: Vec<Uuid>,
    hosts: Vec<Candidate>,
}

impl Recent {
    /// The hosts of the sample that have room for this; none where it is old, or of other clusters.
    pub fn candidates(&self, want: &Want) -> Vec<Candidate> {
        let sample = self.0.lock();
        let fits = |sample: &&Sample| {
            sample.read.elapsed() < BELIEVED && sample.cluster == want.cluster && sample.clusters == want.clusters
        };
        let room = |host: &&Candidate| {
            host.cpu_capacity - host.cpu_used >= want.cpus && host.memory_capacity - host.memory_used >= want.memory
        };
        sample.as_ref().filter(fits).map_or_else(Vec::new, |sample| sample.hosts.iter().filter(room).cloned().collect())
    }

    /// Keeps what was read.
    pub fn keep(&self, want: &Want, hosts: &[Candidate]) {
        let (cluster, clusters) = (want.cluster, want.clusters.clone());
        *self.0.lock() = Some(Sample { read: Instant::now(), cluster, clusters, hosts: hosts.to_vec() });
    }

    /// Counts what was taken on a host.
    pub fn took(&self, want: &Want, host: Uuid) {
        if let Some(sample) = self.0.lock().as_mut()
            && let Some(host) = sample.hosts.iter_mut().find(|known| known.seat.host == host)
        {
            host.cpu_used += want.cpus;
            host.memory_used += want.memory;
        }
    }

    /// Leaves out a host that refused.
    pub fn refused(&self, host: Uuid) {
        if let Some(sample) = self.0.lock().as_mut() {
            sample.hosts.retain(|known| known.seat.host != host);
        }
    }
}
