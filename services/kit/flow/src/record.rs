//! Operations in the database. Reading for users is the query engine's; here is what the engine itself needs.

use gyre_model::{Error, Kind, Result, Uuid, parse_uuid, time};
use gyre_proto::Message;
use gyre_proto::common::v1::{Operation, OperationState};
use gyre_query::table;
use gyre_store::{Conn, DbError, Sql, Value};
use serde_json::{Map, Value as Json};

/// An operation with what the engine needs to go on with it.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub operation: Operation,
    pub input: Vec<u8>,
    pub vars: Map<String, Json>,
    pub admin: bool,
    pub cancel: bool,
}

/// The states in which an operation is not ended.
pub(crate) const UNFINISHED: &str = "('QUEUED', 'RUNNING', 'UNDOING', 'STUCK')";

/// Whether an operation is ended.
pub(crate) fn ended(state: OperationState) -> bool {
    match state {
        OperationState::Succeeded | OperationState::Failed | OperationState::Cancelled => true,
        OperationState::Unspecified
        | OperationState::Queued
        | OperationState::Running
        | OperationState::Undoing
        | OperationState::Stuck => false,
    }
}

/// Another instance has taken the operation.
pub(crate) fn fenced() -> Error {
    Error::new(Kind::Aborted, "FENCED", "another instance has taken this operation")
}

/// Whether operations on a resource are under way or wait. Calls that refuse a wrong state look first, since what waits may
/// change the state.
///
/// # Errors
/// The database's.
pub fn busy(conn: &mut Conn, resource: Uuid) -> Result<bool> {
    let sql = Sql::new("SELECT 1 FROM operation WHERE resource_uuid = ")
        .bind(resource)
        .sql(" AND state IN ('QUEUED', 'RUNNING', 'UNDOING', 'STUCK') LIMIT 1");
    Ok(conn.query_one(sql)?.is_some())
}

/// Writes a new operation: running, or queued where another one runs on the resource. Answers which.
pub(crate) fn insert(conn: &mut Conn, record: &Record) -> Result<OperationState> {
    let table = table::<Operation>();
    let mut operation = record.operation.clone();
    for state in [OperationState::Running, OperationState::Queued] {
        operation.set_state(state);
        let sql = Sql::new(format!("INSERT INTO operation ({}) VALUES (", table.names))
            .bind_all(table.values(&operation.encode_to_vec())?)
            .sql(")");
        match conn.savepoint(|conn| conn.execute(sql)) {
            Ok(_) => break,
            Err(DbError::Unique(_)) if state == OperationState::Running => {}
            Err(error) => return Err(error.into()),
        }
    }
    let uuid = parse_uuid(&operation.uuid).ok_or_else(|| Error::internal("an operation without UUID"))?;
    let sql = Sql::new("INSERT INTO operation_work (operation_uuid, input, vars, admin, cancel) VALUES (")
        .bind_all([
            Value::from(uuid),
            Value::Bytes(record.input.clone()),
            Value::json(Json::Object(record.vars.clone()).to_string()),
            Value::Bool(record.admin),
            Value::Bool(record.cancel),
        ])
        .sql(")");
    conn.execute(sql)?;
    Ok(operation.state())
}

/// Writes where an operation stands, under its fence.
pub(crate) fn save(conn: &mut Conn, uuid: Uuid, operation: &Operation, vars: &Map<String, Json>) -> Result<()> {
    let table = table::<Operation>();
    let values = table.values(&operation.encode_to_vec())?;
    let mut sql = Sql::new("UPDATE operation SET generation = generation + 1, update_time = ")
        .bind(Value::time(time::now_micros()));
    for (value, column) in values.into_iter().zip(&table.columns) {
        if matches!(column.field.name, "state" | "percent" | "steps" | "error" | "end_time") {
            sql.push(format!(", {} = ", column.field.name));
            sql.push_bind(value);
        }
    }
    let sql = sql.sql(" WHERE uuid = ").bind(uuid).sql(" AND fence = ").bind(operation.fence);
    let sql = sql.sql(" AND state IN ").sql(UNFINISHED);
    if conn.execute(sql)? == 0 {
        return Err(fenced());
    }
    let vars = Value::json(Json::Object(vars.clone()).to_string());
    conn.execute(Sql::new("UPDATE operation_work SET vars = ").bind(vars).sql(" WHERE operation_uuid = ").bind(uuid))?;
    Ok(())
}

/// Makes a queued or stuck operation run. False where another one still runs on the resource.
pub(crate) fn promote(conn: &mut Conn, uuid: Uuid, fence: i64, state: OperationState) -> Result<bool> {
    let name = if state == OperationState::Undoing { "UNDOING" } else { "RUNNING" };
    let sql = Sql::new("UPDATE operation SET generation = generation + 1, state = ")
        .bind(name)
        .sql(" WHERE uuid = ")
        .bind(uuid)
        .sql(" AND fence = ")
        .bind(fence)
        .sql(" AND state IN ")
        .sql(UNFINISHED);
    match conn.savepoint(|conn| conn.execute(sql)) {
        Ok(0) => Err(fenced()),
        Ok(_) => Ok(true),
        Err(DbError::Unique(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Takes an operation over with the next fence. Nothing where another was first.
pub(crate) fn take(conn: &mut Conn, uuid: Uuid, seen: i64, instance: Uuid) -> Result<bool> {
    let sql = Sql::new("UPDATE operation SET generation = generation + 1, fence = fence + 1, instance_uuid = ")
        .bind(instance)
        .sql(" WHERE uuid = ")
        .bind(uuid)
        .sql(" AND fence = ")
        .bind(seen)
        .sql(" AND state IN ")
        .sql(UNFINISHED);
    Ok(conn.execute(sql)? == 1)
}

/// Reads an operation with what the engine needs.
pub(crate) fn load(conn: &mut Conn, uuid: Uuid) -> Result<Option<Record>> {
    let operations: Vec<Operation> = gyre_query::select(conn, Sql::new("uuid = ").bind(uuid))?;
    let Some(operation) = operations.into_iter().next() else { return Ok(None) };
    let sql = Sql::new("SELECT input, vars, admin, cancel FROM operation_work WHERE operation_uuid = ").bind(uuid);
    let row = conn.query_one(sql)?.ok_or_else(|| Error::internal(format!("operation {uuid} has lost its input")))?;
    let vars = match serde_json::from_str(row.text(1)?) {
        Ok(Json::Object(vars)) => vars,
        _ => return Err(Error::internal(format!("the findings of operation {uuid} cannot be read"))),
    };
    Ok(Some(Record { operation, input: row.bytes(0)?.to_vec(), vars, admin: row.bool(2)?, cancel: row.bool(3)? }))
}

/// Whether somebody asked the operation to stop.
pub(crate) fn is_cancelled(conn: &mut Conn, uuid: Uuid) -> Result<bool> {
    let row = conn.query_one(Sql::new("SELECT cancel FROM operation_work WHERE operation_uuid = ").bind(uuid))?;
    row.map_or(Ok(false), |row| row.bool(0))
}

/// Remembers that an operation should stop. False where it is ended.
pub(crate) fn set_cancel(conn: &mut Conn, uuid: Uuid) -> Result<bool> {
    let sql = Sql::new("UPDATE operation_work SET cancel = ")
        .bind(true)
        .sql(" WHERE operation_uuid = ")
        .bind(uuid)
        .sql(" AND EXISTS (SELECT 1 FROM operation WHERE uuid = ")
        .bind(uuid)
        .sql(" AND state IN ('QUEUED', 'RUNNING'))");
    Ok(conn.execute(sql)? == 1)
}
