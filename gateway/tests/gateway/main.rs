//! The gateway through its port: a mesh of fakes behind it, real sockets before it.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod auth;
mod callback;
mod fakes;
mod fixture;
mod grpc;
mod limits;
mod overload;
mod random;
mod rest;
mod streams;
