//! Who is there: members, what a process sees of them, and how it becomes one.
//!
//! A process has one instance UUID, made at start, and may be a member of several services under it (a node runs them all).
//! What it sees is a [`View`]: the members and one ring per service, at an epoch. Views are never changed, only replaced, so a
//! reader takes one and works with it, without a lock. A view is a hint: it may be old, and two processes may disagree for a
//! moment. What stands behind it is said in `docs/ring.md` and checked in [`crate::serve`].

pub mod lease;
mod local;
pub mod roster;
mod view;

#[cfg(feature = "etcd")]
pub mod etcd;

use gyre_model::time;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use local::LocalMembership;
pub use view::{ServiceView, View, Views};

/// The address of members that live in the same process and listen nowhere.
pub const LOCAL: &str = "local";

/// An instance of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The instance, chosen when its process started.
    pub uuid: Uuid,
    /// The service.
    pub service: String,
    /// Where it is reached: host:port, or [`LOCAL`].
    pub address: String,
    /// Its version.
    pub version: String,
    /// When it started, in microseconds since 1970.
    pub start_time: i64,
}

/// How a member stands in etcd. Fields that are not known are passed over, so that members of different versions see each other.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    address: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    start_time: String,
}

impl Member {
    /// This build of a service, starting now.
    pub fn new(uuid: Uuid, service: impl Into<String>, address: impl Into<String>) -> Self {
        Self {
            uuid,
            service: service.into(),
            address: address.into(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            start_time: time::now_micros(),
        }
    }

    /// What stands under its key: JSON. The service and the UUID are in the key.
    pub fn to_json(&self) -> String {
        let written = Written {
            address: self.address.clone(),
            version: self.version.clone(),
            start_time: time::print(self.start_time),
        };
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// Reads one from the end of its key ("vm/6f0c…") and its value.
    pub fn from_json(key: &str, value: &[u8]) -> Option<Self> {
        let (service, uuid) = key.split_once('/')?;
        let uuid = gyre_model::parse_uuid(uuid)?;
        let written: Written = serde_json::from_slice(value).ok()?;
        Some(Self {
            uuid,
            service: service.to_owned(),
            address: written.address,
            version: written.version,
            start_time: time::parse(&written.start_time).unwrap_or_default(),
        })
    }
}

impl From<&Member> for gyre_proto::common::v1::Member {
    fn from(member: &Member) -> Self {
        Self {
            uuid: member.uuid.to_string(),
            service: member.service.clone(),
            address: member.address.clone(),
            version: member.version.clone(),
            start_time: Some(time::from_micros(member.start_time)),
        }
    }
}

/// How a process finds the others and becomes a member.
#[async_trait::async_trait]
pub trait Membership: Send + Sync + 'static {
    /// What this process sees, now and later.
    fn views(&self) -> &Views;

    /// Registers members of this process, and returns once they stand in this process's own view. They stay registered, through
    /// losses of the connection, until [`Membership::leave`].
    async fn join(&self, members: Vec<Member>) -> gyre_model::Result<()>;

    /// Takes all members of this process out, and returns once they are gone from this process's own view, or it is clear that
    /// their lease will have to run out.
    async fn leave(&self);

    /// Whether this process can prove, by its own clock, that its membership has not run out. Where it cannot, it must not start
    /// work that only an owner may do.
    fn lease_valid(&self) -> bool;

    /// Whether this process does not hear of the members any more, or is one and cannot prove it. Then its view may be old, and
    /// waiting for another is in vain.
    fn cut_off(&self) -> bool {
        !self.lease_valid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_read_as_it_was_written_and_news_is_passed_over() {
        let member = Member::new(Uuid::new_v4(), "vm", "10.0.0.1:7070");
        let key = format!("vm/{}", member.uuid);
        assert_eq!(Member::from_json(&key, member.to_json().as_bytes()), Some(member.clone()));
        let newer = r#"{"address":"10.0.0.1:7070","rack":"b4","load":{"lanes":3}}"#;
        assert_eq!(Member::from_json(&key, newer.as_bytes()).unwrap().address, member.address);
        assert_eq!(Member::from_json("vm", newer.as_bytes()), None);
        assert_eq!(Member::from_json(&key, b"{}"), None);
    }
}
