//! Makes qcow2 files: empty ones, and overlays on an image. A new file is a header and two small tables, so that no program is
//! needed for it (Debian's qemu-system-x86 comes without qemu-img), and nothing has to be waited for.
//!
//! Layout: cluster 0 the header, its extensions and the backing file's name; cluster 1 the refcount table; then refcount blocks;
//! then the L1 table. All L1 entries are 0: nothing is allocated yet.

use gyre_model::{Error, Kind, Result};

use crate::image_format::{Format, MAX_DISK};

const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Bytes of a disk that one L1 entry maps.
const L1_MAPS: u64 = (CLUSTER / 8) * CLUSTER;
/// Clusters that one refcount block of 16-bit counts speaks of.
const BLOCK_COUNTS: u64 = CLUSTER / 2;
const HEADER_LENGTH: u32 = 104;
const BACKING_FORMAT: u32 = 0xe279_2aca;
/// The longest name of a backing file that qcow2 allows.
const MAX_BACKING: usize = 1023;

/// Checks the size of a disk.
///
/// # Errors
/// `VOLUME_SIZE_INVALID`.
pub fn check_size(size: u64) -> Result<()> {
    if size == 0 || size > MAX_DISK || !size.is_multiple_of(512) {
        return Err(Error::new(
            Kind::InvalidArgument,
            "VOLUME_SIZE_INVALID",
            format!("a volume must have 512 to {MAX_DISK} bytes, a multiple of 512, got {size}"),
        )
        .violation("size_bytes", format!("must be a multiple of 512 up to {MAX_DISK}, got {size}")));
    }
    Ok(())
}

/// The bytes of a new image whose disk has `size` bytes, on top of a backing file where one is named.
///
/// # Errors
/// `VOLUME_SIZE_INVALID`, `PATH_TOO_LONG`.
pub fn image(size: u64, backing: Option<(&str, Format)>) -> Result<Vec<u8>> {
    check_size(size)?;
    if let Some((name, _)) = backing
        && name.len() > MAX_BACKING
    {
        return Err(Error::new(
            Kind::FailedPrecondition,
            "PATH_TOO_LONG",
            format!(
                "the path of a cached image must have at most {MAX_BACKING} bytes: {name}; choose a shorter folder"
            ),
        ));
    }
    let l1_entries = size.div_ceil(L1_MAPS);
    let l1_clusters = (l1_entries * 8).div_ceil(CLUSTER);
    // the largest disk needs 19 clusters in all, far fewer than one refcount block counts
    let clusters = 3 + l1_clusters;
    debug_assert!(clusters <= BLOCK_COUNTS);

    let mut bytes = vec![0; usize::try_from(clusters * CLUSTER).unwrap_or(usize::MAX)];
    let mut put = |offset: u64, value: &[u8]| {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        bytes[offset..offset + value.len()].copy_from_slice(value);
    };
    put(0, b"QFI\xfb");
    put(4, &3_u32.to_be_bytes());
    put(20, &CLUSTER_BITS.to_be_bytes());
    put(24, &size.to_be_bytes());
    put(36, &u32::try_from(l1_entries).unwrap_or(u32::MAX).to_be_bytes());
    put(40, &(3 * CLUSTER).to_be_bytes());
    put(48, &CLUSTER.to_be_bytes());
    put(56, &1_u32.to_be_bytes());
    put(96, &4_u32.to_be_bytes());
    put(100, &HEADER_LENGTH.to_be_bytes());
    let mut end = u64::from(HEADER_LENGTH);
    if let Some((name, format)) = backing {
        let format = format.name().as_bytes();
        put(end, &BACKING_FORMAT.to_be_bytes());
        put(end + 4, &u32::try_from(format.len()).unwrap_or(0).to_be_bytes());
        put(end + 8, format);
        end += 8 + 8_u64; // the extension's data is padded to 8 bytes
        end += 8; // the end of the extensions: 8 zero bytes
        put(8, &end.to_be_bytes());
        put(16, &u32::try_from(name.len()).unwrap_or(0).to_be_bytes());
        put(end, name.as_bytes());
    }
    put(CLUSTER, &(2 * CLUSTER).to_be_bytes());
    for cluster in 0..clusters {
        put(2 * CLUSTER + cluster * 2, &1_u16.to_be_bytes());
    }
    Ok(bytes)
}

/// What an image of our own says of itself: its disk's size, and its backing file's name.
pub fn describe(head: &[u8]) -> Option<(u64, Option<String>)> {
    let u32_at =
        |offset: usize| head.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    let u64_at = |offset: usize| Some(u64::from(u32_at(offset)?) << 32 | u64::from(u32_at(offset + 4)?));
    if !head.starts_with(b"QFI\xfb") {
        return None;
    }
    let size = u64_at(24)?;
    let (offset, length) = (usize::try_from(u64_at(8)?).ok()?, usize::try_from(u32_at(16)?).ok()?);
    if offset == 0 {
        return Some((size, None));
    }
    let name = head.get(offset..offset.checked_add(length)?)?;
    Some((size, Some(String::from_utf8_lossy(name).into_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_names_its_backing_file_and_format() {
        let bytes = image(3 << 30, Some(("/var/lib/gyre/cache/x", Format::Raw))).expect("sound");
        assert_eq!(describe(&bytes), Some((3 << 30, Some("/var/lib/gyre/cache/x".to_owned()))));
        assert_eq!(&bytes[112..115], b"raw");
    }

    #[test]
    fn sizes_have_bounds() {
        for size in [0, 511, 513, MAX_DISK + 512] {
            assert_eq!(image(size, None).expect_err("refused").reason(), "VOLUME_SIZE_INVALID", "{size}");
        }
        for size in [512, 1 << 20, L1_MAPS, L1_MAPS + 512, MAX_DISK] {
            let bytes = image(size, None).expect("sound");
            let mut probe = crate::image_format::Probe::default();
            probe.take(&bytes);
            assert_eq!(crate::image_format::check(Format::Qcow2, &probe).expect("sound"), size);
        }
    }
}
