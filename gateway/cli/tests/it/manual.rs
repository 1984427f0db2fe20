//! The reference manual.

use std::collections::BTreeMap;
use std::path::Path;

use crate::fake::User;

const REMEDY: &str = "write it anew: cargo manual";

fn read(folder: &Path) -> BTreeMap<String, String> {
    let files = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read_to_string(file.path()).unwrap())).collect()
}

#[test]
fn the_manual_in_the_repository_is_what_the_descriptors_say() {
    let kept = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference"));
    let made = gyre_cli::manual::pages();
    for (name, text) in &made {
        assert!(kept.get(name) == Some(text), "docs/reference/{name} is not current; {REMEDY}");
    }
    assert_eq!(kept.keys().collect::<Vec<_>>(), made.keys().collect::<Vec<_>>(), "{REMEDY}");
}

#[test]
fn the_python_client_in_the_repository_is_what_the_descriptors_say() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/clients/python");
    for (name, text) in gyre_cli::python::files() {
        let kept = std::fs::read_to_string(project.join(&name)).unwrap_or_default();
        assert!(kept == text, "deploy/clients/python/{name} is not current; {REMEDY}");
    }
}

#[test]
fn every_call_is_a_method_of_the_python_client() {
    let calls = &gyre_cli::python::files()["src/gyre_client/calls.py"];
    for method in gyre_cli::nouns::open_calls() {
        let Some(route) = gyre_cli::nouns::route(method) else { continue };
        let both_ways = method.client_streaming && method.server_streaming;
        assert!(
            both_ways || calls.contains(&format!("\"{}\",\n            \"{}\"", route.verb, route.template)),
            "{}",
            method.path
        );
    }
}

#[test]
fn every_call_has_its_place_and_every_link_leads_somewhere() {
    let pages = gyre_cli::manual::pages();
    for method in gyre_cli::nouns::open_calls() {
        let place = format!("| gRPC | `{}`", &method.path[1..]);
        assert_eq!(pages.values().filter(|text| text.contains(&place)).count(), 1, "{}", method.path);
    }
    for (name, text) in &pages {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let found = match link.strip_prefix('#') {
                Some(anchor) => text.lines().any(|line| line.to_lowercase() == format!("### {anchor}")),
                None => pages.contains_key(link) || link.starts_with("../"),
            };
            assert!(found, "{link} in {name}");
        }
    }
}

#[test]
fn pages_that_are_none_any_more_are_removed_and_nothing_else() {
    let user = User::nobody();
    let folder = user.home.path().join("reference");
    user.file("reference/old.md", "<!-- Made by `gyre manual` from the .proto files; do not edit. -->\n", 0o644);
    user.file("reference/mine.md", "# Mine\n", 0o644);
    user.run(&["manual", "--dir", folder.to_str().unwrap()]).fine();
    let written = read(&folder);
    assert!(written.contains_key("vm.md") && written.contains_key("mine.md") && !written.contains_key("old.md"));
}
