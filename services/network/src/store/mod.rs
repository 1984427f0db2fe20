//! The rows of this service, beyond what every resource has.
//!
//! | table | truth of |
//! | --- | --- |
//! | `l2_network`, `l3_network`, `ip_range` | the resources; `ip_range.used_count` is a counter that only [`address`] writes |
//! | `ip_address` | the addresses in use, as numbers, by interface |
//!
//! Hot: taking and giving back an address, once for each interface of a machine.

pub(crate) mod address;
pub(crate) mod network;
pub(crate) mod range;

use gyre_model::{Error, Kind, Result, Uuid};
use gyre_store::{Conn, Dialect, Sql};

/// Holds a row until the transaction ends, so that what is counted or compared stays so. SQLite has one writer, and needs nothing.
fn hold(conn: &mut Conn, table: &'static str, uuid: Uuid) -> Result<()> {
    if conn.dialect() == Dialect::Postgres {
        conn.query(Sql::new(format!("SELECT 1 FROM {table} WHERE uuid = ")).bind(uuid).sql(" FOR UPDATE"))?;
    }
    Ok(())
}

/// How many rows of a table refer to something.
fn count(conn: &mut Conn, table: &'static str, column: &'static str, uuid: Uuid) -> Result<i64> {
    let sql = Sql::new(format!("SELECT COUNT(*) FROM {table} WHERE {column} = ")).bind(uuid);
    conn.query_one(sql)?.map_or(Ok(0), |row| row.int(0))
}

/// Something is in the way of a deletion.
fn in_the_way(reason: &'static str, message: String, count: i64) -> Error {
    Error::new(Kind::FailedPrecondition, reason, message).with("count", count.to_string())
}
