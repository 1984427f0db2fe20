//! The mesh: who is there, who owns what, how calls travel, and how a process starts, is watched, and stops.
//!
//! A service is a set of tonic routes and a name. [`serve::Process`] brings it up: it joins the members ([`member`]), listens,
//! and stacks the layers that every call passes ([`serve`]) around the routes. Whoever wants to call a service takes
//! [`Mesh::channel`] and puts the generated client on it; the channel ([`channel`]) finds the owner by the hash ring
//! ([`ring`]), in this process or another, and tries again when the ring was old or the peer died.
//!
//! Ground rules:
//! 1. A view of the members is a hint. Who receives a call checks it against its own view and its own lease; what must be single
//!    is protected by the database's fences behind that.
//! 2. A call that changes something carries a request id, so sending it again is safe, and the mesh does.
//! 3. Deadlines and traces travel by themselves ([`context`]); work that outlives its call drops the deadline and keeps the trace.
//! 4. In one process nothing is different but the way: the same channel calls the same stack directly, without a socket.

pub mod channel;
pub mod config;
pub mod context;
pub mod egress;
pub mod member;
mod mesh;
pub mod outside;
pub mod reason;
pub mod refused;
pub mod ring;
pub mod serve;
pub mod tasks;
pub mod telemetry;
pub mod tls;

pub use channel::MeshChannel;
pub use mesh::{LocalService, Mesh};
