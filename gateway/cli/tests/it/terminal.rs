//! What happens in a terminal, which `script` (util-linux) plays.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::fake::{Fake, PASSWORD, User};

struct Terminal {
    child: Child,
    seen: String,
    /// How much of it was waited for.
    mark: usize,
}

impl Terminal {
    fn run(user: &User, words: &[&str]) -> Self {
        let gyre = user.command(words);
        let line: Vec<_> = std::iter::once(gyre.get_program()).chain(gyre.get_args()).collect();
        let line = line.join(std::ffi::OsStr::new(" "));
        let mut script = Command::new("script");
        script.env_clear().env("SHELL", "/bin/sh").env("TERM", "xterm");
        script.envs(gyre.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script.args(["--quiet", "--return", "--flush", "--command"]).arg(line).arg("/dev/null");
        let child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
        Self { child: child.expect("script, of the Debian package bsdutils"), seen: String::new(), mark: 0 }
    }

    fn until(&mut self, text: &str) {
        let mut piece = [0; 256];
        while !self.seen.contains(text) {
            let read = self.child.stdout.as_mut().unwrap().read(&mut piece).unwrap();
            assert_ne!(read, 0, "no {text:?} in {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    }

    /// Waits for a text after the last one that was waited for so. What is typed before a prompt is there may be lost.
    fn next(&mut self, text: &str) {
        let mut piece = [0; 256];
        loop {
            if let Some(at) = self.seen[self.mark..].find(text) {
                self.mark += at + text.len();
                return;
            }
            let read = self.child.stdout.as_mut().unwrap().read(&mut piece).unwrap();
            assert_ne!(read, 0, "no {text:?} in {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    }

    fn type_keys(&mut self, keys: &[u8]) {
        let keyboard = self.child.stdin.as_mut().unwrap();
        keyboard.write_all(keys).unwrap();
        keyboard.flush().unwrap();
    }

    fn end(mut self) -> (i32, String) {
        self.child.stdout.as_mut().unwrap().read_to_string(&mut self.seen).unwrap();
        (self.child.wait().unwrap().code().unwrap(), self.seen)
    }
}

#[test]
fn keys_go_to_the_machine_until_ctrl_bracket() {
    let fake = Fake::start();
    let user = User::of(&fake);
    fake.given("vm", json!({"name": "web-1"}));
    let mut terminal = Terminal::run(&user, &["vm", "console", "web-1"]);
    terminal.until("Ctrl-] leaves");
    terminal.until("login: ");
    // Ctrl-C is a key like any other here.
    terminal.type_keys(b"root\r\x03\x1dnot this");
    let (code, seen) = terminal.end();
    assert_eq!(code, 0, "{seen}");
    assert_eq!(fake.state().typed, b"root\r\x03");
}

#[test]
fn a_password_is_asked_for_and_not_shown() {
    let fake = Fake::start();
    fake.state().tokens = Some(Vec::new());
    let user = User::of(&fake);
    let mut terminal = Terminal::run(&user, &["login"]);
    terminal.until("account: ");
    terminal.type_keys(b"ann\n");
    terminal.until("password of ann: ");
    terminal.type_keys(format!("wrong\x15{PASSWORD}x\x7f\n").as_bytes());
    let (code, seen) = terminal.end();
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("signed in") && !seen.contains("correct"), "{seen}");
}

#[test]
fn progress_is_a_bar() {
    let fake = Fake::start();
    let user = User::of(&fake);
    fake.given("vm", json!({"name": "web-1"}));
    let terminal = Terminal::run(&user, &["vm", "stop", "web-1", "--wait"]);
    let (code, seen) = terminal.end();
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("\u{2713} stopvm-vm"), "{seen}");
}

#[test]
fn the_shell_completes_remembers_and_goes_on_after_a_failure() {
    use std::os::unix::fs::PermissionsExt as _;

    let fake = Fake::start();
    let user = User::of(&fake);
    fake.given("vm", json!({"name": "web-1"}));
    let mut terminal = Terminal::run(&user, &["shell"]);
    terminal.next("gyre> ");
    terminal.type_keys(b"vm sto\twe\t--quiet\r");
    terminal.next("stopvm-vm");
    terminal.next("gyre> ");
    terminal.type_keys(b"vm fly --token secret\r");
    terminal.next("unrecognized subcommand");
    terminal.next("gyre> ");
    // The line before that one is remembered, and the one with a token is not.
    terminal.type_keys(b"\x1b[A --force\r");
    terminal.next("stopvm-vm");
    terminal.next("gyre> ");
    terminal.type_keys(b"exit\r");
    let (code, seen) = terminal.end();
    assert_eq!(code, 0, "{seen}");
    let forced: Vec<_> = fake.requests("StopVm").iter().map(|request| request["force"] == true).collect();
    assert_eq!(forced, [false, true], "{seen}");
    let history = user.home.path().join(".local/state/gyre/history");
    let kept = std::fs::read_to_string(&history).unwrap();
    assert!(kept.contains("vm stop web-1 --quiet\n") && !kept.contains("secret"), "{kept}");
    assert_eq!(std::fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
}
