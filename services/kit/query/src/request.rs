//! What handlers take out of a request that the layers have checked already.

use gyre_model::id::ordered_uuid;
use gyre_model::{Caller, Error, Kind, Result, Uuid, parse_uuid};
use gyre_proto::Resource;
use gyre_store::Conn;

/// The UUID of a resource that a request is about. One that is none names nothing.
///
/// # Errors
/// `NOT_FOUND`.
pub fn uuid(kind: &str, text: &str) -> Result<Uuid> {
    parse_uuid(text).ok_or_else(|| Error::not_found(kind, text))
}

/// The UUID of a new resource: the caller's or the mesh's, or else one of ours.
pub fn new_uuid(text: &str) -> Uuid {
    parse_uuid(text).unwrap_or_else(ordered_uuid)
}

/// The message inside a request.
///
/// # Errors
/// `INVALID_ARGUMENT` where it is missing.
pub fn given<T>(field: &str, message: Option<T>) -> Result<T> {
    message.ok_or_else(|| Error::invalid(field, "must be given"))
}

/// Something that a request names, within what its caller may see.
///
/// # Errors
/// `NOT_FOUND` with this reason, and the field that names it.
pub fn named<R: Resource>(
    conn: &mut Conn,
    caller: &Caller,
    field: &str,
    text: &str,
    reason: &'static str,
) -> Result<R> {
    let found = match parse_uuid(text) {
        Some(uuid) => crate::find::<R>(conn, caller, uuid)?,
        None => None,
    };
    found.ok_or_else(|| {
        Error::new(Kind::NotFound, reason, format!("there is no {} {text}", R::KIND))
            .violation(field, format!("must name a {} that is there, got {text}", R::KIND))
    })
}
