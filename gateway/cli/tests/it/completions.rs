//! Completion, as shells ask for it.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::fake::{Done, Fake, User};

/// What is offered for the last of the words.
fn offered(user: &User, words: &[&str]) -> Vec<String> {
    let mut command = user.command(&["--", "gyre"]);
    let done = Done(command.env("GYRE_COMPLETE", "fish").args(words).output().unwrap());
    done.fine().out().lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn nouns_verbs_flags_and_values_are_offered() {
    let user = User::nobody();
    assert_eq!(offered(&user, &["l3"]), ["l3-network"]);
    assert_eq!(offered(&user, &["vm", "exp"]), ["expunge"]);
    assert!(offered(&user, &["vm", "create", "--mem"]).contains(&"--memory".to_owned()));
    assert_eq!(offered(&user, &["image", "create", "--format", "q"]), ["qcow2"]);
    assert_eq!(offered(&user, &["vm", "list", "--output", "y"]), ["yaml"]);
    assert_eq!(offered(&user, &["call", "VmService.Sta"]), ["VmService.StartVm"]);
    assert!(offered(&user, &["call", "VmService.StopVm", "--fo"]).contains(&"--force".to_owned()));
    assert!(
        !offered(&user, &["volume", ""]).iter().any(|verb| verb.contains("destroy")),
        "what only the mesh may call"
    );
}

#[test]
fn names_come_from_the_gateway_and_are_kept_for_a_moment() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let one = fake.given("vm", json!({"name": "web-1", "state": "VM_STATE_RUNNING"}));
    fake.given("vm", json!({"name": "web-2"}));
    fake.given("vm", json!({"name": "db"}));
    let twin = fake.given("vm", json!({"name": "twin"}));
    fake.given("vm", json!({"name": "twin"}));
    fake.given("image", json!({"name": "debian-13"}));
    assert_eq!(offered(&user, &["vm", "stop", "web"]), ["web-1", "web-2"]);
    assert_eq!(offered(&user, &["vm", "stop", &one[..6]]), [one.as_str()]);
    assert_eq!(offered(&user, &["vm", "create", "--image", "de"]), ["debian-13"]);
    assert_eq!(offered(&user, &["vm", "stop", "tw"]), Vec::<String>::new(), "a name that two have names none");
    assert!(offered(&user, &["vm", "stop", ""]).contains(&twin));
    assert_eq!(fake.requests("ListVms").len(), 1, "asked once");
    // Another cloud is asked for itself.
    let other = Fake::start();
    other.given("vm", json!({"name": "web-9"}));
    assert_eq!(offered(&user, &["vm", "stop", "--endpoint", &other.endpoint, "web"]), ["web-9"]);
}

#[test]
fn nobody_who_types_hears_of_a_gateway_that_is_away() {
    let mut user = User::nobody();
    user.endpoint = Some("http://127.0.0.1:9".to_owned());
    let mut command = user.command(&["--", "gyre", "vm", "stop", "we"]);
    let done = Done(command.env("GYRE_COMPLETE", "fish").output().unwrap()).fine();
    assert_eq!((done.out(), done.err()), (String::new(), String::new()));
}

#[test]
fn bash_completes_with_the_script_that_it_is_given() {
    let fake = Fake::start();
    let user = User::of(&fake);
    fake.given("vm", json!({"name": "web-1"}));
    let folder = Path::new(env!("CARGO_BIN_EXE_gyre")).parent().unwrap();
    let script = "source <(gyre completions bash); COMP_WORDS=(gyre vm stop we); COMP_CWORD=3; \
                  _clap_complete_gyre gyre we stop; echo \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).env_clear().env("HOME", user.home.path()).env("GYRE_ENDPOINT", &fake.endpoint);
    bash.env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
    assert_eq!(Done(bash.output().unwrap()).fine().out(), "web-1\n");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(user.run(&["completions", shell]).fine().out().contains("GYRE_COMPLETE"), "{shell}");
    }
    user.run(&["completions", "csh"]).failed(2);
}
