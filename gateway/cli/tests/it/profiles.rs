//! Several clouds.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::calls::fed;
use crate::fake::{Done, Fake, PASSWORD, User};

fn login(user: &User, words: &[&str]) {
    let words = [&["login", "--account", "ann", "--password-stdin"], words].concat();
    fed(user, &words, PASSWORD).fine();
}

#[test]
fn each_profile_is_a_cloud_of_its_own() {
    let (east, west) = (Fake::start(), Fake::start());
    for fake in [&east, &west] {
        fake.state().tokens = Some(Vec::new());
    }
    let user = User::nobody();
    login(&user, &["--profile", "east", "--endpoint", &east.endpoint]);
    user.run(&["profile", "set", "west", "--endpoint", &west.endpoint]).fine();
    user.run(&["--profile", "west", "vm", "list"]).failed(4);
    login(&user, &["--profile", "west"]);
    user.run(&["vm", "list", "--profile", "east"]).fine();
    user.run(&["profile", "use", "west"]).fine();
    user.run(&["vm", "list"]).fine();
    let asked = |fake: &Fake| fake.requests("ListVms").len();
    assert_eq!((asked(&east), asked(&west)), (1, 2), "one of those to the west had no token");
    let file = user.home.path().join(".config/gyre/profiles/east.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let listed = user.run(&["profile", "list", "-o", "json"]).fine().json();
    let told = |at: usize| (listed[at]["name"].clone(), listed[at]["used"].clone(), listed[at]["signedIn"].clone());
    assert_eq!(told(0), (json!("default"), json!(false), json!(false)));
    assert_eq!(told(1), (json!("east"), json!(false), json!(true)));
    assert_eq!(told(2), (json!("west"), json!(true), json!(true)));
    let table = user.run(&["profile", "list"]).fine().out();
    assert!(table.starts_with("USED") && table.contains(&format!("*     west     {}  ann", west.endpoint)), "{table}");
    user.run(&["logout"]).fine();
    user.run(&["vm", "list"]).failed(4);
    user.run(&["profile", "remove", "west"]).fine();
    let listed = user.run(&["profile", "list", "-o", "name"]).fine().out();
    assert_eq!(listed, "default\neast\n");
}

#[test]
fn a_profile_on_the_command_line_stands_before_the_environment() {
    let (here, there) = (Fake::start(), Fake::start());
    let user = User::of(&here);
    user.run(&["profile", "set", "there", "--endpoint", &there.endpoint]).fine();
    user.run(&["--profile", "there", "zone", "list"]).fine();
    user.run(&["zone", "list"]).fine();
    assert_eq!((here.requests("ListZones").len(), there.requests("ListZones").len()), (1, 1));
    // nor does what `gyre up` asks to export lead to another cloud
    let admin = json!({"endpoint": here.endpoint, "account": "admin", "password": PASSWORD}).to_string();
    let admin = user.file("data/admin.json", &admin, 0o600);
    let words = ["--profile", "there", "zone", "list"];
    Done(user.command(&words).env("GYRE_SIGN_IN_FILE", &admin).output().unwrap()).fine();
    assert_eq!((here.requests("ListZones").len(), there.requests("ListZones").len()), (1, 2));
}

#[test]
fn an_api_key_stays_with_its_gateway() {
    let (fake, other) = (Fake::start(), Fake::start());
    fake.state().tokens = Some(vec!["key-1".to_owned()]);
    let user = User::nobody();
    fed(&user, &["profile", "set", "ci", "--endpoint", &fake.endpoint, "--token-file", "-"], "key-1\n").fine();
    user.run(&["--profile", "ci", "zone", "list"]).fine();
    user.run(&["profile", "set", "ci", "--endpoint", &other.endpoint]).fine();
    user.run(&["--profile", "ci", "zone", "list"]).fine();
    assert_eq!(other.state().calls.last().unwrap().authorization, None, "a token goes nowhere else");
}

#[test]
fn a_profile_that_is_not_there_is_told_of() {
    let fake = Fake::start();
    let user = User::nobody();
    user.run(&["profile", "set", "east", "--endpoint", &fake.endpoint]).fine();
    let text = user.run(&["--profile", "west", "vm", "list"]).failed(3).err();
    assert!(text.contains("there is no profile \"west\""), "{text}");
    let text = user.run(&["profile", "use", "west"]).failed(3).err();
    assert!(text.contains("there are east"), "{text}");
    user.run(&["profile", "set", "../x", "--endpoint", &fake.endpoint]).failed(2);
    user.run(&["profile", "set", "new"]).failed(2);
}
