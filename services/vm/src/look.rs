//! Looking at rows and operations with a host's report in hand: which machines it disagrees about, and what follows.

use std::collections::{BTreeMap, HashMap};

use gyre_model::{Error, Result, Uuid, time};
use gyre_proto::vm::v1::VmState;
use gyre_store::{Conn, Dialect, Row as Columns, Sql, Value};

use crate::rules::{Operations, Row, Said, Verdict, decide};

/// How long nothing is begun anew after an operation of a rule has ended, in microseconds.
const PAUSE: i64 = 60 * 1_000_000;

/// Which machines a report is about.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    /// All of the host, from a UUID on and before another.
    Range(Option<Uuid>, Option<Uuid>),
    /// Those that are named.
    Named(Vec<Uuid>),
}

/// A machine that row and host do not agree about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finding {
    pub vm: Uuid,
    /// The generation of its row; 0 for none.
    pub generation: i64,
    pub verdict: Verdict,
}

/// A machine's row, as far as it matters here.
struct Seen {
    state: VmState,
    generation: i64,
    host: Option<Uuid>,
}

fn seen(row: &Columns) -> Result<(Uuid, Seen)> {
    let state = VmState::from_str_name(&format!("VM_STATE_{}", row.text(1)?));
    let state = state.ok_or_else(|| Error::internal("a machine in a state that nobody knows"))?;
    Ok((row.id(0)?, Seen { state, generation: row.int(2)?, host: row.opt_id(3)? }))
}

const COLUMNS: &str = "SELECT uuid, state, generation, host_uuid FROM vm WHERE ";

fn rows(conn: &mut Conn, host: Uuid, said: &HashMap<Uuid, Said>, scope: &Scope) -> Result<BTreeMap<Uuid, Seen>> {
    let mut found = BTreeMap::new();
    let mut sql = Sql::new(COLUMNS);
    match scope {
        Scope::Range(from, before) => {
            sql = sql.sql("host_uuid = ").bind(host);
            if let Some(from) = from {
                sql = sql.sql(" AND uuid >= ").bind(*from);
            }
            if let Some(before) = before {
                sql = sql.sql(" AND uuid < ").bind(*before);
            }
        }
        Scope::Named(vms) if vms.is_empty() => return Ok(found),
        Scope::Named(vms) => sql = sql.sql("uuid IN (").bind_all(vms.iter().copied()).sql(")"),
    }
    for row in conn.query(sql)? {
        found.extend([seen(&row)?]);
    }
    // what the host has although its row is elsewhere, or nowhere
    let strange: Vec<_> = said.keys().filter(|vm| !found.contains_key(vm)).copied().collect();
    if matches!(scope, Scope::Range(..)) && !strange.is_empty() {
        for row in conn.query(Sql::new(COLUMNS).sql("uuid IN (").bind_all(strange).sql(")"))? {
            found.extend([seen(&row)?]);
        }
    }
    Ok(found)
}

fn operations(conn: &mut Conn, vms: &[Uuid]) -> Result<HashMap<Uuid, Operations>> {
    let mut all: HashMap<Uuid, Operations> = HashMap::new();
    let sql = Sql::new("SELECT resource_uuid, state, workflow, end_time FROM operation WHERE resource_uuid IN (")
        .bind_all(vms.iter().copied())
        .sql(")");
    let since = time::now_micros() - PAUSE;
    for row in conn.query(sql)? {
        let one = all.entry(row.id(0)?).or_default();
        match row.text(1)? {
            "QUEUED" | "RUNNING" | "UNDOING" | "STUCK" => one.busy = true,
            _ => {
                one.ended = true;
                let mends = matches!(row.text(2)?, "stop-again-vm" | "sweep-vm");
                one.lately |= mends && row.opt_int(3)?.is_some_and(|end| end > since);
            }
        }
    }
    Ok(all)
}

/// Whether a host counts as connected. On PostgreSQL it stays so until the transaction ends, where it writes.
pub(crate) fn connected(conn: &mut Conn, host: Uuid, hold: bool) -> Result<bool> {
    let mut sql = Sql::new("SELECT status FROM host WHERE uuid = ").bind(host);
    if hold && conn.dialect() == Dialect::Postgres {
        sql = sql.sql(" FOR SHARE");
    }
    Ok(conn.query_one(sql)?.map(|row| row.text(0).map(|status| status == "CONNECTED")).transpose()?.unwrap_or(false))
}

/// Looks at what a report is about. What row and host agree about costs one read for all.
pub(crate) fn look(conn: &mut Conn, host: Uuid, said: &HashMap<Uuid, Said>, scope: &Scope) -> Result<Vec<Finding>> {
    let rows = rows(conn, host, said, scope)?;
    let mut hosts: HashMap<Uuid, bool> = HashMap::new();
    let mut strange = Vec::new();
    let named = match scope {
        Scope::Named(vms) => vms.as_slice(),
        Scope::Range(..) => &[],
    };
    let mut about: Vec<Uuid> = rows.keys().chain(said.keys()).chain(named).copied().collect();
    about.sort_unstable();
    about.dedup();
    for vm in about {
        let row = rows.get(&vm);
        let as_seen = match row {
            None => Row::None,
            Some(seen) if seen.host == Some(host) => Row::Here(seen.state),
            Some(seen) => {
                let connected = match seen.host {
                    None => false,
                    Some(other) => match hosts.get(&other) {
                        Some(known) => *known,
                        None => *hosts.entry(other).or_insert(connected(conn, other, false)?),
                    },
                };
                Row::Elsewhere { state: seen.state, connected }
            }
        };
        let word = said.get(&vm).copied().unwrap_or(Said::Absent);
        if decide(as_seen, Operations::default(), word) != Verdict::Agree {
            strange.push((vm, row.map_or(0, |seen| seen.generation), as_seen, word));
        }
    }
    if strange.is_empty() {
        return Ok(Vec::new());
    }
    let vms: Vec<_> = strange.iter().map(|(vm, ..)| *vm).collect();
    let operations = operations(conn, &vms)?;
    Ok(strange
        .into_iter()
        .map(|(vm, generation, row, word)| {
            let operations = operations.get(&vm).copied().unwrap_or_default();
            Finding { vm, generation, verdict: decide(row, operations, word) }
        })
        .collect())
}

/// The machines that run on a host, by their rows.
pub(crate) fn running_on(conn: &mut Conn, host: Uuid) -> Result<Vec<Uuid>> {
    let sql =
        Sql::new("SELECT uuid FROM vm WHERE state = ").bind(Value::from("RUNNING")).sql(" AND host_uuid = ").bind(host);
    conn.query(sql)?.iter().map(|row| row.id(0)).collect()
}
