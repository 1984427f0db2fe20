//! A folder on each host: a volume stays on the host where it was made, so room is counted for each host.

use gyre_model::{Error, Kind, Result, Uuid};
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{CreateVolume, DeleteVolume, ImageSource, PrepareStorage, StorageFacts};
use gyre_proto::storage::v1::{PrimaryStorage, Volume};
use gyre_store::{Conn, Sql, Value};

use super::{Driver, Room};

/// A folder on each host.
pub(crate) struct Local;

/// The row of a host's room.
fn at(sql: Sql, storage: Uuid, host: Uuid) -> Sql {
    sql.sql(" WHERE primary_storage_uuid = ").bind(storage).sql(" AND host_uuid = ").bind(host)
}

fn add_to_total(conn: &mut Conn, storage: Uuid, bytes: i64) -> Result<()> {
    let sql = Sql::new("UPDATE primary_storage SET total_bytes = total_bytes + ").bind(bytes);
    conn.execute(sql.sql(" WHERE uuid = ").bind(storage))?;
    Ok(())
}

impl Driver for Local {
    fn prepare(&self, storage: &PrimaryStorage) -> Work {
        Work::PrepareStorage(PrepareStorage { path: storage.path.clone() })
    }

    fn prepared(&self, conn: &mut Conn, storage: Uuid, host: Uuid, facts: &StorageFacts) -> Result<()> {
        const COLUMNS: &str = "primary_storage_uuid, host_uuid, total_bytes, available_bytes, used_bytes";
        let row = [
            Value::from(storage),
            Value::from(host),
            Value::Int(facts.total_bytes),
            Value::Int(facts.available_bytes),
            Value::Int(0),
        ];
        // several volumes may prepare one host at the same moment
        let insert = Sql::new(format!("INSERT INTO primary_storage_host ({COLUMNS}) VALUES ("))
            .bind_all(row)
            .sql(") ON CONFLICT DO NOTHING");
        if conn.execute(insert)? == 1 {
            return add_to_total(conn, storage, facts.total_bytes);
        }
        let conflict = || Error::new(Kind::Aborted, "CONFLICT", "another look at the same host came first; try again");
        let seen = conn.query_one(at(Sql::new("SELECT total_bytes FROM primary_storage_host"), storage, host))?;
        let seen = seen.ok_or_else(conflict)?.int(0)?;
        let update = Sql::new("UPDATE primary_storage_host SET total_bytes = ")
            .bind(facts.total_bytes)
            .sql(", available_bytes = ")
            .bind(facts.available_bytes);
        if conn.execute(at(update, storage, host).sql(" AND total_bytes = ").bind(seen))? == 0 {
            return Err(conflict());
        }
        add_to_total(conn, storage, facts.total_bytes - seen)
    }

    fn look(&self, conn: &mut Conn, storage: &PrimaryStorage, host: Uuid) -> Result<Option<Room>> {
        let uuid = crate::store::uuid_of("primary_storage_uuid", &storage.uuid)?;
        let sql = Sql::new("SELECT total_bytes, used_bytes FROM primary_storage_host");
        let Some(row) = conn.query_one(at(sql, uuid, host))? else { return Ok(None) };
        let capacity = i128::from(row.int(0)?) * i128::from(storage.overcommit) / 100;
        Ok(Some(Room { capacity: i64::try_from(capacity).unwrap_or(i64::MAX), used: row.int(1)? }))
    }

    fn take(&self, conn: &mut Conn, storage: Uuid, host: Uuid, bytes: i64) -> Result<bool> {
        let room =
            at(Sql::new("UPDATE primary_storage_host SET used_bytes = used_bytes + ").bind(bytes), storage, host)
                .sql(" AND used_bytes + ")
                .bind(bytes)
                .sql(" <= total_bytes * (SELECT overcommit FROM primary_storage WHERE uuid = ")
                .bind(storage)
                .sql(") / 100");
        if conn.execute(room)? == 0 {
            return Ok(false);
        }
        let sum = Sql::new("UPDATE primary_storage SET used_bytes = used_bytes + ")
            .bind(bytes)
            .sql(" WHERE state = 'ENABLED' AND uuid = ")
            .bind(storage);
        if conn.execute(sum)? == 1 {
            return Ok(true);
        }
        // it was closed between choosing and taking: the room on the host, which nobody else has seen, goes back
        let room = Sql::new("UPDATE primary_storage_host SET used_bytes = used_bytes - ").bind(bytes);
        conn.execute(at(room, storage, host))?;
        Ok(false)
    }

    fn give_back(&self, conn: &mut Conn, storage: Uuid, host: Uuid, bytes: i64) -> Result<()> {
        let room = Sql::new("UPDATE primary_storage_host SET used_bytes = used_bytes - ").bind(bytes);
        let room = at(room, storage, host).sql(" AND used_bytes >= ").bind(bytes);
        let sum = Sql::new("UPDATE primary_storage SET used_bytes = used_bytes - ").bind(bytes);
        let sum = sum.sql(" WHERE uuid = ").bind(storage).sql(" AND used_bytes >= ").bind(bytes);
        if conn.execute(room)? + conn.execute(sum)? != 2 {
            return Err(Error::internal(format!(
                "storage {storage} has less room in use than {bytes} bytes on {host}"
            )));
        }
        Ok(())
    }

    fn create_volume(&self, storage: &PrimaryStorage, volume: &Volume, image: Option<ImageSource>) -> Work {
        Work::CreateVolume(CreateVolume {
            volume_uuid: volume.uuid.clone(),
            folder: storage.path.clone(),
            size_bytes: volume.size_bytes,
            image,
        })
    }

    fn delete_volume(&self, storage: &PrimaryStorage, volume: &Volume) -> Work {
        Work::DeleteVolume(DeleteVolume { volume_uuid: volume.uuid.clone(), folder: storage.path.clone() })
    }
}
