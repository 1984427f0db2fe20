//! Nothing is lost and nothing comes twice, however writers get in one another's way.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use gyre_events::{Follower, Interest, Position, row};
use gyre_mesh::tasks::Tasks;
use gyre_model::{Caller, Uuid};
use gyre_proto::Resource as _;
use gyre_proto::host::v1::Zone;
use gyre_query::Change;
use gyre_store::Store;

const WRITERS: usize = 8;
const EACH: usize = 60;

/// A number that looks like chance and is the same every time.
fn chance(writer: usize, round: usize) -> u64 {
    let mut number = (writer as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ (round as u64 + 7).wrapping_mul(0xD1B5_4A32_D192_ED03);
    number ^= number >> 29;
    number = number.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number ^ (number >> 32)
}

/// Makes a zone and changes those of all writers, several in one transaction, some slowly.
async fn write(store: Store, writer: usize, shared: Vec<Uuid>) {
    for round in 0..EACH {
        let shared = shared.clone();
        let work = move |conn: &mut gyre_store::Conn| {
            let change = Change::by(Caller::system());
            let chance = chance(writer, round);
            let zone = Zone { uuid: Uuid::new_v4().to_string(), name: format!("{writer}-{round}"), ..Zone::default() };
            gyre_query::insert(conn, &change, &zone)?;
            std::thread::sleep(Duration::from_micros(chance % 3000));
            let uuid = shared[usize::try_from(chance >> 16).unwrap_or_default() % shared.len()];
            let mut zone: Zone = gyre_query::get(conn, &Caller::system(), uuid)?;
            zone.description = format!("{writer}-{round}");
            // where somebody else was first, what this transaction did so far is undone, and its positions are drawn in vain
            gyre_query::update(conn, &change, &zone).map(|_| ())
        };
        // whoever is refused goes on with the next
        let _ = store.write("writer", work).await;
    }
}

/// Reads the log as somebody who comes again and again with the place where they were.
async fn come_again(store: Store, begin: Position, until: tokio::sync::watch::Receiver<Option<usize>>) -> Vec<i64> {
    let mut place = begin;
    let mut seen = Vec::new();
    let mut size = 1;
    loop {
        size = size % 17 + 1;
        // a place is text to whoever keeps it
        place = Position::parse(&place.to_string(), store.dialect()).unwrap();
        let from = place.clone();
        let page = store.read("page", move |conn| row::after(conn, &from, row::Only::default(), size)).await.unwrap();
        seen.extend(page.rows.iter().map(|(row, _)| row.position));
        place = page.next;
        if until.borrow().is_some_and(|count| seen.len() >= count) {
            return seen;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_row_is_lost_or_comes_twice_under_concurrent_writers() {
    let folder = tempfile::tempdir().unwrap();
    let store = gyre_store::testing::store(folder.path()).await.unwrap();
    let tasks = Tasks::new();
    let change = Change::by(Caller::system());
    let shared: Vec<Uuid> = (0..3).map(|_| Uuid::new_v4()).collect();
    for uuid in shared.clone() {
        let zone = Zone { uuid: uuid.to_string(), name: "shared".into(), ..Zone::default() };
        store.write("insert", move |conn| gyre_query::insert(conn, &change, &zone)).await.unwrap();
    }
    let mut subscription = Follower::of(&store).subscribe(&tasks, &store, Interest::All).await.unwrap();
    let (total, until) = tokio::sync::watch::channel(None);
    let again = tokio::spawn(come_again(store.clone(), subscription.begin.clone(), until));
    let counting = tokio::spawn(async move {
        let (mut seen, mut generations, mut count) = (HashSet::new(), HashMap::<Uuid, i64>::new(), 0_usize);
        let mut last = None;
        while let Ok(Ok(delivery)) = tokio::time::timeout(Duration::from_secs(5), subscription.next()).await {
            let row = &delivery.row;
            assert!(seen.insert(row.position), "position {} came twice", row.position);
            count += 1;
            last = Some(delivery.place);
            if row.kind == Zone::KIND {
                let generation = row.after().unwrap().generation(gyre_query::table::<Zone>());
                let before = generations.insert(row.uuid, generation).unwrap_or(0);
                assert!(generation == before + 1 || before == 0, "{}: {generation} after {before}", row.uuid);
            }
        }
        (seen, count, last)
    });
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write(store.clone(), writer, shared.clone()))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let count = "SELECT position FROM change_log ORDER BY position";
    let rows = store
        .read("all", move |conn| {
            let rows = conn.query(gyre_store::Sql::new(count))?;
            rows.iter().map(|row| row.int(0)).collect::<gyre_model::Result<Vec<_>>>()
        })
        .await
        .unwrap();
    let there: HashSet<i64> = rows.into_iter().skip(shared.len()).collect();
    assert!(there.len() > WRITERS * EACH / 2, "{} rows", there.len());
    total.send(Some(there.len())).unwrap();
    let seen = again.await.unwrap();
    assert_eq!(seen.len(), there.len());
    assert_eq!(seen.into_iter().collect::<HashSet<_>>(), there);
    let (seen, count, last) = counting.await.unwrap();
    assert_eq!((count, &seen), (there.len(), &there));
    // nothing is behind the last place
    let last = last.unwrap();
    let rest = store.read("rest", move |conn| row::after(conn, &last, row::Only::default(), 10)).await.unwrap();
    assert!(rest.rows.is_empty(), "{:?}", rest.rows);
    assert!(tasks.shutdown(Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_comes_first_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let store = gyre_store::testing::store(folder.path()).await.unwrap();
    let tasks = Tasks::new();
    // the first of a follower starts the task that follows, which may find nobody yet
    for _ in 0..3_000 {
        drop(Follower::default().subscribe(&tasks, &store, Interest::All).await.unwrap());
    }
    let follower = Follower::of(&store);
    let mut subscription = follower.subscribe(&tasks, &store, Interest::All).await.unwrap();
    let zone = Zone { uuid: Uuid::new_v4().to_string(), name: "last".into(), ..Zone::default() };
    let change = Change::by(Caller::system());
    store.write("insert", move |conn| gyre_query::insert(conn, &change, &zone)).await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(5), subscription.next()).await.unwrap().unwrap();
    assert_eq!(told.row.kind, Zone::KIND);
    drop(subscription);
    assert!(tasks.shutdown(Duration::from_secs(5)).await);
}
