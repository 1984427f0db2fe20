//! What can run machines here: whether QEMU is installed, its version, its sandbox, and whether KVM truly works.
//!
//! `/dev/kvm` alone is no proof: on some virtual machines it exists and guests hang. So KVM is used by itself only where the
//! processor says that it has virtualization and a tiny guest was seen to run on it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use gyre_model::{Error, Kind, Result};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::failure;

/// The program.
pub const QEMU: &str = "qemu-system-x86_64";
/// Debian's package that has it.
pub const QEMU_PACKAGE: &str = "qemu-system-x86";
/// What QEMU may not do once it runs.
pub(super) const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

const PROBE: Duration = Duration::from_secs(20);
const KVM_GUEST: Duration = Duration::from_secs(5);

/// How guests' instructions run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// By the processor.
    Kvm,
    /// By software emulation.
    Tcg,
}

impl Accelerator {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// How guests' instructions shall run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AcceleratorChoice {
    /// By KVM where it was seen to work, else by emulation.
    #[default]
    Auto,
    /// By KVM, whatever the checks say.
    Kvm,
    /// By emulation.
    Tcg,
}

impl std::str::FromStr for AcceleratorChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "kvm" => Ok(Self::Kvm),
            "tcg" => Ok(Self::Tcg),
            _ => Err(format!("{text:?} is no accelerator; write auto, kvm or tcg")),
        }
    }
}

/// What is missing for real machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The program, such as `qemu-system-x86_64`; empty where no program would help.
    pub program: &'static str,
    /// Debian's package that has it; empty where no package would help.
    pub package: &'static str,
    /// What is wrong and what to do, for people.
    pub message: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Missing {}

/// Whether this machine can run real machines.
///
/// # Errors
/// What is missing, and the package to install.
pub fn hypervisor_available() -> Result<(), Missing> {
    if std::env::consts::ARCH != "x86_64" {
        let message = format!("real machines need an x86_64 host, this one is {}", std::env::consts::ARCH);
        return Err(Missing { program: "", package: "", message });
    }
    match find_program(QEMU) {
        Some(_) => Ok(()),
        None => {
            let message = format!(
                "{QEMU} is not installed; install it with: apt-get install --no-install-recommends {QEMU_PACKAGE}"
            );
            Err(Missing { program: QEMU, package: QEMU_PACKAGE, message })
        }
    }
}

/// Finds a program on the PATH, and where daemons' PATH often does not reach.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/bin", "/usr/sbin", "/usr/local/bin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Probed {
    /// The program.
    pub program: PathBuf,
    /// Its version.
    pub version: String,
    /// How guests' instructions run.
    pub accelerator: Accelerator,
    /// Whether QEMU can lock itself in.
    pub sandbox: bool,
}

/// Looks at QEMU.
pub async fn probe(program: Option<&Path>, choice: AcceleratorChoice) -> Result<Probed> {
    let found = program.map(Path::to_owned).or_else(|| find_program(QEMU));
    let program = found.ok_or_else(|| failure::missing(QEMU, QEMU_PACKAGE))?;
    let (version, sandbox) = match version(&program, true).await {
        Ok(version) => (version, true),
        Err(error) => {
            let version = version(&program, false).await?;
            tracing::warn!(%error, "qemu's sandbox does not work here, machines run without it");
            (version, false)
        }
    };
    let accelerator = accelerator(&program, choice).await?;
    tracing::info!(program = %program.display(), version, accelerator = accelerator.name(), sandbox, "qemu found");
    Ok(Probed { program, version, accelerator, sandbox })
}

/// Starts QEMU without a machine and asks for its version.
async fn version(program: &Path, sandbox: bool) -> Result<String> {
    let mut command = Command::new(program);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-machine", "none", "-qmp", "stdio"]);
    if sandbox {
        command.args(["-sandbox", SANDBOX]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let ask = async {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // fails where the program ended already; what it said tells why
            let _ = stdin.write_all(b"{\"execute\": \"qmp_capabilities\"}\n{\"execute\": \"quit\"}\n").await;
            // held until the end: QEMU takes the end of its input for the end of the monitor
            let output = child.wait_with_output().await;
            drop(stdin);
            return output;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(PROBE, ask)
        .await
        .map_err(|_| failure::host("QEMU_UNUSABLE", format!("{} does not answer", program.display())))?
        .map_err(|error| failure::io("run", program, &error))?;
    let greeting = output.stdout.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let greeting: Option<Value> = serde_json::from_slice(greeting).ok();
    let number = |part: &str| greeting.as_ref()?.pointer(&format!("/QMP/version/qemu/{part}"))?.as_i64();
    match (number("major"), number("minor"), number("micro")) {
        (Some(major), Some(minor), Some(micro)) if output.status.success() => Ok(format!("{major}.{minor}.{micro}")),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let text =
                format!("{} cannot be used ({}): {said}; reinstall {QEMU_PACKAGE}", program.display(), output.status);
            Err(failure::host("QEMU_UNUSABLE", text))
        }
    }
}

async fn accelerator(program: &Path, choice: AcceleratorChoice) -> Result<Accelerator> {
    let opens = || std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm");
    match choice {
        AcceleratorChoice::Tcg => Ok(Accelerator::Tcg),
        AcceleratorChoice::Kvm => match opens() {
            Ok(_) => Ok(Accelerator::Kvm),
            Err(error) => Err(Error::new(
                Kind::FailedPrecondition,
                "KVM_UNAVAILABLE",
                format!("/dev/kvm cannot be opened ({error}); enable virtualization, or choose --accel tcg"),
            )),
        },
        AcceleratorChoice::Auto => {
            let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
            if !has_virtualization(&flags) || opens().is_err() {
                return Ok(Accelerator::Tcg);
            }
            if kvm_runs_a_guest(program).await {
                return Ok(Accelerator::Kvm);
            }
            tracing::warn!("/dev/kvm is there, but a guest does not run on it; machines are emulated, which is slow");
            Ok(Accelerator::Tcg)
        }
    }
}

fn has_virtualization(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find_map(|line| line.strip_prefix("flags").and_then(|line| line.split_once(':')));
    flags.is_some_and(|(_, flags)| flags.split_whitespace().any(|flag| matches!(flag, "vmx" | "svm")))
}

/// Starts a guest without a disk, whose firmware greets on the serial port when its instructions run.
async fn kvm_runs_a_guest(program: &Path) -> bool {
    firmware_greets(program, "kvm", "host").await
}

async fn firmware_greets(program: &Path, accelerator: &str, cpu: &str) -> bool {
    let mut command = Command::new(program);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35,graphics=off", "-m", "32M"]);
    command.args(["-accel", accelerator, "-cpu", cpu, "-chardev", "stdio,id=c,signal=off", "-serial", "chardev:c"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let Ok(mut child) = command.spawn() else { return false };
    let Some(mut stdout) = child.stdout.take() else { return false };
    let mut byte = [0; 1];
    let greeted = matches!(tokio::time::timeout(KVM_GUEST, stdout.read(&mut byte)).await, Ok(Ok(1)));
    let _ = child.kill().await;
    greeted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtualization_is_a_flag_of_the_processor() {
        assert!(has_virtualization("model name : x\nflags\t\t: fpu vmx sse\n"));
        assert!(has_virtualization("flags\t\t: fpu svm\n"));
        assert!(!has_virtualization("flags\t\t: fpu sse vmx_like\n"));
        assert!(!has_virtualization(""));
    }

    #[tokio::test]
    async fn a_program_that_is_no_qemu_is_refused() {
        let error = probe(Some(Path::new("/bin/false")), AcceleratorChoice::Tcg).await.expect_err("refused");
        assert_eq!(error.reason(), "QEMU_UNUSABLE");
        let error = probe(Some(Path::new("/nowhere/qemu")), AcceleratorChoice::Tcg).await.expect_err("refused");
        assert_eq!(error.reason(), "HOST_IO_ERROR");
    }

    #[tokio::test]
    async fn the_probing_guest_greets() {
        let Some(program) = find_program(QEMU) else {
            assert!(std::env::var_os("GYRE_TEST_REQUIRE").is_none(), "install {QEMU_PACKAGE}");
            eprintln!("skipped: install {QEMU_PACKAGE}");
            return;
        };
        assert!(firmware_greets(&program, "tcg", "max").await);
        let probed = probe(Some(&program), AcceleratorChoice::Auto).await.expect("probed");
        assert!(probed.version.contains('.'), "{probed:?}");
    }
}
