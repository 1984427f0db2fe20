//! Observers: before the change, where they may refuse it, and after it, where they miss nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gyre_events::Row;
use gyre_events::observe::{Observer, start};
use gyre_mesh::Mesh;
use gyre_mesh::tasks::Tasks;
use gyre_model::{Caller, Error, Kind, Uuid};
use gyre_proto::Message as _;
use gyre_proto::host::v1::Zone;
use gyre_query::{Change, observe};
use gyre_store::{Sql, Store};
use parking_lot::Mutex;

fn zone(name: &str) -> Zone {
    Zone { uuid: Uuid::new_v4().to_string(), name: name.into(), ..Zone::default() }
}

async fn insert(store: &Store, zone: Zone) -> gyre_model::Result<Zone> {
    let change = Change::by(Caller::system());
    store.write("insert", move |conn| gyre_query::insert(conn, &change, &zone)).await
}

#[tokio::test]
async fn observers_before_a_change_run_in_their_order_and_may_refuse_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = gyre_store::testing::store(folder.path()).await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    for (at, name) in [(2, "second"), (1, "first")] {
        let order = Arc::clone(&order);
        observe::before("zone", at, name, move |_, _, coming| {
            let Some(after) = coming.after else { return Ok(()) };
            if Zone::decode(after).unwrap().name != "seen" && Zone::decode(after).unwrap().name != "no" {
                return Ok(());
            }
            order.lock().push(name);
            match Zone::decode(after).unwrap().name.as_str() {
                "no" => Err(Error::new(Kind::FailedPrecondition, "NOT_HERE", "no zone is called no")),
                _ => Ok(()),
            }
        });
    }
    insert(&store, zone("seen")).await.unwrap();
    assert_eq!(*order.lock(), ["first", "second"]);
    let refused = insert(&store, zone("no")).await.unwrap_err();
    assert_eq!(refused.reason(), "NOT_HERE");
    assert_eq!(*order.lock(), ["first", "second", "first"]);
    // nothing of it is there
    let left = "SELECT (SELECT COUNT(*) FROM zone WHERE name = 'no') + (SELECT COUNT(*) FROM change_log)";
    let left = store.read("left", move |conn| conn.query(Sql::new(left))?[0].int(0)).await.unwrap();
    assert_eq!(left, 1);
}

/// Collects the names of zones, and fails the first time that it is told of some.
fn collector(name: &'static str, seen: Arc<Mutex<Vec<String>>>, fails: usize) -> Observer {
    let failures = Arc::new(AtomicUsize::new(fails));
    Observer {
        name,
        kinds: &["zone"],
        observe: Arc::new(move |rows: Arc<Vec<Row>>| {
            let (seen, failures) = (Arc::clone(&seen), Arc::clone(&failures));
            Box::pin(async move {
                if failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                    return Err(Error::unavailable("NOT_YET", "it fails now"));
                }
                let names = rows.iter().map(|row| Zone::decode(row.after().unwrap().message.clone()).unwrap().name);
                seen.lock().extend(names);
                Ok(())
            })
        }),
    }
}

async fn until(seen: &Arc<Mutex<Vec<String>>>, last: &str) {
    let begun = Instant::now();
    while seen.lock().last().is_none_or(|seen| seen != last) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", seen.lock());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_observer_after_changes_misses_none_whoever_dies() {
    let folder = tempfile::tempdir().unwrap();
    let store = gyre_store::testing::store(folder.path()).await.unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    insert(&store, zone("before")).await.unwrap();
    let tasks = Tasks::new();
    start(&tasks, &Mesh::local(), &store, collector("collector", Arc::clone(&seen), 1));
    // it begins with what comes once it is there
    let there = "SELECT COUNT(*) FROM log_observer";
    let begun = Instant::now();
    while store.read("there", move |conn| conn.query(Sql::new(there))?[0].int(0)).await.unwrap() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for at in 0..3 {
        insert(&store, zone(&format!("one-{at}"))).await.unwrap();
    }
    until(&seen, "one-2").await;
    tasks.shutdown(Duration::from_secs(5)).await;
    // nobody looks
    let last = insert(&store, zone("two")).await.unwrap();
    let change = Change::by(Caller::system());
    let changed = Zone { name: "three".into(), ..last };
    store.write("update", move |conn| gyre_query::update(conn, &change, &changed)).await.unwrap();
    let tasks = Tasks::new();
    start(&tasks, &Mesh::local(), &store, collector("collector", Arc::clone(&seen), 0));
    until(&seen, "three").await;
    // what is told again, is told again together: all that was looked at at once
    let mut told: Vec<String> = Vec::new();
    for name in seen.lock().iter() {
        if !told.contains(name) {
            told.push(name.clone());
        }
    }
    assert_eq!(told, ["one-0", "one-1", "one-2", "two", "three"]);
    tasks.shutdown(Duration::from_secs(5)).await;
}
