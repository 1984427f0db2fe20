//! Changing resources. Every change appends to the change log in the same transaction.

use gyre_model::catalog::KindInfo;
use gyre_model::{Caller, Error, Kind, Result, Uuid, parse_uuid, time};
use gyre_proto::Resource;
use gyre_proto::json::JsonCodec;
use gyre_store::{Conn, DbError, Row, Sql, Value};

use crate::log::{self, Account, Action, Entry};
use crate::observe::{self, Coming};
use crate::table::{by_kind, table};
use crate::tags::{self, Owner};
use crate::{read, untyped};

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
fn json(kind: &KindInfo, message: &[u8]) -> Result<Value> {
    let codec = JsonCodec::by_name(kind.message).ok_or_else(|| Error::internal(kind.message))?;
    let mut text = Vec::with_capacity(512);
    (codec.print)(message, &mut text).map_err(Error::internal)?;
    let secrets = &by_kind(kind.kind).secrets;
    if !secrets.is_empty() {
        let mut whole: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&text).map_err(Error::internal)?;
        whole.retain(|name, _| !secrets.contains(&name.as_str()));
        text = serde_json::to_vec(&whole).map_err(Error::internal)?;
    }
    Ok(Value::json(String::from_utf8(text).map_err(Error::internal)?))
}

/// Appends to the change log: the encoded messages of a resource before and after.
pub(crate) fn log(
    conn: &mut Conn,
    change: &Change,
    kind: &KindInfo,
    uuid: Uuid,
    before: Option<&[u8]>,
    after: Option<&[u8]>,
) -> Result<()> {
    let action = match (before, after) {
        (None, _) => Action::Create,
        (_, None) => Action::Delete,
        _ => Action::Update,
    };
    observe::ask(conn, change, Coming { kind: kind.kind, uuid, before, after })?;
    let account = after.or(before).and_then(|message| by_kind(kind.kind).owner(uuid, message));
    let entry = Entry {
        account: Account::Is(account),
        operation: change.operation,
        before: before.map(|message| json(kind, message)).transpose()?,
        after: after.map(|message| json(kind, message)).transpose()?,
        ..Entry::new(change.caller, action, kind.kind, Some(uuid))
    };
    log::append(conn, entry)
}

fn uuid_of<R: Resource>(resource: &R) -> Result<Uuid> {
    parse_uuid(resource.uuid())
        .ok_or_else(|| Error::invalid("uuid", format!("must be a UUID, got {:?}", resource.uuid())))
}

/// Writes a new resource with its tags: `create_time`, `update_time` and `generation` are set here. Answers it as it stands.
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
    let sql = |end| Sql::new(table.insert).bind_all(values.iter().cloned()).sql(end);
    if conn.execute(sql(") ON CONFLICT DO NOTHING"))? == 0 {
        // the same again, since only a refusal tells which identity is taken
        let refused = match conn.try_execute(sql(")")) {
            Err(DbError::Unique(constraint)) => constraint,
            Err(other) => return Err(other.into()),
            Ok(_) => return Err(Error::new(Kind::Aborted, "CONFLICT", "what was in the way went away; try again")),
        };
        let text = format!("there is already a {} with this identity ({uuid}): choose another", R::KIND);
        return Err(Error::new(Kind::AlreadyExists, "ALREADY_EXISTS", text).with("constraint", refused));
    }
    let row = Row::of(values);
    let mut stored: R = table.resource(&row)?;
    if !resource.tags().is_empty() {
        let mut tags = resource.tags().to_vec();
        tags.sort_unstable();
        tags::write_new(conn, change, &Owner::of(table, &row)?, &resource.encode_to_vec(), &tags)?;
        stored.set_tags(tags);
    }
    log(conn, change, table.kind, uuid, None, Some(&stored.encode_to_vec()))?;
    Ok(stored)
}

/// Writes a resource over the generation that it was read with, its tags in the place of those that it had. Answers it as it stands.
/// For what was read before this transaction; what it has read itself goes to [`update_from`].
///
/// # Errors
/// `ABORTED`: `STALE_GENERATION` where another change came first, `CONFLICT` where one comes right now
/// ([`Store::write_again`](gyre_store::Store::write_again) reads and changes it again then). `NOT_FOUND` where it is gone.
pub fn update<R: Resource>(conn: &mut Conn, change: &Change, resource: &R) -> Result<R> {
    let uuid = uuid_of(resource)?;
    let before = read::get::<R>(conn, &Caller::system(), uuid)?;
    update_from(conn, change, &before, resource)
}

/// The same for whoever has just read the resource, whole and in this transaction, and need not read it again.
///
/// Only the columns that change are written: an index over the others stays as it is.
///
/// # Errors
/// As [`update`].
pub fn update_from<R: Resource>(conn: &mut Conn, change: &Change, before: &R, resource: &R) -> Result<R> {
    let table = table::<R>();
    let uuid = uuid_of(resource)?;
    if before.uuid() != resource.uuid() && parse_uuid(before.uuid()) != Some(uuid) {
        return Err(Error::internal(format!("{} {uuid} is not what was read", R::KIND)));
    }
    if before.generation() != resource.generation() {
        let text = format!("{} {uuid} was changed by somebody else: read it again and repeat the change", R::KIND);
        return Err(Error::new(Kind::Aborted, "STALE_GENERATION", text));
    }
    // it was as read a moment ago: whoever did not ask for a generation is not told of one
    let crossed = || {
        let text = format!("{} {uuid} was changed by another call at the same time: try again", R::KIND);
        Error::new(Kind::Aborted, "CONFLICT", text)
    };
    let (before_message, now) = (before.encode_to_vec(), time::now_micros());
    let old = table.values(&before_message)?;
    let mut values = table.values(&resource.encode_to_vec())?;
    let mut sql = Sql::new(table.update)
        .bind(Value::time(now))
        .sql(", generation = ")
        .bind(Value::Int(resource.generation() + 1));
    for ((value, old), column) in values.iter_mut().zip(&old).zip(&table.columns) {
        let name = column.field.name;
        match name {
            "update_time" => *value = Value::time(now),
            "generation" => *value = Value::Int(resource.generation() + 1),
            "uuid" | "create_time" | "account_uuid" => *value = old.clone(),
            _ if is_counter(R::KIND, name) => {}
            _ if value != old => {
                sql.push(format!(", {name} = "));
                sql.push_bind(value.clone());
            }
            _ => {}
        }
    }
    let sql = sql.sql(" WHERE uuid = ").bind(uuid).sql(" AND generation = ").bind(resource.generation());
    let row = if table.columns.iter().any(|column| is_counter(R::KIND, column.field.name)) {
        // what the counters say is known to the database alone
        conn.query_one(sql.sql(format!(" RETURNING {}", table.names)))?.ok_or_else(crossed)?
    } else if conn.execute(sql)? == 0 {
        return Err(crossed());
    } else {
        Row::of(values)
    };
    let mut stored: R = table.resource(&row)?;
    if table.has_tags() {
        let mut tags = resource.tags().to_vec();
        tags.sort_unstable();
        let owner = Owner::of(table, &row)?;
        if tags != before.tags() {
            tags = tags::replace(conn, change, &owner, &resource.encode_to_vec(), (before.tags(), tags))?;
        }
        stored.set_tags(tags);
        if !stored.tags().is_empty() && owner.shared != Owner::of(table, &Row::of(old))?.shared {
            tags::share(conn, &owner)?;
        }
    }
    log(conn, change, table.kind, uuid, Some(&before_message), Some(&stored.encode_to_vec()))?;
    Ok(stored)
}

fn is_counter(kind: &str, column: &str) -> bool {
    COUNTERS.contains(&(kind, column))
}

/// Columns that are guarded counters: only their own statements (`used = used + x WHERE used + x <= total`) write them.
const COUNTERS: [(&str, &str); 5] = [
    ("host", "cpu_used"),
    ("host", "memory_used_bytes"),
    ("ip-range", "used_count"),
    ("primary-storage", "total_bytes"),
    ("primary-storage", "used_bytes"),
];

/// Deletes a resource with its tags. Answers whether it was there.
///
/// # Errors
/// The database's.
pub fn delete<R: Resource>(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<bool> {
    untyped::delete(conn, change, R::KIND, uuid)
}

/// The same for whoever has just read the resource, whole and in this transaction.
///
/// # Errors
/// The database's.
pub fn delete_from<R: Resource>(conn: &mut Conn, change: &Change, before: &R) -> Result<bool> {
    let read = (before.encode_to_vec(), !before.tags().is_empty());
    untyped::delete_read(conn, change, table::<R>(), uuid_of(before)?, (&read.0, read.1))
}
