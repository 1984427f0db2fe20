//! What goes wrong, and the exit codes that scripts see.

use std::time::Duration;

use gyre_model::{Error, Kind};
use serde_json::json;

use crate::fake::{Fake, User};

#[test]
fn each_kind_of_refusal_has_its_code() {
    let fake = Fake::start();
    let user = User::of(&fake);
    for (kind, code) in [
        (Kind::Internal, 1),
        (Kind::InvalidArgument, 2),
        (Kind::NotFound, 3),
        (Kind::PermissionDenied, 4),
        (Kind::Unauthenticated, 4),
        (Kind::FailedPrecondition, 5),
        (Kind::Aborted, 5),
        (Kind::Unavailable, 6),
        (Kind::DeadlineExceeded, 6),
        (Kind::ResourceExhausted, 8),
    ] {
        let error = Error::new(kind, "SOME_REASON", "what is wrong").with("host-1", "needs 4 CPUs");
        fake.state().faults.insert("ListVms", error.retry_after(Duration::from_secs(2)));
        let text = user.run(&["vm", "list"]).failed(code).err();
        assert!(text.starts_with("error: what is wrong\n"), "{text}");
        assert!(
            text.contains("\n  host-1: needs 4 CPUs\n")
                && text.contains("SOME_REASON")
                && text.contains("try again in 2 s"),
            "{text}"
        );
        let failed = user.run(&["vm", "list", "-o", "json"]).failed(code);
        let told: serde_json::Value = serde_json::from_str(&failed.err()).unwrap();
        assert_eq!(told["error"]["reason"], "SOME_REASON");
        assert_eq!(told["error"]["exitCode"], code);
        assert_eq!(told["error"]["metadata"]["host-1"], "needs 4 CPUs");
    }
}

#[test]
fn broken_rules_are_told_by_flag_before_anything_is_sent() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let words = ["l2-network", "create", "--name", &"x".repeat(65), "--type", "bridge", "--bridge", "no/way"];
    let uuid = fake.given("cluster", json!({"name": "c"}));
    let text = user.run(&[&words[..], &["--cluster", &uuid]].concat()).failed(2).err();
    assert!(text.contains("\n  --name: must have at most 64 characters, has 65"), "{text}");
    assert!(text.contains("\n  --bridge: must be 1 to 15 of letters"), "{text}");
    assert!(fake.requests("CreateL2Network").is_empty());
}

#[test]
fn values_without_sense_are_refused() {
    let user = User::nobody();
    for (words, why) in [
        (["offering", "create", "--name=x", "--cpu-count=0", "--memory=1GiB"], "between 1 and 256"),
        (["offering", "create", "--name=x", "--cpu-count=two", "--memory=1GiB"], "whole number"),
        (["offering", "create", "--name=x", "--cpu-count=1", "--memory=1MiB"], "between 16MiB and 16TiB"),
        (["offering", "create", "--name=x", "--cpu-count=1", "--memory=much"], "a size such as 4GiB"),
        (["image", "create", "--name=x", "--url=upload", "--format=vmdk"], "[possible values: raw, qcow2]"),
        (["operation", "wait", "not-a-uuid", "--timeout=5s", "-q"], "no UUID"),
    ] {
        let text = user.run(&words).failed(2).err();
        assert!(text.contains(why), "{text}");
    }
    let told = user.run(&["vm", "create", "-o", "json"]).failed(2).err();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["error"]["reason"], &told["error"]["exitCode"]), (&json!("USAGE"), &json!(2)));
}

#[test]
fn a_name_must_mean_exactly_one() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let text = user.run(&["vm", "get", "web-1"]).failed(3).err();
    assert!(text.contains("there is no vm named \"web-1\""), "{text}");
    let one = fake.given("vm", json!({"name": "twin"}));
    fake.given("vm", json!({"name": "twin"}));
    let text = user.run(&["vm", "delete", "twin"]).failed(5).err();
    assert!(text.contains(&one) && text.contains("AMBIGUOUS_NAME"), "{text}");
    fake.given("vm", json!({"name": "web-1"}));
    user.run(&["vm", "delete", "web-*"]).failed(3);
    assert!(fake.requests("DeleteVm").is_empty());
}

#[test]
fn a_gateway_that_is_not_there_is_told_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let text = User::nobody().run(&["--endpoint", &endpoint, "vm", "list"]).failed(6).err();
    assert!(text.contains("onnection refused") && text.contains(&endpoint) && text.contains("gyre up"), "{text}");
}

#[test]
fn a_gateway_that_does_not_answer_is_given_up() {
    // Accepts connections and never says a word.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let words = ["--endpoint", &endpoint, "--request-timeout", "300ms", "vm", "list"];
    let text = User::nobody().run(&words).failed(6).err();
    assert!(text.contains("DEADLINE_EXCEEDED"), "{text}");
}

#[test]
fn what_the_environment_says_is_no_part_of_the_usage_and_empty_counts_as_nothing() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let mut command = user.command(&["vm", "start"]);
    let told = crate::fake::Done(command.env("GYRE_SIGN_IN_FILE", "/nowhere").output().unwrap()).failed(2).err();
    assert!(
        told.contains("Usage: gyre vm start [OPTIONS] <VM>") || told.contains("Usage: gyre vm start <VM>"),
        "{told}"
    );
    let mut command = user.command(&["vm", "list", "-q"]);
    for name in ["GYRE_SIGN_IN_FILE", "GYRE_CA_FILE", "GYRE_TOKEN", "GYRE_PROFILE"] {
        command.env(name, "");
    }
    crate::fake::Done(command.output().unwrap()).fine();
}
