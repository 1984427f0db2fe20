//! Whoever runs the command.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::Fake;

/// A user with a home of their own.
pub struct User {
    pub home: tempfile::TempDir,
    pub endpoint: Option<String>,
}

impl User {
    /// Somebody who names this gateway with every command.
    pub fn of(fake: &Fake) -> Self {
        Self { home: tempfile::tempdir().unwrap(), endpoint: Some(fake.endpoint.clone()) }
    }

    /// Somebody who names none.
    pub fn nobody() -> Self {
        Self { home: tempfile::tempdir().unwrap(), endpoint: None }
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gyre"));
        command.env_clear().env("HOME", self.home.path()).args(words).stdin(Stdio::null());
        if let Some(endpoint) = &self.endpoint {
            command.env("GYRE_ENDPOINT", endpoint);
        }
        command
    }

    pub fn run(&self, words: &[&str]) -> Done {
        Done(self.command(words).output().unwrap())
    }

    /// A file in the home with this content.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Done(pub Output);

impl Done {
    pub fn code(&self) -> i32 {
        self.0.status.code().unwrap()
    }
    pub fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }
    pub fn err(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }
    #[track_caller]
    pub fn fine(self) -> Self {
        assert_eq!(self.code(), 0, "{}", self.err());
        self
    }
    #[track_caller]
    pub fn failed(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "out: {} err: {}", self.out(), self.err());
        assert_eq!(self.out(), "", "a failure answers nothing");
        self
    }
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out()).unwrap()
    }
}
