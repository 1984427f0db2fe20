//! The tables of this service, and the rules that their rows keep.
//!
//! 1. A volume row that names a primary storage has taken its size there: row and room change in one transaction
//!    ([`volumes::insert`], [`volumes::settle`], [`volumes::remove`]).
//! 2. Room is taken with guarded updates only; nothing is read and then written ([`crate::drivers`]).
//! 3. Rows are locked in one order, so that transactions wait for each other and never in a circle: image, volume, the room on a
//!    host, the primary storage.
//! 4. A state is only left for another while the row is held ([`modify`]).

pub(crate) mod image_servers;
pub(crate) mod images;
pub(crate) mod primary_storages;
pub(crate) mod roots;
pub(crate) mod volumes;

use gyre_model::id::ordered_uuid;
use gyre_model::{Caller, Error, Kind, Result, Uuid, parse_uuid};
use gyre_proto::Resource;
use gyre_query::{Change, table};
use gyre_store::{Conn, Dialect, Sql};

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
    Ok(opt_uuid("uuid", text)?.unwrap_or_else(ordered_uuid))
}

/// A path without what does not matter, so that equal places are equal texts.
pub(crate) fn plain_path(path: &str) -> String {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    format!("/{}", parts.join("/"))
}

/// How a row is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nobody else changes or holds it.
    Alone,
    /// Nobody changes it; others may hold it, too.
    Shared,
}

/// Reads a row that stays as it is until the end of the transaction. Nothing where it is gone. On SQLite, whose one writer runs one
/// transaction after the other, that is so without doing anything.
pub(crate) fn held<R: Resource>(conn: &mut Conn, uuid: Uuid, hold: Hold) -> Result<Option<R>> {
    if conn.dialect() == Dialect::Postgres {
        let how = match hold {
            Hold::Alone => "UPDATE",
            Hold::Shared => "SHARE",
        };
        let sql = Sql::new(format!("SELECT 1 FROM {} WHERE uuid = ", table::<R>().kind.table)).bind(uuid);
        conn.query(sql.sql(format!(" FOR {how}")))?;
    }
    gyre_query::find(conn, &SYSTEM, uuid)
}

/// The same for what must be there.
///
/// # Errors
/// `NOT_FOUND`.
pub(crate) fn hold<R: Resource>(conn: &mut Conn, uuid: Uuid) -> Result<R> {
    held(conn, uuid, Hold::Alone)?.ok_or_else(|| Error::not_found(R::KIND, uuid))
}

/// Changes a row while it is held, so that no other change comes between. Answers it as it stands; nothing where it is gone.
pub(crate) fn modify<R: Resource + Clone>(
    conn: &mut Conn,
    change: &Change,
    uuid: Uuid,
    with: impl FnOnce(&mut R),
) -> Result<Option<R>> {
    let Some(before) = held::<R>(conn, uuid, Hold::Alone)? else { return Ok(None) };
    let mut row = before.clone();
    with(&mut row);
    gyre_query::update_from(conn, change, &before, &row).map(Some)
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
