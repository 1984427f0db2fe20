//! Deliveries to real servers on loopback, and to names that lead astray.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod deliveries;
mod receiver;
mod tries;
