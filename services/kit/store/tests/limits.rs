//! Reads that would never end, on whichever database: they are ended, and nobody else waits for them.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::time::{Duration, Instant};

use gyre_model::{Kind, Result};
use gyre_store::{Conn, Sql, Store, StoreConfig, is_away};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// More time than any of this takes, and less than what nobody ends.
const BOUND: Duration = Duration::from_secs(60);
/// Longer than a test.
const NEVER: Duration = Duration::from_secs(3_600);

async fn store(folder: &tempfile::TempDir, longest_run: Duration) -> Store {
    let url = gyre_store::testing::url(folder.path()).await.unwrap();
    Store::open(&StoreConfig { longest_run, longest_wait: NEVER, ..StoreConfig::new(url) }).unwrap()
}

/// Counts for ever.
fn endless(conn: &mut Conn) -> Result<i64> {
    let text = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n";
    conn.query_one(Sql::new(text))?.unwrap().int(0)
}

fn one(conn: &mut Conn) -> Result<i64> {
    conn.query_one(Sql::new("SELECT CAST(1 AS bigint)"))?.unwrap().int(0)
}

fn begin(store: &Store, count: usize) -> Vec<JoinHandle<Result<i64>>> {
    let one = || {
        let store = store.clone();
        tokio::spawn(async move { store.search("endless", endless).await })
    };
    (0..count).map(|_| one()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_ends_when_it_takes_longer_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder, Duration::from_millis(300)).await;
    // more than there are connections: each has its own time
    for ended in begin(&store, 12) {
        let error = timeout(BOUND, ended).await.unwrap().unwrap().unwrap_err();
        assert_eq!((error.kind(), error.reason()), (Kind::DeadlineExceeded, "DATABASE_SLOW"), "{error}");
        assert!(is_away(&error), "a workflow tries it again");
    }
    let error = timeout(BOUND, store.read("endless", endless)).await.unwrap().unwrap_err();
    assert_eq!(error.reason(), "DATABASE_SLOW", "{error}");
    assert_eq!(timeout(BOUND, store.search("one", one)).await.unwrap().unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_ends_with_its_caller_and_others_never_wait_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder, NEVER).await;
    let all = begin(&store, 40);
    for _ in 0..20 {
        assert_eq!(timeout(BOUND, store.read("one", one)).await.unwrap().unwrap(), 1);
        let write = store.write("one", one);
        assert_eq!(timeout(BOUND, write).await.unwrap().unwrap(), 1);
    }
    // those that have begun hold up what comes behind them
    let began = Instant::now();
    while timeout(Duration::from_millis(200), store.search("one", one)).await.is_ok() {
        assert!(began.elapsed() < BOUND, "searches do not wait for searches");
    }
    for one in &all {
        one.abort();
    }
    assert_eq!(timeout(BOUND, store.search("one", one)).await.unwrap().unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_a_read_hits_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder, NEVER).await;
    for round in 0..30_u64 {
        // dropped at any moment: while they wait, begin, run
        let dropped = timeout(Duration::from_millis(round * 7 % 130), store.search("endless", endless)).await;
        assert!(dropped.is_err());
        for _ in 0..20 {
            assert_eq!(timeout(BOUND, store.search("one", one)).await.unwrap().unwrap(), 1);
            assert_eq!(timeout(BOUND, store.read("one", one)).await.unwrap().unwrap(), 1);
        }
    }
}
