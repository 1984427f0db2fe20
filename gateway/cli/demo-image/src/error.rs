//! What can go wrong while the disk is made. Each message names the file; causes are in `source()`.

use std::io;
use std::path::PathBuf;

/// Why no disk was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The greeting does not fit on a line of a boot sector.
    #[error("the greeting cannot be used: {reason}")]
    Greeting {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Linux was wanted and its parts are not all here.
    #[error("no linux for the demo disk: {why}")]
    Missing {
        /// What is missing, with the packages that have it.
        why: String,
    },
    /// A file could not be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The disk could not be written.
    #[error("write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is no kernel that our loader can start.
    #[error("{} is no kernel that the loader can start: {reason}", path.display())]
    Kernel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The file is no busybox that runs without libraries.
    #[error("{} is no static busybox: {reason}", path.display())]
    Busybox {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// `modules.dep` is not what depmod writes.
    #[error("{} line {line}: {reason}", path.display())]
    Modules {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A part is larger than the formats of boot loader, archive or kernel allow.
    #[error("the {what} is too large for the demo disk: {bytes} bytes")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// Its size.
        bytes: u64,
    },
    /// The boot loader is assembled with this program, which works on x86-64 Linux alone.
    #[error("the demo disk can be made by an x86-64 linux build of gyre only")]
    Architecture,
}
