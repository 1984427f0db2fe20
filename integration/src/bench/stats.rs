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
    pub fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        let at = |share: f64| {
            let place = (samples.len() as f64 * share).ceil() as usize;
            samples.get(place.saturating_sub(1)).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
        };
        Self { count: samples.len(), p50_ms: at(0.5), p90_ms: at(0.9), p99_ms: at(0.99), max_ms: at(1.0) }
    }
}
