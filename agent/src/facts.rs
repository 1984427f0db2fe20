//! What a host has, from /proc and /etc.

use gyre_proto::agent::v1::HostFacts;

/// Looks at this machine.
pub fn of_this_machine() -> HostFacts {
    let cpu_count =
        std::thread::available_parallelism().map_or(1, |count| i32::try_from(count.get()).unwrap_or(i32::MAX));
    HostFacts {
        cpu_count,
        memory_bytes: memory(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        architecture: std::env::consts::ARCH.to_owned(),
        operating_system: operating_system(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..HostFacts::default()
    }
}

/// The present boot of this machine, as its kernel names it; empty where it does not.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn memory(meminfo: &str) -> i64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_whitespace().next()?.parse::<i64>().ok());
    kib.unwrap_or(0) * 1024
}

fn operating_system() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.map_or("Linux", |name| name.trim_matches('"'));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{name} (Linux {})", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(memory("MemFree: 1 kB\nMemTotal:       24640000 kB\n"), 24_640_000 * 1024);
        assert_eq!(memory(""), 0);
    }

    #[test]
    fn this_machine_has_something() {
        let facts = of_this_machine();
        assert!(facts.cpu_count > 0 && facts.memory_bytes > 0 && facts.operating_system.contains("Linux"));
    }
}
