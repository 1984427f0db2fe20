//! Work that takes a while.

use std::process::Stdio;
use std::time::{Duration, Instant};

use gyre_model::{Error, Kind};
use serde_json::json;

use crate::fake::{Fake, User};

const CREATE: [&str; 6] = ["image", "create", "--name=x", "--url=upload", "--format=raw", "--shared"];

#[test]
fn without_wait_the_operation_is_answered() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let operation = user.run(&[&CREATE[..], &["-o", "json"]].concat()).fine().json();
    assert_eq!((&operation["state"], &operation["resourceKind"]), (&json!("OPERATION_STATE_RUNNING"), &json!("image")));
    assert!(fake.requests("WatchOperation").is_empty());
}

#[test]
fn a_callback_goes_along_with_the_call_alone() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let url = "https://hooks.example.com/gyre";
    user.run(&[&CREATE[..], &["--callback", url, "--wait", "-q"]].concat()).fine();
    let calls = fake.state().calls.clone();
    let with: Vec<_> =
        calls.iter().filter(|call| call.callback.as_deref() == Some(url)).map(|call| call.name).collect();
    assert_eq!(with, ["CreateImage"]);
    assert!(calls.iter().any(|call| call.name == "WatchOperation" && call.callback.is_none()));
    user.run(&["operation", "cancel", "44444444-4444-4444-8444-444444444444", "--callback", url]).failed(2);
}

#[test]
fn wait_shows_progress_and_answers_the_resource() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let done = user.run(&[&CREATE[..], &["--wait", "-o", "json"]].concat()).fine();
    assert_eq!(done.json()["name"], "x");
    let told = done.err();
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines[..2], ["createimage-image: 10% allocate", "createimage-image: 60% start"], "{told}");
    assert!(lines.last().unwrap().starts_with("createimage-image: done ("), "{told}");
    let silent = user.run(&[&CREATE[..], &["--wait", "--quiet"]].concat()).fine();
    assert_eq!(silent.err(), "");
}

#[test]
fn an_operation_that_fails_has_its_own_code_and_tells_why() {
    let fake = Fake::start();
    let user = User::of(&fake);
    fake.state().failing = Some(
        Error::new(Kind::ResourceExhausted, "NO_HOST_WITH_ROOM", "no host has room")
            .with("host-1", "needs 2 CPUs, has 1"),
    );
    let failed = user.run(&[&CREATE[..], &["--wait", "-q"]].concat()).failed(7);
    let text = failed.err();
    assert!(text.contains("failed: no host has room") && text.contains("host-1: needs 2 CPUs"), "{text}");
    let failed = user.run(&[&CREATE[..], &["--wait", "-q", "-o", "json"]].concat()).failed(7);
    let told: serde_json::Value = serde_json::from_str(&failed.err()).unwrap();
    assert_eq!(told["error"]["reason"], "NO_HOST_WITH_ROOM");
    assert!(told["error"]["metadata"]["operation"].is_string());
}

#[test]
fn a_watch_that_breaks_is_opened_again() {
    let fake = Fake::start();
    let user = User::of(&fake);
    fake.state().broken_watches = 2;
    user.run(&[&CREATE[..], &["--wait", "-q"]].concat()).fine();
    assert_eq!(fake.requests("WatchOperation").len(), 3);
}

#[test]
fn waiting_has_a_limit_and_the_operation_goes_on() {
    let fake = Fake::start();
    let user = User::of(&fake);
    fake.state().endless = true;
    let text = user.run(&[&CREATE[..], &["--wait=200ms", "-q"]].concat()).failed(6).err();
    assert!(text.contains("gyre operation watch"), "{text}");
    user.run(&[&CREATE[..], &["--wait=soon"]].concat()).failed(2);
    assert_eq!(fake.requests("CreateImage").len(), 1, "a wrong limit is found before anything is sent");
}

#[test]
fn ctrl_c_ends_the_waiting_alone() {
    let fake = Fake::start();
    let user = User::of(&fake);
    fake.state().endless = true;
    let mut command = user.command(&[&CREATE[..], &["--wait"]].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while fake.requests("WatchOperation").is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the operation is not watched");
        std::thread::yield_now();
    }
    // Ctrl-C is listened to before the watch is opened.
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(String::from_utf8(output.stderr).unwrap().contains("the operation goes on"));
    assert!(fake.requests("CancelOperation").is_empty());
}

#[test]
fn operations_can_be_watched_and_waited_for_by_uuid() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let uuid = user.run(&[&CREATE[..], &["-o", "json"]].concat()).fine().json()["uuid"].as_str().unwrap().to_owned();
    let running = user.run(&["operation", "wait", &uuid, "--timeout", "1s"]);
    assert_eq!(running.code(), 6, "{}", running.err());
    let seen = user.run(&["operation", "watch", &uuid, "-o", "json"]).fine().out();
    let percents: Vec<_> =
        seen.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["percent"].clone()).collect();
    assert_eq!(percents, [10, 60, 100]);
    user.run(&["operation", "wait", &uuid]).fine();
    assert!(user.run(&["operation", "watch", &uuid]).fine().out().contains("SUCCEEDED"));
    user.run(&["operation", "watch", "9f0c0000-0000-4000-8000-000000000000", "-q"]).failed(3);
}

#[test]
fn what_is_deleted_is_answered_by_its_operation() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let uuid = fake.given("image", json!({"name": "old"}));
    let answer = user.run(&["image", "delete", "old", "--wait", "-q", "-o", "json"]).fine().json();
    assert_eq!((&answer["state"], &answer["resourceUuid"]), (&json!("OPERATION_STATE_SUCCEEDED"), &json!(uuid)));
}
