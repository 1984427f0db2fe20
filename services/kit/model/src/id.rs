//! UUIDs as people and programs write them, and ids that know what they name.
//!
//! A message carries text; code that handles several kinds at once carries [`Id`]s, so that a host cannot stand where a machine
//! is meant. Untyped UUIDs become typed in [`Id::parse`] and typed ones untyped in [`Id::uuid`], nowhere else.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use gyre_proto::Resource;
use uuid::Uuid;

use crate::error::{Error, Kind, Result};

/// Reads a UUID: hyphenated in either case, or 32 hex digits. Anything else (braces, URNs) is none.
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    matches!(text.len(), 32 | 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// A new UUID of version 4 that begins with the time in milliseconds and goes on with 74 random bits: for what there are many of.
///
/// Rows that are made together then lie together in every index that begins with their UUID, or with that of what they belong to,
/// and a database changes the last pages of each instead of pages all over it. The end of one tells resources apart that
/// were made in one moment, the beginning does not. RFC 9562 has the same as version 7.
pub fn ordered_uuid() -> Uuid {
    let mut bytes = Uuid::new_v4().into_bytes();
    let millis = crate::time::now_micros().div_euclid(1000).to_be_bytes();
    bytes[..6].copy_from_slice(&millis[2..]);
    Uuid::from_bytes(bytes)
}

/// The UUID of a resource of one kind.
pub struct Id<R> {
    uuid: Uuid,
    kind: PhantomData<fn() -> R>,
}

impl<R: Resource> Id<R> {
    /// Wraps a UUID that is known to name a resource of this kind.
    pub fn of(uuid: Uuid) -> Self {
        Self { uuid, kind: PhantomData }
    }

    /// Reads one from a message's field.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` that names the field and the value.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        parse_uuid(text).map(Self::of).ok_or_else(|| {
            Error::new(Kind::InvalidArgument, "INVALID_FIELD", format!("{field} must be the UUID of a {}", R::KIND))
                .violation(field, format!("must be a UUID, got {text:?}"))
        })
    }

    /// The UUID itself.
    pub fn uuid(self) -> Uuid {
        self.uuid
    }
}

impl<R> Clone for Id<R> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<R> Copy for Id<R> {}
impl<R> PartialEq for Id<R> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}
impl<R> Eq for Id<R> {}
impl<R> Hash for Id<R> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}
impl<R> fmt::Debug for Id<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid.fmt(formatter)
    }
}
impl<R> fmt::Display for Id<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_read_in_two_forms_and_no_other() {
        let uuid = Uuid::new_v4();
        assert_eq!(parse_uuid(&uuid.hyphenated().to_string().to_uppercase()), Some(uuid));
        assert_eq!(parse_uuid(&uuid.simple().to_string()), Some(uuid));
        assert_eq!(parse_uuid(&uuid.braced().to_string()), None);
        assert_eq!(parse_uuid(&uuid.urn().to_string()), None);
        assert_eq!(parse_uuid(""), None);
    }
}
