//! Gyre's demo disk, made on the spot: no download, no root, no mounts, no tools.
//!
//! A demonstration of a cloud needs a machine that boots, and a laptop rarely has a small bootable disk lying about.
//! [`build`] makes one from what a Debian machine has: the cloud kernel (`linux-image-cloud-amd64`) and a static
//! busybox (`busybox-static`). Where they are missing it makes a disk of one sector that only greets, and says which
//! packages would make more of it. The same inputs always give the same bytes.
//!
//! # The parts
//!
//! | part | where | what it decides |
//! | --- | --- | --- |
//! | discovery | `discover` | which kernel, busybox and modules directory, or why none |
//! | kernel | `kernel` | reads the x86 setup header, writes the loader's fields into it, places the initramfs |
//! | modules | `modules` | which driver files, in the order in which they load |
//! | initramfs | `initramfs`, `cpio` | the guest's files: busybox, drivers, start script (`src/guest`) |
//! | loader | `boot` | our own BIOS boot loader (`src/boot/loader.S`), which copies sectors and jumps |
//! | disk | `disk` | which sector holds what, the loader's table, the partition table |
//!
//! The ground rule: *everything is decided in Rust when the disk is made*. The loader only copies extents to addresses,
//! and the guest's script only loads the drivers that are listed in order. What can be wrong can be tested without
//! booting anything.
//!
//! # The guest, seen from outside (flavour Linux)
//!
//! - The loader reports on the first serial port (`gyre: loading ...`), then the kernel is quiet.
//! - The greeting comes first, as a line of its own, on the serial port and on the screen if there is one. At that
//!   moment the power button (ACPI, `system_powerdown` of QEMU) already works: the guest switches off at once.
//! - `hostname: ...` and `uptime: ... s` follow, then the network is brought up, then `address: ...` and a second
//!   `uptime:` line, then a root shell without password on the serial port. It is a demonstration, not a place for
//!   secrets.
//! - Every network card asks for an address by DHCP. If that gave the first card (`eth0`) nothing within two seconds,
//!   the SMBIOS chassis asset tag is followed: `gyre;ip=10.0.0.5/24;gw=10.0.0.1`, where `dns=`, `mtu=` and `name=` are
//!   understood too, and all but `gyre` may be left out. Without an address in the tag the boot goes on after three
//!   seconds, and a late lease is taken, and told, when it comes.
//! - The host name is the first of: `name=` of that tag, the SMBIOS product serial (`-smbios type=1,serial=...`), the
//!   SMBIOS product name unless it is QEMU's own, what DHCP says, `gyre-demo`.
//! - The drivers are virtio's (disk, network, balloon, console, random numbers). 96 MiB of memory are enough.
//!
//! The flavour of one sector prints the greeting on the serial port and on the screen, and sleeps. It cannot hear the
//! power button: there is no ACPI in 440 bytes. Such a machine is stopped by force.

mod boot;
mod cpio;
mod discover;
mod disk;
mod error;
mod initramfs;
mod kernel;
mod modules;

use std::path::{Path, PathBuf};

pub use discover::PACKAGES;
pub use error::Error;

/// Greetings longer than this many bytes are refused: they would not fit into a boot sector.
pub const GREETING_MAX: usize = 200;

/// What the disk shall be. [`Options::new`] leaves everything but the greeting to discovery.
#[derive(Debug, Clone)]
pub struct Options {
    /// The line that the guest prints when it is up: one line of at most [`GREETING_MAX`] bytes, no control characters.
    pub greeting: String,
    /// The kernel (a bzImage). `None`: the newest readable `/boot/vmlinuz-*-cloud-amd64`, else `/boot/vmlinuz-*-amd64`.
    pub kernel: Option<PathBuf>,
    /// A statically linked busybox. `None`: `/bin/busybox`, else `/usr/bin/busybox`, if it is static.
    pub busybox: Option<PathBuf>,
    /// The directory with the kernel's `modules.dep`. `None`: `/lib/modules/<release of the kernel>`.
    pub modules: Option<PathBuf>,
    /// Which flavour is wanted.
    pub want: Want,
}

impl Options {
    /// Options with this greeting, and everything else discovered.
    pub fn new(greeting: impl Into<String>) -> Self {
        Self { greeting: greeting.into(), kernel: None, busybox: None, modules: None, want: Want::Best }
    }
}

/// Which flavour a caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Want {
    /// Linux where its parts are found, else the boot sector.
    #[default]
    Best,
    /// Linux, or [`Error::Missing`].
    Linux,
    /// The boot sector, even where Linux would be possible.
    BootSector,
}

/// What [`build`] made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Which flavour it is.
    pub flavour: Flavour,
    /// The size of the disk in bytes; a multiple of 1 MiB.
    pub bytes: u64,
}

/// The two flavours of the demo disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flavour {
    /// A small Linux with network, power button and a shell.
    Linux {
        /// The kernel that was taken.
        kernel: PathBuf,
        /// Its release, as `uname -r` will say.
        release: String,
        /// The busybox that was taken.
        busybox: PathBuf,
        /// The least memory in MiB with which the loader starts the kernel.
        memory_mib: u32,
        /// Drivers that the kernel's modules directory does not offer in a usable form; the guest does without.
        missing_modules: Vec<String>,
    },
    /// A boot sector that greets and sleeps.
    BootSector {
        /// Why it is no Linux, with the Debian packages that would help.
        why: String,
    },
}

/// Makes the demo disk (raw, MBR, for BIOS machines) at `out`, replacing what is there.
///
/// The disk is written beside `out` and renamed, so that nobody sees half of it.
///
/// # Errors
/// See [`Error`]; nothing is left behind then. Parts that are named in `options` and cannot be used are errors; parts
/// that discovery does not find only change the flavour.
pub fn build(options: &Options, out: &Path) -> Result<Built, Error> {
    check_greeting(&options.greeting)?;
    let image = match options.want {
        Want::BootSector => boot_sector(&options.greeting, "the boot sector was asked for".to_owned())?,
        Want::Best | Want::Linux => match discover::parts(options)? {
            discover::Found::All(parts) => linux(&options.greeting, *parts)?,
            discover::Found::NotAll { why } if options.want == Want::Best => boot_sector(&options.greeting, why)?,
            discover::Found::NotAll { why } => return Err(Error::Missing { why }),
        },
    };
    let bytes = disk::write(&image.extents, out)?;
    Ok(Built { flavour: image.flavour, bytes })
}

/// A disk before it is written: what lies at which sector.
struct Image {
    extents: Vec<disk::Piece>,
    flavour: Flavour,
}

fn linux(greeting: &str, parts: discover::Parts) -> Result<Image, Error> {
    let drivers = modules::resolve(&parts.modules, &initramfs::DRIVERS)?;
    let initramfs = initramfs::build(greeting, &parts.busybox, &drivers)?;
    let kernel = parts.kernel.prepare(initramfs.len(), kernel::COMMAND_LINE)?;
    let memory_mib = u32::from(kernel.memory_mib);
    let extents = disk::linux(boot::loader()?, kernel, initramfs)?;
    let flavour = Flavour::Linux {
        kernel: parts.kernel_path,
        release: parts.release,
        busybox: parts.busybox_path,
        memory_mib,
        missing_modules: drivers.missing,
    };
    Ok(Image { extents, flavour })
}

fn boot_sector(greeting: &str, why: String) -> Result<Image, Error> {
    let extents = disk::boot_sector(boot::greeter()?, greeting)?;
    Ok(Image { extents, flavour: Flavour::BootSector { why } })
}

fn check_greeting(greeting: &str) -> Result<(), Error> {
    if greeting.is_empty() {
        return Err(Error::Greeting { reason: "it is empty" });
    }
    if greeting.len() > GREETING_MAX {
        return Err(Error::Greeting { reason: "it is longer than 200 bytes" });
    }
    if greeting.chars().any(char::is_control) {
        return Err(Error::Greeting { reason: "it has control characters; one line of text is wanted" });
    }
    Ok(())
}
