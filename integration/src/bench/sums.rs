//! What must add up whatever was made and deleted: room on hosts and storage, addresses, interfaces, disks, and what runs on the
//! simulated hosts. Only of one site, so that a cluster may have others.

use std::collections::HashSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::opened::{IMAGE, Node, Opened};
use crate::front::{Front, MEMORY};

/// What machines should add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Machines that are there.
    pub machines: usize,
    /// Those of them that run.
    pub running: usize,
}

/// A question whose answer is one number: how many rows there are, or the sum of a field.
async fn number(front: &Front, kind: &str, filter: &str, sum: Option<&str>) -> Result<i64> {
    let sums: Vec<&str> = sum.into_iter().collect();
    let body = match sum {
        Some(_) => json!({"kind": kind, "filter": filter, "sum": sums}),
        None => json!({"kind": kind, "filter": filter, "count": true, "pageSize": 1}),
    };
    let answer = front.post("/v1/query", body).await?.good()?;
    let value = match sum {
        Some(field) => answer["rows"][0]["sum"].get(camel(field)).or_else(|| answer["rows"][0]["sum"].get(field)),
        None => answer.get("totalSize"),
    };
    match value {
        None | Some(Value::Null) => Ok(0),
        Some(Value::String(text)) => Ok(text.parse()?),
        Some(other) => other.as_i64().with_context(|| format!("{kind} answers {other}")),
    }
}

/// A field's name as proto3 JSON has it.
fn camel(field: &str) -> String {
    let mut words = field.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut name, word| {
        let mut letters = word.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name.push_str(letters.as_str());
        name
    })
}

/// Machines of a site that a filter lets through.
///
/// # Errors
/// When the question is refused.
pub async fn machines(opened: &Opened, filter: &str) -> Result<usize> {
    let filter = format!("image_uuid = \"{}\"{filter}", opened.image);
    Ok(usize::try_from(number(&opened.node.front, "vm", &filter, None).await?)?)
}

/// Looks whether everything adds up.
///
/// # Errors
/// What does not.
pub async fn verify(opened: &Opened, expected: Expected) -> Result<()> {
    let Opened { node, site, .. } = opened;
    let (all, running) = (i64::try_from(expected.machines)?, i64::try_from(expected.running)?);
    let cluster = format!("cluster_uuid = \"{}\"", site.cluster);
    let network = format!("l3_network_uuid = \"{}\"", site.network);
    let storage = format!("primary_storage_uuid = \"{}\"", site.primary_storage);
    let itself = format!("uuid = \"{}\"", site.primary_storage);
    let disks = all * i64::try_from(IMAGE)?;
    let image = format!("image_uuid = \"{}\"", opened.image);
    let runs = format!("{image} AND state = RUNNING");
    for (what, kind, filter, sum, right) in [
        ("machines", "vm", &image, None, all),
        ("machines that run", "vm", &runs, None, running),
        ("processors taken on hosts", "host", &cluster, Some("cpu_used"), running),
        ("memory taken on hosts", "host", &cluster, Some("memory_used_bytes"), running * MEMORY),
        ("bytes taken on primary storage", "primary-storage", &itself, Some("used_bytes"), disks),
        ("bytes of volumes", "volume", &storage, Some("size_bytes"), disks),
        ("volumes", "volume", &storage, None, all),
        ("addresses taken", "ip-range", &network, Some("used_count"), all),
        ("interfaces", "nic", &network, None, all),
    ] {
        let found = number(&node.front, kind, filter, sum).await?;
        ensure!(found == right, "{what}: {found}, should be {right} for {expected:?}");
    }
    on_hosts(node, expected)
}

/// Whether the simulated hosts of an embedded node have what they should. Those of a cluster are not looked into: its agents tell the
/// host service, which compares.
fn on_hosts(node: &Node, expected: Expected) -> Result<()> {
    let Some(embedded) = &node.embedded else { return Ok(()) };
    let inventory = embedded.agent()?.inventory();
    let running = inventory
        .values()
        .flat_map(|host| &host.machines)
        .filter(|(_, state)| **state == gyre_proto::agent::v1::MachineState::Running)
        .map(|(vm, _)| *vm);
    let (running, different): (usize, HashSet<_>) = running.fold((0, HashSet::new()), |(count, mut set), vm| {
        set.insert(vm);
        (count + 1, set)
    });
    ensure!(running == expected.running, "{running} machines run on the hosts, not {}", expected.running);
    ensure!(different.len() == running, "a machine runs on two hosts");
    // an image that a host keeps a copy of is no machine's
    let disks = inventory.values().flat_map(|host| &host.files).filter(|file| file.extension().is_some()).count();
    ensure!(disks == expected.machines, "{disks} disks are on the hosts, not {}", expected.machines);
    let tasks: usize = inventory.values().map(|host| host.tasks).sum();
    ensure!(tasks == 0, "{tasks} tasks run on the hosts");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_their_names_in_json() {
        assert_eq!(
            [camel("cpu_used"), camel("memory_used_bytes"), camel("size")],
            ["cpuUsed", "memoryUsedBytes", "size"]
        );
    }
}
