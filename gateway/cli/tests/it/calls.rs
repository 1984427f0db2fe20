//! Calls by their names, requests from files, and what is printed instead of sent.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::json;

use crate::fake::{Done, Fake, User};

/// Runs a command with this on its standard input.
pub fn fed(user: &User, words: &[&str], input: &str) -> Done {
    let mut command = user.command(words);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Done(child.wait_with_output().unwrap())
}

#[test]
fn any_call_is_made_by_its_name_with_the_flags_of_its_verb() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let uuid = fake.given("vm", json!({"name": "web-1"}));
    user.run(&["call", "VmService.StopVm", "web-1", "--force"]).fine();
    user.run(&["call", "gyre.vm.v1.VmService/StartVm", &uuid]).fine();
    assert_eq!(
        (&fake.requests("StopVm")[0]["uuid"], &fake.requests("StopVm")[0]["force"]),
        (&json!(uuid), &json!(true))
    );
    assert_eq!(fake.requests("StartVm")[0]["uuid"], uuid.as_str());
    let listed = user.run(&["call", "VmService.ListVms", "--filter", "name = \"web-1\"", "-o", "name"]).fine().out();
    assert_eq!(listed, format!("vm/{uuid}\n"));
    let members = user.run(&["call", "MemberService.ListMembers"]).fine().out();
    assert!(members.starts_with("UUID") && members.contains("local") && members.contains("epoch  7"), "{members}");
    user.run(&["call", "VmService.FlyVm"]).failed(2);
    user.run(&["call", "VolumeService.DestroyVolume"]).failed(2);
}

#[test]
fn a_request_may_stand_in_a_file_and_flags_stand_over_it() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let image = fake.given("image", json!({"name": "debian-13"}));
    let body = "kind: vm\nname: web-1\nmemory: 2GiB\ncpuCount: 2\nimage: debian-13\n";
    let file = user.file("vm.yaml", body, 0o644);
    user.run(&["vm", "create", "-f", file.to_str().unwrap(), "--name", "web-2", "--request-id", "r"]).fine();
    assert_eq!(
        fake.requests("CreateVm"),
        [json!({"requestId": "r",
                "vm": {"name": "web-2", "memoryBytes": "2147483648", "cpuCount": 2, "imageUuid": image}})]
    );
    let whole = json!({"requestId": "once", "vm": {"name": "web-3", "imageUuid": image}}).to_string();
    fed(&user, &["call", "VmService.CreateVm", "-f", "-"], &whole).fine();
    assert_eq!(fake.requests("CreateVm")[1]["requestId"], "once");
    let uuid = fake.given("zone", json!({"name": "east"}));
    fed(&user, &["zone", "update", "east", "-f", "-"], "description: far\n").fine();
    let sent = &fake.requests("UpdateZone")[0];
    assert_eq!((&sent["updateMask"], &sent["zone"]["uuid"]), (&json!("description"), &json!(uuid)));
}

#[test]
fn a_broken_document_is_refused_with_all_that_is_wrong_in_it() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let wrong = "name: web-1\nmemroy: 2GiB\ncpu_count: many\n";
    let text = fed(&user, &["vm", "create", "-f", "-"], wrong).failed(2).err();
    assert!(text.contains("memroy: there is no such field; did you mean memory"), "{text}");
    assert!(text.contains("cpu_count: must be a whole number"), "{text}");
    let text = fed(&user, &["vm", "create", "-f", "-"], "kind: zone\nname: x\n").failed(2).err();
    assert!(text.contains("is of the kind \"zone\", not vm"), "{text}");
    let text = fed(&user, &["vm", "create", "-f", "-"], "name: web-1\n").failed(2).err();
    assert!(text.contains("--image: must be given"), "{text}");
    fed(&user, &["vm", "create", "-f", "-"], "").failed(2);
    fed(&user, &["vm", "create", "-f", "-"], "name: a\n---\nname: b\n").failed(2);
    assert!(fake.state().calls.is_empty(), "nothing was sent");
}

#[test]
fn a_dry_run_prints_the_request_and_sends_nothing() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let uuid = fake.given("vm", json!({"name": "web-1"}));
    let words = ["vm", "stop", "web-1", "--force", "--request-id", "r", "--dry-run"];
    let told = user.run(&words).fine().out();
    let (first, body) = told.split_once('\n').unwrap();
    assert_eq!(first, format!("POST /v1/vms/{uuid}:stop"));
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body, json!({"force": true, "requestId": "r"}));
    let told = user.run(&["vm", "start", "web-1", "--dry-run", "-o", "json", "--request-id", "r"]).fine().json();
    assert_eq!(told["method"], "POST");
    assert_eq!(told["path"], format!("/v1/vms/{uuid}:start"));
    let secret = user.file("secret", "long enough\n", 0o600);
    let words = ["account", "create", "--name", "ann", "--dry-run", "--password-file", secret.to_str().unwrap()];
    let told = user.run(&words).fine().out();
    assert!(told.contains("(secret)") && !told.contains("long enough"), "{told}");
    user.run(&["zone", "create", "--name", &"x".repeat(65), "--dry-run"]).failed(2);
    user.run(&["vm", "list", "--dry-run"]).failed(2);
    assert!(
        fake.state().calls.iter().all(|call| call.name == "ListVms"),
        "names are looked up, and nothing else is sent"
    );
}

#[test]
fn a_name_that_several_have_or_none_has_is_answered_with_those_that_there_are() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let one = fake.given("vm", json!({"name": "web-1", "state": "VM_STATE_RUNNING"}));
    let other = fake.given("vm", json!({"name": "web-1", "state": "VM_STATE_STOPPED"}));
    let text = user.run(&["vm", "stop", "web-1"]).failed(5).err();
    assert!(
        text.contains(&format!("{one}: state RUNNING")) && text.contains(&format!("{other}: state STOPPED")),
        "{text}"
    );
    let text = user.run(&["vm", "stop", "web1"]).failed(3).err();
    assert!(text.contains("did you mean web-1?"), "{text}");
    user.run(&["vm", "stop", &format!("vm/{one}")]).fine();
}
