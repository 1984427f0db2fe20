//! The engine against a naive model, over random clouds of several accounts with sharing and deep references: the same rows in the
//! same order, page by page, the same counts, groups and sums; and never a row of another account.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use std::collections::BTreeMap;

use gyre_model::catalog::catalog;
use gyre_model::{Caller, Uuid, parse_uuid};
use gyre_query::table::{Column, by_kind};
use gyre_query::{Answer, Question, ask};
use gyre_store::Store;
use support::world::{KINDS, Record, Val, World};
use support::{Chance, filters, world};

async fn answer(store: &Store, caller: Caller, question: &Question) -> gyre_model::Result<Answer> {
    let question = question.clone();
    store.search("ask", move |conn| ask(conn, &caller, &question)).await
}

fn uuids(answer: &Answer) -> Vec<Uuid> {
    answer.rows.iter().map(|row| parse_uuid(row["uuid"].as_str().unwrap()).unwrap()).collect()
}

/// All pages of a question.
async fn pages(store: &Store, caller: Caller, mut question: Question, told: &str) -> Vec<Uuid> {
    let mut all = Vec::new();
    loop {
        let page = answer(store, caller, &question).await.unwrap_or_else(|error| panic!("{told}: {error:?}"));
        all.extend(uuids(&page));
        if page.next_page_token.is_empty() {
            return all;
        }
        question.page_token = page.next_page_token;
    }
}

fn viewers(world: &World) -> Vec<Caller> {
    let users = world.accounts.iter().map(|account| Caller::of(*account, false));
    users.chain([Caller::system(), Caller::of(Uuid::from_u128(1), false)]).collect()
}

/// Whether a text names a field that only administrators see.
fn names_hidden(text: &str) -> bool {
    let hidden = |column: &Column| column.hidden(false);
    let named = |column: &Column| text.contains(column.field.name) || text.contains(column.field.json_name);
    catalog().kinds().any(|kind| by_kind(kind.kind).columns.iter().any(|column| hidden(column) && named(column)))
}

#[tokio::test]
async fn the_engine_finds_what_looking_at_every_row_finds() {
    let seed = gyre_model::time::now_micros().unsigned_abs();
    println!("seed {seed}");
    let chance = &mut Chance(seed);
    for _ in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let store = gyre_store::testing::store(folder.path()).await.unwrap();
        let world = world::make(&store, chance.next()).await;
        let (mut found, mut filtered) = (0, 0);
        for round in 0..400 {
            let kind = *chance.pick(&KINDS);
            let caller = *chance.pick(&viewers(&world));
            let depth = chance.below(4);
            let filter = filters::filter(chance, &world, kind, depth);
            let text = filters::written(chance, &filter);
            let keys = filters::keys(chance, kind);
            let order_by = filters::order_by(chance, &keys);
            let told = format!("seed {seed} round {round}: {kind} {text:?} by {order_by:?} for {caller:?}");
            let question = Question {
                kind: kind.to_owned(),
                filter: text,
                order_by,
                page_size: 1 + chance.below(9) as i32,
                fields: vec!["uuid".to_owned()],
                count: true,
                ..Question::default()
            };
            // what only administrators see is refused to others, and to them alone
            let hidden = !caller.admin && (names_hidden(&question.filter) || names_hidden(&question.order_by));
            let first = match answer(&store, caller, &question).await {
                Err(error) if hidden && error.message().contains("for administrators only") => continue,
                Err(error) if error.message().contains("costs more") || error.message().contains("at most 4096") => {
                    continue;
                }
                other => other.unwrap_or_else(|error| panic!("{told}: {error:?}")),
            };
            assert!(!hidden, "{told}");
            let mut expected: Vec<&Record> = world
                .all(kind)
                .iter()
                .filter(|row| world.visible(&caller, row) && world.passes(&caller, row, &filter))
                .collect();
            filtered += 1;
            found += expected.len();
            let default = [support::naive::Key { hops: Vec::new(), field: "create_time", descending: false }];
            let keys = if keys.is_empty() { &default[..] } else { &keys };
            expected.sort_by(|one, other| world.order(&caller, one, other, keys));
            let expected: Vec<_> = expected.iter().map(|row| row.uuid).collect();
            assert_eq!(first.total_size, Some(expected.len() as i64), "{told}");
            assert_eq!(pages(&store, caller, question, &told).await, expected, "{told}");
        }
        assert!(found > filtered, "the filters hardly find anything: {found} rows by {filtered}");
    }
}

fn group_text(value: &Val) -> serde_json::Value {
    match value {
        Val::Null => serde_json::Value::Null,
        Val::Text(text) => text.as_str().into(),
        Val::Id(uuid) => uuid.to_string().into(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn groups_and_sums_are_those_of_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let store = gyre_store::testing::store(folder.path()).await.unwrap();
    let seed = gyre_model::time::now_micros().unsigned_abs();
    println!("seed {seed}");
    let chance = &mut Chance(seed);
    let world = world::make(&store, chance.next()).await;
    for caller in viewers(&world) {
        for (path, hops, field) in [
            ("name", &[][..], "name"),
            ("host.name", &["host"][..], "name"),
            ("image.account.name", &["image", "account"][..], "name"),
        ] {
            let mut expected: BTreeMap<String, (i64, i64, i64)> = BTreeMap::new();
            let mut kind = "vm";
            let edges: Vec<_> = hops
                .iter()
                .map(|hop| {
                    let edge = gyre_model::catalog().edge(kind, hop).unwrap();
                    kind = edge.to();
                    edge
                })
                .collect();
            for row in world.all("vm").iter().filter(|row| world.visible(&caller, row)) {
                let value = group_text(&world.value(&caller, row, &edges, field)).to_string();
                let Val::Int(memory) = row.fields["memory_bytes"] else { panic!() };
                let group = expected.entry(value).or_default();
                *group = (group.0 + 1, group.1 + memory, group.2.max(memory));
            }
            let mut question = Question {
                kind: "vms".to_owned(),
                order_by: "count desc".to_owned(),
                page_size: 2,
                group_by: vec![path.to_owned()],
                sum: vec!["memory_bytes".to_owned()],
                max: vec!["memoryBytes".to_owned()],
                count: true,
                ..Question::default()
            };
            let mut found = BTreeMap::new();
            let mut counts = Vec::new();
            loop {
                let page = answer(&store, caller, &question).await.unwrap();
                assert_eq!(page.total_size, Some(expected.len() as i64));
                for row in page.rows {
                    let mut value = &serde_json::Value::Object(row.clone());
                    for segment in path.split('.') {
                        value = &value[segment];
                    }
                    let number = |value: &serde_json::Value| value.as_str().unwrap().parse::<i64>().unwrap();
                    counts.push(number(&row["count"]));
                    let group =
                        (number(&row["count"]), number(&row["sum"]["memoryBytes"]), number(&row["max"]["memoryBytes"]));
                    assert!(found.insert(value.to_string(), group).is_none());
                }
                question.page_token = page.next_page_token;
                if question.page_token.is_empty() {
                    break;
                }
            }
            assert_eq!(found, expected, "seed {seed} {path} for {caller:?}");
            assert!(counts.is_sorted_by(|one, other| one >= other), "{counts:?}");
        }
    }
}

#[tokio::test]
async fn the_sum_of_nothing_is_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = gyre_store::testing::store(folder.path()).await.unwrap();
    let sum = vec!["memory_bytes".to_owned()];
    let question = Question { kind: "vm".into(), filter: "name = \"nobody\"".into(), sum, ..Question::default() };
    let rows = answer(&store, Caller::system(), &question).await.unwrap().rows;
    assert_eq!((rows[0]["count"].as_str(), rows[0]["sum"]["memoryBytes"].is_null()), (Some("0"), true), "{rows:?}");
}

#[tokio::test]
async fn a_token_is_good_for_its_question_and_its_caller_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = gyre_store::testing::store(folder.path()).await.unwrap();
    let world = world::make(&store, 11).await;
    let user = Caller::of(world.accounts[0], false);
    let question =
        Question { kind: "vm".into(), page_size: 2, order_by: "host.name desc".into(), ..Question::default() };
    let token = answer(&store, user, &question).await.unwrap().next_page_token;
    assert!(!token.is_empty());
    let next = Question { page_token: token, ..question.clone() };
    assert!(answer(&store, user, &next).await.is_ok());
    let others = [
        (user, Question { filter: "name:*".into(), ..next.clone() }),
        (user, Question { order_by: "host.name".into(), ..next.clone() }),
        (user, Question { kind: "volume".into(), ..next.clone() }),
        (user, Question { group_by: vec!["host.name".into()], ..next.clone() }),
        (Caller::of(world.accounts[1], false), next.clone()),
        (Caller::of(world.accounts[0], true), next.clone()),
        (user, Question { page_token: next.page_token[1..].to_owned(), ..next.clone() }),
    ];
    for (caller, question) in others {
        let error = answer(&store, caller, &question).await.unwrap_err();
        assert_eq!(error.violations()[0].field, "page_token", "{question:?}");
    }
}

#[tokio::test]
async fn the_plan_is_the_statement_and_what_the_database_says_to_administrators() {
    let folder = tempfile::tempdir().unwrap();
    let store = gyre_store::testing::store(folder.path()).await.unwrap();
    let question = Question {
        kind: "vm".into(),
        filter: "host.cluster.zone.name = \"east\" AND memory_bytes > 1GiB".into(),
        order_by: "host.name".into(),
        explain: true,
        ..Question::default()
    };
    let plan = answer(&store, Caller::system(), &question).await.unwrap().plan.unwrap();
    assert!(plan.sql.contains(" r0 LEFT JOIN host r1 ON") && !plan.sql.contains("east"), "{}", plan.sql);
    assert!(!plan.database.is_empty());
    let user = Caller::of(Uuid::new_v4(), false);
    let plan = answer(&store, user, &question).await.unwrap().plan.unwrap();
    assert!(plan.sql.contains("r0.account_uuid = ?") && plan.database.is_empty(), "{}", plan.sql);
}
