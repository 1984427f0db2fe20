//! The network service as a process of its own.
fn main() {}
