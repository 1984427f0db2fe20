//! What the .proto files call indexed is, in both databases; and so is what refers to other resources, since paths go back along it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeSet;
use std::path::Path;

use gyre_model::catalog;
use gyre_model::catalog::{OnDelete, Reference};

/// The columns that indexes and keys of a database's migrations begin with: table and column.
fn first_columns(database: &str) -> BTreeSet<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../migrations").join(database);
    let mut folders: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let mut found = BTreeSet::new();
    for folder in folders {
        let text = std::fs::read_to_string(folder.join("up.sql")).unwrap();
        for statement in text.split(';') {
            let code: Vec<_> = statement.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
            let code = code.join(" ");
            let words: Vec<_> = code.split_whitespace().collect();
            let first = |text: &str| text.split(['(', ')', ',', ' ']).find(|word| !word.is_empty()).map(str::to_owned);
            match words.as_slice() {
                // a partial index serves some rows only
                ["CREATE", "INDEX" | "UNIQUE", ..] if !words.contains(&"WHERE") => {
                    let Some((_, rest)) = code.split_once(" ON ") else { continue };
                    let Some((table, columns)) = rest.split_once('(') else { continue };
                    found.extend(first(columns).map(|column| (table.trim().to_owned(), column)));
                }
                ["CREATE", "TABLE", table, ..] => {
                    for line in statement.lines().filter(|line| line.contains("PRIMARY KEY")) {
                        let columns = line.trim().strip_prefix("PRIMARY KEY (").unwrap_or(line);
                        found.extend(first(columns).map(|column| ((*table).to_owned(), column)));
                    }
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn what_is_declared_as_indexed_and_what_refers_has_an_index() {
    for database in ["sqlite", "postgres"] {
        let indexes = first_columns(database);
        let mut missing = BTreeSet::new();
        let mut demand = |kind: &str, field: &str, why: &str| {
            let table = catalog().kind(kind).unwrap().table;
            if !indexes.contains(&(table.to_owned(), field.to_owned())) {
                missing.insert(format!("{table} ({field}): {why}"));
            }
        };
        for kind in catalog().kinds() {
            for field in &catalog().message(kind.message).unwrap().fields {
                if field.rule.indexed {
                    demand(kind.kind, field.name, "is declared as indexed");
                }
                if field.name == "account_uuid" && !field.rule.not_stored {
                    demand(kind.kind, field.name, "accounts list what is theirs");
                }
            }
        }
        // a list lies in a column of its own form, which no plain index serves
        // records of what was are many and written often: they are asked by their own account, place and time
        let serves = |reference: &&Reference| !reference.repeated && reference.on_delete != OnDelete::Keep;
        for reference in catalog().references().iter().filter(serves) {
            demand(reference.kind, reference.field, "refers to another resource");
        }
        assert!(missing.is_empty(), "{database} has no index that begins with these columns: {missing:#?}");
    }
}

#[test]
fn every_list_takes_a_mask_and_counts() {
    for method in catalog().methods() {
        let input = catalog().message(method.input).unwrap();
        if input.field("page_token").is_none() || input.field("filter").is_none() {
            continue;
        }
        let output = catalog().message(method.output).unwrap();
        let total = catalog()
            .pool()
            .get_message_by_name(method.output)
            .and_then(|output| output.get_field_by_name("total_size"));
        assert!(
            total.is_some_and(|field| field.number() == 3 && field.supports_presence()),
            "{} has no optional total_size = 3",
            output.name
        );
        if method.name.starts_with("List") {
            assert!(
                input.field("read_mask").is_some_and(|field| field.number == 5),
                "{} has no read_mask = 5",
                input.name
            );
            assert!(input.field("count").is_some_and(|field| field.number == 6), "{} has no count = 6", input.name);
        }
    }
}
