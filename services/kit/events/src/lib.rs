//! Following the log of changes: watchers of lists and resources, and observers inside services.
//!
//! # Theory
//! - Every change of a resource is a row of the log, in the transaction of the change ([`gyre_query::log`]). What follows the log
//!   misses nothing and sees nothing twice, since a row has one place in it ([`position`]).
//! - One task in a process follows the log for all ([`follower`]), and asks of each row whom it concerns ([`matcher`]), in memory.
//! - A watcher ([`watch`]) first reads what is there, and then tells of what changes. Where it left off is a position, with which any
//!   other instance goes on.
//! - An observer ([`observe`]) is a part of a service that is told of changes: before, in their transaction, where it may refuse
//!   them; or after, from the log.

pub mod api;
pub mod follower;
pub mod matcher;
mod metrics;
pub mod observe;
pub mod position;
pub mod row;
pub mod watch;

pub use follower::{Delivery, Follower, Interest, Subscription};
pub use matcher::Matcher;
pub use position::Position;
pub use row::Row;
