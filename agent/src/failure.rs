//! The agent's failures in Gyre's vocabulary of errors: each says what was being done to which thing, and the remedy.

use std::fmt::Display;
use std::io;
use std::path::Path;

use gyre_model::{Error, Kind, Result, Uuid};

use crate::lanes;

/// A failed call to the host's file system. A full disk and missing rights have reasons of their own.
pub fn io(doing: &str, path: &Path, error: &io::Error) -> Error {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::new(
            Kind::ResourceExhausted,
            "DISK_FULL",
            format!("{doing} {path}: the host's disk is full; free some space or add a primary storage"),
        ),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Error::new(
            Kind::FailedPrecondition,
            "HOST_PERMISSION_DENIED",
            format!("{doing} {path}: {error}; give the agent's user access to it"),
        ),
        _ => Error::new(Kind::Internal, "HOST_IO_ERROR", format!("{doing} {path}: {error}")),
    }
    .with("path", path.to_string())
}

/// A blocking piece of work that did not come to its end (it panicked, or the process is going down).
pub fn joined<T>(result: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    match result {
        Ok(result) => result,
        Err(error) => Err(Error::internal(error)),
    }
}

/// Runs blocking work (files, mostly) aside. It runs to its end even when its task is cancelled, and holds the task's lane so long.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let place = lanes::held();
    let whole = move || {
        let result = work();
        drop(place);
        result
    };
    joined(tokio::task::spawn_blocking(whole).await)
}

/// Reads the UUID in a field of a task.
pub fn uuid(field: &str, text: &str) -> Result<Uuid> {
    gyre_model::parse_uuid(text).ok_or_else(|| Error::invalid(field, format!("must be a UUID, got {text:?}")))
}

/// A program that is needed and is not there.
pub fn missing(program: &str, package: &str) -> Error {
    Error::new(
        Kind::FailedPrecondition,
        "HOST_PROGRAM_MISSING",
        format!(
            "{program} is not installed on the host; install it with: apt-get install --no-install-recommends {package}"
        ),
    )
    .with("program", program)
    .with("package", package)
}

/// Something of the host's that did not work.
pub fn host(reason: &'static str, message: impl Display) -> Error {
    Error::new(Kind::Internal, reason, message.to_string())
}

/// Something that the state of the host does not permit.
pub fn precondition(reason: &'static str, message: impl Into<String>) -> Error {
    Error::new(Kind::FailedPrecondition, reason, message)
}

/// A machine without a console.
pub fn no_console(vm: Uuid) -> Error {
    precondition("CONSOLE_MISSING", format!("machine {vm} has no console on this host; start the machine first"))
        .with("vm_uuid", vm.to_string())
}
