//! What a host has to give: its facts under its cluster's ratios.

use gyre_proto::host::v1::{Cluster, Host};

/// Virtual processors for each thread, where a cluster does not say.
pub(crate) const CPU_OVERCOMMIT: i32 = 4;
/// Bytes of memory for 100 of a host's, where a cluster does not say.
pub(crate) const MEMORY_OVERCOMMIT: i32 = 100;

/// Puts the capacity into a host that follows from its facts. Answers whether that changed anything.
pub(crate) fn recompute(host: &mut Host, cluster: &Cluster) -> bool {
    let cpus = i64::from(host.cpu_count).saturating_mul(i64::from(cluster.cpu_overcommit));
    let own = host.memory_bytes.saturating_sub(host.reserved_memory_bytes).max(0);
    let memory = i128::from(own) * i128::from(cluster.memory_overcommit) / 100;
    let memory = i64::try_from(memory).unwrap_or(i64::MAX);
    let changed = (host.cpu_capacity, host.memory_capacity_bytes) != (cpus, memory);
    (host.cpu_capacity, host.memory_capacity_bytes) = (cpus, memory);
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(cpu_overcommit: i32, memory_overcommit: i32) -> Cluster {
        Cluster { cpu_overcommit, memory_overcommit, ..Cluster::default() }
    }

    #[test]
    fn ratios_apply_to_what_is_not_reserved() {
        let mut host = Host { cpu_count: 8, memory_bytes: 1000, reserved_memory_bytes: 200, ..Host::default() };
        assert!(recompute(&mut host, &cluster(4, 150)));
        assert_eq!((host.cpu_capacity, host.memory_capacity_bytes), (32, 1200));
        assert!(!recompute(&mut host, &cluster(4, 150)));
        host.reserved_memory_bytes = 5000;
        assert!(recompute(&mut host, &cluster(4, 150)));
        assert_eq!(host.memory_capacity_bytes, 0);
    }

    #[test]
    fn absurd_facts_do_not_overflow() {
        let mut host = Host { cpu_count: i32::MAX, memory_bytes: i64::MAX, ..Host::default() };
        recompute(&mut host, &cluster(64, 400));
        assert_eq!(host.memory_capacity_bytes, i64::MAX);
    }
}
