//! A little chance, where equals must not all be chosen alike: jitter, and samples. Nothing here is secret.

use std::time::Duration;

use gyre_model::Uuid;

/// Numbers that follow from a seed (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Unlike any other.
    pub fn new() -> Self {
        Self::from_seed(Uuid::new_v4().as_u64_pair().1)
    }

    /// The same for the same seed.
    pub fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next number from 0 up to 1.
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A place somewhere among all UUIDs.
    pub fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.next(), self.next())
    }

    /// Between half of a time and all of it.
    pub fn jitter(&mut self, time: Duration) -> Duration {
        time.mul_f64(0.5 + self.fraction() / 2.0)
    }
}
