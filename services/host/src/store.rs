//! What the host service keeps. Zones, clusters and hosts are resources (`gyre_query` reads and writes them); here is what goes
//! beyond one row of one kind.
//!
//! - `host_fence`: the number of the newest session with each host's agent. It outlives the host's row, since the agent remembers
//!   it too.
//! - `host_placement`: who took how much room where. The counters in `host` are its sums, written in the same transactions.
//! - Which rows of other services stand in the way of a deletion is read here and never written.

pub(crate) mod host;
pub(crate) mod placement;
pub(crate) mod references;
