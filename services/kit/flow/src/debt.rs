//! Debts: what stuck operations owe, a row each. It is written with the commit that lets the operation rest, and goes with its end;
//! while the operation is being tried again it stays. What the operation holds stays held all that time: its undo is what would
//! have given it back.
//!
//! A debt is tried again when its time comes, and that time grows from try to try. Where it waits for a host that is away, it is
//! also tried as soon as the host is back: a state that is looked at, not an event that could be missed.

use std::time::Duration;

use gyre_model::{Error, Result, Uuid, parse_uuid, time};
use gyre_proto::Message as _;
use gyre_proto::common::v1::{Debt, Operation};
use gyre_query::table;
use gyre_store::{Conn, Sql, Value};

use crate::shared::host_of;

/// The wait before the second try, where nothing else says when.
const FIRST: Duration = Duration::from_secs(30);
/// The wait where the host answers again by now, or is about to be noticed as away.
const SOON: Duration = Duration::from_secs(2);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(300);

/// The reason of a step that waits for another operation which is stuck.
pub(crate) const STUCK: &str = "OPERATION_STUCK";
/// The fact in such an error that the other one waits for a host.
pub(crate) const AWAITS_HOST: &str = "awaits_host";

/// Whether an error says that a host is away: trying again soon is of no use.
pub(crate) fn host_is_away(error: &Error) -> bool {
    match error.reason() {
        "HOST_NOT_CONNECTED" => true,
        STUCK => error.metadata().contains_key(AWAITS_HOST),
        _ => false,
    }
}

/// The host that a stuck operation waits for.
pub(crate) fn awaited_host(conn: &mut Conn, operation: Uuid) -> Result<Option<Uuid>> {
    let sql = Sql::new("SELECT host_uuid FROM debt WHERE awaits_host AND uuid = ").bind(operation);
    conn.query_one(sql)?.map_or(Ok(None), |row| row.opt_id(0))
}

/// The wait after so many tries.
fn wait(tries: i64, soon: bool) -> Duration {
    let first = if soon { SOON } else { FIRST };
    let doubled = u32::try_from(tries.saturating_sub(1)).unwrap_or(0).min(16);
    first.saturating_mul(1 << doubled).min(LONGEST)
}

/// Why an operation rests.
pub(crate) struct Rest {
    /// The step that is owed.
    pub step: String,
    /// Whether its undo is.
    pub undoing: bool,
    /// Why the last try failed.
    pub error: Error,
}

/// Writes what an operation owes. Answers when it is tried again.
pub(crate) fn owe(conn: &mut Conn, operation: &Operation, rest: &Rest) -> Result<i64> {
    let uuid = parse_uuid(&operation.uuid).ok_or_else(|| Error::internal("an operation without UUID"))?;
    let before = conn.query_one(Sql::new("SELECT attempts, create_time FROM debt WHERE uuid = ").bind(uuid))?;
    let now = time::now_micros();
    let (attempts, since) = match before {
        Some(row) => (row.int(0)? + 1, row.int(1)?),
        None => (1, now),
    };
    let host = host_of(&rest.error);
    let away = host_is_away(&rest.error);
    // The row of the host is what brings the operation back: it must say itself that the host is away.
    let awaits_host = match host {
        Some(host) if away => status(conn, host)?.is_some_and(|status| status != "CONNECTED"),
        _ => false,
    };
    let wait = wait(attempts, away && !awaits_host);
    let next = now.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX));
    let debt = Debt {
        uuid: operation.uuid.clone(),
        account_uuid: operation.account_uuid.clone(),
        create_time: Some(time::from_micros(since)),
        update_time: Some(time::from_micros(now)),
        generation: attempts,
        service: operation.service.clone(),
        workflow: operation.workflow.clone(),
        resource_kind: operation.resource_kind.clone(),
        resource_uuid: operation.resource_uuid.clone(),
        step: rest.step.clone(),
        undoing: rest.undoing,
        reason: rest.error.reason().to_owned(),
        message: rest.error.message().to_owned(),
        attempts: i32::try_from(attempts).unwrap_or(i32::MAX),
        next_time: Some(time::from_micros(next)),
        host_uuid: host.map(|host| host.to_string()).unwrap_or_default(),
        awaits_host,
    };
    let table = table::<Debt>();
    settle(conn, uuid)?;
    let sql = Sql::new(format!("INSERT INTO debt ({}) VALUES (", table.names))
        .bind_all(table.values(&debt.encode_to_vec())?)
        .sql(")");
    conn.execute(sql)?;
    Ok(next)
}

fn status(conn: &mut Conn, host: Uuid) -> Result<Option<String>> {
    let row = conn.query_one(Sql::new("SELECT status FROM host WHERE uuid = ").bind(host))?;
    row.map(|row| row.text(0).map(str::to_owned)).transpose()
}

/// Nothing is owed any more.
pub(crate) fn settle(conn: &mut Conn, operation: Uuid) -> Result<()> {
    conn.execute(Sql::new("DELETE FROM debt WHERE uuid = ").bind(operation))?;
    Ok(())
}

/// Lets a stuck operation be tried with the next look. Answers how often it was tried before; nothing where it is not stuck.
pub(crate) fn hurry(conn: &mut Conn, operation: Uuid) -> Result<Option<i64>> {
    let sql = Sql::new("UPDATE debt SET next_time = ")
        .bind(Value::time(time::now_micros()))
        .sql(" WHERE uuid = ")
        .bind(operation)
        .sql(" AND EXISTS (SELECT 1 FROM operation WHERE operation.uuid = debt.uuid AND state = 'STUCK') RETURNING attempts");
    conn.query_one(sql)?.map_or(Ok(None), |row| row.int(0).map(Some))
}

/// How often a stuck operation was tried in vain.
pub(crate) fn attempts(conn: &mut Conn, operation: Uuid) -> Result<i64> {
    let row = conn.query_one(Sql::new("SELECT attempts FROM debt WHERE uuid = ").bind(operation))?;
    row.map_or(Ok(0), |row| row.int(0))
}

/// How many debts an instance looks after.
pub(crate) fn count(conn: &mut Conn, service: &'static str, instance: Uuid) -> Result<i64> {
    let sql = Sql::new("SELECT COUNT(*) FROM debt JOIN operation ON operation.uuid = debt.uuid WHERE debt.service = ")
        .bind(service)
        .sql(" AND operation.instance_uuid = ")
        .bind(instance);
    conn.query_one(sql)?.map_or(Ok(0), |row| row.int(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let seconds = |tries, soon| wait(tries, soon).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 99].map(|tries| seconds(tries, false)), [30, 60, 120, 240, 300, 300]);
        assert_eq!([1, 2, 3].map(|tries| seconds(tries, true)), [2, 4, 8]);
    }
}
