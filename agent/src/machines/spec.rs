//! Bounds of what a machine may be like. Services check their users' input; this is the host's own last look, since what is let
//! through here becomes arguments of a program.

use gyre_model::error::Violation;
use gyre_model::{Error, Result, Uuid};
use gyre_proto::agent::v1::MachineSpec;

use crate::failure;

/// Checks what a machine is to be like, and says which one it is.
pub(super) fn check(spec: &MachineSpec) -> Result<Uuid> {
    let vm = failure::uuid("machine.vm_uuid", &spec.vm_uuid)?;
    let mut violations = Vec::new();
    let mut must = |holds: bool, field: &str, description: String| {
        if !holds {
            violations.push(Violation { field: field.to_owned(), description });
        }
    };
    must(
        (1..=1024).contains(&spec.cpu_count),
        "machine.cpu_count",
        format!("must be 1 to 1024, got {}", spec.cpu_count),
    );
    must(
        (1 << 20..=1 << 44).contains(&spec.memory_bytes),
        "machine.memory_bytes",
        format!("must be 1 MiB to 16 TiB, got {}", spec.memory_bytes),
    );
    must(spec.name.len() <= 255, "machine.name", format!("must have at most 255 bytes, got {}", spec.name.len()));
    for disk in &spec.disks {
        must(
            disk.path.starts_with('/'),
            "machine.disks.path",
            format!("must be an absolute path, got {:?}", disk.path),
        );
    }
    for nic in &spec.nics {
        must(
            gyre_model::parse_uuid(&nic.nic_uuid).is_some(),
            "machine.nics.nic_uuid",
            format!("must be a UUID, got {:?}", nic.nic_uuid),
        );
        must(is_mac(&nic.mac), "machine.nics.mac", format!("must be six hex bytes with colons, got {:?}", nic.mac));
        let address = |text: &str| text.is_empty() || text.parse::<std::net::Ipv4Addr>().is_ok();
        must(address(&nic.address), "machine.nics.address", format!("must be an IPv4 address, got {:?}", nic.address));
        must(address(&nic.gateway), "machine.nics.gateway", format!("must be an IPv4 address, got {:?}", nic.gateway));
        must(
            (0..=32).contains(&nic.prefix_length),
            "machine.nics.prefix_length",
            format!("must be 0 to 32, got {}", nic.prefix_length),
        );
    }
    if violations.is_empty() { Ok(vm) } else { Err(Error::invalid_fields(violations)) }
}

fn is_mac(text: &str) -> bool {
    let bytes: Vec<_> = text.split(':').collect();
    bytes.len() == 6 && bytes.iter().all(|byte| byte.len() == 2 && u8::from_str_radix(byte, 16).is_ok())
}
