//! Changing resources. Every change appends to the change log in the same transaction.

use gyre_model::{Caller, Error, Kind, Result, Uuid, parse_uuid, time};
use gyre_proto::Resource;
use gyre_proto::json::JsonCodec;
use gyre_store::{Conn, DbError, Sql, Value};

use crate::log::{self, Action, Entry};
use crate::read;
use crate::table::table;

/// On whose behalf something changes, and why.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// Who asked.
    pub caller: Caller,
    /// The operation that it is part of.
    pub operation: Option<Uuid>,
}

impl Change {
    /// A change that a call makes itself, be it for a step of an operation.
    pub fn by(caller: Caller) -> Self {
        Self { caller, operation: caller.acting.map(|acting| acting.operation) }
    }

    /// A change that is part of an operation.
    pub fn of(caller: Caller, operation: Uuid) -> Self {
        Self { caller, operation: Some(operation) }
    }
}

/// A resource as the log keeps it: its JSON without secrets.
fn json<R: Resource>(message: &[u8]) -> Result<Value> {
    let codec = JsonCodec::by_name(R::NAME).ok_or_else(|| Error::internal(R::NAME))?;
    let mut text = Vec::with_capacity(512);
    (codec.print)(message, &mut text).map_err(Error::internal)?;
    let secrets = &table::<R>().secrets;
    if !secrets.is_empty() {
        let mut whole: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&text).map_err(Error::internal)?;
        whole.retain(|name, _| !secrets.contains(&name.as_str()));
        text = serde_json::to_vec(&whole).map_err(Error::internal)?;
    }
    Ok(Value::json(String::from_utf8(text).map_err(Error::internal)?))
}

fn log<R: Resource>(conn: &mut Conn, change: &Change, uuid: Uuid, before: Option<&R>, after: Option<&R>) -> Result<()> {
    let action = match (before, after) {
        (None, _) => Action::Create,
        (_, None) => Action::Delete,
        _ => Action::Update,
    };
    let before = before.map(R::encode_to_vec);
    let after = after.map(R::encode_to_vec);
    let account = after.as_deref().or(before.as_deref()).and_then(|message| table::<R>().owner(uuid, message));
    let entry = Entry {
        account,
        operation: change.operation,
        before: before.map(|message| json::<R>(&message)).transpose()?,
        after: after.map(|message| json::<R>(&message)).transpose()?,
        ..Entry::new(change.caller, action, R::KIND, Some(uuid))
    };
    log::append(conn, entry)
}

fn uuid_of<R: Resource>(resource: &R) -> Result<Uuid> {
    parse_uuid(resource.uuid())
        .ok_or_else(|| Error::invalid("uuid", format!("must be a UUID, got {:?}", resource.uuid())))
}

/// Writes a new resource: `create_time`, `update_time` and `generation` are set here. Answers it as it stands.
///
/// # Errors
/// `ALREADY_EXISTS` where the UUID is taken.
pub fn insert<R: Resource>(conn: &mut Conn, change: &Change, resource: &R) -> Result<R> {
    let table = table::<R>();
    let uuid = uuid_of(resource)?;
    let mut values = table.values(&resource.encode_to_vec())?;
    let now = time::now_micros();
    for (value, column) in values.iter_mut().zip(&table.columns) {
        match column.field.name {
            "create_time" | "update_time" => *value = Value::time(now),
            "generation" => *value = Value::Int(1),
            _ => {}
        }
    }
    let sql = Sql::new(format!("INSERT INTO {} ({}) VALUES (", table.kind.table, table.names))
        .bind_all(values)
        .sql(format!(") RETURNING {}", table.names));
    let row = conn.savepoint(|conn| conn.query_one(sql)).map_err(|error| match error {
        DbError::Unique(constraint) => Error::new(
            Kind::AlreadyExists,
            "ALREADY_EXISTS",
            format!("there is already a {} with this identity ({uuid}): choose another", R::KIND),
        )
        .with("constraint", constraint),
        other => other.into(),
    })?;
    let stored: R = table.resource(&row.ok_or_else(|| Error::internal("an insert answered nothing"))?)?;
    log(conn, change, uuid, None, Some(&stored))?;
    Ok(stored)
}

/// Writes a resource over the generation that it was read with. Answers it as it stands.
///
/// # Errors
/// `ABORTED` (`STALE_GENERATION`) where another change came first, `NOT_FOUND` where it is gone.
pub fn update<R: Resource>(conn: &mut Conn, change: &Change, resource: &R) -> Result<R> {
    let table = table::<R>();
    let uuid = uuid_of(resource)?;
    let before: R = read::get(conn, &Caller::system(), uuid)?;
    let values = table.values(&resource.encode_to_vec())?;
    let mut sql = Sql::new(format!("UPDATE {} SET generation = generation + 1, update_time = ", table.kind.table))
        .bind(Value::time(time::now_micros()));
    for (value, column) in values.into_iter().zip(&table.columns) {
        if matches!(column.field.name, "uuid" | "create_time" | "update_time" | "generation" | "account_uuid")
            || COUNTERS.contains(&(R::KIND, column.field.name))
        {
            continue;
        }
        sql.push(format!(", {} = ", column.field.name));
        sql.push_bind(value);
    }
    let sql = sql
        .sql(" WHERE uuid = ")
        .bind(uuid)
        .sql(" AND generation = ")
        .bind(resource.generation())
        .sql(format!(" RETURNING {}", table.names));
    let Some(row) = conn.query_one(sql)? else {
        return Err(Error::new(
            Kind::Aborted,
            "STALE_GENERATION",
            format!("{} {uuid} was changed by somebody else: read it again and repeat the change", R::KIND),
        ));
    };
    let stored: R = table.resource(&row)?;
    log(conn, change, uuid, Some(&before), Some(&stored))?;
    Ok(stored)
}

/// Columns that are guarded counters: only their own statements (`used = used + x WHERE used + x <= total`) write them.
const COUNTERS: [(&str, &str); 5] = [
    ("host", "cpu_used"),
    ("host", "memory_used_bytes"),
    ("ip-range", "used_count"),
    ("primary-storage", "total_bytes"),
    ("primary-storage", "used_bytes"),
];

/// Deletes a resource. Answers whether it was there.
///
/// # Errors
/// The database's.
pub fn delete<R: Resource>(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<bool> {
    let table = table::<R>();
    let Some(before) = read::find::<R>(conn, &Caller::system(), uuid)? else { return Ok(false) };
    conn.execute(Sql::new(format!("DELETE FROM {} WHERE uuid = ", table.kind.table)).bind(uuid))?;
    log(conn, change, uuid, Some(&before), None)?;
    Ok(true)
}
