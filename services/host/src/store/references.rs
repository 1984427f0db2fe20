//! What stands in the way of deleting a zone, a cluster or a host.

use gyre_model::{Error, Kind, Result, Uuid};
use gyre_store::{Conn, Sql};

/// Something that may refer to what is to be deleted: how it is called, its table, and the column.
type Reference = (&'static str, &'static str, &'static str);

const OF_ZONE: [Reference; 2] = [("clusters", "cluster", "zone_uuid"), ("hosts", "host", "zone_uuid")];

const OF_CLUSTER: [Reference; 4] = [
    ("hosts", "host", "cluster_uuid"),
    ("primary_storages", "primary_storage", "cluster_uuid"),
    ("l2_networks", "l2_network", "cluster_uuid"),
    ("vms", "vm", "cluster_uuid"),
];

const OF_HOST: [Reference; 4] = [
    ("vms", "vm", "host_uuid"),
    ("volumes", "volume", "host_uuid"),
    ("image_servers", "image_server", "host_uuid"),
    ("placements", "host_placement", "host_uuid"),
];

fn refuse(conn: &mut Conn, kind: &str, uuid: Uuid, reason: &'static str, references: &[Reference]) -> Result<()> {
    let mut found = Vec::new();
    for (name, table, column) in references {
        let sql = Sql::new(format!("SELECT count(*) FROM {table} WHERE {column} = ")).bind(uuid);
        let count = conn.query_one(sql)?.map(|row| row.int(0)).transpose()?.unwrap_or(0);
        if count > 0 {
            found.push((*name, count));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let list: Vec<_> = found.iter().map(|(name, count)| format!("{count} {}", name.replace('_', " "))).collect();
    let text = format!("{kind} {uuid} still has {}: remove or move them first", list.join(", "));
    let error = Error::new(Kind::FailedPrecondition, reason, text).with("uuid", uuid.to_string());
    Err(found.into_iter().fold(error, |error, (name, count)| error.with(name, count.to_string())))
}

/// Refuses to delete a zone with something in it.
pub(crate) fn zone_empty(conn: &mut Conn, uuid: Uuid) -> Result<()> {
    refuse(conn, "zone", uuid, "ZONE_NOT_EMPTY", &OF_ZONE)
}

/// Refuses to delete a cluster with something in it.
pub(crate) fn cluster_empty(conn: &mut Conn, uuid: Uuid) -> Result<()> {
    refuse(conn, "cluster", uuid, "CLUSTER_NOT_EMPTY", &OF_CLUSTER)
}

/// Refuses to delete a host with something on it.
pub(crate) fn host_empty(conn: &mut Conn, uuid: Uuid) -> Result<()> {
    refuse(conn, "host", uuid, "HOST_NOT_EMPTY", &OF_HOST)
}
