//! The identity service through its own calls, on a database of its own; everything is real.

mod accounts;
mod api_keys;
mod bootstrap;
mod secrets;
mod sessions;
mod support;
