//! Lays the parts out on the disk and writes it.
//!
//! | sector | flavour Linux | flavour boot sector |
//! | --- | --- | --- |
//! | 0 | loader, disk signature, partition table | greeting code and text |
//! | 1 to 3 | the loader's second stage, which begins with its table | |
//! | 8 | command line | |
//! | from 64 | setup code, kernel, initramfs, each from a multiple of 8 | |
//!
//! One partition of type 0xda ("no file system") covers everything from sector 64 on, so that partitioning tools see
//! that the place is taken. The rest is zeros up to a multiple of 1 MiB.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::boot::{CODE_END, GREETING, LOADER_BYTES, TABLE};
use crate::kernel::{self, Prepared};

const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;
const COMMAND_LINE_SECTOR: u64 = 8;
const PAYLOAD_SECTOR: u64 = 64;
const ALIGN_SECTORS: u64 = 8;
/// "gyre", so that two demo disks are the same disk.
const DISK_SIGNATURE: [u8; 4] = *b"gyre";

// The loader's table, as `boot/loader.S` has it.
const TABLE_COUNT: usize = TABLE + 4;
const TABLE_MEMORY: usize = TABLE + 6;
const TABLE_SETUP: usize = TABLE + 8;
const TABLE_EXTENTS: usize = TABLE + 16;
const EXTENT_BYTES: usize = 24;
const EXTENT_NAME: usize = 12;

/// Bytes that lie at a sector of the disk.
#[derive(Debug)]
pub struct Piece {
    sector: u64,
    bytes: Vec<u8>,
}

impl Piece {
    fn sectors(&self) -> u64 {
        (self.bytes.len() as u64).div_ceil(SECTOR)
    }

    fn end(&self) -> u64 {
        self.sector + self.sectors()
    }
}

/// The disk of the Linux flavour.
pub fn linux(loader: &[u8; LOADER_BYTES], kernel: Prepared, initramfs: Vec<u8>) -> Result<Vec<Piece>, Error> {
    let mut loader = *loader;
    let mut pieces = Vec::new();
    let mut sector = PAYLOAD_SECTOR;
    let parts = [
        ("args", kernel.command_line, kernel::COMMAND_LINE_ADDRESS),
        ("setup", kernel.setup, kernel::SETUP_ADDRESS),
        ("kernel", kernel.image, kernel::KERNEL_ADDRESS),
        ("initramfs", initramfs, kernel.initramfs_address),
    ];
    put(&mut loader, TABLE_COUNT, &u16_of(parts.len())?.to_le_bytes());
    put(&mut loader, TABLE_MEMORY, &kernel.memory_mib.to_le_bytes());
    put(&mut loader, TABLE_SETUP, &kernel::SETUP_SEGMENT.to_le_bytes());
    for (index, (name, bytes, address)) in parts.into_iter().enumerate() {
        let piece = Piece { sector: if index == 0 { COMMAND_LINE_SECTOR } else { sector }, bytes };
        if index > 0 {
            sector = piece.end().next_multiple_of(ALIGN_SECTORS);
        }
        let at = TABLE_EXTENTS + index * EXTENT_BYTES;
        put(&mut loader, at, name.as_bytes());
        put(&mut loader, at + EXTENT_NAME, &u32_of(piece.sector)?.to_le_bytes());
        put(&mut loader, at + EXTENT_NAME + 4, &u32_of(piece.sectors())?.to_le_bytes());
        put(&mut loader, at + EXTENT_NAME + 8, &address.to_le_bytes());
        pieces.push(piece);
    }
    let partition = Some((PAYLOAD_SECTOR, size_of(&pieces) / SECTOR - PAYLOAD_SECTOR));
    master_boot_record(&mut loader, partition)?;
    pieces.insert(0, Piece { sector: 0, bytes: loader.to_vec() });
    Ok(pieces)
}

/// The disk that only greets.
pub fn boot_sector(greeter: &[u8; 512], greeting: &str) -> Result<Vec<Piece>, Error> {
    let mut sector = *greeter;
    put(&mut sector, GREETING, format!("\r\n{greeting}\r\n\0").as_bytes());
    master_boot_record(&mut sector, None)?;
    Ok(vec![Piece { sector: 0, bytes: sector.to_vec() }])
}

/// Writes disk signature, partition table and the mark by which a BIOS knows a boot sector.
fn master_boot_record(sector: &mut [u8], partition: Option<(u64, u64)>) -> Result<(), Error> {
    const ACTIVE: u8 = 0x80;
    const NO_FILE_SYSTEM: u8 = 0xda;
    const BEYOND_CYLINDERS: [u8; 3] = [0xfe, 0xff, 0xff];
    put(sector, CODE_END, &DISK_SIGNATURE);
    if let Some((start, sectors)) = partition {
        let at = CODE_END + 6;
        put(sector, at, &[ACTIVE]);
        put(sector, at + 1, &BEYOND_CYLINDERS);
        put(sector, at + 4, &[NO_FILE_SYSTEM]);
        put(sector, at + 5, &BEYOND_CYLINDERS);
        put(sector, at + 8, &u32_of(start)?.to_le_bytes());
        put(sector, at + 12, &u32_of(sectors)?.to_le_bytes());
    }
    put(sector, 510, &[0x55, 0xaa]);
    Ok(())
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

fn u32_of(sectors: u64) -> Result<u32, Error> {
    u32::try_from(sectors).map_err(|_| Error::TooLarge { what: "disk", bytes: sectors.saturating_mul(SECTOR) })
}

fn u16_of(count: usize) -> Result<u16, Error> {
    u16::try_from(count).map_err(|_| Error::TooLarge { what: "loader table", bytes: count as u64 })
}

fn size_of(pieces: &[Piece]) -> u64 {
    let end = pieces.iter().map(Piece::end).max().unwrap_or(0) * SECTOR;
    end.next_multiple_of(MIB)
}

/// Writes the disk beside `out`, flushes it and renames it. Returns its size.
pub fn write(pieces: &[Piece], out: &Path) -> Result<u64, Error> {
    let failed = |source| Error::Write { path: out.to_owned(), source };
    let size = size_of(pieces);
    let (mut file, temporary) = Temporary::beside(out).map_err(failed)?;
    let mut write_all = || -> io::Result<()> {
        file.set_len(size)?;
        for piece in pieces {
            file.seek(SeekFrom::Start(piece.sector * SECTOR))?;
            file.write_all(&piece.bytes)?;
        }
        file.sync_all()
    };
    write_all().map_err(failed)?;
    temporary.rename(out).map_err(failed)?;
    Ok(size)
}

/// A file that vanishes unless it gets its real name.
struct Temporary {
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    fn beside(out: &Path) -> io::Result<(File, Self)> {
        let name = out.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        for attempt in 0..100 {
            let mut temporary = std::ffi::OsString::from(".");
            temporary.push(name);
            temporary.push(format!(".{}-{attempt}.tmp", std::process::id()));
            let path = out.with_file_name(temporary);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((file, Self { path, renamed: false })),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }

    fn rename(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn u32_at(bytes: &[u8], at: usize) -> u64 {
        u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()))
    }

    #[test]
    fn the_table_says_where_the_pieces_lie() {
        let kernel = Prepared {
            setup: vec![1; 20 * 512],
            image: vec![2; 1_000_001],
            command_line: b"quiet\0".to_vec(),
            initramfs_address: 0x440_0000,
            memory_mib: 80,
        };
        let pieces = linux(&[0; LOADER_BYTES], kernel, vec![3; 2_000_000]).unwrap();
        let loader = &pieces[0].bytes;
        assert_eq!(loader[TABLE_COUNT], 4);
        assert_eq!(loader[TABLE_MEMORY], 80);
        assert_eq!(loader[TABLE_SETUP + 1], 0x20);
        let mut end = LOADER_BYTES as u64 / SECTOR;
        for (index, piece) in pieces[1..].iter().enumerate() {
            let at = TABLE_EXTENTS + index * EXTENT_BYTES;
            assert_eq!(u32_at(loader, at + 12), piece.sector);
            assert!(piece.sector >= end, "piece {index} overlaps");
            assert_eq!(u32_at(loader, at + 16), (piece.bytes.len() as u64).div_ceil(512));
            end = piece.end();
        }
        assert_eq!(&loader[TABLE_EXTENTS + 2 * EXTENT_BYTES..][..7], b"kernel\0");
        assert_eq!(u32_at(loader, TABLE_EXTENTS + 2 * EXTENT_BYTES + 20), 0x10_0000);
        // the partition reaches from the payload to the end of the disk
        assert_eq!(loader[446], 0x80);
        assert_eq!(u32_at(loader, 454), 64);
        assert_eq!((u32_at(loader, 454) + u32_at(loader, 458)) * SECTOR, size_of(&pieces));
        assert_eq!(loader[510..512], [0x55, 0xaa]);
    }

    #[test]
    fn the_longest_greeting_fits() {
        let pieces = boot_sector(&[0; 512], &"g".repeat(crate::GREETING_MAX)).unwrap();
        assert_eq!(&pieces[0].bytes[GREETING + 201..GREETING + 206], b"g\r\n\0\0");
        assert_eq!(size_of(&pieces), MIB);
    }

    #[test]
    fn the_disk_replaces_what_was_there_and_leaves_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("demo.raw");
        fs::write(&out, "old").unwrap();
        let size = write(&[Piece { sector: 1, bytes: b"new".to_vec() }], &out).unwrap();
        let bytes = fs::read(&out).unwrap();
        assert_eq!((size, bytes.len() as u64), (MIB, MIB));
        assert_eq!(&bytes[510..516], b"\0\0new\0");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_disk_that_cannot_be_written_is_an_error_that_names_it_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let error = write(&[], &directory.path().join("none/demo.raw")).unwrap_err();
        assert!(error.to_string().ends_with("none/demo.raw"), "{error}");
        let taken = directory.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(write(&[], &taken).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
