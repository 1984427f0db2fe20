//! The command against a real node with a simulated host: what the fake gateway only plays.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use crate::calls::fed;
use crate::fake::User;

/// `gyre up`, ended with the test.
struct Node {
    process: Child,
    user: User,
}

impl Node {
    fn start() -> Self {
        let mut user = User::nobody();
        let mut command = user.command(&["up", "--simulated", "--listen", "127.0.0.1:0"]);
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut said = Vec::new();
        let endpoint = loop {
            let line = lines.next().unwrap_or_else(|| panic!("the node ended: {said:?}"));
            if let Some(rest) = line.strip_prefix("Gyre answers at ") {
                break rest.split(' ').next().unwrap().to_owned();
            }
            said.push(line);
        };
        // Nobody reads on, but the pipe must not fill.
        std::thread::spawn(move || lines.for_each(drop));
        user.endpoint = Some(endpoint);
        Self { process, user }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const SITE: &str = "\
kind: ip-range
name: pool
network: lan
start_address: 10.9.0.10
end_address: 10.9.0.99
gateway: 10.9.0.1
prefix_length: 24
---
kind: network
name: lan
l2_network: wire
---
kind: l2-network
name: wire
cluster: rack
type: bridge
bridge: br9
---
kind: cluster
name: rack
zone: east
---
kind: zone
name: east
description: the first
---
kind: offering
name: small
cpu_count: 1
memory: 64MiB
";

#[test]
fn a_site_is_applied_changed_deleted_and_applied_again() {
    let node = Node::start();
    let user = &node.user;
    let apply = |document: &str| fed(user, &["apply", "-f", "-", "--wait", "-q"], document).fine().out();
    let made = apply(SITE);
    assert_eq!(made.lines().filter(|line| line.contains(": created (")).count(), 6, "{made}");
    assert!(apply(SITE).lines().all(|line| line.ends_with(": unchanged")));
    let changed = apply(&SITE.replace("the first", "the second"));
    assert!(changed.contains("zone east: updated\n  description: \"the first\" -> \"the second\"\n"), "{changed}");
    // The request id that made it is not believed once it is gone.
    user.run(&["offering", "delete", "small"]).fine();
    let again = apply(SITE);
    assert!(again.contains("instance-offering small: created ("), "{again}");
    // What was exported is applied as it is.
    let yaml = user.run(&["zone", "get", "east", "-o", "yaml"]).fine().out();
    assert_eq!(apply(&format!("kind: zone\n{yaml}")), "zone east: unchanged\n");
}

#[test]
fn every_kind_is_queried_counted_and_grouped() {
    let node = Node::start();
    let user = &node.user;
    fed(user, &["apply", "-f", "-", "-q"], SITE).fine();
    for kind in gyre_model::catalog().kinds() {
        user.run(&["query", kind.plural, "-q", "-o", "json"]).fine();
        user.run(&["query", kind.kind, "--filter", "uuid:*", "--group-by", "uuid", "-q"]).fine();
        user.run(&["query", kind.kind, "--explain"]).fine();
        let count = user.run(&["query", kind.kind, "--count"]).fine().out();
        assert!(count.trim().parse::<u64>().is_ok(), "{count}");
    }
    for noun in gyre_cli::nouns::nouns().iter().filter(|noun| noun.list().is_some()) {
        let count = user.run(&[noun.kind.kind, "list", "--count"]).fine().out();
        assert!(count.trim().parse::<u64>().is_ok(), "{count}");
    }
    let rows = user.run(&["query", "cluster", "--fields", "name,zone.name", "-o", "json"]).fine().json();
    assert_eq!(rows, serde_json::json!([{"name": "rack", "zone": {"name": "east"}}]));
    let filter = "clusters.name = \"r*\" AND NOT hosts.name = nowhere";
    let table = user.run(&["query", "zone", "--filter", filter, "--fields", "name"]).fine().out();
    assert_eq!(table, "NAME\neast\n");
    let table = user.run(&["cluster", "list", "--columns", "name,zone.name"]).fine().out();
    assert_eq!(table, "NAME  ZONE.NAME\nrack  east\n");
    let groups = user.run(&["query", "cluster", "--group-by", "zone.name", "--max", "name", "-o", "csv"]).fine().out();
    assert_eq!(groups, "zone.name,count,max.name\r\neast,1,rack\r\n");
    let plan = user.run(&["query", "cluster", "--filter", "zone.name = east", "--explain"]).fine().out();
    assert!(plan.starts_with("SELECT") && plan.lines().count() > 1, "{plan}");
    let wrong = user.run(&["query", "cluster", "--filter", "zone.nmae = east"]).failed(2).err();
    assert!(wrong.contains("did you mean") && wrong.contains("at character 6"), "{wrong}");
    user.run(&["cluster", "list", "--columns", "zone.nonsense"]).failed(2);
}

#[test]
fn every_kind_is_listed_and_every_format_shows_what_is_there() {
    let node = Node::start();
    let user = &node.user;
    fed(user, &["apply", "-f", "-", "-q"], SITE).fine();
    for noun in gyre_cli::nouns::nouns().iter().filter(|noun| noun.list().is_some()) {
        user.run(&[noun.kind.kind, "list", "-q", "-o", "wide"]).fine();
    }
    for format in ["table", "name", "json", "yaml"] {
        assert!(user.run(&["zone", "list", "-o", format]).fine().out().len() > 36, "{format}");
    }
    for call in ["MemberService.ListMembers", "LaneService.ListLanes", "CallbackService.GetCallbackKey"] {
        user.run(&["call", call]).fine();
    }
    let csv = user.run(&["zone", "list", "-o", "csv", "--columns", "name,description"]).fine().out();
    assert_eq!(csv, "name,description\r\neast,the first\r\n");
    let completed =
        user.command(&["--", "gyre", "network", "delete", ""]).env("GYRE_COMPLETE", "fish").output().unwrap();
    assert!(String::from_utf8(completed.stdout).unwrap().starts_with("lan\t"));
    let wrong = user.run(&["cluster", "delete", "rakc"]).failed(3).err();
    assert!(wrong.contains("did you mean rack?"), "{wrong}");
}
