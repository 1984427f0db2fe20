//! Primary storage: its rows. The room in it is its driver's.

use gyre_model::{Error, Kind, Result, Uuid};
use gyre_proto::Resource as _;
use gyre_proto::agent::v1::StorageFacts;
use gyre_proto::host::v1::Cluster;
use gyre_proto::storage::v1::{PrimaryStorage, PrimaryStorageState};
use gyre_query::Change;
use gyre_store::{Conn, Sql};

use super::{SYSTEM, modify, path_in_use, plain_path, uuid_of};
use crate::drivers;

/// Bytes of disks that are promised for 100 bytes of room where nobody said so.
const DEFAULT_OVERCOMMIT: i32 = 200;
/// The least.
const LEAST_OVERCOMMIT: i32 = 50;

/// The overcommit that is meant.
pub(crate) fn overcommit(asked: i32) -> Result<i32> {
    match asked {
        0 => Ok(DEFAULT_OVERCOMMIT),
        asked if asked < LEAST_OVERCOMMIT => Err(Error::invalid(
            "primary_storage.overcommit",
            format!("must be between {LEAST_OVERCOMMIT} and 1000, or 0 for {DEFAULT_OVERCOMMIT}, got {asked}"),
        )),
        asked => Ok(asked),
    }
}

/// A new primary storage as it is written: what only Gyre sets is set.
///
/// # Errors
/// An overcommit out of bounds, a type that has no driver.
pub(crate) fn fresh(asked: PrimaryStorage, uuid: Uuid) -> Result<PrimaryStorage> {
    let storage = PrimaryStorage {
        uuid: uuid.to_string(),
        // no disk comes before its hosts are prepared
        state: PrimaryStorageState::Disabled.into(),
        path: plain_path(&asked.path),
        overcommit: overcommit(asked.overcommit)?,
        total_bytes: 0,
        used_bytes: 0,
        ..asked
    };
    drivers::of(&storage)?;
    Ok(storage)
}

/// Writes a new primary storage.
pub(crate) fn insert(conn: &mut Conn, change: &Change, storage: &PrimaryStorage) -> Result<()> {
    let cluster = uuid_of("primary_storage.cluster_uuid", &storage.cluster_uuid)?;
    gyre_query::get::<Cluster>(conn, &SYSTEM, cluster)?;
    let same = Sql::new("cluster_uuid = ").bind(cluster).sql(" AND path = ").bind(storage.path.as_str());
    if let Some(other) = gyre_query::select::<PrimaryStorage>(conn, same)?.first() {
        return Err(path_in_use(PrimaryStorage::KIND, &other.uuid, &storage.path));
    }
    gyre_query::insert(conn, change, storage)?;
    Ok(())
}

/// Writes what the hosts told of their folders, and lets disks come.
pub(crate) fn enable(conn: &mut Conn, change: &Change, uuid: Uuid, hosts: &[(Uuid, StorageFacts)]) -> Result<()> {
    let storage: PrimaryStorage = gyre_query::get(conn, &SYSTEM, uuid)?;
    let driver = drivers::of(&storage)?;
    for (host, facts) in hosts {
        driver.prepared(conn, uuid, *host, facts)?;
    }
    modify::<PrimaryStorage>(conn, change, uuid, |storage| storage.set_state(PrimaryStorageState::Enabled))?;
    Ok(())
}

/// Puts a primary storage into a state. One that is gone is fine.
pub(crate) fn set_state(conn: &mut Conn, change: &Change, uuid: Uuid, state: PrimaryStorageState) -> Result<()> {
    let before: Option<PrimaryStorage> = gyre_query::find(conn, &SYSTEM, uuid)?;
    if before.is_some_and(|before| before.state() != state) {
        modify::<PrimaryStorage>(conn, change, uuid, |storage| storage.set_state(state))?;
    }
    Ok(())
}

/// The primary storages that a new disk on a host of the cluster may lie in: the one that is named, or all that take new disks.
///
/// # Errors
/// `NO_PRIMARY_STORAGE`; of one that is named: `NOT_FOUND`, `PRIMARY_STORAGE_DISABLED`, `PRIMARY_STORAGE_NOT_IN_CLUSTER`.
pub(crate) fn candidates(conn: &mut Conn, cluster: Uuid, named: Option<Uuid>) -> Result<Vec<PrimaryStorage>> {
    let refuse = |reason, text: String| Error::new(Kind::FailedPrecondition, reason, text);
    if let Some(uuid) = named {
        let storage: PrimaryStorage = gyre_query::get(conn, &SYSTEM, uuid)?;
        if uuid_of("cluster_uuid", &storage.cluster_uuid)? != cluster {
            let text = format!(
                "primary storage {uuid} is for cluster {}, the host is in {cluster}: name one of its cluster, or none",
                storage.cluster_uuid
            );
            return Err(refuse("PRIMARY_STORAGE_NOT_IN_CLUSTER", text).with("cluster_uuid", cluster.to_string()));
        }
        if storage.state() != PrimaryStorageState::Enabled {
            let text = format!("primary storage {uuid} takes no new disks: wait until it is enabled, or name another");
            return Err(refuse("PRIMARY_STORAGE_DISABLED", text));
        }
        return Ok(vec![storage]);
    }
    let enabled = Sql::new("cluster_uuid = ").bind(cluster).sql(" AND state = 'ENABLED' ORDER BY create_time, uuid");
    let storages: Vec<PrimaryStorage> = gyre_query::select(conn, enabled)?;
    if storages.is_empty() {
        let text = format!("cluster {cluster} has no primary storage that takes new disks: create one");
        return Err(refuse("NO_PRIMARY_STORAGE", text).with("cluster_uuid", cluster.to_string()));
    }
    Ok(storages)
}

/// Deletes a primary storage that holds nothing, and the room on its hosts.
pub(crate) fn remove(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    conn.execute(
        Sql::new("DELETE FROM primary_storage_host WHERE used_bytes = 0 AND primary_storage_uuid = ").bind(uuid),
    )?;
    gyre_flow::delete::remove(conn, change, PrimaryStorage::KIND, uuid).map(drop)
}

/// Makes the totals equal to the sums over the hosts: a host that was removed took its room along. Answers how many were not.
pub(crate) fn settle_totals(conn: &mut Conn) -> Result<usize> {
    const SUM: &str = "(SELECT CAST(COALESCE(SUM(room.total_bytes), 0) AS BIGINT) FROM primary_storage_host room \
                       WHERE room.primary_storage_uuid = primary_storage.uuid)";
    let sql = format!("UPDATE primary_storage SET total_bytes = {SUM} WHERE total_bytes <> {SUM}");
    Ok(conn.execute(Sql::new(sql))?)
}
