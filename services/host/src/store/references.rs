//! What is on a host beside resources: room that is taken there.

use gyre_model::{Error, Kind, Result, Uuid};
use gyre_store::{Conn, Sql};

/// Refuses to delete a host on which room is taken.
///
/// # Errors
/// `HOST_NOT_EMPTY`.
pub(crate) fn host_has_no_claims(conn: &mut Conn, uuid: Uuid) -> Result<()> {
    let sql = Sql::new("SELECT COUNT(*) FROM host_placement WHERE host_uuid = ").bind(uuid);
    match conn.query_one(sql)?.map_or(Ok(0), |row| row.int(0))? {
        0 => Ok(()),
        count => {
            let text = format!("room is taken on host {uuid} for {count} machines: wait until they are gone");
            let error = Error::new(Kind::FailedPrecondition, "HOST_NOT_EMPTY", text).with("uuid", uuid.to_string());
            Err(error.with("placements", count.to_string()))
        }
    }
}
