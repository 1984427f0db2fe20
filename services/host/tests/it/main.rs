//! The host service with everything real but the hosts, which are the agent's own simulator; and but the machines' service, which
//! only writes down what it is told.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod agents;
mod hosts;
mod placement;
mod rows;
mod sessions;
mod support;
mod takeover;
mod tasks;
