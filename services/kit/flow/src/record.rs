//! Operations in the database. Reading for users is the query engine's; here is what the engine itself needs.

use std::collections::HashMap;

use gyre_model::{Error, Kind, Result, Uuid, parse_uuid, time};
use gyre_proto::Message;
use gyre_proto::common::v1::{Operation, OperationEventKind, OperationState};
use gyre_query::table;
use gyre_store::{Conn, DbError, Dialect, Row, Sql, Value};
use serde_json::{Map, Value as Json};

use crate::queue::Class;
use crate::timeline::{self, Timeline};

/// An operation with what the engine needs to go on with it.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub operation: Operation,
    pub input: Vec<u8>,
    pub vars: Map<String, Json>,
    pub admin: bool,
    pub cancel: bool,
    pub timeline: Timeline,
    /// Whether it came to rest before, and owes something since.
    pub owes: bool,
    /// Whether none of its steps can have run: it is new, or its turn has only come now.
    pub fresh: bool,
}

impl Record {
    /// On whose behalf it runs: nobody's account is Gyre's own.
    pub fn class(&self) -> Class {
        match parse_uuid(&self.operation.account_uuid) {
            Some(account) if !account.is_nil() => Class::User,
            _ => Class::Housekeeping,
        }
    }

    /// Notes that something happened to it.
    pub fn note(&mut self, kind: OperationEventKind) {
        self.timeline.push(timeline::event(&self.operation, kind));
    }
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

/// Writes a new operation: running, or queued where another one runs on the resource. Sets which.
pub(crate) fn insert(conn: &mut Conn, record: &mut Record) -> Result<()> {
    let operation = &mut record.operation;
    let state = match insert_row(conn, operation, true)? {
        Some(state) => state,
        // another one runs on the resource
        None => insert_row(conn, operation, false)?.ok_or_else(|| Error::internal("an operation was not written"))?,
    };
    operation.set_state(state);
    let uuid = parse_uuid(&operation.uuid).ok_or_else(|| Error::internal("an operation without UUID"))?;
    record.note(match record.operation.state() {
        OperationState::Queued => OperationEventKind::Queued,
        _ => OperationEventKind::Began,
    });
    let sql = Sql::new("INSERT INTO operation_work (operation_uuid, input, vars, admin, cancel, timeline) VALUES (")
        .bind_all([
            Value::from(uuid),
            Value::Bytes(record.input.clone()),
            Value::json(Json::Object(record.vars.clone()).to_string()),
            Value::Bool(record.admin),
            Value::Bool(record.cancel),
            Value::Bytes(record.timeline.to_bytes()),
        ])
        .sql(")");
    conn.execute(sql)?;
    Ok(())
}

/// Writes the row of a new operation, running or queued, and answers which. Nothing where it should run and another one does.
fn insert_row(conn: &mut Conn, operation: &Operation, may_run: bool) -> Result<Option<OperationState>> {
    let table = table::<Operation>();
    let values = table.values(&operation.encode_to_vec())?;
    let mut sql = Sql::new("INSERT INTO operation (").sql(table.names.as_str()).sql(") VALUES (");
    for (at, (value, column)) in values.into_iter().zip(&table.columns).enumerate() {
        if at > 0 {
            sql.push(", ");
        }
        match column.field.name {
            // what waits for the resource already goes before what comes now, also in the moment in which nothing holds it
            "state" if may_run => {
                sql.push("CASE WHEN EXISTS (SELECT 1 FROM operation WHERE state = 'QUEUED' AND resource_uuid = ");
                sql.push_bind(parse_uuid(&operation.resource_uuid).unwrap_or_default());
                sql.push(") THEN 'QUEUED' ELSE 'RUNNING' END");
            }
            "state" => sql.push("'QUEUED'"),
            _ => sql.push_bind(value),
        }
    }
    sql.push(if may_run { ") ON CONFLICT DO NOTHING RETURNING state" } else { ") RETURNING state" });
    let row = conn.query_one(sql)?;
    row.map(|row| Ok(if row.text(0)? == "QUEUED" { OperationState::Queued } else { OperationState::Running }))
        .transpose()
}

/// What a commit found out about its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Saved {
    /// The operation's generation as it is now.
    pub generation: i64,
    /// When it was written, in microseconds since 1970.
    pub time: i64,
    /// Whether somebody asked it to stop before.
    pub cancel: bool,
}

/// Writes where an operation stands, under its fence. The commit has a name, by which [`committed`] finds it.
pub(crate) fn save(
    conn: &mut Conn,
    uuid: Uuid,
    operation: &Operation,
    vars: &Map<String, Json>,
    timeline: &[u8],
    commit: Uuid,
) -> Result<Saved> {
    let table = table::<Operation>();
    let values = table.values(&operation.encode_to_vec())?;
    let time = time::now_micros();
    let mut sql = Sql::new("UPDATE operation SET generation = generation + 1, update_time = ").bind(Value::time(time));
    for (value, column) in values.into_iter().zip(&table.columns) {
        if matches!(column.field.name, "state" | "percent" | "steps" | "error" | "end_time") {
            sql.push(format!(", {} = ", column.field.name));
            sql.push_bind(value);
        }
    }
    let sql = sql.sql(" WHERE uuid = ").bind(uuid).sql(" AND fence = ").bind(operation.fence);
    let sql = sql.sql(" AND state IN ").sql(UNFINISHED).sql(" RETURNING generation");
    let generation = conn.query_one(sql)?.ok_or_else(fenced)?.int(0)?;
    let vars = Value::json(Json::Object(vars.clone()).to_string());
    let sql = Sql::new("UPDATE operation_work SET vars = ")
        .bind(vars)
        .sql(", timeline = ")
        .bind(timeline.to_vec())
        .sql(", last_commit = ")
        .bind(commit)
        .sql(" WHERE operation_uuid = ")
        .bind(uuid)
        // a cancel that is under way is waited for: it holds the row
        .sql(" RETURNING cancel");
    let cancel = conn.query_one(sql)?.map_or(Ok(false), |row| row.bool(0))?;
    Ok(Saved { generation, time, cancel })
}

/// Whether the last commit of an operation was this one. Where that commit is still under way it is waited for: it holds the row.
pub(crate) fn committed(conn: &mut Conn, uuid: Uuid, commit: Uuid) -> Result<bool> {
    let mut sql = Sql::new("SELECT last_commit FROM operation_work WHERE operation_uuid = ").bind(uuid);
    if conn.dialect() == Dialect::Postgres {
        sql.push(" FOR UPDATE");
    }
    conn.query_one(sql)?.map_or(Ok(false), |row| Ok(row.opt_id(0)? == Some(commit)))
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
    match conn.try_execute(sql) {
        Ok(0) => Err(fenced()),
        Ok(_) => Ok(true),
        Err(DbError::Unique(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Takes operations over, each with the next fence after the one that was seen, and reads them. Those that another was first to
/// take are left out, and so are those that cannot be read.
pub(crate) fn take_all(conn: &mut Conn, seen: &[(Uuid, i64)], instance: Uuid) -> Result<Vec<Record>> {
    let mut taken = Vec::with_capacity(seen.len());
    for seen in seen.chunks(CHUNK) {
        let sql = Sql::new("UPDATE operation SET generation = generation + 1, fence = fence + 1, instance_uuid = ")
            .bind(instance)
            .sql(" WHERE state IN ")
            .sql(UNFINISHED)
            .sql(" AND (uuid, fence) IN (VALUES ");
        let mut sql = sql;
        for (at, (uuid, fence)) in filled(seen).enumerate() {
            sql = sql.sql(if at == 0 { "(" } else { ", (" }).bind(*uuid).sql(", ").bind(*fence).sql(")");
        }
        for row in conn.query(sql.sql(") RETURNING uuid"))? {
            taken.push(row.id(0)?);
        }
    }
    load_all(conn, &taken)
}

/// Most rows that one statement names.
pub(crate) const CHUNK: usize = 64;

/// A chunk made full with repeats of its last, so that statements have few texts.
pub(crate) fn filled<T>(chunk: &[T]) -> impl Iterator<Item = &T> {
    let full = if chunk.len() <= 1 { 1 } else { CHUNK };
    chunk.iter().chain(std::iter::repeat_n(chunk.last(), full - chunk.len()).flatten())
}

/// Reads an operation with what the engine needs.
pub(crate) fn load(conn: &mut Conn, uuid: Uuid) -> Result<Option<Record>> {
    Ok(load_all(conn, &[uuid])?.into_iter().next())
}

/// The same for several, oldest first.
pub(crate) fn load_all(conn: &mut Conn, uuids: &[Uuid]) -> Result<Vec<Record>> {
    let mut records = Vec::with_capacity(uuids.len());
    for chunk in uuids.chunks(CHUNK) {
        let condition = Sql::new("uuid IN (").bind_all(filled(chunk).copied()).sql(")");
        let operations: Vec<Operation> = gyre_query::select(conn, condition)?;
        let sql = Sql::new(
            "SELECT operation_uuid, input, vars, admin, cancel, timeline, \
             (SELECT attempts FROM debt WHERE debt.uuid = operation_uuid) FROM operation_work WHERE operation_uuid IN (",
        );
        let rows = conn.query(sql.bind_all(filled(chunk).copied()).sql(")"))?;
        let mut work = rows.iter().map(|row| Ok((row.id(0)?, row))).collect::<Result<HashMap<_, _>>>()?;
        for operation in operations {
            match parse_uuid(&operation.uuid).and_then(|uuid| work.remove(&uuid)) {
                Some(row) => match record(operation, row) {
                    Ok(record) => records.push(record),
                    // it must not hold up the others
                    Err(error) => tracing::error!(%error, "an operation cannot be read"),
                },
                None => tracing::error!(operation = operation.uuid, "an operation has lost its input"),
            }
        }
    }
    records.sort_by_key(|record| record.operation.create_time.as_ref().map(time::to_micros));
    Ok(records)
}

fn record(operation: Operation, row: &Row) -> Result<Record> {
    let vars = match serde_json::from_str(row.text(2)?) {
        Ok(Json::Object(vars)) => vars,
        _ => return Err(Error::internal(format!("the findings of operation {} cannot be read", operation.uuid))),
    };
    Ok(Record {
        operation,
        input: row.bytes(1)?.to_vec(),
        vars,
        admin: row.bool(3)?,
        cancel: row.bool(4)?,
        timeline: Timeline::from_bytes(row.bytes(5)?)?,
        owes: row.opt_int(6)?.is_some(),
        fresh: false,
    })
}

/// What happened to an operation, as far as it is durable.
pub(crate) fn timeline(conn: &mut Conn, uuid: Uuid) -> Result<Timeline> {
    let row = conn.query_one(Sql::new("SELECT timeline FROM operation_work WHERE operation_uuid = ").bind(uuid))?;
    row.map_or_else(|| Ok(Timeline::default()), |row| Timeline::from_bytes(row.bytes(0)?))
}

/// Whether somebody asked the operation to stop.
pub(crate) fn is_cancelled(conn: &mut Conn, uuid: Uuid) -> Result<bool> {
    let row = conn.query_one(Sql::new("SELECT cancel FROM operation_work WHERE operation_uuid = ").bind(uuid))?;
    row.map_or(Ok(false), |row| row.bool(0))
}

/// Remembers that an operation should stop. False where it is ended, turned back already, or is `past` its point of no return.
pub(crate) fn set_cancel(conn: &mut Conn, uuid: Uuid, past: impl Fn(&Operation) -> bool) -> Result<bool> {
    let sql = Sql::new("UPDATE operation_work SET cancel = ")
        .bind(true)
        .sql(" WHERE operation_uuid = ")
        .bind(uuid)
        .sql(" AND EXISTS (SELECT 1 FROM operation WHERE uuid = ")
        .bind(uuid)
        .sql(" AND state IN ('QUEUED', 'RUNNING'))");
    if conn.execute(sql)? == 0 {
        return Ok(false);
    }
    // after the update: the commit of a point of no return writes the same row, and was either seen here or sees the cancel
    let found: Vec<Operation> = gyre_query::select(conn, Sql::new("uuid = ").bind(uuid))?;
    Ok(!found.iter().any(past))
}
