//! The identity service through its own calls, on a database of its own; everything is real.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod accounts;
mod api_keys;
mod bootstrap;
mod receiver;
mod secrets;
mod sessions;
mod support;
mod webhooks;
