//! Streams: the console, and uploads.

use std::io::Read as _;
use std::process::Stdio;

use serde_json::json;

use crate::fake::{Done, Fake, User};

#[test]
fn the_console_is_copied_to_the_byte() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let uuid = fake.given("vm", json!({"name": "web-1"}));
    let out = user.run(&["vm", "console", "web-1", "--no-follow", "--tail", "4KiB"]).fine().out();
    assert_eq!(out, "SeaBIOS\r\nHello from Gyre\r\nlogin: ");
    assert_eq!(fake.requests("ReadVmConsole"), [json!({"uuid": uuid, "tailBytes": 4096})]);
    assert_eq!(user.run(&["vm", "read-console", "web-1"]).fine().out(), out);
    user.run(&["vm", "console", "web-1", "--tail", "2MiB"]).failed(2);
}

#[test]
fn a_followed_console_goes_on_until_it_is_interrupted() {
    let fake = Fake::start();
    let user = User::of(&fake);
    fake.given("vm", json!({"name": "web-1"}));
    let mut command = user.command(&["vm", "console", "web-1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut seen = [0; 33];
    child.stdout.as_mut().unwrap().read_exact(&mut seen).unwrap();
    assert!(seen.ends_with(b"login: "));
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn keys_can_be_typed_by_scripts() {
    let fake = Fake::start();
    let user = User::of(&fake);
    fake.given("vm", json!({"name": "web-1"}));
    user.run(&["vm", "write-console", "web-1", "--data", "poweroff\n"]).fine();
    assert_eq!(fake.state().typed, b"poweroff\n");
}

#[test]
fn a_file_is_uploaded_in_pieces() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let uuid = fake.given("image", json!({"name": "disk"}));
    let content: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    let file = user.file("disk.img", &content, 0o600);
    let done = user.run(&["image", "upload", "disk", "--file", file.to_str().unwrap(), "--wait", "-o", "json"]).fine();
    assert_eq!(done.json()["state"], "IMAGE_STATE_READY");
    assert!(done.err().contains("100%"), "{}", done.err());
    assert_eq!(fake.state().uploaded, content);
    assert_eq!(fake.requests("UploadImage")[0]["uuid"], uuid.as_str());
    // From standard input.
    let mut command = user.command(&["image", "upload", "disk", "--file", "-", "-q"]);
    Done(command.stdin(std::fs::File::open(&file).unwrap()).output().unwrap()).fine();
    assert_eq!(fake.state().uploaded.len(), content.len());
}

#[test]
fn a_file_that_is_not_there_is_told_before_anything_is_sent() {
    let fake = Fake::start();
    let user = User::of(&fake);
    fake.given("image", json!({"name": "disk"}));
    for path in ["/nowhere/disk.img", "/"] {
        let text = user.run(&["image", "upload", "disk", "--file", path]).failed(2).err();
        assert!(text.contains(path), "{text}");
    }
    assert!(fake.requests("UploadImage").is_empty());
}
