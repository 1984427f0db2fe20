//! The formats with lines: wide tables, CSV, names.

use serde_json::json;

use crate::fake::{Fake, User};

#[test]
fn wide_shows_every_plain_field() {
    let fake = Fake::start();
    let user = User::of(&fake);
    fake.given("vm", json!({"name": "web-1", "description": "the shop", "rootVolumeBytes": "1073741824"}));
    let table = user.run(&["vm", "list", "-o", "wide"]).fine().out();
    let head: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head[..4], ["UUID", "NAME", "STATE", "CPU_COUNT"]);
    let mut once = head.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), head.len(), "a column has a name of its own: {head:?}");
    for name in ["DESCRIPTION", "ACCOUNT", "ROOT_VOLUME_BYTES", "ROOT_VOLUME_UUID", "STATE_REASON"] {
        assert!(head.contains(&name), "{name} in {head:?}");
    }
    assert!(table.contains("the shop") && table.contains("1 GiB") && !head.contains(&"NICS"), "{table}");
}

#[test]
fn csv_has_a_head_and_quotes_what_needs_it() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let uuid = fake.given(
        "vm",
        json!({"name": "a, \"b\"", "memoryBytes": "1024", "addresses": ["10.0.0.2", "10.0.0.3"],
               "state": "VM_STATE_RUNNING"}),
    );
    let words = ["vm", "list", "-o", "csv", "--columns", "uuid,name,memory_bytes,addresses,state,host_uuid"];
    assert_eq!(
        user.run(&words).fine().out(),
        format!(
            "uuid,name,memory_bytes,addresses,state,host_uuid\r\n\
             {uuid},\"a, \"\"b\"\"\",1024,10.0.0.2;10.0.0.3,VM_STATE_RUNNING,\r\n"
        )
    );
    let one = user.run(&["vm", "get", &uuid, "-o", "csv"]).fine().out();
    assert_eq!(one.matches("\r\n").count(), 2, "{one}");
    let none = user.run(&["zone", "list", "-o", "csv"]).fine().out();
    assert!(none.starts_with("uuid,name") && none.ends_with("\r\n"), "a head without rows: {none}");
}

#[test]
fn names_are_understood_where_a_uuid_is() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let uuid = fake.given("vm", json!({"name": "web-1"}));
    let name = user.run(&["vm", "list", "-o", "name"]).fine().out();
    assert_eq!(name, format!("vm/{uuid}\n"));
    let operation = user.run(&["vm", "stop", name.trim(), "-o", "name"]).fine().out();
    let shown = user.run(&["operation", "get", operation.trim(), "-o", "name"]).fine().out();
    assert!(operation.starts_with("operation/") && shown == operation, "{operation} {shown}");
    assert_eq!(user.run(&["zone", "list", "-o", "name"]).fine().out(), "");
}
