//! A PostgreSQL server of a test's own, to kill, freeze and start again; and a way to it that can be cut.
#![allow(dead_code, reason = "not every test needs all of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests too")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A server on a free port of loopback, with its files in a folder of its own.
pub struct Postgres {
    folder: PathBuf,
    pub port: u16,
    server: Option<Child>,
}

/// PostgreSQL refuses to run as root: then it runs as Debian's user for it.
fn as_user(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

fn binaries() -> Option<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop()
}

impl Postgres {
    /// Starts one with a database `gyre`; none where it is not installed, which only a machine for tests may not forgive.
    pub fn start() -> Option<Self> {
        let Some(binaries) = binaries() else {
            assert!(std::env::var("GYRE_TEST_REQUIRE").as_deref() != Ok("1"), "install postgresql");
            eprintln!("skipped: install postgresql");
            return None;
        };
        // not in the test's own folder, which another user could not reach
        let folder = tempfile::Builder::new().prefix("gyre-postgres-").tempdir_in("/var/tmp").unwrap().keep();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        if rustix::process::geteuid().is_root() {
            assert!(Command::new("chown").arg("postgres:postgres").arg(&folder).status().unwrap().success());
        }
        let made = as_user(&binaries.join("initdb"))
            .args([
                "--username",
                "gyre",
                "--auth",
                "trust",
                "--encoding",
                "UTF8",
                "--locale",
                "C",
                "--no-sync",
                "--pgdata",
            ])
            .arg(folder.join("data"))
            .stdin(Stdio::null())
            .current_dir("/")
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { folder, port, server: None };
        server.run();
        let made = Command::new(binaries.join("psql"))
            .args(["--no-psqlrc", "--host", "127.0.0.1", "--username", "gyre", "--dbname", "postgres", "--port"])
            .arg(port.to_string())
            .args(["--command", "CREATE DATABASE gyre"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Some(server)
    }

    /// Its address for a store.
    pub fn url(&self) -> String {
        Self::url_at(self.port)
    }

    /// The same through a port that leads there.
    pub fn url_at(port: u16) -> String {
        format!("postgres://gyre@127.0.0.1:{port}/gyre")
    }

    /// Runs it, and returns once it takes connections.
    pub fn run(&mut self) {
        assert!(self.server.is_none(), "it runs already");
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let child = as_user(&binaries().unwrap().join("postgres"))
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"])
            .args(["-c", &format!("port={}", self.port), "-c", "max_connections=200"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .current_dir("/")
            .spawn()
            .unwrap();
        self.server = Some(child);
        let until = Instant::now() + Duration::from_secs(60);
        while !self.ready() {
            assert!(
                Instant::now() < until,
                "postgres does not start: {:?}",
                std::fs::read_to_string(self.folder.join("log"))
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ready(&self) -> bool {
        let asked = Command::new(binaries().unwrap().join("pg_isready"))
            .args(["--quiet", "--host", "127.0.0.1", "--timeout", "1", "--port", &self.port.to_string()])
            .status();
        asked.is_ok_and(|status| status.success())
    }

    /// The server and all that it has started.
    fn processes(&self) -> Vec<Pid> {
        let Some(server) = &self.server else { return Vec::new() };
        let id = server.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
        Pid::from_raw(i32::try_from(id).unwrap()).into_iter().chain(children).collect()
    }

    fn signal(&self, signal: Signal) {
        // those that end meanwhile need no signal
        for process in self.processes() {
            let _ = kill_process(process, signal);
        }
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        if let Some(mut server) = self.server.take() {
            server.wait().unwrap();
        }
        // the shared memory is free once the last child is gone
        std::thread::sleep(Duration::from_millis(100));
    }

    /// Stops it where it stands: connections stay open, and nothing is answered.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
        // a folder that stays is no reason to fail
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const OPEN: u8 = 0;
const SILENT: u8 = 1;

/// A way to a server: connections through it can be cut, or swallowed without a word.
pub struct Way {
    pub port: u16,
    mode: Arc<AtomicU8>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Way {
    /// A way to a port of loopback.
    pub fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Self {
            port: listener.local_addr().unwrap().port(),
            mode: Arc::new(AtomicU8::new(OPEN)),
            streams: Arc::default(),
        };
        let (mode, streams) = (Arc::clone(&way.mode), Arc::clone(&way.streams));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { continue };
                let Ok(server) = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], server))) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to, mode) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(&mode));
                    std::thread::spawn(move || pass(from, to, &mode));
                }
                streams.lock().unwrap().extend([client, server]);
            }
        });
        way
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Passes nothing on from now on, or all.
    pub fn silent(&self, silent: bool) {
        self.mode.store(if silent { SILENT } else { OPEN }, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mode: &AtomicU8) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        while mode.load(Ordering::SeqCst) == SILENT {
            std::thread::sleep(Duration::from_millis(20));
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
