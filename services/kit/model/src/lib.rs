//! What every room knows: ids, errors, callers, and what the descriptor set says of resources and calls.
//!
//! Nothing here does input or output. [`catalog()`] reads the one descriptor set once; everything that is generic in Gyre
//! (routing, permissions, validation, storage, queries, commands) asks it instead of repeating what the .proto files say.

pub mod behalf;
pub mod caller;
pub mod catalog;
pub mod error;
pub mod fair;
pub mod id;
pub mod near;
pub mod origin;
pub mod policy;
pub mod time;
pub mod turn;
pub mod validate;
pub mod wire;

pub use behalf::Behalf;
pub use caller::{Acting, Caller};
pub use catalog::{Catalog, catalog};
pub use error::{Error, Kind, Result};
pub use id::{Id, parse_uuid};
pub use origin::Origin;
pub use uuid::Uuid;
