//! The network service through its own calls, on a database of its own; everything is real but the cluster, which is a row.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod addresses;
mod networks;
mod ranges;
mod support;
