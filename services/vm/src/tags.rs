//! Gyre's tags of machines: what each must be like, and what it means. Which there are stands in `proto/gyre/vm/v1/vm.proto`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use gyre_model::{Result, Uuid, parse_uuid};
use gyre_proto::Message as _;
use gyre_proto::network::v1::IpRange;
use gyre_proto::vm::v1::{Vm, VmNic};
use gyre_query::tags::{self, Case, Verdict};
use gyre_store::{Conn, Sql};

/// The name that the guest gets.
pub(crate) const HOSTNAME: &str = "hostname";
/// An address that an interface gets.
const STATIC_IP: &str = "static-ip";
/// A cluster in which the machine is placed.
const PLACE_ON_CLUSTER: &str = "place-on-cluster";
/// A host on which the machine is not placed.
const AVOID_HOST: &str = "avoid-host";
/// A group whose machines lie on different hosts.
const APART: &str = "apart";

/// Most characters of a host name's label (RFC 1123).
const LONGEST_LABEL: usize = 63;

/// Says what the rules of vm.proto's names are.
pub(crate) fn register() {
    tags::register(&[
        ("vm.hostname", hostname),
        ("vm.static-ip", static_ip),
        ("vm.cluster", cluster),
        ("vm.host", host),
    ]);
}

fn hostname(_: &mut Conn, case: &Case<'_>) -> Verdict {
    let name = case.value;
    let letters = name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-');
    let sound = letters && name.len() <= LONGEST_LABEL && !name.starts_with('-') && !name.ends_with('-');
    Ok((!sound).then(|| {
        format!("must be 1 to {LONGEST_LABEL} of lower-case letters, digits and \"-\", with no \"-\" at its ends")
    }))
}

/// Rows of a table that a value names by UUID or by name.
fn named(conn: &mut Conn, table: &'static str, value: &str) -> Result<Vec<Uuid>> {
    let sql = Sql::new(format!("SELECT uuid FROM {table} WHERE "));
    let sql = match parse_uuid(value) {
        Some(uuid) => sql.sql("uuid = ").bind(uuid),
        None => sql.sql("name = ").bind(value),
    };
    conn.query(sql.sql(" ORDER BY uuid"))?.iter().map(|row| row.id(0)).collect()
}

fn cluster(conn: &mut Conn, case: &Case<'_>) -> Verdict {
    let found = named(conn, "cluster", case.value)?;
    Ok(found.is_empty().then(|| "must be the name or UUID of a cluster that is there".to_owned()))
}

fn host(conn: &mut Conn, case: &Case<'_>) -> Verdict {
    let found = named(conn, "host", case.value)?;
    Ok(found.is_empty().then(|| "must be the name or UUID of a host that is there".to_owned()))
}

fn static_ip(conn: &mut Conn, case: &Case<'_>) -> Verdict {
    let vm = Vm::decode(case.message).map_err(gyre_model::Error::internal)?;
    let fault = match assign(conn, &vm)? {
        Ok(_) => None,
        Err((value, fault)) => (value == case.value).then_some(fault),
    };
    Ok(fault)
}

/// A wish for an address: "10.0.0.7", or with the network before it, "<UUID>/10.0.0.7".
fn wish(value: &str) -> Option<(Option<Uuid>, Ipv4Addr)> {
    match value.split_once('/') {
        Some((network, address)) => Some((Some(parse_uuid(network)?), address.parse().ok()?)),
        None => Some((None, value.parse().ok()?)),
    }
}

/// The IP ranges of a network, from first to last address.
fn spans(conn: &mut Conn, network: &str) -> Result<Vec<(u32, u32)>> {
    let Some(network) = parse_uuid(network) else { return Ok(Vec::new()) };
    let ranges = gyre_query::select::<IpRange>(conn, Sql::new("l3_network_uuid = ").bind(network))?;
    let number = |text: &str| text.parse::<Ipv4Addr>().map(u32::from).ok();
    Ok(ranges.iter().filter_map(|range| Some((number(&range.start_address)?, number(&range.end_address)?))).collect())
}

/// Which interface gets which address by the machine's tags: the first one whose network is named, or has the address, and that no tag
/// before has taken. Or else the value that fits none, and what it must be.
fn assign(conn: &mut Conn, vm: &Vm) -> Result<std::result::Result<BTreeMap<String, Ipv4Addr>, (String, String)>> {
    let mut free: Vec<(&VmNic, Vec<(u32, u32)>)> = Vec::new();
    for nic in &vm.nics {
        free.push((nic, spans(conn, &nic.l3_network_uuid)?));
    }
    let all = free.iter().flat_map(|(_, spans)| spans);
    let shown: Vec<_> =
        all.map(|(first, last)| format!("{} to {}", Ipv4Addr::from(*first), Ipv4Addr::from(*last))).collect();
    let shown = if shown.is_empty() { "none".to_owned() } else { shown.join(", ") };
    let mut taken = BTreeMap::new();
    for value in tags::values(&vm.tags, STATIC_IP) {
        let Some((network, address)) = wish(value) else {
            let fault =
                "must be an IPv4 address such as 10.0.0.7, or a network's UUID and an address with \"/\" between";
            return Ok(Err((value.to_owned(), fault.to_owned())));
        };
        let number = u32::from(address);
        let fits = |(nic, spans): &(&VmNic, Vec<(u32, u32)>)| {
            network.is_none_or(|network| parse_uuid(&nic.l3_network_uuid) == Some(network))
                && spans.iter().any(|(first, last)| (*first..=*last).contains(&number))
        };
        let Some(at) = free.iter().position(fits) else {
            let fault = format!(
                "must be in an IP range of a network of the machine, one for each interface; there are {shown}"
            );
            return Ok(Err((value.to_owned(), fault)));
        };
        let (nic, _) = free.remove(at);
        let used = Sql::new("SELECT 1 FROM ip_address WHERE l3_network_uuid = ")
            .bind(parse_uuid(&nic.l3_network_uuid).unwrap_or_default())
            .sql(" AND address = ")
            .bind(i64::from(number))
            .sql(" AND nic_uuid <> ")
            .bind(parse_uuid(&nic.uuid).unwrap_or_default());
        if conn.query_one(used)?.is_some() {
            let fault = "must be free, and another interface has it: choose another address, or leave the tag out";
            return Ok(Err((value.to_owned(), fault.to_owned())));
        }
        taken.insert(nic.uuid.clone(), address);
    }
    Ok(Ok(taken))
}

/// The addresses that interfaces are to get, by interface.
///
/// # Errors
/// A tag that fits no interface any more.
pub(crate) fn static_addresses(conn: &mut Conn, vm: &Vm) -> Result<BTreeMap<String, String>> {
    match assign(conn, vm)? {
        Ok(taken) => Ok(taken.into_iter().map(|(nic, address)| (nic, address.to_string())).collect()),
        Err((value, fault)) => {
            let text = format!("gyre:{STATIC_IP}: {fault}, got {value:?}");
            Err(gyre_model::Error::new(gyre_model::Kind::FailedPrecondition, "STATIC_IP_DOES_NOT_FIT", text))
        }
    }
}

/// Where a machine may be placed by its tags.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hints {
    /// Only in these clusters, where any is given.
    pub clusters: Vec<String>,
    /// Not on these hosts, each with why.
    pub excluded: BTreeMap<String, String>,
    /// Not on a host of another machine that has one of these tags.
    pub apart: Vec<String>,
}

/// Reads where a machine may be placed by its tags.
pub(crate) fn hints(conn: &mut Conn, vm: &Vm) -> Result<Hints> {
    let mut hints = Hints::default();
    for cluster in tags::values(&vm.tags, PLACE_ON_CLUSTER) {
        hints.clusters.extend(named(conn, "cluster", cluster)?.iter().map(Uuid::to_string));
    }
    for host in tags::values(&vm.tags, AVOID_HOST) {
        let why = format!("avoided by the machine's tag gyre:{AVOID_HOST}={host}");
        hints.excluded.extend(named(conn, "host", host)?.iter().map(|host| (host.to_string(), why.clone())));
    }
    hints.apart = tags::values(&vm.tags, APART).map(|group| format!("{}{APART}={group}", tags::SYSTEM)).collect();
    Ok(hints)
}
