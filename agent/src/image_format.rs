//! Looks at the header of an image that came from outside, before any other program opens it.
//!
//! The file is hostile input: whoever made it may want QEMU to open a file of the host's as its backing file or data file, to
//! allocate absurd tables, or to take a "raw" disk for something else. What passes here is a self-contained qcow2 whose tables lie
//! within the file, or a raw disk that no format probe would take for anything else. Only the first 4 KiB and the last 512 bytes
//! are looked at; each refusal has a reason of its own. No other code may open an image that did not pass.

use gyre_model::{Error, Kind, Result};
use serde::{Deserialize, Serialize};

/// How many bytes of a file's beginning are looked at.
pub const HEAD: usize = 4096;
/// How many bytes of a file's end are looked at.
pub const TAIL: usize = 512;
/// The largest disk that is accepted: 64 TiB.
pub const MAX_DISK: u64 = 64 << 40;

/// The formats that Gyre keeps images in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The bytes of the disk, as they are.
    Raw,
    /// QEMU's copy-on-write format, version 2 or 3.
    Qcow2,
}

impl Format {
    /// Reads a format's name.
    ///
    /// # Errors
    /// `IMAGE_FORMAT_UNKNOWN`.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "raw" => Ok(Self::Raw),
            "qcow2" => Ok(Self::Qcow2),
            _ => Err(Error::new(
                Kind::InvalidArgument,
                "IMAGE_FORMAT_UNKNOWN",
                format!("the image format must be raw or qcow2, got {name:?}"),
            )
            .violation("format", "must be raw or qcow2")),
        }
    }

    /// The format's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// What is looked at of a file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Probe {
    /// Its first bytes, up to `HEAD`.
    pub head: Vec<u8>,
    /// Its last bytes, up to `TAIL`.
    pub tail: Vec<u8>,
    /// Its length.
    pub length: u64,
}

impl Probe {
    /// Takes in the next bytes of a file that is read from its beginning to its end.
    pub fn take(&mut self, data: &[u8]) {
        if self.head.len() < HEAD {
            let room = HEAD - self.head.len();
            self.head.extend_from_slice(&data[..data.len().min(room)]);
        }
        if data.len() >= TAIL {
            self.tail.clear();
            self.tail.extend_from_slice(&data[data.len() - TAIL..]);
        } else {
            self.tail.extend_from_slice(data);
            let excess = self.tail.len().saturating_sub(TAIL);
            self.tail.drain(..excess);
        }
        self.length += data.len() as u64;
    }
}

/// Checks that a file is what it claims, and says how large its disk is.
///
/// # Errors
/// One reason for each way to be wrong, all beginning with `IMAGE_`.
pub fn check(format: Format, probe: &Probe) -> Result<u64> {
    match format {
        Format::Raw => raw(probe),
        Format::Qcow2 => qcow2(probe),
    }
}

fn refuse<T>(reason: &'static str, message: impl Into<String>) -> Result<T> {
    Err(Error::new(Kind::FailedPrecondition, reason, message))
}

/// Beginnings of files that are not raw disks: (offset, bytes, name).
const BEGINNINGS: &[(usize, &[u8], &str)] = &[
    (0, b"QFI\xfb", "qcow2"),
    (0, b"QED\0", "qed"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vhd"),
    (0, b"LUKS\xba\xbe", "luks"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0, b"Bochs Virtual HD Image", "bochs"),
    (0, b"#!/bin/sh\n#V2.0 Format", "cloop"),
    (0, b"OOOM\0\0\0\0", "cow"),
    (0, b"\x1f\x8b\x08", "gzip"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"BZh", "bzip2"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (257, b"ustar", "tar"),
];

/// Ends of files that are not raw disks.
const ENDS: &[(&[u8], &str)] = &[(b"conectix", "vhd"), (b"koly", "dmg")];

fn known_as(probe: &Probe) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| probe.head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    let beginning = BEGINNINGS.iter().find(|(offset, magic, _)| at(*offset, magic)).map(|(.., name)| *name);
    let end = || ENDS.iter().find(|(magic, _)| probe.tail.starts_with(magic)).map(|(_, name)| *name);
    beginning.or_else(|| if probe.length >= TAIL as u64 { end() } else { None })
}

fn raw(probe: &Probe) -> Result<u64> {
    if probe.length == 0 {
        return refuse("IMAGE_EMPTY", "the image is empty");
    }
    if let Some(name) = known_as(probe) {
        let remedy = match name {
            "qcow2" => "import it with format qcow2".to_owned(),
            "gzip" | "xz" | "bzip2" | "zstd" | "zip" | "7z" | "tar" => "unpack it first".to_owned(),
            _ => format!("convert it first: qemu-img convert -f {name} -O qcow2"),
        };
        return refuse("IMAGE_FORMAT_MISMATCH", format!("the image was said to be raw but is {name}; {remedy}"));
    }
    if !probe.length.is_multiple_of(512) {
        return refuse(
            "IMAGE_SIZE_INVALID",
            format!("a raw image must be a whole number of 512-byte sectors, this one has {} bytes", probe.length),
        );
    }
    if probe.length > MAX_DISK {
        return refuse("IMAGE_TOO_LARGE", format!("the image has {} bytes, the most is {MAX_DISK}", probe.length));
    }
    Ok(probe.length)
}

/// Reads big-endian fields of a header, none of which need be there.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&self, offset: usize) -> Result<u32> {
        let bytes = self.0.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or_else(
            || refuse("IMAGE_HEADER_TRUNCATED", "the file ends within its qcow2 header"),
            |bytes| Ok(u32::from_be_bytes(bytes)),
        )
    }

    fn u64(&self, offset: usize) -> Result<u64> {
        Ok(u64::from(self.u32(offset)?) << 32 | u64::from(self.u32(offset + 4)?))
    }
}

/// A table of the file must begin on a cluster, after the header, and end within the file.
fn table(name: &str, offset: u64, bytes: u64, cluster: u64, length: u64) -> Result<()> {
    let fits = offset.checked_add(bytes).is_some_and(|end| end <= length);
    if offset < cluster || !offset.is_multiple_of(cluster) || !fits {
        return refuse(
            "IMAGE_TABLE_OUTSIDE_FILE",
            format!(
                "the {name} at {offset} with {bytes} bytes is not within the image of {length} bytes; fetch the image again"
            ),
        );
    }
    Ok(())
}

fn qcow2(probe: &Probe) -> Result<u64> {
    if !probe.head.starts_with(b"QFI\xfb") {
        let what = match known_as(probe) {
            Some(name) => format!("is {name}"),
            None if probe.length == 0 => "is empty".to_owned(),
            None if probe.head.trim_ascii_start().starts_with(b"<") => "is a web page".to_owned(),
            None => "does not begin like one".to_owned(),
        };
        return refuse("IMAGE_NOT_QCOW2", format!("the image was said to be qcow2 but {what}; name its true format"));
    }
    let header = Fields(&probe.head);
    let version = header.u32(4)?;
    if !matches!(version, 2 | 3) {
        return refuse("IMAGE_VERSION_UNKNOWN", format!("qcow2 version {version} is not known; versions 2 and 3 are"));
    }
    if header.u64(8)? != 0 || header.u32(16)? != 0 {
        return refuse(
            "IMAGE_HAS_BACKING_FILE",
            "the image has a backing file; flatten it first: qemu-img convert -O qcow2",
        );
    }
    let cluster_bits = header.u32(20)?;
    if !(9..=21).contains(&cluster_bits) {
        return refuse("IMAGE_HEADER_INVALID", format!("the cluster size must be 2^9 to 2^21, got 2^{cluster_bits}"));
    }
    let cluster = 1_u64 << cluster_bits;
    if header.u32(32)? != 0 {
        return refuse("IMAGE_ENCRYPTED", "the image is encrypted; decrypt it first: qemu-img convert");
    }
    let extended_l2 = version == 3 && features(&header, cluster)?;
    let size = header.u64(24)?;
    if size == 0 {
        return refuse("IMAGE_EMPTY", "the disk in the image has no bytes");
    }
    if size > MAX_DISK {
        return refuse("IMAGE_TOO_LARGE", format!("the disk in the image has {size} bytes, the most is {MAX_DISK}"));
    }
    if !size.is_multiple_of(512) {
        return refuse(
            "IMAGE_SIZE_INVALID",
            format!("the disk must be a whole number of 512-byte sectors, got {size} bytes"),
        );
    }
    // one entry of the L1 table points to a cluster of L2 entries, each of which maps a cluster
    let mapped = (cluster / if extended_l2 { 16 } else { 8 }) << cluster_bits;
    let l1_entries = u64::from(header.u32(36)?);
    if l1_entries < size.div_ceil(mapped) || l1_entries > (32 << 20) / 8 {
        return refuse(
            "IMAGE_HEADER_INVALID",
            format!("{l1_entries} entries in the L1 table do not fit a disk of {size} bytes"),
        );
    }
    table("L1 table", header.u64(40)?, l1_entries * 8, cluster, probe.length)?;
    let refcount_clusters = u64::from(header.u32(56)?);
    if refcount_clusters == 0 || refcount_clusters * cluster > 8 << 20 {
        return refuse("IMAGE_HEADER_INVALID", format!("a refcount table of {refcount_clusters} clusters is absurd"));
    }
    table("refcount table", header.u64(48)?, refcount_clusters * cluster, cluster, probe.length)?;
    let snapshots = u64::from(header.u32(60)?);
    if snapshots > 0 {
        return refuse(
            "IMAGE_HAS_SNAPSHOTS",
            format!("the image holds {snapshots} internal snapshots; flatten it first: qemu-img convert -O qcow2"),
        );
    }
    Ok(size)
}

const DIRTY: u64 = 1 << 0;
const CORRUPT: u64 = 1 << 1;
const DATA_FILE: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;

/// The fields that version 3 added. Answers whether L2 entries are extended.
fn features(header: &Fields<'_>, cluster: u64) -> Result<bool> {
    let incompatible = header.u64(72)?;
    if incompatible & DATA_FILE != 0 {
        return refuse(
            "IMAGE_HAS_DATA_FILE",
            "the image keeps its data in another file; convert it first: qemu-img convert",
        );
    }
    if incompatible & CORRUPT != 0 {
        return refuse("IMAGE_CORRUPT", "the image is marked as corrupt; repair it first: qemu-img check -r all");
    }
    let unknown = incompatible & !(DIRTY | COMPRESSION | EXTENDED_L2);
    if unknown != 0 {
        return refuse("IMAGE_FEATURE_UNKNOWN", format!("the image needs features that are not known: {unknown:#x}"));
    }
    let refcount_order = header.u32(96)?;
    let length = u64::from(header.u32(100)?);
    if refcount_order > 6 || length < 104 || !length.is_multiple_of(8) || length > cluster.min(HEAD as u64) {
        return refuse(
            "IMAGE_HEADER_INVALID",
            format!("the qcow2 header is not sound (refcount order {refcount_order}, header length {length})"),
        );
    }
    if incompatible & COMPRESSION != 0 {
        let kind = header.u32(104)? >> 24;
        if length < 112 || kind > 1 {
            return refuse("IMAGE_FEATURE_UNKNOWN", format!("the image's compression {kind} is not known"));
        }
    }
    let extended = incompatible & EXTENDED_L2 != 0;
    if extended && cluster < 1 << 14 {
        return refuse(
            "IMAGE_HEADER_INVALID",
            format!("extended L2 entries need clusters of 16 KiB, got {cluster} bytes"),
        );
    }
    Ok(extended)
}

#[cfg(test)]
mod tests;
