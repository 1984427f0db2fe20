//! What this machine has for tests that need real parts.

use std::path::{Path, PathBuf};

/// What is installed.
#[derive(Debug, Clone, Copy)]
pub struct Tools {
    /// QEMU and qemu-img.
    pub qemu: bool,
    /// etcd.
    pub etcd: bool,
    /// PostgreSQL's server.
    pub postgres: bool,
}

/// Finds a program on the PATH.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The folder with PostgreSQL's server programs, the newest version's.
pub fn postgres_bin() -> Option<PathBuf> {
    let mut versions: Vec<_> = std::fs::read_dir(Path::new("/usr/lib/postgresql"))
        .ok()?
        .filter_map(|entry| entry.ok().map(|entry| entry.path().join("bin")))
        .filter(|bin| bin.join("postgres").is_file())
        .collect();
    versions.sort();
    versions.pop()
}

/// What is installed here.
pub fn tools() -> Tools {
    Tools {
        qemu: program("qemu-system-x86_64").is_some() && program("qemu-img").is_some(),
        etcd: program("etcd").is_some(),
        postgres: postgres_bin().is_some(),
    }
}

/// Whether a test that needs something runs: it does where the thing is there; where it is not, it is skipped in plain words, or
/// fails where CI asks for everything (`GYRE_TEST_REQUIRE=1`).
///
/// # Panics
/// When the thing is missing and CI asks for everything.
pub fn needs(there: bool, packages: &str) -> bool {
    if there {
        return true;
    }
    assert!(std::env::var_os("GYRE_TEST_REQUIRE").is_none(), "missing: install {packages}");
    println!("skipped: install {packages}");
    false
}

/// Whether the demo image can be made with Linux in it.
pub fn linux_for_guests() -> bool {
    let kernel = std::fs::read_dir("/boot").is_ok_and(|entries| {
        entries.filter_map(Result::ok).any(|entry| entry.file_name().to_string_lossy().starts_with("vmlinuz-"))
    });
    kernel && (Path::new("/bin/busybox").is_file() || Path::new("/usr/bin/busybox").is_file())
}

/// A Python that has grpcio and its reflection.
pub fn python_with_grpc() -> Option<PathBuf> {
    python_with("grpc, grpc_reflection")
}

/// A Python that can import these modules: the one that `GYRE_TEST_PYTHON` names, or the usual one.
pub fn python_with(modules: &str) -> Option<PathBuf> {
    let candidates = [std::env::var_os("GYRE_TEST_PYTHON").map(PathBuf::from), program("python3")];
    candidates.into_iter().flatten().find(|python| {
        let check = std::process::Command::new(python).args(["-c", &format!("import {modules}")]).output();
        check.is_ok_and(|output| output.status.success())
    })
}
