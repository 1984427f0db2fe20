//! Finds kernel, busybox and modules on this machine, or tells which packages have them.
//!
//! What a caller names is taken or is an error. What discovery looks for itself may be missing: then the answer is a
//! sentence for users, which names every missing part at once.

use std::fs;
use std::path::{Path, PathBuf};

use crate::kernel::Kernel;
use crate::{Error, Options};

/// The Debian packages from which the Linux flavour is made.
pub const PACKAGES: [&str; 2] = ["linux-image-cloud-amd64", "busybox-static"];

/// All that the Linux flavour is made from.
#[derive(Debug)]
pub struct Parts {
    pub kernel: Kernel,
    pub kernel_path: PathBuf,
    pub release: String,
    pub busybox: Vec<u8>,
    pub busybox_path: PathBuf,
    pub modules: PathBuf,
}

/// What discovery came to.
#[derive(Debug)]
pub enum Found {
    All(Box<Parts>),
    NotAll { why: String },
}

/// Takes what `options` name and looks for the rest on this machine.
pub fn parts(options: &Options) -> Result<Found, Error> {
    parts_below(Path::new("/"), options)
}

fn parts_below(root: &Path, options: &Options) -> Result<Found, Error> {
    let kernel = match &options.kernel {
        Some(path) => named_kernel(root, path, options)?,
        None => newest_kernel(root, options),
    };
    let busybox = match &options.busybox {
        Some(path) => Ok((path.clone(), named_busybox(path)?)),
        None => installed_busybox(root),
    };
    match (kernel, busybox) {
        (Ok((kernel_path, kernel, release, modules)), Ok((busybox_path, busybox))) => {
            Ok(Found::All(Box::new(Parts { kernel, kernel_path, release, busybox, busybox_path, modules })))
        }
        (kernel, busybox) => {
            let missing = [(kernel.err(), PACKAGES[0]), (busybox.err(), PACKAGES[1])];
            let (reasons, packages): (Vec<_>, Vec<_>) =
                missing.into_iter().filter_map(|(why, package)| Some((why?, package))).unzip();
            Ok(Found::NotAll {
                why: format!("{}; to change that: apt-get install {}", reasons.join(", and "), packages.join(" ")),
            })
        }
    }
}

type WithModules = (PathBuf, Kernel, String, PathBuf);

/// The kernel that the caller named; only its modules may be missing without an error.
fn named_kernel(root: &Path, path: &Path, options: &Options) -> Result<Result<WithModules, String>, Error> {
    let (kernel, release) = read_kernel(path)?;
    Ok(with_modules(root, path, kernel, release, options))
}

/// The newest kernel that can be read and has its modules, cloud kernels before others.
fn newest_kernel(root: &Path, options: &Options) -> Result<WithModules, String> {
    let boot = root.join("boot");
    let mut names: Vec<String> = fs::read_dir(&boot)
        .map(|entries| entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
        .unwrap_or_default();
    names.retain(|name| name.starts_with("vmlinuz-") && name.ends_with("-amd64"));
    names.sort_by_cached_key(|name| (name.ends_with("-cloud-amd64"), version_key(name)));

    let mut why = None;
    for name in names.iter().rev() {
        let path = boot.join(name);
        let tried = read_kernel(&path)
            .map_err(|error| match &error {
                Error::Read { source, .. } => format!("the kernel {} cannot be read ({source})", path.display()),
                _ => error.to_string(),
            })
            .and_then(|(kernel, release)| with_modules(root, &path, kernel, release, options));
        match tried {
            Ok(found) => return Ok(found),
            Err(reason) => why = why.or(Some(reason)),
        }
    }
    Err(why.unwrap_or_else(|| format!("there is no kernel {}/vmlinuz-*-amd64", boot.display())))
}

fn read_kernel(path: &Path) -> Result<(Kernel, String), Error> {
    let bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let kernel = Kernel::parse(path, bytes)?;
    let release = kernel.release()?;
    Ok((kernel, release))
}

fn with_modules(
    root: &Path,
    path: &Path,
    kernel: Kernel,
    release: String,
    options: &Options,
) -> Result<WithModules, String> {
    let modules = match &options.modules {
        Some(named) => named.clone(),
        None => root.join("lib/modules").join(&release),
    };
    if options.modules.is_none() && !modules.join("modules.dep").is_file() {
        return Err(format!("the kernel {} has no modules at {}", path.display(), modules.display()));
    }
    Ok((path.to_owned(), kernel, release, modules))
}

/// Orders names by their numbers: `6.1.0-9` before `6.1.0-10`.
fn version_key(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

fn named_busybox(path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    check_static(&bytes).map_err(|reason| Error::Busybox { path: path.to_owned(), reason })?;
    Ok(bytes)
}

fn installed_busybox(root: &Path) -> Result<(PathBuf, Vec<u8>), String> {
    let mut why = None;
    for place in ["bin/busybox", "usr/bin/busybox"] {
        let path = root.join(place);
        match named_busybox(&path) {
            Ok(bytes) => return Ok((path, bytes)),
            Err(Error::Read { .. }) => {}
            Err(error) => why = why.or(Some(error.to_string())),
        }
    }
    Err(why.unwrap_or_else(|| format!("there is no {}", root.join("bin/busybox").display())))
}

/// A program runs in an otherwise empty system if its ELF file asks for no interpreter (the dynamic linker).
fn check_static(elf: &[u8]) -> Result<(), &'static str> {
    const TORN: &str = "its program headers lie outside the file";
    const X86_64: u16 = 62;
    const PT_INTERP: u32 = 3;
    let u16_at = |at: usize| elf.get(at..at + 2).and_then(|b| b.try_into().ok()).map(u16::from_le_bytes);
    let u32_at = |at: usize| elf.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    let u64_at = |at: usize| elf.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);

    if !elf.starts_with(b"\x7fELF\x02\x01") || u16_at(18) != Some(X86_64) {
        return Err("it is no x86-64 program");
    }
    let (table, size, count) = (u64_at(32).ok_or(TORN)?, u16_at(54).ok_or(TORN)?, u16_at(56).ok_or(TORN)?);
    for index in 0..u64::from(count) {
        let at = table.checked_add(index * u64::from(size)).and_then(|at| usize::try_from(at).ok()).ok_or(TORN)?;
        if at >= elf.len() {
            return Err(TORN);
        }
        if u32_at(at).ok_or(TORN)? == PT_INTERP {
            return Err("it needs shared libraries");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel;

    fn elf(segment: u32) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18] = 62;
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64..68].copy_from_slice(&segment.to_le_bytes());
        bytes
    }

    fn machine(kernels: &[&str], busybox: Option<Vec<u8>>) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for directory in ["boot", "bin", "lib/modules"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        for release in kernels {
            fs::write(root.path().join(format!("boot/vmlinuz-{release}")), kernel::fake(release)).unwrap();
            let modules = root.path().join("lib/modules").join(release);
            fs::create_dir(&modules).unwrap();
            fs::write(modules.join("modules.dep"), "").unwrap();
        }
        if let Some(bytes) = busybox {
            fs::write(root.path().join("bin/busybox"), bytes).unwrap();
        }
        root
    }

    fn release_found(root: &Path) -> String {
        match parts_below(root, &Options::new("hello")).unwrap() {
            Found::All(parts) => parts.release,
            Found::NotAll { why } => panic!("{why}"),
        }
    }

    fn why_not(root: &Path) -> String {
        match parts_below(root, &Options::new("hello")).unwrap() {
            Found::All(parts) => panic!("{parts:?}"),
            Found::NotAll { why } => why,
        }
    }

    #[test]
    fn the_newest_cloud_kernel_wins() {
        let root = machine(
            &["6.1.0-9-cloud-amd64", "6.1.0-10-cloud-amd64", "6.12.1-amd64", "5.10.0-99-cloud-amd64"],
            Some(elf(1)),
        );
        assert_eq!(release_found(root.path()), "6.1.0-10-cloud-amd64");
    }

    #[test]
    fn another_kernel_will_do_and_one_without_modules_or_header_is_passed_over() {
        let root = machine(&["6.1.0-9-amd64", "6.1.0-10-amd64", "6.1.0-11-amd64"], Some(elf(1)));
        fs::remove_dir_all(root.path().join("lib/modules/6.1.0-11-amd64")).unwrap();
        fs::write(root.path().join("boot/vmlinuz-6.1.0-10-amd64"), "no kernel").unwrap();
        assert_eq!(release_found(root.path()), "6.1.0-9-amd64");
    }

    #[test]
    fn all_missing_packages_are_named_at_once() {
        let root = machine(&[], None);
        let why = why_not(root.path());
        assert!(why.ends_with("apt-get install linux-image-cloud-amd64 busybox-static"), "{why}");
        let root = machine(&["6.1.0-9-cloud-amd64"], Some(elf(3)));
        let why = why_not(root.path());
        assert!(why.contains("bin/busybox is no static busybox: it needs shared libraries"), "{why}");
        assert!(why.ends_with("apt-get install busybox-static"), "{why}");
        let root = machine(&["6.1.0-9-cloud-amd64"], Some(elf(1)));
        fs::remove_dir_all(root.path().join("lib/modules/6.1.0-9-cloud-amd64")).unwrap();
        let why = why_not(root.path());
        assert!(why.contains("has no modules at"), "{why}");
        assert!(why.ends_with("apt-get install linux-image-cloud-amd64"), "{why}");
    }

    #[test]
    fn what_the_caller_names_is_taken_or_is_an_error() {
        let root = machine(&["6.1.0-9-cloud-amd64"], Some(elf(1)));
        let named = |path: &str| Some(root.path().join(path));
        let options = Options { kernel: named("boot/none"), ..Options::new("hello") };
        assert!(matches!(parts_below(root.path(), &options), Err(Error::Read { .. })));
        let options = Options { kernel: named("bin/busybox"), ..Options::new("hello") };
        assert!(matches!(parts_below(root.path(), &options), Err(Error::Kernel { .. })));
        let options = Options { busybox: named("boot/vmlinuz-6.1.0-9-cloud-amd64"), ..Options::new("hello") };
        assert!(matches!(parts_below(root.path(), &options), Err(Error::Busybox { .. })));
        let options = Options { modules: named("elsewhere"), ..Options::new("hello") };
        assert!(
            matches!(parts_below(root.path(), &options), Ok(Found::All(parts)) if parts.modules.ends_with("elsewhere"))
        );
    }

    #[test]
    fn elf_files_are_judged_without_reading_beyond_their_end() {
        assert_eq!(check_static(&elf(1)), Ok(()));
        assert_eq!(check_static(&elf(3)), Err("it needs shared libraries"));
        assert_eq!(check_static(b"#!/bin/sh"), Err("it is no x86-64 program"));
        let mut far = elf(1);
        far[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(check_static(&far), Err("its program headers lie outside the file"));
        let whole = elf(1);
        for end in 0..whole.len() {
            let _ = check_static(&whole[..end]);
        }
    }
}
