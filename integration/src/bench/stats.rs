//! Figures of many samples.

use std::time::Duration;

use serde::Serialize;

/// Latencies in milliseconds, and how many there were.
#[derive(Debug, Clone, Serialize)]
pub struct Latencies {
    /// Samples.
    pub count: usize,
    /// Half of them took at most this.
    pub p50_ms: f64,
    /// Nine in ten took at most this.
    pub p90_ms: f64,
    /// Ninety-nine in a hundred took at most this.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Latencies {
    /// Of samples in any order.
    pub fn of(samples: Vec<Duration>) -> Self {
        let mut all = Samples::default();
        samples.into_iter().for_each(|sample| all.push(sample));
        all.latencies()
    }
}

/// How long calls took, in four bytes each: microseconds, so that a million of them are no load. What takes longer than an hour
/// counts as an hour.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<u32>);

impl Samples {
    /// Adds one.
    pub fn push(&mut self, sample: Duration) {
        self.0.push(u32::try_from(sample.as_micros()).unwrap_or(u32::MAX));
    }

    /// Adds others.
    pub fn add(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The figures.
    pub fn latencies(mut self) -> Latencies {
        self.0.sort_unstable();
        let at = |share: f64| {
            let place = (self.0.len() as f64 * share).ceil() as usize;
            self.0.get(place.saturating_sub(1)).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
        };
        Latencies { count: self.0.len(), p50_ms: at(0.5), p90_ms: at(0.9), p99_ms: at(0.99), max_ms: at(1.0) }
    }
}
