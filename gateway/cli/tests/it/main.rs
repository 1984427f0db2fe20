//! The command as people and scripts use it: the real binary, against a gateway that keeps everything in memory.

#![allow(clippy::unwrap_used)]

mod apply;
mod calls;
mod commands;
mod completions;
mod demo;
mod errors;
mod fake;
mod formats;
mod lists;
mod manual;
#[cfg(feature = "up")]
mod node;
mod operations;
mod profiles;
#[cfg(feature = "up")]
mod real;
mod shell;
mod signing_in;
mod streams;
mod terminal;
#[cfg(feature = "up")]
mod watch;
