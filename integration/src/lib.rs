//! What the end-to-end tests and the benchmark driver share: a whole node in this process, a client of its front door, and what
//! a machine needs before it can be made.

pub mod bench;
pub mod front;
pub mod host;
pub mod killable;
pub mod node;

pub use front::Front;
pub use host::{Tools, tools};
pub use killable::Killable;
pub use node::TestNode;
