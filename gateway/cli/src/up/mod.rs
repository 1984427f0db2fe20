//! `gyre up`: the whole of Gyre in one process, and the demo that fills it.
//!
//! The demo ([`demo`]) knows nothing of the node that it runs against: it is a client like any other, signed in through the
//! gateway. What starts the node takes [`UpArgs`].

mod args;
pub mod demo;
mod run;

pub use args::UpArgs;
pub use run::run;
