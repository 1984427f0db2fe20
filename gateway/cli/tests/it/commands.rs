//! Flags become requests, and answers become text.

use serde_json::json;

use crate::fake::{Fake, User};

#[test]
fn a_create_sends_what_its_flags_say() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let image = fake.given("image", json!({"name": "debian \"13\""}));
    let network = fake.given("l3-network", json!({"name": "lan"}));
    let other = fake.given("l3-network", json!({"name": "wan"}));
    user.run(&[
        "vm",
        "create",
        "--name",
        "web-1",
        "--image",
        "debian \"13\"",
        "--memory",
        "1.5GiB",
        "--cpu-count",
        "2",
        "--network",
        &format!("lan,{}", other.to_uppercase()),
        "--request-id",
        "once",
    ])
    .fine();
    assert_eq!(
        fake.requests("CreateVm"),
        [json!({
            "requestId": "once",
            "vm": {
                "name": "web-1",
                "cpuCount": 2,
                "memoryBytes": "1610612736",
                "imageUuid": image,
                "l3NetworkUuids": [network, other],
            }
        })]
    );
}

#[test]
fn long_names_of_flags_work_too_and_enums_are_short() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let cluster = fake.given("cluster", json!({"name": "c"}));
    user.run(&[
        "primary-storage",
        "create",
        "--name=fast",
        "--type=LOCAL",
        "--cluster-uuid",
        &cluster.replace('-', ""),
        "--path=/var/lib/gyre",
    ])
    .fine();
    let sent = &fake.requests("CreatePrimaryStorage")[0];
    assert_eq!(sent["primaryStorage"]["type"], "PRIMARY_STORAGE_TYPE_LOCAL");
    assert_eq!(sent["primaryStorage"]["clusterUuid"], cluster.as_str());
    assert_eq!(sent["requestId"].as_str().unwrap().len(), 36, "a new request id");
}

#[test]
fn an_update_names_what_it_changes() {
    let fake = Fake::start();
    let user = User::of(&fake);
    fake.given("l3-network", json!({"name": "lan", "dns": ["1.1.1.1"], "shared": true}));
    user.run(&["network", "update", "lan", "--description", "", "--shared=false", "--dns", ""]).fine();
    let sent = &fake.requests("UpdateL3Network")[0];
    assert_eq!(sent["updateMask"], "description,dns,shared");
    let empty = user.run(&["network", "update", "lan"]).failed(2);
    assert!(empty.err().contains("--dns"), "{}", empty.err());
}

#[test]
fn verbs_take_a_name_or_a_uuid() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let uuid = fake.given("vm", json!({"name": "web-1"}));
    user.run(&["vm", "stop", "web-1", "--force", "--grace-seconds", "5"]).fine();
    user.run(&["vm", "start", &uuid]).fine();
    let sent = &fake.requests("StopVm")[0];
    assert_eq!((&sent["uuid"], &sent["force"], &sent["graceSeconds"]), (&json!(uuid), &json!(true), &json!(5)));
    assert_eq!(fake.requests("ListVms").len(), 1, "a UUID is not looked up");
}

#[test]
fn times_and_secrets_have_their_forms() {
    let fake = Fake::start();
    let user = User::of(&fake);
    user.run(&["api-key", "create", "--name", "ci", "--expire-time", "2030-01-01T00:00:00+01:00"]).fine();
    assert_eq!(fake.requests("CreateApiKey")[0]["apiKey"]["expireTime"], "2029-12-31T23:00:00Z");
    let file = user.file("secret", "long enough\nnot this\n", 0o600);
    user.run(&["account", "create", "--name", "ann", "--password-file", file.to_str().unwrap()]).fine();
    assert_eq!(fake.requests("CreateAccount")[0]["account"]["password"], "long enough");
}

#[test]
fn answers_are_tables_json_or_yaml() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let uuid = fake.given(
        "vm",
        json!({"name": "web-1", "state": "VM_STATE_RUNNING", "memoryBytes": "4294967296", "addresses": ["10.0.0.2"],
               "stateReason": "\u{1b}[2Jgone", "createTime": "2026-01-01T00:00:00Z"}),
    );
    let table = user.run(&["vm", "get", "web-1"]).fine().out();
    let line = |name: &str| {
        let line = table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {table}"));
        line[name.len()..].trim().to_owned()
    };
    assert_eq!(
        (line("state "), line("memory_bytes"), line("addresses")),
        ("RUNNING".into(), "4 GiB".into(), "10.0.0.2".into())
    );
    assert!(!table.contains('\u{1b}'), "what others wrote does not steer the terminal");
    let found = user.run(&["vm", "get", "web-1", "-o", "json"]).fine().json();
    assert_eq!(
        (&found["uuid"], &found["memoryBytes"], &found["state"]),
        (&json!(uuid), &json!("4294967296"), &json!("VM_STATE_RUNNING"))
    );
    let yaml = user.run(&["vm", "get", "web-1", "--output", "yaml"]).fine().out();
    assert!(yaml.contains("\nname: web-1\n") && yaml.contains("state: VM_STATE_RUNNING"), "{yaml}");
}

#[test]
fn every_call_of_a_command_is_in_one_trace() {
    let fake = Fake::start();
    let user = User::of(&fake);
    fake.given("vm", json!({"name": "web-1"}));
    let told = user.run(&["vm", "reboot", "web-1", "--verbose", "--wait"]).fine().err();
    let traces: Vec<_> = fake.state().calls.iter().map(|call| call.traceparent.clone().unwrap()).collect();
    assert!(traces.len() >= 4, "list, reboot, watch, get");
    assert!(traces.iter().all(|trace| trace[..36] == traces[0][..36]), "{traces:?}");
    assert!(told.contains(&traces[0][3..35]), "{told}");
}

#[test]
fn members_are_shown_with_the_epoch() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let table = user.run(&["members"]).fine().out();
    assert!(table.contains("SERVICE") && table.contains("local") && table.ends_with("epoch 7\n"), "{table}");
    assert_eq!(user.run(&["members", "-o", "json"]).fine().json()["epoch"], "7");
}

#[test]
fn help_tells_of_exit_codes_and_versions_are_told() {
    let user = User::nobody();
    let help = user.run(&["--help"]).fine().out();
    assert!(help.contains("Exit codes:") && help.contains("GYRE_ENDPOINT"), "{help}");
    assert!(user.run(&["version"]).fine().out().starts_with("gyre "));
    assert!(user.run(&["vm", "create", "--help"]).fine().out().contains("--memory <SIZE>"));
}

#[test]
fn the_manual_lists_the_nouns_and_verbs_that_there_are() {
    let manual = include_str!("../../../../docs/cli.md");
    for noun in gyre_cli::nouns::nouns() {
        let kind = noun.kind.kind;
        let row = manual.lines().find(|line| line.starts_with("| `") && line.contains(&format!("`{kind}`")));
        let row = row.unwrap_or_else(|| panic!("{kind} is not in docs/cli.md"));
        let listed = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let mut verbs: Vec<_> = noun.verbs().into_iter().map(|verb| verb.name).collect();
        if kind == "vm" {
            verbs.push("console".to_owned());
        }
        let mut listed: Vec<_> = listed.split_whitespace().collect();
        listed.sort_unstable();
        verbs.sort_unstable();
        assert_eq!(listed, verbs, "the verbs of {kind} in docs/cli.md");
    }
    for service in gyre_cli::nouns::services() {
        let row = manual.lines().find(|line| line.starts_with(&format!("| `{}` |", service.name)));
        let row = row.unwrap_or_else(|| panic!("{} is not in docs/cli.md", service.name));
        for verb in service.verbs() {
            assert!(
                service.itself().is_some() || row.contains(&verb.name),
                "{} {} in docs/cli.md",
                service.name,
                verb.name
            );
        }
    }
    for command in [
        "login",
        "logout",
        "profile",
        "apply",
        "call",
        "shell",
        "completions",
        "members",
        "callback-key",
        "manual",
        "version",
    ] {
        assert!(manual.contains(&format!("`{command}`")), "{command} in docs/cli.md");
    }
}

#[test]
fn the_documents_of_the_manual_are_understood() {
    let fake = Fake::start();
    let user = User::of(&fake);
    for (kind, name) in [("image", "debian-13"), ("cluster", "rack-1")] {
        fake.given(kind, json!({"name": name}));
    }
    let manual = include_str!("../../../../docs/cli.md");
    let documents: Vec<_> = manual.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!documents.is_empty());
    for document in documents {
        crate::calls::fed(&user, &["apply", "-f", "-", "--dry-run"], document).fine();
    }
}
