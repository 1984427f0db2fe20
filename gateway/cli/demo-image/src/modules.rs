//! Which driver files a guest needs, in the order in which `insmod` can take them.
//!
//! depmod wrote the answer beside the modules: `modules.dep` names for every module file those that must be there
//! before it, the nearest first, complete; `modules.builtin` names what the kernel has anyway. Debian's files are plain
//! `.ko` up to bookworm and `.ko.xz` later; busybox's `insmod` unpacks xz and gzip itself. Other packings (`.ko.zst`)
//! count as missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Error;

/// A driver of the guest, and when it is loaded.
#[derive(Debug, Clone, Copy)]
pub struct Driver {
    /// The module's name, without suffix.
    pub name: &'static str,
    /// Drivers of a lower stage are loaded earlier.
    pub stage: usize,
}

/// The files for a list of drivers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// For each stage, the files to load, in order, each only once in all stages.
    pub stages: Vec<Vec<PathBuf>>,
    /// Drivers that are neither in the kernel nor usable as files.
    pub missing: Vec<String>,
}

/// Finds the files for `drivers` (in the order of their stages) below `directory`, which has a `modules.dep`.
pub fn resolve(directory: &Path, drivers: &[Driver]) -> Result<Resolved, Error> {
    let path = directory.join("modules.dep");
    let text = fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    let table = parse(&text).map_err(|(line, reason)| Error::Modules { path, line, reason })?;
    let builtin = builtin(&directory.join("modules.builtin"))?;

    let mut resolved = Resolved::default();
    let mut taken = BTreeSet::new();
    for driver in drivers {
        if resolved.stages.len() <= driver.stage {
            resolved.stages.resize(driver.stage + 1, Vec::new());
        }
        let name = module_name(driver.name);
        let Some(entry) = table.get(&name) else {
            if !builtin.contains(&name) {
                resolved.missing.push(driver.name.to_owned());
            }
            continue;
        };
        // depmod's order is "needs this, which needs that": loading goes the other way round
        let files: Vec<&str> = entry.needs.iter().rev().copied().chain([entry.file]).collect();
        if !files.iter().all(|file| usable(file)) {
            resolved.missing.push(driver.name.to_owned());
            continue;
        }
        for file in files {
            if taken.insert(file) {
                resolved.stages[driver.stage].push(directory.join(file));
            }
        }
    }
    Ok(resolved)
}

struct Entry<'a> {
    file: &'a str,
    needs: Vec<&'a str>,
}

fn parse(text: &str) -> Result<BTreeMap<String, Entry<'_>>, (usize, &'static str)> {
    let mut table = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (file, needs) = line.split_once(':').ok_or((index + 1, "no colon after the module's file"))?;
        table.insert(module_name(file), Entry { file, needs: needs.split_whitespace().collect() });
    }
    Ok(table)
}

fn builtin(path: &Path) -> Result<BTreeSet<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().map(module_name).collect()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
    }
}

/// The kernel's name for a module file: no directories, no suffixes, `-` is `_`.
fn module_name(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    let stem = base.split_once(".ko").map_or(base, |(stem, _)| stem);
    stem.replace('-', "_")
}

fn usable(file: &str) -> bool {
    [".ko", ".ko.xz", ".ko.gz"].iter().any(|suffix| file.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/drivers/block/virtio_blk.ko.xz: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/char/hw_random/virtio-rng.ko:
kernel/drivers/scsi/virtio_scsi.ko.zst:
";

    fn lay_out(dep: &str, builtin: Option<&str>) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("modules.dep"), dep).unwrap();
        if let Some(builtin) = builtin {
            fs::write(directory.path().join("modules.builtin"), builtin).unwrap();
        }
        directory
    }

    fn names(files: &[PathBuf]) -> Vec<String> {
        files.iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    fn driver(name: &'static str, stage: usize) -> Driver {
        Driver { name, stage }
    }

    #[test]
    fn what_a_driver_needs_comes_before_it_and_once() {
        let directory = lay_out(DEP, None);
        let drivers = [driver("virtio_net", 0), driver("virtio_blk", 1), driver("virtio-rng", 1)];
        let resolved = resolve(directory.path(), &drivers).unwrap();
        assert_eq!(
            names(&resolved.stages[0]),
            ["virtio_ring.ko", "virtio.ko", "failover.ko", "net_failover.ko", "virtio_net.ko"]
        );
        assert_eq!(names(&resolved.stages[1]), ["virtio_blk.ko.xz", "virtio-rng.ko"]);
        assert!(resolved.missing.is_empty());
    }

    #[test]
    fn dash_and_underscore_are_the_same() {
        let directory = lay_out(DEP, None);
        let resolved = resolve(directory.path(), &[driver("virtio_rng", 0)]).unwrap();
        assert_eq!(names(&resolved.stages[0]), ["virtio-rng.ko"]);
    }

    #[test]
    fn what_is_in_the_kernel_is_neither_loaded_nor_missing() {
        let directory = lay_out(DEP, Some("kernel/drivers/acpi/button.ko\n"));
        let resolved = resolve(directory.path(), &[driver("button", 0), driver("evdev", 0)]).unwrap();
        assert!(resolved.stages[0].is_empty());
        assert_eq!(resolved.missing, ["evdev"]);
    }

    #[test]
    fn a_packing_that_busybox_cannot_unpack_is_missing() {
        let directory = lay_out(DEP, None);
        let resolved = resolve(directory.path(), &[driver("virtio_scsi", 0)]).unwrap();
        assert_eq!(resolved.missing, ["virtio_scsi"]);
        assert!(resolved.stages[0].is_empty());
    }

    #[test]
    fn a_torn_table_is_refused_with_its_line() {
        let directory = lay_out("a.ko:\nb.ko\n", None);
        let error = resolve(directory.path(), &[]).unwrap_err();
        assert!(error.to_string().ends_with("modules.dep line 2: no colon after the module's file"), "{error}");
    }
}
