//! Accounts take turns at the database, on whichever.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use gyre_model::{Behalf, Result, Uuid, behalf};
use gyre_store::{Conn, Dialect, Sql, Store, StoreConfig};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// More time than any of this takes, and less than what nobody ends.
const BOUND: Duration = Duration::from_secs(60);

async fn store(folder: &tempfile::TempDir, change: impl FnOnce(&mut StoreConfig)) -> Store {
    let url = gyre_store::testing::url(folder.path()).await.unwrap();
    let mut config = StoreConfig { longest_wait: BOUND * 60, longest_run: BOUND * 60, ..StoreConfig::new(url) };
    change(&mut config);
    Store::open(&config).unwrap()
}

fn account(number: u128) -> Behalf {
    Behalf { account: Uuid::from_u128(number), begun: false }
}

/// Counts for ever.
fn endless(conn: &mut Conn) -> Result<i64> {
    let text = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n";
    conn.query_one(Sql::new(text))?.unwrap().int(0)
}

fn one(conn: &mut Conn) -> Result<i64> {
    conn.query_one(Sql::new("SELECT CAST(1 AS bigint)"))?.unwrap().int(0)
}

/// Begins something on somebody's behalf.
fn begin<T: Send + 'static>(
    whose: Behalf,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> JoinHandle<Result<T>> {
    tokio::spawn(behalf::scope(whose, work))
}

/// Begins a search on somebody's behalf.
fn search(store: &Store, whose: Behalf, run: fn(&mut Conn) -> Result<i64>) -> JoinHandle<Result<i64>> {
    let store = store.clone();
    begin(whose, async move { store.search("search", run).await })
}

#[tokio::test]
async fn an_account_whose_lists_never_end_leaves_a_place_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder, |_| ()).await;
    let flood: Vec<_> = (0..40).map(|_| search(&store, account(1), endless)).collect();
    let own = search(&store, account(1), one);
    for _ in 0..20 {
        let other = search(&store, account(2), one);
        assert_eq!(timeout(BOUND, other).await.unwrap().unwrap().unwrap(), 1);
    }
    assert!(!own.is_finished(), "who asks for too much waits for itself");
    flood.iter().for_each(JoinHandle::abort);
    assert_eq!(timeout(BOUND, own).await.unwrap().unwrap().unwrap(), 1);
}

#[tokio::test]
async fn a_write_does_not_wait_behind_all_of_another_account() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder, |config| config.connections = 2).await;
    // one writer on SQLite; on PostgreSQL all connections
    let writers = if store.dialect() == Dialect::Sqlite { 1 } else { 2 };
    // how many are held, and how many may go
    let gate = Arc::new((Mutex::new((0, 0)), Condvar::new()));
    let order = Arc::new(Mutex::new(Vec::new()));
    let (mut holds, mut notes) = (Vec::new(), Vec::new());
    for _ in 0..writers {
        let (gate, store) = (Arc::clone(&gate), store.clone());
        let hold = move |_: &mut Conn| {
            let mut state = gate.0.lock().unwrap();
            state.0 += 1;
            gate.1.wait_while(state, |(_, free)| *free == 0).unwrap().1 -= 1;
            Ok(())
        };
        holds.push(begin(account(1), async move { store.write("hold", hold).await }));
    }
    let held = async {
        while gate.0.lock().unwrap().0 < writers {
            tokio::task::yield_now().await;
        }
    };
    timeout(BOUND, held).await.unwrap();
    let mut note = |name: &'static str, whose| {
        let (order, store) = (Arc::clone(&order), store.clone());
        let note = move |_: &mut Conn| {
            order.lock().unwrap().push(name);
            Ok(())
        };
        notes.push(begin(whose, async move { store.write("note", note).await }));
    };
    (0..100).for_each(|_| note("flood", account(1)));
    note("quiet", account(2));
    note("begun", Behalf::operation(account(1).account));
    // each of them stands in the queue once its task has run
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    // one connection goes, the other stays held: of two that take jobs in order, one may write down its first after all of the other's
    let free = |count| {
        gate.0.lock().unwrap().1 += count;
        gate.1.notify_all();
    };
    free(1);
    for note in notes {
        timeout(BOUND, note).await.unwrap().unwrap().unwrap();
    }
    free(writers - 1);
    for hold in holds {
        timeout(BOUND, hold).await.unwrap().unwrap().unwrap();
    }
    let order = order.lock().unwrap();
    let place = |name| order.iter().position(|other| *other == name).unwrap();
    assert_eq!(order.len(), 102);
    assert!(place("begun") <= 2 && place("quiet") <= 3, "{order:?}");
}
