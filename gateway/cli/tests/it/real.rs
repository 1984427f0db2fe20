//! The command against a real node with a simulated host: what the fake gateway only plays.

use crate::calls::fed;
use crate::node::{Node, SITE};

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
    let few = user.run(&["cluster", "delete", "something-else"]).failed(3).err();
    assert!(few.contains("there is rack"), "{few}");
    let none = user.run(&["vm", "stop", "web-1"]).failed(3).err();
    assert!(none.contains("there are no vms"), "{none}");
    let wrong = user.run(&["cluster", "delete", "rakc"]).failed(3).err();
    assert!(wrong.contains("did you mean rack?"), "{wrong}");
}

#[test]
fn what_has_any_kind_is_named_beside_its_kind() {
    let node = Node::start();
    let user = &node.user;
    fed(user, &["apply", "-f", "-", "-q"], SITE).fine();
    user.run(&["tag", "create", "--resource-kind", "network", "--resource-uuid", "lan", "--text", "-a=b", "--wait"])
        .fine();
    user.run(&["tag", "create", "--resource-kind", "zones", "--resource", "east", "--text", "tier=1"]).fine();
    let tagged =
        "kind: tag\nresource_kind: cluster\nresource: new\ntext: env=test\n---\nkind: cluster\nname: new\nzone: east\n";
    let made = fed(user, &["apply", "-f", "-", "-q"], tagged).fine().out();
    assert_eq!(made.matches(": created (").count(), 2, "{made}");
    let again = fed(user, &["apply", "-f", "-", "-q"], tagged).fine().out();
    assert_eq!(again.matches(": unchanged").count(), 2, "{again}");
    let told =
        user.run(&["tag", "list", "--columns", "resource_kind,text", "--order-by", "text", "-o", "csv"]).fine().out();
    assert_eq!(told, "resource_kind,text\r\nl3-network,-a=b\r\ncluster,env=test\r\nzone,tier=1\r\n");

    let set = ["setting", "set", "--name", "cluster.cpu-overcommit", "--value", "8"];
    user.run(&[&set[..], &["--resource-kind", "zone", "--resource", "east"]].concat()).fine();
    let of = [
        "setting",
        "get-effective",
        "--name",
        "cluster.cpu-overcommit",
        "--resource-kind",
        "cluster",
        "--resource",
        "rack",
    ];
    assert_eq!(user.run(&[&of[..], &["-o", "json"]].concat()).fine().json()["value"], "8");
    let beside = user.run(&[&set[..], &["--resource", "east"]].concat()).failed(2).err();
    assert!(beside.contains("--resource-kind says of which kind it is"), "{beside}");
    let kind = user.run(&[&set[..], &["--resource-kind", "zoen", "--resource", "east"]].concat()).failed(2).err();
    assert!(kind.contains("did you mean zone?"), "{kind}");
    let typo = user.run(&[&set[..], &["--resource-kind", "zone", "--resource", "esat"]].concat()).failed(3).err();
    assert!(typo.contains("did you mean east?"), "{typo}");
}

#[test]
fn columns_are_those_of_rows_and_of_what_they_refer_to_in_every_format() {
    let node = Node::start();
    let user = &node.user;
    fed(user, &["apply", "-f", "-", "-q"], SITE).fine();
    user.run(&["zone", "update", "east", "--tags", "tier=1,x"]).fine();
    user.run(&["cluster", "update", "rack", "--tags", "a"]).fine();
    let list =
        |columns: &str, format: &str| user.run(&["cluster", "list", "--columns", columns, "-o", format]).fine().out();
    assert_eq!(list("name,tags,zone.name", "table"), "NAME  TAGS  ZONE.NAME\nrack  a     east\n");
    // shorter names, and plain fields alike with and without a path beside them
    let plain = list("name,zone,memory_overcommit", "csv");
    let beside = list("name,zone,memory_overcommit,zone.tags", "csv");
    assert!(plain.starts_with("name,zone_uuid,memory_overcommit\r\nrack,"), "{plain}");
    assert_eq!(beside.replace(",zone.tags", "").replace(",tier=1;x", ""), plain);
    let table = list("name,create_time", "table");
    assert_eq!(table.lines().next(), Some("NAME  CREATE"));
    assert!(list("create_time,zone.create_time", "wide").starts_with("CREATE  ZONE.CREATE\n"));
    assert!(list("zone.name", "name").starts_with("cluster/"));
    let json = user.run(&["cluster", "list", "--columns", "name,tags", "-o", "json"]).fine().json();
    assert_eq!(json, serde_json::json!([{"name": "rack", "tags": ["a"]}]));
    let json = user.run(&["query", "cluster", "--fields", "name,tags,zone.name", "-o", "json"]).fine().json();
    assert_eq!(json, serde_json::json!([{"name": "rack", "tags": ["a"], "zone": {"name": "east"}}]));
    let wrong = user.run(&["cluster", "list", "--columns", "zoen.name"]).failed(2).err();
    assert!(wrong.contains("there is zone"), "{wrong}");
    let wrong = user.run(&["cluster", "list", "--columns", "hosts.name"]).failed(2).err();
    assert!(wrong.contains("leads to several"), "{wrong}");
    assert_eq!(user.run(&["query", "cluster", "--columns", "name"]).fine().out(), "NAME\nrack\n");
    let csv = user.run(&["query", "cluster", "-o", "csv"]).fine().out();
    assert!(csv.starts_with("uuid,name,"), "{csv}");
    assert!(user.run(&["query", "cluster", "--fields", "name", "-o", "name"]).fine().out().starts_with("cluster/"));
}

#[test]
fn filters_may_begin_with_a_hyphen_and_refusals_name_the_flag() {
    let node = Node::start();
    let user = &node.user;
    fed(user, &["apply", "-f", "-", "-q"], SITE).fine();
    let not = user.run(&["zone", "list", "--filter", "-name = east", "-q", "--columns", "name"]).fine().out();
    assert_eq!(not, "");
    assert_eq!(user.run(&["query", "zone", "--filter", "-name = x", "--fields", "name"]).fine().out(), "NAME\neast\n");
    let forgotten = user.run(&["zone", "list", "--filter", "--watch"]).failed(2).err();
    assert!(forgotten.contains("a value is missing"), "{forgotten}");
    let wrong = user.run(&["zone", "list", "--filter", "nmae = x"]).failed(2).err();
    assert!(wrong.contains("\n  --filter: zone has no field"), "{wrong}");
    let wrong = user.run(&["setting", "set", "--name", "vm.stop-grace", "--value", "-1s"]).failed(2).err();
    assert!(wrong.contains("\n  --value: vm.stop-grace"), "{wrong}");
    let refused = user.run(&["zone", "delete", "east"]).failed(5).err();
    assert!(refused.contains("--cascade deletes it"), "{refused}");
}

#[test]
fn a_simulated_host_takes_images_from_where_the_operator_allows() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("disk.img"), vec![0; 1 << 20]).unwrap();
    let allowed = folder.path().to_str().unwrap();
    let node = Node::with(&["--allow-image-path", allowed]);
    let user = &node.user;
    fed(user, &["apply", "-f", "-", "-q"], SITE).fine();
    user.run(&["host", "create", "--name", "h", "--cluster", "rack", "--address", "local", "--wait", "-q"]).fine();
    user.run(&["image-server", "create", "--name", "s", "--host", "h", "--path", "/srv/images", "--wait", "-q"]).fine();
    let create = |name: &str, url: &str| {
        let words =
            ["image", "create", "--name", name, "--image-server", "s", "--format", "raw", "--wait", "-q", "--url", url];
        user.run(&words)
    };
    create("allowed", &format!("file://{allowed}/disk.img")).fine();
    let refused = create("other", "file:///etc/hostname").failed(7).err();
    assert!(refused.contains("IMAGE_URL_NOT_ALLOWED"), "{refused}");
}
