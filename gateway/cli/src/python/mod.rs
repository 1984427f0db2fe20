//! The Python client: what of it is made from the descriptors. A dataclass for each message and an enumeration for each enum
//! that calls reach ([`types`]), and a class for each kind and service with a method for each call ([`calls`]).
//!
//! `cargo manual` (`gyre manual --python deploy/clients/python`) writes both beside the code that is written by hand (the transport, operations,
//! streams, errors). A test fails when what stands there is not what would be written.

mod calls;
mod text;
mod types;

use std::collections::BTreeMap;
use std::path::Path;

use crate::failure::{Failure, Result};

/// What stands at the top of every file.
const MADE: &str = "# Made by `gyre manual` from the .proto files; do not edit.\n";
/// The folder of the package, in the folder of the project.
const PACKAGE: &str = "src/gyre_client";

/// The files: from the path in the project to what stands in it.
pub fn files() -> BTreeMap<String, String> {
    [("types.py", types::file()), ("calls.py", calls::file())]
        .into_iter()
        .map(|(name, text)| (format!("{PACKAGE}/{name}"), format!("{MADE}{text}")))
        .collect()
}

/// Writes the files into the folder of the project.
///
/// # Errors
/// When one cannot be written.
pub fn write(project: &Path) -> Result<()> {
    for (name, text) in files() {
        let path = project.join(name);
        std::fs::write(&path, text).map_err(|error| Failure::general(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}
