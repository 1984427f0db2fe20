//! Lists, their pages and their columns.

use serde_json::json;

use crate::fake::{Fake, User};

#[test]
fn lists_go_through_all_pages() {
    let fake = Fake::start();
    let user = User::of(&fake);
    for at in 0..7 {
        fake.given("zone", json!({"name": format!("z{at}")}));
    }
    let found = user.run(&["zone", "list", "--page-size", "3", "-o", "json"]).fine().json();
    assert_eq!(found.as_array().unwrap().len(), 7);
    assert_eq!(fake.requests("ListZones").len(), 3);
    let some = user.run(&["zone", "list", "--limit", "4", "--page-size", "3", "-o", "json"]).fine().json();
    assert_eq!(some.as_array().unwrap().len(), 4);
    let sizes: Vec<_> = fake.requests("ListZones")[3..].iter().map(|request| request["pageSize"].clone()).collect();
    assert_eq!(sizes, [3, 1]);
}

#[test]
fn filter_and_order_are_passed_on() {
    let fake = Fake::start();
    let user = User::of(&fake);
    user.run(&["vm", "list", "--filter", "state = \"RUNNING\"", "--order-by", "name desc"]).fine();
    assert_eq!(fake.requests("ListVms"), [json!({"filter": "state = \"RUNNING\"", "orderBy": "name desc"})]);
}

#[test]
fn tables_show_the_columns_that_the_api_names_or_the_user_does() {
    let fake = Fake::start();
    let user = User::of(&fake);
    fake.given("vm", json!({"name": "web-1", "state": "VM_STATE_STOPPED", "cpuCount": 2, "memoryBytes": "536870912"}));
    let table = user.run(&["vm", "list"]).fine().out();
    let head: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["UUID", "NAME", "STATE", "CPU_COUNT", "MEMORY", "HOST", "ADDRESSES"]);
    assert!(table.lines().nth(1).unwrap().contains("web-1  STOPPED  2          512 MiB"), "{table}");
    let table = user.run(&["vm", "list", "--columns", "name,memory_bytes"]).fine().out();
    assert_eq!(table, "NAME   MEMORY\nweb-1  512 MiB\n");
    user.run(&["vm", "list", "--columns", "nonsense"]).failed(2);
}

#[test]
fn nothing_found_is_no_failure() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let empty = user.run(&["image-server", "list"]).fine();
    assert_eq!((empty.out(), empty.err()), (String::new(), "no image servers\n".to_owned()));
    assert_eq!(user.run(&["vm", "list", "-o", "json"]).fine().json(), json!([]));
}
