//! `gyre apply`.

use serde_json::json;

use crate::calls::fed;
use crate::fake::{Fake, User};

const SITE: &str = "\
kind: vm
name: web-1
image: debian-13
memory: 2GiB
cpuCount: 2
networks: [lan]
---
kind: network
name: lan
l2_network: wire
---
kind: l2-network
name: wire
cluster: rack
type: bridge
bridge: br0
---
kind: cluster
name: rack
zone: east
---
kind: zone
name: east
description: the first
";

fn site(fake: &Fake) -> String {
    fake.given("image", json!({"name": "debian-13"}))
}

#[test]
fn what_is_not_there_is_made_in_the_order_of_its_references() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let image = site(&fake);
    let out = fed(&user, &["apply", "-f", "-", "--wait", "-q"], SITE).fine().out();
    let lines: Vec<_> = out.lines().map(|line| line.split(" (").next().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "zone east: created",
            "cluster rack: created",
            "l2-network wire: created",
            "l3-network lan: created",
            "vm web-1: created"
        ]
    );
    let vm = &fake.requests("CreateVm")[0];
    assert_eq!((&vm["vm"]["imageUuid"], &vm["vm"]["memoryBytes"]), (&json!(image), &json!("2147483648")));
    let network = fake.requests("CreateL3Network")[0].clone();
    assert!(network["l3Network"]["l2NetworkUuid"].as_str().unwrap().len() == 36, "{network}");
    let again = fed(&user, &["apply", "-f", "-"], SITE).fine().out();
    assert!(again.lines().all(|line| line.ends_with(": unchanged")), "{again}");
    assert_eq!(fake.requests("CreateVm").len(), 1);
}

#[test]
fn what_differs_is_changed_and_nothing_else() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let uuid = fake.given("zone", json!({"name": "east", "description": "old", "generation": "3"}));
    let document = "kind: zone\nname: east\ndescription: new\n";
    let dry = fed(&user, &["apply", "-f", "-", "--dry-run"], document).fine().out();
    assert_eq!(dry, "zone east: would be updated\n  description: \"old\" -> \"new\"\n");
    assert!(fake.requests("UpdateZone").is_empty());
    let done = fed(&user, &["apply", "-f", "-", "-o", "json"], document).fine().json();
    assert_eq!(
        done,
        json!([{"document": "standard input", "kind": "zone", "name": "east", "uuid": uuid, "outcome": "updated",
                "dryRun": false, "changes": [{"field": "description", "from": "\"old\"", "to": "\"new\""}]}])
    );
    let sent = &fake.requests("UpdateZone")[0];
    assert_eq!((&sent["updateMask"], &sent["zone"]["generation"]), (&json!("description"), &json!("3")));
}

#[test]
fn a_field_that_cannot_change_is_named() {
    let fake = Fake::start();
    let user = User::of(&fake);
    site(&fake);
    fake.given("vm", json!({"name": "web-1", "cpuCount": 1, "memoryBytes": "1073741824"}));
    let done = fed(&user, &["apply", "-f", "-"], "kind: vm\nname: web-1\ncpu_count: 4\n");
    assert_eq!(done.code(), 5);
    assert!(done.out().starts_with("vm web-1: failed: cpu_count is 1, and the document says 4"), "{}", done.out());
    assert!(done.err().contains("reason: IMMUTABLE"), "{}", done.err());
}

#[test]
fn a_rehearsal_shows_all_and_sends_nothing() {
    let fake = Fake::start();
    let user = User::of(&fake);
    site(&fake);
    let out = fed(&user, &["apply", "-f", "-", "--dry-run"], SITE).fine().out();
    assert!(
        out.contains("zone east: would be created\n  name: \"east\"") && out.contains("memory_bytes: 2 GiB"),
        "{out}"
    );
    assert!(fake.state().calls.iter().all(|call| call.name.starts_with("List") || call.name.starts_with("Get")));
}

#[test]
fn all_that_is_wrong_is_told_before_anything_is_sent() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let wrong = "kind: zoen\nname: a\n---\nkind: vm\nmemroy: 1\nname: b\n---\nname: c\n---\nkind: zone\n---\nkind: zone\nname: d\n---\nkind: zone\nname: d\n";
    let text = fed(&user, &["apply", "-f", "-"], wrong).failed(2).err();
    for words in [
        "standard input#1: kind: \"zoen\" is nothing that can be made; there is zone",
        "standard input#2: memroy: there is no such field",
        "standard input#3: kind: must say",
        "standard input#4: name: must be given",
        "standard input#6: zone d stands in standard input#5 too",
        "nothing was sent",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    assert!(fake.state().calls.is_empty());
}

#[test]
fn what_needs_a_failed_document_is_skipped_and_the_rest_is_done() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let error = gyre_model::Error::new(gyre_model::Kind::PermissionDenied, "NO", "not you");
    fake.state().faults.insert("CreateZone", error);
    let documents = format!("{SITE}---\nkind: offering\nname: small\ncpu_count: 1\nmemory: 1GiB\n");
    let done = fed(&user, &["apply", "-f", "-"], &documents);
    assert_eq!(done.code(), 4, "{}", done.err());
    let out = done.out();
    assert!(out.contains("zone east: failed: not you"), "{out}");
    assert!(out.contains("l3-network lan: skipped, since it needs l2-network wire"), "{out}");
    assert!(out.contains("instance-offering small: created"), "{out}");
}

#[test]
fn a_run_after_a_break_asks_with_the_same_request_id_and_a_deleted_one_with_another() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let zone = "kind: zone\nname: east\n";
    fed(&user, &["apply", "-f", "-"], zone).fine();
    // The answer was lost and nothing of it is to be seen yet.
    fake.state().resources.clear();
    fed(&user, &["apply", "-f", "-"], zone).fine();
    let ids: Vec<_> = fake.requests("CreateZone").iter().map(|request| request["requestId"].clone()).collect();
    assert_eq!(ids[0], ids[1]);
    fed(&user, &["apply", "-f", "-"], "kind: zone\nname: west\n").fine();
    assert_ne!(fake.requests("CreateZone")[2]["requestId"], ids[0]);
}

#[test]
fn a_folder_is_all_its_files_and_uuids_are_matched() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let uuid = fake.given("zone", json!({"name": "old"}));
    user.file("site/b.json", json!([{"kind": "zone", "uuid": uuid, "name": "new"}]).to_string(), 0o644);
    user.file("site/a.yaml", "kind: Zone\nname: other\n", 0o644);
    user.file("site/notes.txt", "not a document", 0o644);
    let folder = user.home.path().join("site");
    let out = user.run(&["apply", "-f", folder.to_str().unwrap(), "-o", "name"]).fine().out();
    assert!(out.contains(&format!("zone/{uuid}\n")) && out.lines().count() == 2, "{out}");
    assert_eq!(fake.requests("UpdateZone")[0]["zone"]["name"], "new");
    user.run(&["apply", "-f", "/nowhere"]).failed(2);
}

#[test]
fn what_is_in_the_bin_is_not_there() {
    let fake = Fake::start();
    let user = User::of(&fake);
    site(&fake);
    let uuid = fake.given("vm", json!({"name": "web-1", "destroyTime": "2026-01-01T00:00:00Z"}));
    let vm = "kind: vm\nname: web-1\nimage: debian-13\nmemory: 1GiB\ncpu_count: 1\n";
    let out = fed(&user, &["apply", "-f", "-", "-q"], vm).fine().out();
    assert!(out.starts_with("vm web-1: being created ("), "{out}");
    let done = fed(&user, &["apply", "-f", "-"], &format!("{vm}uuid: {uuid}\n"));
    assert_eq!(done.code(), 5);
    assert!(done.err().contains(&format!("gyre vm recover {uuid}")), "{}", done.err());
}
