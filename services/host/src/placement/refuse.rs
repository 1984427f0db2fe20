//! Why no host would do, host by host.

use std::collections::BTreeMap;

use gyre_model::{Error, Kind};

use super::Want;
use crate::store::placement::Standing;

/// Most hosts that a refusal names.
const MOST_NAMED: usize = 50;
/// Most bytes of their names and reasons: a refusal travels in headers.
const MOST_BYTES: usize = 9_000;
/// Most characters of one reason.
const LONGEST: usize = 96;

/// Why a host would not do. In the order in which refusals name them: those that came closest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    Full(String),
    Excluded(String),
    NotConnected(String),
    Disabled,
    OtherCluster,
}

impl Why {
    fn group(&self) -> &'static str {
        match self {
            Self::Full(_) => "full",
            Self::Excluded(_) => "unfit",
            Self::NotConnected(_) => "not connected",
            Self::Disabled => "disabled",
            Self::OtherCluster => "in another cluster",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Full(what) => what.clone(),
            Self::Excluded(why) if why.is_empty() => "unfit".to_owned(),
            Self::Excluded(why) => why.clone(),
            Self::NotConnected(why) if why.is_empty() => "not connected".to_owned(),
            Self::NotConnected(why) => format!("not connected: {why}"),
            Self::Disabled => "disabled".to_owned(),
            Self::OtherCluster => "in another cluster".to_owned(),
        }
    }
}

/// Bytes for people.
fn bytes(bytes: i64) -> String {
    const UNITS: [(&str, i64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, unit)| bytes.saturating_abs() >= *unit) {
        Some((name, unit)) if bytes % unit == 0 => format!("{} {name}", bytes / unit),
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} bytes"),
    }
}

fn cpus(count: i64) -> String {
    if count == 1 { "1 CPU".to_owned() } else { format!("{count} CPUs") }
}

/// Why a host would not do; nothing where it would.
fn why(want: &Want, standing: &Standing) -> Option<Why> {
    let candidate = &standing.candidate;
    if !want.allows_cluster(candidate.seat.cluster) {
        return Some(Why::OtherCluster);
    }
    if let Some(reason) = want.excluded.get(&candidate.seat.host) {
        return Some(Why::Excluded(reason.clone()));
    }
    if !standing.enabled {
        return Some(Why::Disabled);
    }
    if !standing.connected {
        return Some(Why::NotConnected(standing.status_reason.clone()));
    }
    let mut lacks = Vec::new();
    let free = candidate.cpu_capacity.saturating_sub(candidate.cpu_used);
    if free < want.cpus {
        lacks.push(format!("needs {}, has {} left", cpus(want.cpus), free.max(0)));
    }
    let free = candidate.memory_capacity.saturating_sub(candidate.memory_used);
    if free < want.memory {
        lacks.push(format!("needs {} of memory, has {} left", bytes(want.memory), bytes(free.max(0))));
    }
    (!lacks.is_empty()).then(|| Why::Full(lacks.join("; ")))
}

/// The refusal; nothing where a host has room by now.
pub(super) fn refusal(want: &Want, standings: &[Standing]) -> Option<Error> {
    if standings.is_empty() {
        return Some(match want.host {
            Some(host) => Error::not_found("host", host),
            None => Error::new(Kind::FailedPrecondition, "NO_HOST", "there is no host yet: add one to a cluster first"),
        });
    }
    let mut reasons = Vec::new();
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    for standing in standings {
        let why = why(want, standing)?;
        *groups.entry(why.group()).or_default() += 1;
        reasons.push((why, standing));
    }
    reasons.sort_by(|left, right| left.0.cmp(&right.0));
    let counts: Vec<_> = groups.iter().map(|(group, count)| format!("{count} {group}")).collect();
    let hosts = if standings.len() == 1 { "1 host".to_owned() } else { format!("{} hosts", standings.len()) };
    let text = match reasons.as_slice() {
        [(why, standing)] => format!(
            "host {} cannot take {} and {} of memory: {}",
            standing.name,
            cpus(want.cpus),
            bytes(want.memory),
            why.text()
        ),
        _ => format!(
            "no host can take {} and {} of memory: of {hosts}, {}",
            cpus(want.cpus),
            bytes(want.memory),
            counts.join(", ")
        ),
    };
    let mut named = BTreeMap::new();
    let mut size = 0;
    for (why, standing) in &reasons {
        let name = format!("{} {}", standing.name, standing.candidate.seat.host);
        let reason: String = why.text().chars().take(LONGEST).collect();
        size += name.len() + reason.len();
        if named.len() == MOST_NAMED || size > MOST_BYTES {
            break;
        }
        named.insert(name, reason);
    }
    let error = Error::new(Kind::ResourceExhausted, "NO_HOST_WITH_ROOM", text)
        .with("hosts", standings.len().to_string())
        .with("hosts_named", named.len().to_string());
    Some(named.into_iter().fold(error, |error, (name, reason)| error.with(name, reason)))
}
