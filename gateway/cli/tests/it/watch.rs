//! `--watch` against a real node: what is shown in each format, and what happens when the node goes away.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use crate::calls::fed;
use crate::fake::User;
use crate::node::{Node, SITE};

/// How long a line may take.
const BOUND: Duration = Duration::from_secs(60);

/// A command that goes on, and the lines that it prints.
struct Watching {
    process: Child,
    lines: Receiver<String>,
}

impl Watching {
    fn start(user: &User, words: &[&str]) -> Self {
        let mut command = user.command(words);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let (line, lines) = channel();
        std::thread::spawn(move || {
            for text in out.lines() {
                // whoever asked may have heard enough
                let _ = line.send(text.unwrap());
            }
        });
        Self { process, lines }
    }

    #[track_caller]
    fn next(&mut self) -> String {
        match self.lines.recv_timeout(BOUND) {
            Ok(line) => line,
            Err(error) => {
                let _ = self.process.kill();
                panic!("no line: {error}; it said {:?}", self.ended().1)
            }
        }
    }

    fn object(&mut self) -> Value {
        serde_json::from_str(&self.next()).unwrap()
    }

    /// Ctrl-C.
    fn interrupt(mut self) -> (Option<i32>, String) {
        std::process::Command::new("kill").args(["-INT", &self.process.id().to_string()]).status().unwrap();
        self.ended()
    }

    /// How it ended, and what it said.
    fn ended(&mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.process.wait().unwrap().code(), said)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn columns_are_shown_in_every_format() {
    let node = Node::start();
    let user = &node.user;
    fed(user, &["apply", "-f", "-", "-q"], SITE).fine();
    let columns = ["--columns", "name,tags,zone.name,zone.tags,memory_overcommit"];
    let start = |format: &str| {
        let words = [&["cluster", "list", "--watch", "-o", format], &columns[..]].concat();
        Watching::start(user, &words)
    };
    let mut table = start("table");
    let mut csv = start("csv");
    let mut name = start("name");
    let mut json = start("json");
    let mut yaml = start("yaml");
    assert_eq!(table.next(), "EVENT     NAME  TAGS  ZONE.NAME  ZONE.TAGS  MEMORY_OVERCOMMIT");
    assert_eq!(table.next(), "          rack        east                  100");
    assert_eq!(csv.next(), "event,name,tags,zone.name,zone.tags,memory_overcommit");
    assert_eq!(csv.next(), "SNAPSHOT,rack,,east,,100");
    assert!(name.next().starts_with("SNAPSHOT cluster/"));
    let first = json.object();
    let resource = serde_json::json!({"name": "rack", "memoryOvercommit": 100, "zone": {"name": "east", "tags": []}});
    assert_eq!((&first["type"], &first["resource"]), (&"WATCH_EVENT_TYPE_SNAPSHOT".into(), &resource));
    assert_eq!(json.object()["type"], "WATCH_EVENT_TYPE_SYNCED");
    let mut document = String::new();
    while !document.contains("SYNCED") {
        document += &(yaml.next() + "\n");
    }
    assert!(document.starts_with("---\ntype: WATCH_EVENT_TYPE_SNAPSHOT\n"), "{document}");
    assert!(document.contains("  zone:\n    name: east\n") && document.contains("---\ntype: WATCH_EVENT_TYPE_SYNCED"));

    user.run(&["zone", "update", "east", "--tags", "tier=1,x"]).fine();
    user.run(&["cluster", "create", "--name", "a-much-longer-name", "--zone", "east", "--tags", "env=test", "-q"])
        .fine();
    assert_eq!(table.next(), "ADDED     a-much-longer-name  env=test  east       tier=1, x  100");
    assert_eq!(csv.next(), "ADDED,a-much-longer-name,env=test,east,tier=1;x,100");
    assert!(name.next().starts_with("ADDED cluster/"));
    assert_eq!(json.object()["resource"]["zone"], serde_json::json!({"name": "east", "tags": ["tier=1", "x"]}));
    user.run(&["cluster", "delete", "a-much-longer-name", "--wait", "-q"]).fine();
    // what is gone still shows what it referred to
    assert_eq!(table.next(), "REMOVED   a-much-longer-name  env=test  east       tier=1, x  100");
    assert_eq!(csv.next(), "REMOVED,a-much-longer-name,env=test,east,tier=1;x,100");
    assert!(name.next().starts_with("REMOVED cluster/"));
    assert_eq!(json.object()["type"], "WATCH_EVENT_TYPE_REMOVED");
    for watching in [table, csv, name, json, yaml] {
        assert_eq!(watching.interrupt(), (Some(130), String::new()), "Ctrl-C ends it without a word");
    }
}

#[test]
fn one_is_watched_and_whoever_stops_reading_ends_it() {
    let node = Node::start();
    let user = &node.user;
    user.run(&["zone", "create", "--name", "east", "-q"]).fine();
    let mut watching = Watching::start(user, &["zone", "get", "east", "--watch", "-o", "csv"]);
    assert!(watching.next().starts_with("event,uuid,name"));
    assert!(watching.next().starts_with("SNAPSHOT,"));
    user.run(&["zone", "create", "--name", "west", "-q"]).fine();
    user.run(&["zone", "update", "east", "--description", "new"]).fine();
    assert!(watching.next().contains("MODIFIED"), "of the other zone nothing is told");
    // the same, read as `head -2` would
    let mut command = user.command(&["zone", "list", "--watch", "-o", "name"]);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("SNAPSHOT zone/"));
    assert!(lines.next().unwrap().unwrap().starts_with("SNAPSHOT zone/"));
    drop(lines);
    user.run(&["zone", "update", "east", "--description", "newer"]).fine();
    let done = crate::fake::Done(process.wait_with_output().unwrap());
    assert_eq!(done.fine().err(), "");
}

#[test]
fn what_a_stream_cannot_do_is_refused() {
    let user = User::nobody();
    // a gateway that never answered is not waited for
    user.run(&["--endpoint", "http://127.0.0.1:1", "vm", "list", "--watch"]).failed(6);
    for (flags, why) in [
        (&["--order-by", "name"][..], "in the order in which they happen"),
        (&["--limit", "3"], "for as long as it is watched"),
        (&["--page-size", "3"], "no pages"),
        (&["--count"], "one answer"),
    ] {
        let refused = user.run(&[&["vm", "list", "--watch"], flags].concat()).failed(2).err();
        assert!(
            refused.contains(&format!("{} cannot be used with --watch", flags[0])) && refused.contains(why),
            "{refused}"
        );
    }
}

/// Zones are made one after the other, the node is killed meanwhile, twice, and the watcher goes on: of each zone that is there in
/// the end every generation was told once, in order.
#[test]
fn nothing_is_lost_or_doubled_when_the_node_is_killed() {
    let mut node = Node::start();
    node.user.run(&["zone", "create", "--name", "first", "-q"]).fine();
    let mut watching = Watching::start(&node.user, &["zone", "list", "--watch", "-o", "json"]);
    let mut told = Vec::new();
    for round in 0..2 {
        let mut command = node.user.command(&["shell", "-q"]);
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = shell.stdin.take().unwrap();
        std::thread::spawn(move || {
            // the first that fails ends the shell, and its pipe with it
            (0..2000).take_while(|at| writeln!(lines, "zone create --name z-{round}-{at}").is_ok()).for_each(drop);
        });
        told.extend((0..20).map(|_| watching.object()));
        node.kill();
        assert_ne!(shell.wait().unwrap().code(), Some(0), "it was killed in the middle");
        node.again();
        let user = &node.user;
        user.run(&["zone", "update", "first", "--description", &format!("round {round}"), "-q"]).fine();
        let end = format!("end-{round}");
        user.run(&["zone", "create", "--name", &end, "-q"]).fine();
        while told.last().is_none_or(|event: &Value| event["resource"]["name"] != end.as_str()) {
            told.push(watching.object());
        }
    }
    let mut generations: HashMap<String, Vec<u64>> = HashMap::new();
    for event in told.iter().filter(|event| !event["uuid"].is_null()) {
        let generation = event["resource"]["generation"].as_str().unwrap().parse().unwrap();
        generations.entry(event["uuid"].as_str().unwrap().to_owned()).or_default().push(generation);
    }
    let there = node.user.run(&["zone", "list", "-o", "json"]).fine().json();
    let expected: HashMap<String, Vec<u64>> = there
        .as_array()
        .unwrap()
        .iter()
        .map(|zone| {
            let generation = zone["generation"].as_str().unwrap().parse().unwrap();
            (zone["uuid"].as_str().unwrap().to_owned(), (1..=generation).collect())
        })
        .collect();
    assert_eq!(generations, expected);
    let (code, said) = watching.interrupt();
    assert_eq!(
        (code, said.matches("trying again").count(), said.matches("it goes on").count()),
        (Some(130), 2, 2),
        "{said}"
    );
}

#[test]
fn a_node_that_forgot_all_is_told_of() {
    let mut node = Node::start();
    node.user.run(&["zone", "create", "--name", "east", "-q"]).fine();
    let mut watching = Watching::start(&node.user, &["zone", "list", "--watch", "-o", "name"]);
    assert!(watching.next().starts_with("SNAPSHOT zone/"));
    node.kill();
    std::fs::remove_dir_all(node.user.home.path().join(".local/share/gyre")).unwrap();
    node.again();
    let (code, said) = watching.ended();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("error: "), "{said}");
}
