//! Sums that must agree whatever happened: what is allocated, what counters say, what hosts have.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::Result;
use gyre_model::Uuid;
use gyre_proto::agent::v1::MachineState;
use gyre_proto::vm::v1::{Nic, Vm};
use gyre_store::{Conn, Sql};

use crate::site::Site;

/// Each answers a line of text for each row that is wrong.
const SUMS: [(&str, &str); 12] = [
    (
        "a host's processors are those of its placements",
        "SELECT host.name, host.cpu_used, COALESCE((SELECT SUM(cpu_count) FROM host_placement p WHERE p.host_uuid = host.uuid), 0) \
         FROM host",
    ),
    (
        "a host's memory is that of its placements",
        "SELECT host.name, host.memory_used_bytes, \
         COALESCE((SELECT SUM(memory_bytes) FROM host_placement p WHERE p.host_uuid = host.uuid), 0) FROM host",
    ),
    (
        "the room taken on a host of a primary storage is that of its volumes",
        "SELECT s.name, h.used_bytes, COALESCE((SELECT SUM(size_bytes) FROM volume v WHERE v.host_uuid = h.host_uuid \
         AND v.primary_storage_uuid = h.primary_storage_uuid), 0) \
         FROM primary_storage_host h JOIN primary_storage s ON s.uuid = h.primary_storage_uuid",
    ),
    (
        "the room taken of a primary storage is that of its volumes",
        "SELECT s.name, s.used_bytes, COALESCE((SELECT SUM(size_bytes) FROM volume v WHERE v.primary_storage_uuid = s.uuid), 0) \
         FROM primary_storage s",
    ),
    (
        "a range's count is that of its addresses",
        "SELECT r.name, r.used_count, (SELECT COUNT(*) FROM ip_address a WHERE a.ip_range_uuid = r.uuid) FROM ip_range r",
    ),
    (
        "no address without its machine",
        "SELECT 'addresses', COUNT(*), 0 FROM ip_address WHERE vm_uuid NOT IN (SELECT uuid FROM vm)",
    ),
    (
        "no address without its interface",
        "SELECT 'addresses', COUNT(*), 0 FROM ip_address a WHERE NOT EXISTS \
         (SELECT 1 FROM nic n WHERE n.uuid = a.nic_uuid AND n.vm_uuid = a.vm_uuid AND n.l3_network_uuid = a.l3_network_uuid)",
    ),
    (
        "no interface without its address",
        "SELECT n.ip, COUNT(*), 0 FROM nic n WHERE n.uuid NOT IN (SELECT nic_uuid FROM ip_address) GROUP BY n.ip",
    ),
    (
        "no placement without its machine",
        "SELECT 'placements', COUNT(*), 0 FROM host_placement WHERE claim_uuid NOT IN (SELECT uuid FROM vm)",
    ),
    (
        "no volume without its machine",
        "SELECT 'volumes', COUNT(*), 0 FROM volume WHERE vm_uuid IS NOT NULL AND vm_uuid NOT IN (SELECT uuid FROM vm)",
    ),
    (
        "no machine without its root volume",
        "SELECT 'machines', COUNT(*), 0 FROM vm WHERE root_volume_uuid NOT IN (SELECT uuid FROM volume)",
    ),
    (
        "a machine that runs has a placement, and one that is off has none",
        "SELECT 'machines', COUNT(*), 0 FROM vm WHERE (state = 'RUNNING' AND uuid NOT IN (SELECT claim_uuid FROM host_placement)) \
         OR (state IN ('STOPPED', 'DESTROYED') AND uuid IN (SELECT claim_uuid FROM host_placement))",
    ),
];

fn tables(conn: &mut Conn) -> gyre_model::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (rule, sql) in SUMS {
        for row in conn.query(Sql::new(format!(
            "SELECT CAST(a AS TEXT), CAST(b AS TEXT), CAST(c AS TEXT) FROM ({}) AS sums",
            named(sql)
        )))? {
            let (name, one, other) = (row.text(0)?, row.text(1)?, row.text(2)?);
            if one != other {
                wrong.push(format!("{rule}: {name}: {one}, should be {other}"));
            }
        }
    }
    Ok(wrong)
}

/// Gives the three columns of a query the names a, b and c.
fn named(sql: &str) -> String {
    format!("SELECT NULL AS a, NULL AS b, NULL AS c WHERE 1 = 0 UNION ALL {sql}")
}

struct Machine {
    uuid: Uuid,
    state: String,
    host: Option<Uuid>,
}

fn machines(conn: &mut Conn) -> gyre_model::Result<Vec<Machine>> {
    let rows = conn.query(Sql::new("SELECT uuid, state, host_uuid FROM vm"))?;
    rows.iter()
        .map(|row| Ok(Machine { uuid: row.id(0)?, state: row.text(1)?.to_owned(), host: row.opt_id(2)? }))
        .collect()
}

/// What an interface's row says that its machine, or the address in use, does not.
fn interfaces(conn: &mut Conn) -> gyre_model::Result<Vec<String>> {
    let everything = || Sql::new("1 = 1");
    let mut rows: BTreeMap<_, _> =
        gyre_query::select::<Nic>(conn, everything())?.into_iter().map(|nic| (nic.uuid.clone(), nic)).collect();
    let mut addresses = BTreeMap::new();
    for row in conn.query(Sql::new("SELECT nic_uuid, address FROM ip_address"))? {
        let address = u32::try_from(row.int(1)?).map_err(gyre_model::Error::internal)?;
        addresses.insert(row.id(0)?.to_string(), Ipv4Addr::from(address).to_string());
    }
    let mut wrong = Vec::new();
    for vm in gyre_query::select::<Vm>(conn, everything())? {
        for nic in &vm.nics {
            let Some(row) = rows.remove(&nic.uuid) else {
                wrong.push(format!("interface {} of vm {} has no row", nic.uuid, vm.uuid));
                continue;
            };
            let says =
                [&vm.uuid, &vm.account_uuid, &nic.l3_network_uuid, &nic.mac, &nic.address, &nic.gateway, &nic.bridge];
            let told =
                [&row.vm_uuid, &row.account_uuid, &row.l3_network_uuid, &row.mac, &row.ip, &row.gateway, &row.bridge];
            if says != told || nic.prefix_length != row.prefix_length {
                wrong.push(format!("interface {}: {told:?}, should be {says:?}", nic.uuid));
            }
            if addresses.get(&nic.uuid) != Some(&row.ip) {
                wrong.push(format!("interface {} has {}, and holds {:?}", nic.uuid, row.ip, addresses.get(&nic.uuid)));
            }
        }
    }
    wrong.extend(
        rows.into_values().map(|row| format!("interface {} of vm {}, which has none such", row.uuid, row.vm_uuid)),
    );
    Ok(wrong)
}

/// What is wrong now.
pub fn wrong(site: &Site) -> Result<Vec<String>> {
    let mut wrong = site.run(site.store().read("matrix-sums", tables))?;
    wrong.extend(site.run(site.store().read("matrix-interfaces", interfaces))?);
    let known = site.run(site.store().read("matrix-machines", machines))?;
    let paths = site.run(site.store().read("matrix-volumes", |conn| {
        let rows = conn.query(Sql::new("SELECT path FROM volume WHERE state IN ('READY', 'DESTROYED')"))?;
        rows.iter().map(|row| row.text(0).map(str::to_owned)).collect::<gyre_model::Result<Vec<_>>>()
    }))?;
    let images =
        site.look(|conn| conn.query(Sql::new("SELECT uuid FROM image"))?.iter().map(|row| row.id(0)).collect());
    let images: Vec<Uuid> = images?;
    let inventory = site.agent.inventory();
    let on_hosts =
        |vm: Uuid| inventory.iter().find_map(|(host, all)| all.machines.get(&vm).map(|state| (*host, *state)));
    for vm in &known {
        let runs = matches!(on_hosts(vm.uuid), Some((host, MachineState::Running)) if Some(host) == vm.host);
        match (vm.state.as_str(), runs) {
            ("RUNNING", false) => wrong.push(format!("vm {} should run, and its host does not run it", vm.uuid)),
            ("STOPPED" | "DESTROYED", true) => {
                wrong.push(format!("vm {} should be off, and its host runs it", vm.uuid))
            }
            ("RUNNING" | "STOPPED" | "DESTROYED", _) => {}
            (state, _) => wrong.push(format!("vm {} is left {state}", vm.uuid)),
        }
    }
    for (host, all) in &inventory {
        for vm in all.machines.keys().filter(|vm| !known.iter().any(|known| known.uuid == **vm)) {
            wrong.push(format!("host {host} has machine {vm}, which is none"));
        }
        for file in all.files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "qcow2")) {
            if !paths.iter().any(|path| *path == file.to_string_lossy()) {
                wrong.push(format!("host {host} has volume {}, which is none", file.display()));
            }
        }
        for file in all.files.iter().filter(|file| file.extension().is_none_or(|ending| ending != "qcow2")) {
            let uuid = file.file_stem().and_then(|stem| gyre_model::parse_uuid(&stem.to_string_lossy()));
            if !images.iter().any(|image| Some(*image) == uuid) {
                wrong.push(format!("host {host} has image {}, which is none", file.display()));
            }
        }
        if all.tasks > 0 {
            wrong.push(format!("host {host} has {} tasks that do not end", all.tasks));
        }
    }
    for path in &paths {
        if !inventory.values().any(|all| all.files.contains(std::path::Path::new(path))) {
            wrong.push(format!("volume {path} is ready, and no host has it"));
        }
    }
    Ok(wrong)
}
