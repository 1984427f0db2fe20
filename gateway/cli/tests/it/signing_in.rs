//! Who calls, and where that is kept.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::json;

use crate::fake::{Done, Fake, PASSWORD, User};

fn strict() -> Fake {
    let fake = Fake::start();
    fake.state().tokens = Some(Vec::new());
    fake
}

fn login(user: &User, endpoint: &str) -> Done {
    let words = ["login", "--endpoint", endpoint, "--account", "ann", "--password-stdin"];
    let mut child =
        user.command(&words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{PASSWORD}\n").as_bytes()).unwrap();
    Done(child.wait_with_output().unwrap())
}

#[test]
fn a_login_is_kept_for_the_next_command_and_forgotten_by_logout() {
    let fake = strict();
    let user = User::nobody();
    let said = login(&user, &fake.endpoint).fine().out();
    assert!(said.starts_with(&format!("signed in at {} as ann until ", fake.endpoint)), "{said}");
    let path = user.home.path().join(".config/gyre/credentials.json");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(kept["account"], "ann");
    user.run(&["vm", "list"]).fine();
    assert_eq!(
        fake.state().calls.last().unwrap().authorization.as_deref(),
        Some(format!("Bearer {}", kept["token"].as_str().unwrap()).as_str())
    );
    user.run(&["logout"]).fine();
    assert!(!path.exists());
}

#[test]
fn a_wrong_password_is_refused_and_nothing_is_kept() {
    let fake = strict();
    let user = User::of(&fake);
    let file = user.file("password", "guess", 0o600);
    let words = ["login", "--account=ann", "--password-file", file.to_str().unwrap()];
    let text = user.run(&words).failed(4).err();
    assert!(text.contains("WRONG_PASSWORD"), "{text}");
    assert!(!user.home.path().join(".config/gyre/credentials.json").exists());
}

#[test]
fn a_token_never_goes_to_another_gateway() {
    let (fake, other) = (strict(), strict());
    let user = User::nobody();
    login(&user, &fake.endpoint).fine();
    let text = user.run(&["--endpoint", &other.endpoint, "vm", "list"]).failed(4).err();
    assert!(text.contains("gyre login --endpoint"), "{text}");
    assert_eq!(other.state().calls.last().unwrap().authorization, None);
}

#[test]
fn the_environment_stands_before_files() {
    let fake = strict();
    fake.state().tokens = Some(vec!["key".to_owned()]);
    let user = User::of(&fake);
    Done(user.command(&["vm", "list"]).env("GYRE_TOKEN", "key").output().unwrap()).fine();
    Done(user.command(&["vm", "list"]).env("GYRE_TOKEN", "").output().unwrap()).failed(4);
}

#[test]
fn the_sign_in_file_of_up_signs_in_by_itself_and_again_when_the_token_is_refused() {
    let fake = strict();
    let user = User::nobody();
    let admin = json!({"endpoint": fake.endpoint, "account": "admin", "password": PASSWORD}).to_string();
    user.file(".local/share/gyre/admin.json", &admin, 0o600);
    user.run(&["vm", "list"]).fine();
    user.run(&["vm", "list"]).fine();
    assert_eq!(fake.requests("CreateSession").len(), 1, "the token is kept");
    let cache = user.home.path().join(".cache/gyre/token.json");
    assert_eq!(std::fs::metadata(cache).unwrap().permissions().mode() & 0o777, 0o600);
    // As after a start with new keys.
    fake.state().tokens = Some(Vec::new());
    user.run(&["zone", "list"]).fine();
    assert_eq!(fake.requests("CreateSession").len(), 2);
    // Elsewhere than usual.
    let there = user.file("data/admin.json", &admin, 0o600);
    std::fs::remove_file(user.home.path().join(".local/share/gyre/admin.json")).unwrap();
    user.run(&["--sign-in-file", there.to_str().unwrap(), "vm", "list"]).fine();
}

#[test]
fn files_that_others_can_read_are_refused_with_a_remedy() {
    let fake = strict();
    let user = User::nobody();
    let path = user.file(
        ".local/share/gyre/admin.json",
        json!({"endpoint": fake.endpoint, "account": "admin", "password": PASSWORD}).to_string(),
        0o644,
    );
    let text = user.run(&["vm", "list"]).failed(4).err();
    assert!(text.contains(&format!("chmod 600 {}", path.display())), "{text}");
    assert!(fake.state().calls.is_empty());
    let path = user.file(".config/gyre/credentials.json", "nonsense", 0o600);
    let text = user.run(&["vm", "list"]).failed(4).err();
    assert!(text.contains(&path.display().to_string()) && text.contains("CREDENTIALS_BROKEN"), "{text}");
}

#[test]
fn a_sign_in_that_has_ended_is_told() {
    let user = User::nobody();
    let kept = json!({"endpoint": "http://127.0.0.1:1", "token": "t", "account": "ann", "expire_time": "2020-01-01T00:00:00Z"});
    user.file(".config/gyre/credentials.json", kept.to_string(), 0o600);
    let text = user.run(&["vm", "list"]).failed(4).err();
    assert!(text.contains("SIGN_IN_EXPIRED") && text.contains("gyre login"), "{text}");
}

#[test]
fn certificates_of_a_file_are_trusted_and_no_others() {
    let (fake, certificate) = Fake::start_tls();
    let user = User::of(&fake);
    let file = user.file("ca.pem", certificate, 0o644);
    user.run(&["--ca-file", file.to_str().unwrap(), "vm", "list"]).fine();
    let (other, _) = Fake::start_tls();
    let words = ["--endpoint", &other.endpoint, "--ca-file", file.to_str().unwrap(), "vm", "list"];
    let text = user.run(&words).failed(6).err();
    assert!(text.contains("GATEWAY_UNREACHABLE"), "{text}");
    assert!(other.state().calls.is_empty());
    user.run(&["--ca-file", "/nowhere.pem", "vm", "list"]).failed(2);
}
