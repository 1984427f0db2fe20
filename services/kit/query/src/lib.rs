//! Resources in their tables, driven by what the .proto files say: one code for every kind.
//!
//! # Theory
//! - A resource is one row of its kind's table; each stored field is a column of the same name ([`mod@table`]). So reading, writing,
//!   listing and logging a change are the same for every kind, and a new kind needs a migration and nothing here.
//! - Who may see a row is decided in one place, `view`: it alone puts tables into statements of callers, and with each the
//!   condition that keeps to what the caller may see, be it the row that is asked for or one that a path goes through. What is not
//!   for the caller's eyes does not exist for them. [`read::select`] is for the owning service's own work.
//! - Every change ([`mod@write`]) appends to the log of changes ([`log`]) in the same transaction, with what was there before and
//!   after, without secrets; those who observe its kind ([`mod@observe`]) are asked before. Counters
//!   that are guarded updates of their owning service (capacity, addresses in use) are not changes of the resource.
//! - An update names the generation that it saw, and fails with `ABORTED` where another came first.
//! - Tags are rows of their own, read and written with the resource that they stand on ([`mod@tags`]).
//! - Settings ([`mod@settings`]) are declared like all else; their values are resources, and the nearest wins.
//! - [`filter`] is the language of `filter`: AIP-160 with paths through references (`path`), compiled to one condition with bound
//!   values. `order` sorts and `page` cuts; [`mod@ask`] is the call `Query`. `docs/query.md` is for users.

mod answer;
pub mod ask;
pub mod filter;
mod joins;
pub mod log;
pub mod mask;
pub mod observe;
mod order;
mod page;
mod path;
pub mod read;
pub mod request;
pub mod settings;
pub mod stream;
pub mod table;
pub mod tags;
pub mod untyped;
mod view;
pub mod write;

pub use answer::Record;
pub use ask::{Answer, Question, ask};
pub use mask::apply_mask;
pub use page::{DEFAULT_PAGE, LARGEST_PAGE};
pub use path::DEEPEST as DEEPEST_PATH;
pub use read::{check, find, get, list, matching, select};
pub use table::{Table, table};
pub use view::View;
pub use write::{Change, delete, delete_from, insert, update, update_from};
