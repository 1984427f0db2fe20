//! Reasons of errors that the mesh itself makes. Those of a refusal to take a call are retried by the channel, elsewhere or
//! after a newer view; programs outside see them only when the time for that ran out.

/// The receiver does not own the UUID; metadata `epoch` has the epoch of its ring.
pub const NOT_OWNER: &str = "NOT_OWNER";
/// The receiver shuts down.
pub const DRAINING: &str = "DRAINING";
/// The receiver cannot prove that its membership still holds.
pub const LEASE_LOST: &str = "LEASE_LOST";
/// Nobody can take the call while etcd is away; reads go on.
pub const NO_LEASE: &str = "NO_LEASE";
/// No instance of the service is there.
pub const NO_MEMBER: &str = "NO_MEMBER";
/// The peer could not be reached, or the connection was lost before it answered.
pub const PEER_UNREACHABLE: &str = "PEER_UNREACHABLE";
/// Time ran out.
pub const DEADLINE_EXCEEDED: &str = "DEADLINE_EXCEEDED";
/// A message is larger than the limit.
pub const MESSAGE_TOO_LARGE: &str = "MESSAGE_TOO_LARGE";
/// The bytes are not a gRPC message that Gyre reads.
pub const BROKEN_MESSAGE: &str = "BROKEN_MESSAGE";
/// There is no such call here.
pub const NO_SUCH_CALL: &str = "NO_SUCH_CALL";
/// Only members of the mesh may call this.
pub const MESH_ONLY: &str = "MESH_ONLY";
/// Only administrators may call this.
pub const ADMIN_ONLY: &str = "ADMIN_ONLY";
/// Nobody is signed in.
pub const NOT_SIGNED_IN: &str = "NOT_SIGNED_IN";
