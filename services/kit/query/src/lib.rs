//! Resources in their tables, driven by what the .proto files say: one code for every kind.
//!
//! # Theory
//! - A resource is one row of its kind's table; each stored field is a column of the same name ([`mod@table`]). So reading, writing,
//!   listing and logging a change are the same for every kind, and a new kind needs a migration and nothing here.
//! - Who may see a row is decided here and nowhere else: [`read::get`] and [`read::list`] put the caller's scope into the
//!   statement. What is not for the caller's eyes does not exist for them. [`read::select`] is for the owning service's own work.
//! - Every change ([`mod@write`]) appends to the change log in the same transaction, with what was there before and after. Counters
//!   that are guarded updates of their owning service (capacity, addresses in use) are not changes of the resource.
//! - An update names the generation that it saw, and fails with `ABORTED` where another came first.
//! - Tags are rows of their own, read and written with the resource that they stand on ([`mod@tags`]).
//! - [`filter`] is the language of `filter`: AIP-160, compiled to a condition with bound values.

pub mod filter;
pub mod mask;
pub mod order;
pub mod read;
pub mod request;
pub mod table;
pub mod tags;
pub mod untyped;
pub mod write;

pub use mask::apply_mask;
pub use read::{find, get, list, select};
pub use table::{Table, table};
pub use write::{Change, delete, insert, update};
