//! Room on hosts: reading who may have it, taking it, giving it back.

use std::collections::BTreeMap;

use gyre_model::{Result, Uuid};
use gyre_store::{Conn, Dialect, Row, Sql};

use crate::placement::{Candidate, Seat, Want};

/// What a claim holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub host: Uuid,
    pub cpus: i64,
    pub memory: i64,
}

const CANDIDATE: &str = "SELECT uuid, cluster_uuid, zone_uuid, hypervisor, cpu_capacity, cpu_used, memory_capacity_bytes, \
                         memory_used_bytes FROM host WHERE state = 'ENABLED' AND status = 'CONNECTED'";

fn candidate(row: &Row) -> Result<Candidate> {
    Ok(Candidate {
        seat: Seat { host: row.id(0)?, cluster: row.id(1)?, zone: row.id(2)?, hypervisor: row.text(3)?.to_owned() },
        cpu_capacity: row.int(4)?,
        cpu_used: row.int(5)?,
        memory_capacity: row.int(6)?,
        memory_used: row.int(7)?,
    })
}

/// That there is room, written so that no number is too large.
fn room(sql: Sql, want: &Want) -> Sql {
    sql.sql(" AND cpu_capacity - cpu_used >= ")
        .bind(want.cpus)
        .sql(" AND memory_capacity_bytes - memory_used_bytes >= ")
        .bind(want.memory)
}

fn in_clusters(mut sql: Sql, want: &Want) -> Sql {
    if let Some(cluster) = want.cluster {
        sql = sql.sql(" AND cluster_uuid = ").bind(cluster);
    }
    if !want.clusters.is_empty() {
        sql = sql.sql(" AND cluster_uuid IN (").bind_all(want.clusters.iter().copied()).sql(")");
    }
    sql
}

/// One host, if it would do.
pub(crate) fn candidate_named(conn: &mut Conn, want: &Want, host: Uuid) -> Result<Option<Candidate>> {
    let sql = in_clusters(room(Sql::new(CANDIDATE), want), want).sql(" AND uuid = ").bind(host);
    conn.query_one(sql)?.as_ref().map(candidate).transpose()
}

/// Hosts that would do: so many from a place on, and from the first again where the end comes before. UUIDs lie without order,
/// so this is a sample; where fewer come back than were asked for, these are all.
pub(crate) fn candidates(conn: &mut Conn, want: &Want, from: Uuid, most: usize) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    for after in [true, false] {
        let left = i64::try_from(most - found.len()).unwrap_or(i64::MAX);
        if left == 0 {
            break;
        }
        let sql = in_clusters(room(Sql::new(CANDIDATE), want), want)
            .sql(if after { " AND uuid >= " } else { " AND uuid < " })
            .bind(from)
            .sql(" ORDER BY uuid LIMIT ")
            .bind(left);
        for row in conn.query(sql)? {
            found.push(candidate(&row)?);
        }
    }
    Ok(found)
}

/// Hosts of claims that a claim is to lie apart from: those of its account that have one of the tags, and either hold room there or are
/// bound to the host. Each with why. `hold`: the tags stay as they are until the transaction ends.
pub(crate) fn apart(conn: &mut Conn, want: &Want, hold: bool) -> Result<BTreeMap<Uuid, String>> {
    let mut found = BTreeMap::new();
    if want.apart.is_empty() {
        return Ok(found);
    }
    let others = |columns: &str, joined: &str| {
        let start = format!(
            "SELECT {columns} FROM tag mine JOIN tag other ON other.text = mine.text AND other.account_uuid = mine.account_uuid \
             AND other.resource_uuid <> mine.resource_uuid {joined} WHERE mine.resource_uuid = "
        );
        Sql::new(start)
            .bind(want.claim)
            .sql(" AND mine.text IN (")
            .bind_all(want.apart.iter().map(String::as_str))
            .sql(")")
    };
    if hold && conn.dialect() == Dialect::Postgres {
        // in one order, whoever does it
        let group = Sql::new("SELECT uuid FROM tag WHERE (text, account_uuid) IN (SELECT text, account_uuid FROM tag WHERE resource_uuid = ")
            .bind(want.claim)
            .sql(" AND text IN (")
            .bind_all(want.apart.iter().map(String::as_str))
            .sql(")) ORDER BY uuid FOR UPDATE");
        conn.query(group)?;
    }
    for (columns, joined) in [
        ("p.host_uuid, other.text", "JOIN host_placement p ON p.claim_uuid = other.resource_uuid"),
        ("vm.host_uuid, other.text", "JOIN vm ON vm.uuid = other.resource_uuid AND vm.host_uuid IS NOT NULL"),
    ] {
        for row in conn.query(others(columns, joined))? {
            let why = format!("has a machine with the tag {}", row.text(1)?);
            found.insert(row.id(0)?, why);
        }
    }
    Ok(found)
}

/// What a claim holds.
pub(crate) fn held(conn: &mut Conn, claim: Uuid) -> Result<Option<Held>> {
    let sql = Sql::new("SELECT host_uuid, cpu_count, memory_bytes FROM host_placement WHERE claim_uuid = ").bind(claim);
    let row = conn.query_one(sql)?;
    row.map(|row| Ok(Held { host: row.id(0)?, cpus: row.int(1)?, memory: row.int(2)? })).transpose()
}

/// Where a host is, and what runs machines there.
pub(crate) fn seat(conn: &mut Conn, host: Uuid) -> Result<Option<Seat>> {
    let sql = Sql::new("SELECT uuid, cluster_uuid, zone_uuid, hypervisor FROM host WHERE uuid = ").bind(host);
    let row = conn.query_one(sql)?;
    row.map(|row| {
        Ok(Seat { host: row.id(0)?, cluster: row.id(1)?, zone: row.id(2)?, hypervisor: row.text(3)?.to_owned() })
    })
    .transpose()
}

/// Takes room on a host for a claim. False where there is none any more.
pub(crate) fn take(conn: &mut Conn, want: &Want, host: Uuid) -> Result<bool> {
    let sql = Sql::new("UPDATE host SET cpu_used = cpu_used + ")
        .bind(want.cpus)
        .sql(", memory_used_bytes = memory_used_bytes + ")
        .bind(want.memory)
        .sql(" WHERE state = 'ENABLED' AND status = 'CONNECTED' AND uuid = ")
        .bind(host);
    if conn.execute(room(sql, want))? == 0 {
        return Ok(false);
    }
    let sql = Sql::new("INSERT INTO host_placement (claim_uuid, host_uuid, cpu_count, memory_bytes) VALUES (")
        .bind(want.claim)
        .sql(", ")
        .bind(host)
        .sql(", ")
        .bind(want.cpus)
        .sql(", ")
        .bind(want.memory)
        .sql(")");
    conn.execute(sql)?;
    Ok(true)
}

/// Gives back what a claim holds. Answers what that was.
pub(crate) fn release(conn: &mut Conn, claim: Uuid) -> Result<Option<Held>> {
    let sql = Sql::new("DELETE FROM host_placement WHERE claim_uuid = ")
        .bind(claim)
        .sql(" RETURNING host_uuid, cpu_count, memory_bytes");
    let Some(row) = conn.query_one(sql)? else { return Ok(None) };
    let held = Held { host: row.id(0)?, cpus: row.int(1)?, memory: row.int(2)? };
    let sql = Sql::new("UPDATE host SET cpu_used = cpu_used - ")
        .bind(held.cpus)
        .sql(", memory_used_bytes = memory_used_bytes - ")
        .bind(held.memory)
        .sql(" WHERE uuid = ")
        .bind(held.host);
    conn.execute(sql)?;
    Ok(Some(held))
}

/// A host as a refusal speaks of it.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub candidate: Candidate,
    pub name: String,
    pub enabled: bool,
    pub connected: bool,
    pub status_reason: String,
}

/// All hosts as refusals speak of them, or one.
pub(crate) fn standings(conn: &mut Conn, only: Option<Uuid>) -> Result<Vec<Standing>> {
    let mut sql = Sql::new(
        "SELECT uuid, cluster_uuid, zone_uuid, hypervisor, cpu_capacity, cpu_used, memory_capacity_bytes, \
         memory_used_bytes, name, state, status, status_reason FROM host",
    );
    if let Some(host) = only {
        sql = sql.sql(" WHERE uuid = ").bind(host);
    }
    let rows = conn.query(sql.sql(" ORDER BY name, uuid"))?;
    rows.iter()
        .map(|row| {
            Ok(Standing {
                candidate: candidate(row)?,
                name: row.text(8)?.to_owned(),
                enabled: row.text(9)? == "ENABLED",
                connected: row.text(10)? == "CONNECTED",
                status_reason: row.text(11)?.to_owned(),
            })
        })
        .collect()
}
