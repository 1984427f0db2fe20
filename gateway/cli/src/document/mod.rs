//! Documents: requests and resources written in YAML or JSON, in files or on standard input.
//!
//! A document says the same things as flags do, in the same words: sizes as `4GiB`, enum values in short, references by name
//! (`image: debian-13`), keys in snake_case or lowerCamelCase, with or without `_uuid` and `_bytes`. What it says is read into a
//! message ([`fill`]); references stay what was written until somebody who can ask a gateway looks them up ([`Reference`]).

mod fill;
mod keys;
mod read;

pub use fill::{Filled, Reference, fill};
pub use keys::field_of;
pub use read::{Document, read, read_all};
