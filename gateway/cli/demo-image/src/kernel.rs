//! Reads a Linux bzImage and gets it ready for the loader.
//!
//! A bzImage is real-mode setup code (with a header of fields for boot loaders), then the kernel proper. The protocol is
//! Documentation/arch/x86/boot.rst of the kernel. All that a boot loader decides is decided and written into the header
//! here, so that the loader on the disk only copies and jumps:
//!
//! - the setup code goes to [`SETUP_SEGMENT`], its heap ends and the command line begins at offset 0xe000 there;
//! - the kernel goes to 1 MiB, from where it unpacks itself to its preferred address;
//! - the initramfs goes above all that the kernel may use while it unpacks, which the header tells as well.

use std::path::{Path, PathBuf};

use crate::Error;

/// The segment of the setup code; what the loader jumps to.
pub const SETUP_SEGMENT: u16 = 0x2000;
/// Where the setup code goes.
pub const SETUP_ADDRESS: u32 = (SETUP_SEGMENT as u32) << 4;
/// Where the kernel goes.
pub const KERNEL_ADDRESS: u32 = 0x10_0000;
/// Where the command line goes.
pub const COMMAND_LINE_ADDRESS: u32 = SETUP_ADDRESS + HEAP_END as u32;
/// The command line with its NUL may fill this many bytes.
pub const COMMAND_LINE_MAX: usize = 2048;

/// The kernel's arguments. What follows `panic=1` buys about a sixth of the time to the greeting under TCG: no shuffling
/// of addresses, no defence of the guest against itself, no self-tests, no questions to the BIOS about its drives.
pub const COMMAND_LINE: &str = "console=ttyS0 quiet loglevel=1 panic=1 nokaslr mitigations=off cryptomgr.notests \
                                edd=off rcupdate.rcu_expedited=1";

const HEAP_END: u16 = 0xe000;
const SECTOR: usize = 512;
const MIB: u64 = 1 << 20;
/// Room above the initramfs: the BIOS keeps its tables at the top of the memory.
const HEADROOM_MIB: u64 = 8;

// Offsets of the header's fields.
const SETUP_SECTS: usize = 0x1f1;
const BOOT_FLAG: usize = 0x1fe;
const MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const KERNEL_VERSION: usize = 0x20e;
const TYPE_OF_LOADER: usize = 0x210;
const LOADFLAGS: usize = 0x211;
const RAMDISK_IMAGE: usize = 0x218;
const RAMDISK_SIZE: usize = 0x21c;
const HEAP_END_PTR: usize = 0x224;
const CMD_LINE_PTR: usize = 0x228;
const INITRD_ADDR_MAX: usize = 0x22c;
const CMDLINE_SIZE: usize = 0x238;
const PREF_ADDRESS: usize = 0x258;
const INIT_SIZE: usize = 0x260;
const HEADER_END: usize = 0x264;

const LOADED_HIGH: u8 = 0x01;
const CAN_USE_HEAP: u8 = 0x80;
/// A loader without a number of its own.
const UNDEFINED_LOADER: u8 = 0xff;

/// A bzImage whose header has been checked.
#[derive(Debug)]
pub struct Kernel {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// A kernel in the form in which the loader wants it.
#[derive(Debug)]
pub struct Prepared {
    /// The setup code with all fields of the header filled.
    pub setup: Vec<u8>,
    /// The kernel proper.
    pub image: Vec<u8>,
    /// The command line with its NUL.
    pub command_line: Vec<u8>,
    /// Where the initramfs goes.
    pub initramfs_address: u32,
    /// The memory in MiB that a machine must have to hold all this.
    pub memory_mib: u16,
}

impl Kernel {
    /// Checks that `bytes` (the content of `path`) is a kernel of boot protocol 2.10 (Linux 2.6.31) or later.
    pub fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self, Error> {
        let kernel = Self { path: path.to_owned(), bytes };
        if kernel.bytes.len() < HEADER_END {
            return Err(kernel.refuse("it is shorter than a boot header"));
        }
        if kernel.u16(BOOT_FLAG) != 0xaa55 || &kernel.bytes[MAGIC..MAGIC + 4] != b"HdrS" {
            return Err(kernel.refuse("it has no x86 boot header"));
        }
        if kernel.u16(VERSION) < 0x020a {
            return Err(kernel.refuse("its boot protocol is older than 2.10"));
        }
        if kernel.bytes[LOADFLAGS] & LOADED_HIGH == 0 {
            return Err(kernel.refuse("it does not load at 1 MiB"));
        }
        if kernel.setup_len() > usize::from(HEAP_END) / 2 {
            return Err(kernel.refuse("its setup code is too long"));
        }
        if kernel.bytes.len() <= kernel.setup_len() {
            return Err(kernel.refuse("it ends in the setup code"));
        }
        Ok(kernel)
    }

    /// What `uname -r` says under this kernel, which is the name of its modules directory.
    pub fn release(&self) -> Result<String, Error> {
        let start = usize::from(self.u16(KERNEL_VERSION)) + 0x200;
        let text = self.bytes.get(start..self.setup_len()).unwrap_or_default();
        let end = text.iter().position(|&b| b == 0 || b == b' ').unwrap_or(0);
        match std::str::from_utf8(&text[..end]) {
            Ok(release) if !release.is_empty() && !release.contains('/') && release != ".." => Ok(release.to_owned()),
            _ => Err(self.refuse("its header does not tell its release")),
        }
    }

    /// Splits the kernel and fills its header for an initramfs of this size.
    pub fn prepare(mut self, initramfs: usize, command_line: &str) -> Result<Prepared, Error> {
        let limit = u64::from(self.u32(CMDLINE_SIZE)).min(COMMAND_LINE_MAX as u64 - 1);
        if command_line.len() as u64 > limit {
            return Err(Error::TooLarge { what: "kernel command line", bytes: command_line.len() as u64 });
        }
        let too_large = || Error::TooLarge { what: "initramfs", bytes: initramfs as u64 };
        let initramfs_size = u32::try_from(initramfs).map_err(|_| too_large())?;

        let image = self.bytes.split_off(self.setup_len());
        let loaded_end = u64::from(KERNEL_ADDRESS) + image.len() as u64;
        let unpacked_end = self.u64(PREF_ADDRESS).saturating_add(u64::from(self.u32(INIT_SIZE)));
        let address = loaded_end.max(unpacked_end).checked_next_multiple_of(MIB).ok_or_else(too_large)?;
        let end = address.saturating_add(u64::from(initramfs_size));
        if end > u64::from(self.u32(INITRD_ADDR_MAX)) {
            return Err(too_large());
        }
        let initramfs_address = u32::try_from(address).map_err(|_| too_large())?;
        let memory_mib = u16::try_from(end.div_ceil(MIB) + HEADROOM_MIB).map_err(|_| too_large())?;

        self.bytes[TYPE_OF_LOADER] = UNDEFINED_LOADER;
        self.bytes[LOADFLAGS] |= CAN_USE_HEAP;
        // the pointer is short by 0x200, as the protocol has it
        self.put(HEAP_END_PTR, &(HEAP_END - 0x200).to_le_bytes());
        self.put(CMD_LINE_PTR, &COMMAND_LINE_ADDRESS.to_le_bytes());
        self.put(RAMDISK_IMAGE, &initramfs_address.to_le_bytes());
        self.put(RAMDISK_SIZE, &initramfs_size.to_le_bytes());

        let mut command_line = command_line.as_bytes().to_vec();
        command_line.push(0);
        Ok(Prepared { setup: self.bytes, image, command_line, initramfs_address, memory_mib })
    }

    fn setup_len(&self) -> usize {
        let sectors = match self.bytes[SETUP_SECTS] {
            0 => 4,
            n => usize::from(n),
        };
        (sectors + 1) * SECTOR
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[at..at + N]);
        array
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn refuse(&self, reason: &'static str) -> Error {
        Error::Kernel { path: self.path.clone(), reason }
    }
}

/// A bzImage that has a header and nothing that could run, for tests of this crate.
#[cfg(test)]
pub fn fake(release: &str) -> Vec<u8> {
    let mut bytes = vec![0; 5 * SECTOR + 1000];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(SETUP_SECTS, &[4]);
    put(BOOT_FLAG, &0xaa55_u16.to_le_bytes());
    put(MAGIC, b"HdrS");
    put(VERSION, &0x020f_u16.to_le_bytes());
    put(KERNEL_VERSION, &0x300_u16.to_le_bytes());
    put(0x500, format!("{release} (someone@example.org) #1 SMP").as_bytes());
    put(LOADFLAGS, &[LOADED_HIGH]);
    put(INITRD_ADDR_MAX, &0x7fff_ffff_u32.to_le_bytes());
    put(CMDLINE_SIZE, &2047_u32.to_le_bytes());
    put(PREF_ADDRESS, &0x100_0000_u64.to_le_bytes());
    put(INIT_SIZE, &0x337_8000_u32.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: Vec<u8>) -> Result<Kernel, Error> {
        Kernel::parse(Path::new("/boot/vmlinuz-test"), bytes)
    }

    fn with(at: usize, field: &[u8]) -> Vec<u8> {
        let mut bytes = fake("6.1.0");
        bytes[at..at + field.len()].copy_from_slice(field);
        bytes
    }

    #[test]
    fn the_release_is_the_first_word_of_the_version() {
        assert_eq!(parse(fake("6.1.0-56-cloud-amd64")).unwrap().release().unwrap(), "6.1.0-56-cloud-amd64");
        assert!(parse(fake("../../etc")).unwrap().release().is_err());
        assert!(parse(with(KERNEL_VERSION, &[0xff, 0xff])).unwrap().release().is_err());
    }

    #[test]
    fn the_header_is_filled_and_the_initramfs_stands_above_the_unpacked_kernel() {
        let prepared = parse(fake("6.1.0")).unwrap().prepare(3_000_000, "quiet").unwrap();
        assert_eq!(prepared.setup.len(), 5 * SECTOR);
        assert_eq!(prepared.image.len(), 1000);
        assert_eq!(prepared.command_line, b"quiet\0");
        assert_eq!(prepared.initramfs_address, 0x440_0000);
        assert_eq!(prepared.memory_mib, 68 + 3 + 8);
        let setup = Kernel { path: PathBuf::new(), bytes: prepared.setup };
        assert_eq!(setup.bytes[TYPE_OF_LOADER], 0xff);
        assert_eq!(setup.bytes[LOADFLAGS], LOADED_HIGH | CAN_USE_HEAP);
        assert_eq!(setup.u16(HEAP_END_PTR), 0xde00);
        assert_eq!(setup.u32(CMD_LINE_PTR), 0x2_e000);
        assert_eq!(setup.u32(RAMDISK_IMAGE), 0x440_0000);
        assert_eq!(setup.u32(RAMDISK_SIZE), 3_000_000);
    }

    #[test]
    fn what_is_no_bzimage_is_refused_with_its_path() {
        let cases = [
            (b"short".to_vec(), "it is shorter than a boot header"),
            (with(MAGIC, b"Hdrs"), "it has no x86 boot header"),
            (with(BOOT_FLAG, &[0, 0]), "it has no x86 boot header"),
            (with(VERSION, &[9, 2]), "its boot protocol is older than 2.10"),
            (with(LOADFLAGS, &[0]), "it does not load at 1 MiB"),
            (with(SETUP_SECTS, &[255]), "its setup code is too long"),
            (with(SETUP_SECTS, &[30]), "it ends in the setup code"),
        ];
        for (bytes, reason) in cases {
            let error = parse(bytes).unwrap_err().to_string();
            assert!(error.starts_with("/boot/vmlinuz-test is no kernel"), "{error}");
            assert!(error.ends_with(reason), "{error}");
        }
    }

    #[test]
    fn sizes_beyond_the_protocol_are_refused() {
        let long = "x".repeat(COMMAND_LINE_MAX);
        assert!(parse(fake("6.1.0")).unwrap().prepare(1, &long).is_err());
        assert!(parse(fake("6.1.0")).unwrap().prepare(usize::MAX, "").is_err());
        assert!(parse(fake("6.1.0")).unwrap().prepare(0x7f00_0000, "").is_err());
        assert!(parse(with(PREF_ADDRESS, &[0xff; 8])).unwrap().prepare(1, "").is_err());
    }

    #[test]
    fn the_command_line_of_the_demo_is_one_line() {
        assert!(COMMAND_LINE.len() < 400 && !COMMAND_LINE.contains("  ") && COMMAND_LINE.is_ascii());
    }
}
