//! Deleting a row with its parts, once nothing else refers to it.

use gyre_model::{Error, Kind, Result, Uuid};
use gyre_query::{Change, table, untyped};
use gyre_store::{Conn, Dialect, Sql};

use super::graph::{How, graph};
use super::plan;

/// Deletes a resource with its parts, if nothing refers to it but those. Answers whether it was there.
///
/// # Errors
/// `IN_USE` where something refers to it: it came while the rest was being deleted. The transaction has to be given up then.
pub fn remove(conn: &mut Conn, change: &Change, kind: &'static str, uuid: Uuid) -> Result<bool> {
    let table = table::by_kind(kind).kind.table;
    let mut hold = Sql::new(format!("SELECT 1 FROM {table} WHERE uuid = ")).bind(uuid);
    if conn.dialect() == Dialect::Postgres {
        // what would refer to it from now on waits, and then finds it gone
        hold.push(" FOR UPDATE");
    }
    if conn.query_one(hold)?.is_none() {
        return Ok(false);
    }
    // first, since one may refer to it by another of its fields, too: a policy to its owner as to whom it binds
    for edge in graph().referring(kind).iter().filter(|edge| edge.how == How::Part) {
        for part in plan::those(conn, edge, uuid)? {
            remove(conn, change, edge.kind.kind, part)?;
        }
    }
    for edge in graph().referring(kind).iter().filter(|edge| edge.how != How::Part) {
        if plan::any(conn, edge, uuid)? {
            let text = format!(
                "{kind} {uuid} is used by {} that came meanwhile: delete it again, or remove those first",
                edge.kind.plural
            );
            return Err(Error::new(Kind::FailedPrecondition, "IN_USE", text).with("kind", edge.kind.kind));
        }
    }
    untyped::delete(conn, change, kind, uuid)
}
