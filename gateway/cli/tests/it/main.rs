//! The command as people and scripts use it: the real binary, against a gateway that keeps everything in memory.

#![allow(clippy::unwrap_used)]

mod commands;
mod demo;
mod errors;
mod fake;
mod lists;
mod operations;
mod signing_in;
mod streams;
mod terminal;
