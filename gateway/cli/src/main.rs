//! The command `gyre`.
fn main() {}
