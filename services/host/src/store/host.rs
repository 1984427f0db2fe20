//! Hosts beyond one row: where agents are, fences, and what sessions write.

use gyre_model::{Caller, Error, Result, Uuid, parse_uuid, time};
use gyre_proto::agent::v1::HostFacts;
use gyre_proto::host::v1::{Cluster, Host, HostStatus};
use gyre_query::Change;
use gyre_store::{Conn, Dialect, Row, Sql};

use crate::capacity;

/// Where a host's agent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPlace {
    pub uuid: Uuid,
    pub name: String,
    pub address: String,
}

/// What came of writing what a session says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// The row changed (or has to).
    Changed,
    /// It said so already.
    Same,
    /// A newer session has the say.
    Fenced,
    /// There is no such host any more.
    Gone,
}

fn place_of(row: &Row) -> Result<HostPlace> {
    Ok(HostPlace { uuid: row.id(0)?, name: row.text(1)?.to_owned(), address: row.text(2)?.to_owned() })
}

/// Where the agent of a host is.
pub(crate) fn place(conn: &mut Conn, uuid: Uuid) -> Result<Option<HostPlace>> {
    let row = conn.query_one(Sql::new("SELECT uuid, name, address FROM host WHERE uuid = ").bind(uuid))?;
    row.as_ref().map(place_of).transpose()
}

/// Where all agents are.
pub(crate) fn places(conn: &mut Conn) -> Result<Vec<HostPlace>> {
    let rows = conn.query(Sql::new("SELECT uuid, name, address FROM host"))?;
    rows.iter().map(place_of).collect()
}

/// Takes the next fence of a host.
pub(crate) fn take_fence(conn: &mut Conn, host: Uuid) -> Result<i64> {
    let sql = Sql::new("INSERT INTO host_fence (host_uuid, fence) VALUES (")
        .bind(host)
        .sql(", 1) ON CONFLICT (host_uuid) DO UPDATE SET fence = host_fence.fence + 1 RETURNING fence");
    let row = conn.query_one(sql)?.ok_or_else(|| Error::internal("a fence was not answered"))?;
    row.int(0)
}

/// Whether a fence is the newest of its host. It stays so until the transaction ends.
fn newest(conn: &mut Conn, host: Uuid, fence: i64) -> Result<bool> {
    let sql = Sql::new("SELECT fence FROM host_fence WHERE host_uuid = ").bind(host);
    let sql = match conn.dialect() {
        Dialect::Sqlite => sql,
        Dialect::Postgres => sql.sql(" FOR SHARE"),
    };
    let row = conn.query_one(sql)?;
    Ok(row.map(|row| row.int(0)).transpose()?.unwrap_or(0) <= fence)
}

/// Reads a host, lets it be changed, and writes it where it was. Nothing where there is no such host. Where another change comes
/// between, that is a conflict, after which the transaction is run again.
pub(crate) fn change_host(
    conn: &mut Conn,
    change: &Change,
    uuid: Uuid,
    edit: impl FnOnce(&mut Conn, &mut Host) -> Result<bool>,
) -> Result<Option<(Host, bool)>> {
    let Some(before) = gyre_query::find::<Host>(conn, &Caller::system(), uuid)? else { return Ok(None) };
    let mut host = before.clone();
    if !edit(conn, &mut host)? {
        return Ok(Some((host, false)));
    }
    gyre_query::update_from(conn, change, &before, &host).map(|host| Some((host, true)))
}

/// The cluster of a host.
pub(crate) fn cluster_of(conn: &mut Conn, host: &Host) -> Result<Cluster> {
    let uuid = parse_uuid(&host.cluster_uuid).ok_or_else(|| Error::internal("a host without cluster"))?;
    gyre_query::get(conn, &Caller::system(), uuid)
}

/// Puts what an agent says into a host. Answers whether that changed anything.
fn connect(host: &mut Host, cluster: &Cluster, facts: &HostFacts) -> bool {
    let before = host.clone();
    host.cpu_count = facts.cpu_count.max(0);
    host.memory_bytes = facts.memory_bytes.max(0);
    host.hypervisor.clone_from(&facts.hypervisor);
    host.hypervisor_version.clone_from(&facts.hypervisor_version);
    host.accelerator.clone_from(&facts.accelerator);
    host.architecture.clone_from(&facts.architecture);
    host.operating_system.clone_from(&facts.operating_system);
    host.agent_version.clone_from(&facts.agent_version);
    host.network_mode.clone_from(&facts.network_mode);
    capacity::recompute(host, cluster);
    set_status(host, HostStatus::Connected, "");
    *host != before
}

fn set_status(host: &mut Host, status: HostStatus, reason: &str) {
    if host.status() != status {
        host.set_status(status);
        host.status_time = Some(time::now());
    }
    if host.status_reason != reason {
        reason.clone_into(&mut host.status_reason);
    }
}

/// Whether the row says already what a new session's agent says.
pub(crate) fn facts_same(conn: &mut Conn, uuid: Uuid, facts: &HostFacts) -> Result<Written> {
    let Some(mut host) = gyre_query::find::<Host>(conn, &Caller::system(), uuid)? else { return Ok(Written::Gone) };
    let cluster = cluster_of(conn, &host)?;
    Ok(if connect(&mut host, &cluster, facts) { Written::Changed } else { Written::Same })
}

fn write(
    conn: &mut Conn,
    uuid: Uuid,
    fence: i64,
    edit: impl FnOnce(&mut Conn, &mut Host) -> Result<bool>,
) -> Result<Written> {
    if !newest(conn, uuid, fence)? {
        return Ok(Written::Fenced);
    }
    Ok(match change_host(conn, &Change::by(Caller::system()), uuid, edit)? {
        None => Written::Gone,
        Some((_, true)) => Written::Changed,
        Some((_, false)) => Written::Same,
    })
}

/// Writes what the agent of a new session says, under its fence: facts, capacity, and that the host is connected.
pub(crate) fn write_connected(conn: &mut Conn, uuid: Uuid, fence: i64, facts: &HostFacts) -> Result<Written> {
    write(conn, uuid, fence, |conn, host| {
        let cluster = cluster_of(conn, host)?;
        Ok(connect(host, &cluster, facts))
    })
}

/// Writes that a host does not answer. Why it does not is kept from the first time on.
pub(crate) fn write_disconnected(conn: &mut Conn, uuid: Uuid, fence: i64, reason: &str) -> Result<Written> {
    write(conn, uuid, fence, |_, host| {
        if host.status() == HostStatus::Disconnected {
            return Ok(false);
        }
        set_status(host, HostStatus::Disconnected, reason);
        Ok(true)
    })
}

fn say_unknown(host: &mut Host, named: &[String], count: usize) -> bool {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    let other = host.unknown_vm_count != count || host.unknown_vm_uuids != named;
    host.unknown_vm_count = count;
    host.unknown_vm_uuids = named.to_vec();
    other
}

/// Whether the row says already which machines are not known.
pub(crate) fn unknown_same(conn: &mut Conn, uuid: Uuid, named: &[String], count: usize) -> Result<bool> {
    let host = gyre_query::find::<Host>(conn, &Caller::system(), uuid)?;
    Ok(host.is_none_or(|mut host| !say_unknown(&mut host, named, count)))
}

/// Writes which machines on a host are not known.
pub(crate) fn write_unknown(
    conn: &mut Conn,
    uuid: Uuid,
    fence: i64,
    named: &[String],
    count: usize,
) -> Result<Written> {
    write(conn, uuid, fence, |_, host| Ok(say_unknown(host, named, count)))
}
