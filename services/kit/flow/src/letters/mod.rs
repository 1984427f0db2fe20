//! Letters: what Gyre posts to a URL that a user named. Callbacks of operations and webhooks share how one is signed ([`sign`]), sent
//! ([`post`]), tried again ([`schedule`]), and how many are under way ([`places`]).
//!
//! Where a letter goes is judged anew at each try, address by address ([`gyre_mesh::egress`]); what a receiver answers is not read beyond
//! its head, and never shown: letters are no way to read what stands behind a wall.

pub mod places;
pub mod post;
pub mod schedule;
pub mod sign;

pub use places::{Place, Places};
pub use post::{Failed, Letter, Poster};

/// Longest reason of a failure that is kept.
pub const LONGEST_ERROR: usize = 500;
