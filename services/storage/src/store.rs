//! The tables of this service, and the rules that their rows keep.
//!
//! 1. A volume row that names a primary storage has taken its size there: row and room change in one transaction
//!    ([`volumes::insert`], [`volumes::settle`], [`volumes::remove`]).
//! 2. Room is taken with guarded updates only; nothing is read and then written ([`crate::drivers`]).
//! 3. Rows are locked in one order, so that transactions wait for each other and never in a circle: image, volume, the room on a
//!    host, the primary storage.
//! 4. A state is only left for another under the row's lock ([`modify`]).

pub(crate) mod image_servers;
pub(crate) mod images;
pub(crate) mod primary_storages;
pub(crate) mod volumes;

use gyre_model::{Caller, Error, Kind, Result, Uuid, parse_uuid};
use gyre_proto::Resource;
use gyre_query::{Change, table};
use gyre_store::{Conn, Sql};

/// Gyre itself: what this service reads for its own work.
pub(crate) const SYSTEM: Caller = Caller::system();

/// The UUID in a field that the database or the validation filled.
pub(crate) fn uuid_of(what: &str, text: &str) -> Result<Uuid> {
    parse_uuid(text).ok_or_else(|| Error::invalid(what, format!("must be a UUID, got {text:?}")))
}

/// The UUID in a field that may be empty.
pub(crate) fn opt_uuid(what: &str, text: &str) -> Result<Option<Uuid>> {
    if text.is_empty() { Ok(None) } else { uuid_of(what, text).map(Some) }
}

/// The UUID of something new: the one that its caller or the mesh chose.
pub(crate) fn new_uuid(text: &str) -> Result<Uuid> {
    Ok(opt_uuid("uuid", text)?.unwrap_or_else(Uuid::new_v4))
}

/// A path without what does not matter, so that equal places are equal texts.
pub(crate) fn plain_path(path: &str) -> String {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    format!("/{}", parts.join("/"))
}

/// Locks a row until the end of the transaction. False where it is gone.
pub(crate) fn lock<R: Resource>(conn: &mut Conn, uuid: Uuid) -> Result<bool> {
    let sql = Sql::new(format!("UPDATE {} SET generation = generation WHERE uuid = ", table::<R>().kind.table));
    Ok(conn.execute(sql.bind(uuid))? == 1)
}

/// Changes a row under its lock, so that no other change comes between. Answers it as it stands; nothing where it is gone.
pub(crate) fn modify<R: Resource>(
    conn: &mut Conn,
    change: &Change,
    uuid: Uuid,
    with: impl FnOnce(&mut R),
) -> Result<Option<R>> {
    if !lock::<R>(conn, uuid)? {
        return Ok(None);
    }
    let mut row: R = gyre_query::get(conn, &SYSTEM, uuid)?;
    with(&mut row);
    gyre_query::update(conn, change, &row).map(Some)
}

/// How many rows a `SELECT COUNT(*)` finds.
pub(crate) fn count(conn: &mut Conn, sql: Sql) -> Result<i64> {
    conn.query_one(sql)?.ok_or_else(|| Error::internal("a count answered nothing"))?.int(0)
}

/// Refuses a second thing of one kind at one place.
pub(crate) fn path_in_use(kind: &str, other: &str, path: &str) -> Error {
    let text = format!("{kind} {other} uses {path} already: choose another path");
    Error::new(Kind::AlreadyExists, "PATH_IN_USE", text).with("uuid", other).with("path", path)
}
