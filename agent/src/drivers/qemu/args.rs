//! The arguments that a machine's QEMU is started with. A pure function, so that what a guest gets is seen in tests.
//!
//! What comes from outside (names, paths, addresses) stands in comma-separated options: commas in it are doubled, as QEMU wants it.

use std::net::Ipv4Addr;
use std::path::Path;

use gyre_model::{Error, Result};
use gyre_proto::agent::v1::{MachineNic, MachineSpec};

use super::probe::{Accelerator, SANDBOX};
use crate::ports::{NicBackend, PluggedNic};

/// The places of one run of a machine.
pub struct Places<'a> {
    /// The folder of this run's sockets.
    pub run: &'a Path,
    /// The console's log.
    pub console: &'a Path,
}

/// Doubles commas.
fn escaped(text: &str) -> String {
    text.replace(',', ",,")
}

fn shown(path: &Path, name: &str) -> String {
    escaped(&path.join(name).to_string_lossy())
}

/// All arguments.
pub fn arguments(
    spec: &MachineSpec,
    nics: &[PluggedNic],
    accelerator: Accelerator,
    sandbox: bool,
    places: &Places<'_>,
) -> Result<Vec<String>> {
    let mut args: Vec<String> = Vec::new();
    let mut add = |option: &str, value: String| {
        args.push(option.to_owned());
        args.push(value);
    };
    let uuid = spec.vm_uuid.to_ascii_lowercase();
    let name = if spec.name.is_empty() { &uuid } else { &spec.name };
    // the process's name has at most 15 bytes; the UUID's end makes it findable (many have the same beginning: the time)
    let process = format!("gyre-{}", uuid.get(26..).unwrap_or_default());
    add("-name", format!("guest={},process={process},debug-threads=on", escaped(name)));
    add("-uuid", uuid.clone());
    add("-pidfile", places.run.join("pid").to_string_lossy().into_owned());
    match accelerator {
        Accelerator::Kvm => {
            add("-accel", "kvm".into());
            add("-cpu", "host".into());
        }
        Accelerator::Tcg => {
            let cache = if spec.memory_bytes <= 512 << 20 { 32 } else { 128 };
            add("-accel", format!("tcg,tb-size={cache}"));
            add("-cpu", "max".into());
        }
    }
    add("-machine", "q35".into());
    add("-m", format!("size={}k", spec.memory_bytes / 1024));
    add("-smp", format!("cpus={}", spec.cpu_count));
    add("-display", "none".into());
    add("-rtc", "base=utc".into());
    add("-boot", "strict=on".into());
    add("-smbios", format!("type=1,manufacturer=Gyre,product=Gyre,serial={uuid}"));
    add("-smbios", format!("type=3,manufacturer=Gyre,asset={}", escaped(&asset(spec))));
    for monitor in ["qmp0", "qmp1"] {
        add("-chardev", format!("socket,id={monitor},path={},server=on,wait=off", shown(places.run, monitor)));
        add("-mon", format!("chardev={monitor},mode=control"));
    }
    let log = escaped(&places.console.to_string_lossy());
    add(
        "-chardev",
        format!("socket,id=serial0,path={},server=on,wait=off,logfile={log},logappend=on", shown(places.run, "serial")),
    );
    add("-serial", "chardev:serial0".into());
    for (at, disk) in spec.disks.iter().enumerate() {
        let path = escaped(&disk.path);
        add("-blockdev", format!("driver=file,node-name=file{at},filename={path},discard=unmap"));
        add("-blockdev", format!("driver=qcow2,node-name=disk{at},file=file{at},discard=unmap"));
        let serial: String = disk.volume_uuid.chars().filter(char::is_ascii_hexdigit).take(20).collect();
        let boot = if at == 0 { ",bootindex=1" } else { "" };
        add("-device", format!("virtio-blk-pci,id=vd{at},drive=disk{at},serial={serial}{boot}"));
    }
    for (at, PluggedNic { nic, backend }) in nics.iter().enumerate() {
        match backend {
            NicBackend::Tap { interface } => {
                add("-netdev", format!("tap,id=net{at},ifname={},script=no,downscript=no", escaped(interface)));
            }
            NicBackend::User => add("-netdev", user_net(at, nic, &spec.hostname)?),
            NicBackend::Simulated => continue,
        }
        add("-device", format!("virtio-net-pci,id=nic{at},netdev=net{at},mac={},romfile=", escaped(&nic.mac)));
    }
    add("-device", "virtio-balloon-pci,id=balloon0,deflate-on-oom=on".into());
    add("-object", "rng-random,id=rng0,filename=/dev/urandom".into());
    add("-device", "virtio-rng-pci,rng=rng0".into());
    if sandbox {
        add("-sandbox", SANDBOX.into());
    }
    // frozen until the monitor is attached, so that nothing of its life is missed
    args.extend(["-nodefaults", "-no-user-config", "-S"].map(str::to_owned));
    Ok(args)
}

/// What a guest can read of its name and address without any service, in the chassis' asset tag:
/// `gyre;name=web-1;ip=10.0.0.5/24;gw=10.0.0.1`.
fn asset(spec: &MachineSpec) -> String {
    let mut text = "gyre".to_owned();
    if !spec.hostname.is_empty() {
        text += &format!(";name={}", spec.hostname);
    }
    if let Some(nic) = spec.nics.first()
        && !nic.address.is_empty()
    {
        text += &format!(";ip={}/{}", nic.address, nic.prefix_length);
        if !nic.gateway.is_empty() {
            text += &format!(";gw={}", nic.gateway);
        }
    }
    text
}

/// The user-mode network whose DHCP gives the guest exactly its address, and its name. QEMU wants the guest, the router and the name server to
/// have three different addresses of the network.
fn user_net(at: usize, nic: &MachineNic, hostname: &str) -> Result<String> {
    let hostname = if hostname.is_empty() { String::new() } else { format!(",hostname={}", escaped(hostname)) };
    if nic.address.is_empty() {
        return Ok(format!("user,id=net{at}{hostname}"));
    }
    let refuse = |why: String| {
        Error::invalid("machine.nics", format!("the user-mode network cannot give {}: {why}", nic.address))
    };
    let read =
        |text: &str| text.parse::<Ipv4Addr>().map(u32::from).map_err(|error| refuse(format!("{text:?}: {error}")));
    let prefix = match u32::try_from(nic.prefix_length) {
        Ok(prefix @ 1..=30) => prefix,
        _ => return Err(refuse(format!("the prefix must be 1 to 30 bits long, got {}", nic.prefix_length))),
    };
    let mask = u32::MAX << (32 - prefix);
    let address = read(&nic.address)?;
    let (net, last) = (address & mask, address | !mask);
    let free = |taken: &[u32]| (net + 1..=last).find(|candidate| !taken.contains(candidate)).unwrap_or(last);
    let gateway = if nic.gateway.is_empty() { free(&[address]) } else { read(&nic.gateway)? };
    if gateway & mask != net || gateway == address {
        return Err(refuse(format!("the router {} must be another address of the same network", nic.gateway)));
    }
    let dns = free(&[address, gateway]);
    let shown = |address: u32| Ipv4Addr::from(address);
    Ok(format!(
        "user,id=net{at},net={}/{prefix},host={},dns={},dhcpstart={}{hostname}",
        shown(net),
        shown(gateway),
        shown(dns),
        shown(address)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyre_proto::agent::v1::MachineDisk;

    fn nic(address: &str, gateway: &str, prefix_length: i32) -> MachineNic {
        MachineNic {
            nic_uuid: "6f2a0c6e-8d3c-4a0e-9b61-0d5b7f6f9b10".into(),
            mac: "52:54:00:00:00:01".into(),
            bridge: "br0".into(),
            address: address.into(),
            gateway: gateway.into(),
            prefix_length,
            dns: Vec::new(),
        }
    }

    fn spec() -> MachineSpec {
        MachineSpec {
            vm_uuid: "5d1f3d5e-2a77-4f36-8c39-1f1f6f3c2b11".into(),
            name: "web,1".into(),
            cpu_count: 2,
            memory_bytes: 256 << 20,
            disks: vec![MachineDisk {
                volume_uuid: "11111111-2222-4333-8444-555555555555".into(),
                path: "/s,t/v.qcow2".into(),
            }],
            nics: vec![nic("10.0.0.5", "10.0.0.1", 24)],
            hostname: "web-1".into(),
        }
    }

    fn built(backend: NicBackend, accelerator: Accelerator) -> String {
        let spec = spec();
        let nics = [PluggedNic { nic: spec.nics[0].clone(), backend }];
        let places = Places { run: Path::new("/run,x/1"), console: Path::new("/m/console.log") };
        arguments(&spec, &nics, accelerator, true, &places).expect("sound").join(" ")
    }

    #[test]
    fn a_machine_gets_what_it_is_meant_to_have() {
        let args = built(NicBackend::User, Accelerator::Tcg);
        for expected in [
            "-name guest=web,,1,process=gyre-1f6f3c2b11,debug-threads=on",
            "-accel tcg,tb-size=32 -cpu max",
            "-m size=262144k -smp cpus=2",
            "asset=gyre;name=web-1;ip=10.0.0.5/24;gw=10.0.0.1",
            "path=/run,,x/1/qmp0,server=on",
            "-pidfile /run,x/1/pid",
            "logfile=/m/console.log,logappend=on",
            "filename=/s,,t/v.qcow2,discard=unmap",
            "serial=11111111222243338444,bootindex=1",
            "-netdev user,id=net0,net=10.0.0.0/24,host=10.0.0.1,dns=10.0.0.2,dhcpstart=10.0.0.5,hostname=web-1",
            "mac=52:54:00:00:00:01,romfile=",
            "-sandbox on,",
            "-nodefaults -no-user-config -S",
        ] {
            assert!(args.contains(expected), "{expected} is not in {args}");
        }
        let args = built(NicBackend::Tap { interface: "gy6f2a0c6e8d3c".into() }, Accelerator::Kvm);
        assert!(args.contains("-netdev tap,id=net0,ifname=gy6f2a0c6e8d3c,script=no,downscript=no"), "{args}");
        assert!(args.contains("-accel kvm -cpu host"), "{args}");
    }

    #[test]
    fn the_user_network_has_three_different_addresses() {
        let net = |nic: &MachineNic| user_net(0, nic, "");
        assert_eq!(net(&nic("", "", 0)).expect("sound"), "user,id=net0");
        let tight = net(&nic("10.9.0.2", "10.9.0.1", 30)).expect("sound");
        assert_eq!(tight, "user,id=net0,net=10.9.0.0/30,host=10.9.0.1,dns=10.9.0.3,dhcpstart=10.9.0.2");
        let second = net(&nic("10.9.0.2", "10.9.0.1", 24)).expect("sound");
        assert!(second.contains("dns=10.9.0.3"), "{second}");
        let no_router = net(&nic("10.9.0.1", "", 24)).expect("sound");
        assert!(no_router.contains("host=10.9.0.2,dns=10.9.0.3,dhcpstart=10.9.0.1"), "{no_router}");
        for wrong in [nic("10.9.0.2", "10.8.0.1", 24), nic("10.9.0.2", "10.9.0.2", 24), nic("10.9.0.2", "10.9.0.1", 31)]
        {
            assert_eq!(net(&wrong).expect_err("refused").reason(), "INVALID_FIELD");
        }
    }
}
