//! The node as a process of its own: one of several in a cluster.
fn main() {}
