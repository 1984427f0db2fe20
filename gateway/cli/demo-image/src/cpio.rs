//! A writer of cpio archives in the "newc" format, which is what Linux unpacks as its first file system.
//!
//! Only what an initramfs needs, and nothing from the machine that runs us: owner 0, time 0, inode numbers in the order
//! of writing. The same calls give the same bytes.

use crate::Error;

/// An archive under construction.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

impl Archive {
    /// Adds a directory. The kernel makes no parents: add them first.
    pub fn directory(&mut self, path: &str) -> Result<(), Error> {
        self.entry(path, DIRECTORY | 0o755, (0, 0), &[])
    }

    /// Adds a file with these permission bits.
    pub fn file(&mut self, path: &str, permissions: u32, content: &[u8]) -> Result<(), Error> {
        self.entry(path, FILE | permissions, (0, 0), content)
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<(), Error> {
        self.entry(path, SYMLINK | 0o777, (0, 0), target.as_bytes())
    }

    /// Adds a character device of root's.
    pub fn device(&mut self, path: &str, major: u32, minor: u32) -> Result<(), Error> {
        self.entry(path, CHARACTER_DEVICE | 0o600, (major, minor), &[])
    }

    /// Ends the archive.
    pub fn finish(mut self) -> Result<Vec<u8>, Error> {
        self.entries = 0; // the trailer has inode 0 wherever it comes
        self.entry_with_inode(0, "TRAILER!!!", 0, (0, 0), &[])?;
        Ok(self.bytes)
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) -> Result<(), Error> {
        self.entries += 1;
        self.entry_with_inode(self.entries, path, mode, device, content)
    }

    /// One entry: "070701", thirteen fields of eight hex digits, the name with its NUL, the content; name and content
    /// are each padded to four bytes from the start of the archive.
    fn entry_with_inode(
        &mut self,
        inode: u32,
        path: &str,
        mode: u32,
        (major, minor): (u32, u32),
        content: &[u8],
    ) -> Result<(), Error> {
        let too_large = Error::TooLarge { what: "initramfs", bytes: content.len() as u64 };
        let Ok(size) = u32::try_from(content.len()) else { return Err(too_large) };
        let Ok(name_size) = u32::try_from(path.len() + 1) else { return Err(too_large) };
        let (owner, group, time, on_major, on_minor, checksum) = (0, 0, 0, 0, 0, 0);
        let links = if mode & DIRECTORY == DIRECTORY && mode & FILE != FILE { 2 } else { 1 };
        self.bytes.extend_from_slice(b"070701");
        for field in
            [inode, mode, owner, group, links, time, size, on_major, on_minor, major, minor, name_size, checksum]
        {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn sample() -> Vec<u8> {
        let mut a = Archive::default();
        a.directory("bin").unwrap();
        a.file("bin/tool", 0o755, b"12345").unwrap();
        a.symlink("bin/alias", "tool").unwrap();
        a.device("console", 5, 1).unwrap();
        a.finish().unwrap()
    }

    #[test]
    fn an_entry_has_the_fields_of_the_format() {
        let bytes = sample();
        let text = |from: usize, n: usize| std::str::from_utf8(&bytes[from..from + n]).unwrap();
        assert_eq!(text(0, 14), "07070100000001");
        assert_eq!(text(14, 8), "000041ed", "mode of a directory");
        // second entry: 110 bytes of header, "bin\0" and padding to 116
        let second = 116;
        assert_eq!(text(second, 14), "07070100000002");
        assert_eq!(text(second + 14, 8), "000081ed", "mode of a file");
        assert_eq!(text(second + 6 + 6 * 8, 8), "00000005", "size");
        assert_eq!(text(second + 6 + 11 * 8, 8), "00000009", "length of the name with its NUL");
        assert_eq!(text(second + 110, 8), "bin/tool");
        assert_eq!(text(second + 120, 5), "12345");
        assert_eq!(&bytes[second + 125..second + 128], [0, 0, 0]);
    }

    #[test]
    fn the_archive_ends_with_the_trailer_and_is_padded() {
        let bytes = sample();
        let trailer = bytes.windows(10).position(|w| w == b"TRAILER!!!").unwrap();
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.len() - trailer < 16);
    }

    #[test]
    fn the_same_calls_give_the_same_bytes() {
        assert_eq!(sample(), sample());
    }

    #[test]
    fn cpio_reads_it() {
        let Ok(mut cpio) = Command::new("cpio")
            .args(["--list", "--verbose", "--numeric-uid-gid", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        else {
            println!("skipped: install cpio");
            return;
        };
        cpio.stdin.take().unwrap().write_all(&sample()).unwrap();
        let output = cpio.wait_with_output().unwrap();
        assert!(output.status.success());
        let listing = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = listing.lines().collect();
        assert_eq!(lines.len(), 4, "{listing}");
        assert!(lines[0].starts_with("drwxr-xr-x   2 0        0"), "{listing}");
        assert!(lines[1].starts_with("-rwxr-xr-x") && lines[1].ends_with("bin/tool"), "{listing}");
        assert!(lines[2].ends_with("bin/alias -> tool"), "{listing}");
        assert!(lines[3].starts_with("crw-------") && lines[3].contains("5,   1"), "{listing}");
    }
}
