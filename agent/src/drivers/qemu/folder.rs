//! A machine's folder: what it is like (`spec.json`), its present run (`run.json`), its console's log, and QEMU's messages.
//!
//! Each start is a run with a number and a folder of its own for sockets and the process's id. So nothing of an earlier run can be
//! taken for the present one, and a QEMU that removes its sockets late removes no others'. Paths of unix sockets are short (107
//! bytes): where the machine's folder lies too deep, the run's folder is made under /tmp.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use gyre_model::{Error, Result, Uuid};
use gyre_proto::agent::v1::MachineSpec;
use serde::{Deserialize, Serialize};

use crate::failure;
use crate::journal::replace;

/// The longest path of a run's folder, so that the longest socket name still fits after it.
const MOST_BYTES: usize = 96;

/// A machine's folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

/// The present run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Grows with every start.
    pub generation: u64,
    /// The folder of its sockets and its process's id.
    pub folder: PathBuf,
}

impl Run {
    /// The file with the process's id.
    pub fn pid_file(&self) -> PathBuf {
        self.folder.join("pid")
    }

    /// The process, if it lives: the one that was started with this run's pidfile among its arguments.
    pub fn process(&self) -> Option<i32> {
        let written = fs::read_to_string(self.pid_file()).ok().and_then(|text| text.trim().parse().ok());
        // QEMU writes the file a moment after it began
        written.into_iter().chain(processes()).find(|pid| self.is_process(*pid))
    }

    /// Whether a process is this run's.
    pub fn is_process(&self, pid: i32) -> bool {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut arguments = arguments.split(|byte| *byte == 0);
        let file = self.pid_file();
        arguments.any(|argument| argument == b"-pidfile")
            && arguments.next().is_some_and(|argument| argument == file.as_os_str().as_encoded_bytes())
    }
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = fs::read(path).ok()?;
    serde_json::from_slice(&bytes)
        .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "damaged file"))
        .ok()
}

fn private(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| failure::io("make the folder", path, &error))
}

impl Folder {
    /// The folder of a machine.
    pub fn of(root: &Path, vm: Uuid) -> Self {
        Self(root.join(vm.to_string()))
    }

    /// All machines' folders.
    pub fn all(root: &Path) -> Result<Vec<(Uuid, Self)>> {
        private(root)?;
        let entries = fs::read_dir(root).map_err(|error| failure::io("list", root, &error))?;
        let named = entries.flatten().filter_map(|entry| {
            let vm = gyre_model::parse_uuid(entry.file_name().to_str()?)?;
            Some((vm, Self(entry.path())))
        });
        Ok(named.collect())
    }

    /// What the machine is like, if it is known.
    pub fn spec(&self) -> Option<MachineSpec> {
        read_json(&self.0.join("spec.json"))
    }

    /// The present run, if there was any.
    pub fn run(&self) -> Option<Run> {
        read_json(&self.0.join("run.json"))
    }

    /// The console's log.
    pub fn console(&self) -> PathBuf {
        self.0.join("console.log")
    }

    /// QEMU's messages of the present run.
    pub fn messages(&self) -> PathBuf {
        self.0.join("qemu.log")
    }

    /// Begins a run: what the machine is like and the run's number are on the disk before QEMU starts.
    pub fn begin(&self, vm: Uuid, spec: &MachineSpec) -> Result<Run> {
        private(&self.0)?;
        replace(&self.0.join("spec.json"), &serde_json::to_vec_pretty(spec).map_err(Error::internal)?)?;
        let generation = self.run().map_or(0, |run| run.generation) + 1;
        let mut folder = self.0.join(format!("run-{generation}"));
        if folder.as_os_str().len() > MOST_BYTES {
            folder = short_root()?.join(format!("{}-{generation}", vm.simple()));
        }
        let run = Run { generation, folder };
        replace(&self.0.join("run.json"), &serde_json::to_vec(&run).map_err(Error::internal)?)?;
        let _ = fs::remove_dir_all(&run.folder);
        private(&run.folder)?;
        Ok(run)
    }

    /// Removes what is left of a run that is over.
    pub fn end(run: &Run) {
        let _ = fs::remove_dir_all(&run.folder);
    }

    /// Removes everything.
    pub fn remove(&self) -> Result<()> {
        if let Some(run) = self.run() {
            Self::end(&run);
        }
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failure::io("remove", &self.0, &error)),
            _ => Ok(()),
        }
    }
}

/// A folder with a short path that is this user's alone.
fn short_root() -> Result<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let root = PathBuf::from(format!("/tmp/gyre-{user}"));
    private(&root)?;
    let metadata = fs::symlink_metadata(&root).map_err(|error| failure::io("look at", &root, &error))?;
    if metadata.is_dir() && metadata.uid() == user && metadata.mode() & 0o077 == 0 {
        return Ok(root);
    }
    Err(failure::precondition(
        "HOST_FILE_UNEXPECTED",
        format!("{} must be a folder of this user's alone; remove it, or choose a shorter --state-dir", root.display()),
    ))
}
