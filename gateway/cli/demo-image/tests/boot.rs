//! Boots the demo disk in QEMU (TCG, no KVM needed), one machine at a time.
//!
//! Without QEMU, kernel or busybox a test says what to install and passes; with `GYRE_TEST_REQUIRE_QEMU=1` it fails.
#![allow(clippy::unwrap_used)] // the helpers of tests are tests

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use gyre_demo_image::{Built, Flavour, Options, PACKAGES, Want, build};

const GREETING: &str = "Hello from Gyre; this is 'it' \\n $HOME";
/// Upper bounds for a crowded machine; an idle one needs 2 s for the greeting and 0.1 s to switch off.
const BOOT: Duration = Duration::from_secs(120);
const OFF: Duration = Duration::from_secs(20);

#[test]
fn linux_greets_gets_an_address_gives_a_shell_and_obeys_the_power_button() {
    let Some(lab) = Lab::linux() else { return };
    let mut machine = lab.start(&["-m", "192", "-netdev", "user,id=n"]);
    machine.wait_for_line(GREETING, BOOT);
    machine.wait_for_line("hostname: gyre-demo", BOOT);
    machine.wait_for_line("address: 10.0.2.15/24", BOOT);
    machine.wait_for("# ", BOOT);
    machine.type_line("echo $((6 * 7)); ls /sys/block/");
    machine.wait_for_line("42", BOOT);
    machine.wait_for_line("vda", BOOT);
    machine.execute("system_powerdown");
    machine.wait_for_exit(OFF);
}

#[test]
fn the_power_button_works_from_the_greeting_on() {
    let Some(lab) = Lab::linux() else { return };
    let mut machine = lab.start(&["-m", "192", "-netdev", "user,id=n"]);
    machine.wait_for_line(GREETING, BOOT);
    machine.execute("system_powerdown");
    machine.wait_for_exit(OFF);
}

#[test]
fn without_dhcp_a_small_machine_takes_name_and_address_from_smbios() {
    let Some(lab) = Lab::linux() else { return };
    let mut machine = lab.start(&[
        "-m",
        "96",
        "-netdev",
        "hubport,id=n,hubid=0",
        "-smbios",
        "type=1,serial=web_1",
        "-smbios",
        "type=3,asset=gyre;ip=10.0.0.5/24;gw=10.0.0.1;mtu=1400",
    ]);
    machine.wait_for_line("hostname: web-1", BOOT);
    machine.wait_for_line("address: 10.0.0.5/24", BOOT);
    machine.wait_for("# ", BOOT);
    machine.type_line("ip route; cat /sys/class/net/eth0/mtu");
    machine.wait_for("default via 10.0.0.1 dev eth0", BOOT);
    machine.wait_for_line("1400", BOOT);
}

#[test]
fn a_machine_that_is_too_small_is_told_so() {
    let Some(lab) = Lab::linux() else { return };
    let machine = lab.start(&["-m", "48", "-netdev", "user,id=n"]);
    machine.wait_for_line("gyre: this machine has too little memory for the demo disk", BOOT);
}

#[test]
fn the_boot_sector_greets() {
    let Some(lab) = Lab::new(Want::BootSector) else { return };
    assert!(matches!(lab.built.flavour, Flavour::BootSector { .. }));
    assert_eq!(lab.built.bytes, 1 << 20);
    let machine = lab.start(&["-m", "32", "-netdev", "user,id=n"]);
    machine.wait_for_line(GREETING, BOOT);
}

#[test]
fn the_same_parts_give_the_same_disk() {
    let directory = tempfile::tempdir().unwrap();
    let disks = ["a", "b"].map(|name| directory.path().join(name));
    let built = disks.each_ref().map(|disk| build(&Options::new(GREETING), disk).unwrap());
    assert_eq!(built[0], built[1]);
    assert_eq!(fs::metadata(&disks[0]).unwrap().len(), built[0].bytes);
    assert!(fs::read(&disks[0]).unwrap() == fs::read(&disks[1]).unwrap());
}

#[test]
fn a_greeting_that_is_no_line_is_refused_and_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    for greeting in ["", "two\nlines", &"x".repeat(201)] {
        let error = build(&Options::new(greeting), &directory.path().join("disk")).unwrap_err();
        assert!(error.to_string().starts_with("the greeting cannot be used: "), "{error}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// A freshly made disk, and the right to run a machine from it.
struct Lab {
    directory: tempfile::TempDir,
    disk: PathBuf,
    built: Built,
    _alone: MutexGuard<'static, ()>,
}

impl Lab {
    fn linux() -> Option<Self> {
        let lab = Self::new(Want::Best)?;
        match &lab.built.flavour {
            Flavour::Linux { missing_modules, .. } => {
                assert_eq!(missing_modules, &Vec::<String>::new());
                Some(lab)
            }
            Flavour::BootSector { why } => {
                skip(&PACKAGES.join(" "), why);
                None
            }
        }
    }

    fn new(want: Want) -> Option<Self> {
        static ALONE: Mutex<()> = Mutex::new(());
        if Command::new(QEMU).arg("--version").stdout(Stdio::null()).status().is_err() {
            skip("qemu-system-x86", "there is no qemu-system-x86_64");
            return None;
        }
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::tempdir().unwrap();
        let disk = directory.path().join("demo.raw");
        let built = build(&Options { want, ..Options::new(GREETING) }, &disk).unwrap();
        Some(Self { directory, disk, built, _alone: alone })
    }

    /// Starts QEMU on a temporary qcow2 overlay of the disk (`snapshot=on`), with these arguments besides.
    fn start(&self, arguments: &[&str]) -> Machine {
        let monitor = self.directory.path().join("qmp");
        let mut qemu = Command::new(QEMU)
            .args(["-accel", "tcg,tb-size=32", "-cpu", "max", "-machine", "q35", "-nodefaults", "-no-user-config"])
            .args(["-display", "none", "-serial", "stdio", "-no-reboot"])
            .args(["-device", "virtio-net-pci,netdev=n,romfile="])
            .arg("-drive")
            .arg(format!("file={},format=raw,if=virtio,snapshot=on", self.disk.display()))
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", monitor.display()))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let keyboard = qemu.stdin.take().unwrap();
        let serial = Arc::new(Serial::default());
        let mut output = qemu.stdout.take().unwrap();
        let reader = Arc::clone(&serial);
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut chunk) {
                reader.heard.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..n]).replace('\r', ""));
                reader.more.notify_all();
            }
        });
        Machine { qemu, keyboard, serial, monitor }
    }
}

const QEMU: &str = "qemu-system-x86_64";

fn skip(package: &str, why: &str) {
    let required = std::env::var_os("GYRE_TEST_REQUIRE_QEMU").is_some_and(|value| value == "1");
    assert!(!required, "install {package}: {why}");
    // past libtest's capture: who runs the tests shall see it
    let _ = writeln!(std::io::stderr(), "skipped: install {package} ({why})");
}

#[derive(Default)]
struct Serial {
    heard: Mutex<String>,
    more: Condvar,
}

struct Machine {
    qemu: Child,
    keyboard: ChildStdin,
    serial: Arc<Serial>,
    monitor: PathBuf,
}

impl Machine {
    fn wait_for_line(&self, line: &str, limit: Duration) {
        self.wait_until(&format!("the line {line:?}"), limit, |heard| {
            let complete = heard.rfind('\n').unwrap_or(0);
            heard[..complete].lines().any(|l| l == line)
        });
    }

    fn wait_for(&self, text: &str, limit: Duration) {
        self.wait_until(&format!("{text:?}"), limit, |heard| heard.contains(text));
    }

    fn wait_until(&self, what: &str, limit: Duration, met: impl Fn(&str) -> bool) {
        let start = Instant::now();
        let heard = self.serial.heard.lock().unwrap();
        let (heard, _) = self.serial.more.wait_timeout_while(heard, limit, |heard| !met(heard)).unwrap();
        assert!(met(&heard), "no {what} within {limit:?}; heard:\n{heard}");
        println!("{what} after {:?}", start.elapsed());
    }

    fn type_line(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// One QMP command without arguments, answered.
    fn execute(&self, command: &str) {
        let stream = connect(&self.monitor);
        stream.set_read_timeout(Some(OFF)).unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut stream = stream;
        assert!(lines.next().unwrap().unwrap().contains("QMP"));
        for command in ["qmp_capabilities", command] {
            writeln!(stream, r#"{{"execute":"{command}"}}"#).unwrap();
            let answer = lines.by_ref().map(Result::unwrap).find(|line| !line.contains(r#""event""#)).unwrap();
            assert!(answer.contains("return"), "{command}: {answer}");
        }
    }

    fn wait_for_exit(&mut self, limit: Duration) {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.qemu.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                println!("off after {:?}", start.elapsed());
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("still on after {limit:?}; heard:\n{}", self.serial.heard.lock().unwrap());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

fn connect(path: &Path) -> UnixStream {
    UnixStream::connect(path).unwrap()
}
