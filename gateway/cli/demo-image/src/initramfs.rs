//! The guest's files: busybox, drivers, and the scripts of `src/guest`.

use std::fs;
use std::path::Path;

use crate::Error;
use crate::cpio::Archive;
use crate::modules::{Driver, Resolved};

/// The drivers of the guest. Stage 0 is loaded before the greeting (the power button must work when the guest greets),
/// stage 1 before the network comes up, stage 2 with it.
pub const DRIVERS: [Driver; 8] = [
    Driver { name: "button", stage: 0 },
    Driver { name: "evdev", stage: 0 },
    Driver { name: "virtio_pci", stage: 1 },
    Driver { name: "virtio_net", stage: 1 },
    Driver { name: "virtio_blk", stage: 2 },
    Driver { name: "virtio_balloon", stage: 2 },
    Driver { name: "virtio_console", stage: 2 },
    Driver { name: "virtio-rng", stage: 2 },
];

/// The applets that the scripts call; all others get their names when the guest is up.
const APPLETS: [&str; 22] = [
    "cat", "cut", "dd", "echo", "hostname", "init", "insmod", "ip", "ls", "mkdir", "mount", "poweroff", "printf",
    "reboot", "sed", "sh", "sleep", "sync", "tr", "true", "udhcpc", "vi",
];

const DIRECTORIES: [&str; 11] = ["bin", "dev", "etc", "lib", "lib/modules", "mnt", "proc", "root", "run", "sys", "tmp"];

/// Packs the guest's first (and only) file system.
pub fn build(greeting: &str, busybox: &[u8], drivers: &Resolved) -> Result<Vec<u8>, Error> {
    let mut archive = Archive::default();
    for directory in DIRECTORIES {
        archive.directory(directory)?;
    }
    // the kernel opens it for the first process, before anything is mounted
    archive.device("dev/console", 5, 1)?;
    archive.file("bin/busybox", 0o755, busybox)?;
    for applet in APPLETS {
        archive.symlink(&format!("bin/{applet}"), "busybox")?;
    }
    archive.file("init", 0o755, include_bytes!("guest/init.sh"))?;
    archive.file("etc/rc", 0o755, include_bytes!("guest/rc.sh"))?;
    archive.file("etc/udhcpc", 0o755, include_bytes!("guest/udhcpc.sh"))?;
    archive.file("etc/power-button", 0o755, include_bytes!("guest/power-button.sh"))?;
    archive.file("etc/inittab", 0o644, include_bytes!("guest/inittab"))?;
    archive.file("etc/profile", 0o644, include_bytes!("guest/profile"))?;
    archive.file("etc/passwd", 0o644, b"root::0:0:root:/root:/bin/sh\n")?;
    archive.file("etc/greeting", 0o644, format!("{greeting}\n").as_bytes())?;
    for (stage, files) in drivers.stages.iter().enumerate() {
        let mut list = String::new();
        for path in files {
            let name = file_name(path);
            let content = fs::read(path).map_err(|source| Error::Read { path: path.clone(), source })?;
            archive.file(&format!("lib/modules/{name}"), 0o644, &content)?;
            list.push_str(&name);
            list.push('\n');
        }
        archive.file(&format!("lib/modules/stage{stage}"), 0o644, list.as_bytes())?;
    }
    archive.finish()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
