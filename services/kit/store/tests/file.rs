//! A SQLite file that is locked, gone, replaced, or on a full disk.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests too")]

use std::path::Path;
use std::time::{Duration, Instant};

use gyre_model::{Kind, Result};
use gyre_store::{Sql, Store, StoreConfig};

fn open(path: &Path) -> Store {
    Store::open(&StoreConfig::new(format!("sqlite://{}", path.display()))).unwrap()
}

async fn run(store: &Store, text: &'static str) -> Result<usize> {
    store.write("run", move |conn| Ok(conn.execute(Sql::new(text))?)).await
}

const MAKE: &str = "CREATE TABLE thing (id INTEGER PRIMARY KEY, note BLOB)";
const ADD: &str = "INSERT INTO thing (note) VALUES ('x')";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_another_process_holds_is_said_to_be_and_reads_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gyre.db");
    let (store, other) = (open(&path), open(&path));
    run(&store, MAKE).await.unwrap();
    let (sender, held) = tokio::sync::oneshot::channel();
    let holds = tokio::spawn(async move {
        let hold = move |conn: &mut gyre_store::Conn| {
            conn.execute(Sql::new(ADD))?;
            let _ = sender.send(());
            std::thread::sleep(Duration::from_secs(3));
            Ok(())
        };
        other.write("hold", hold).await
    });
    held.await.unwrap();
    let began = Instant::now();
    let error = run(&store, ADD).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::Unavailable, "DATABASE_LOCKED"), "{error}");
    assert!(began.elapsed() < Duration::from_millis(2_500), "{:?}", began.elapsed());
    store.read("read", |conn| Ok(conn.query(Sql::new("SELECT count(*) FROM thing"))?.len())).await.unwrap();
    holds.await.unwrap().unwrap();
    run(&store, ADD).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_or_replaced_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gyre.db");
    let store = open(&path);
    run(&store, MAKE).await.unwrap();
    let aside = folder.path().join("aside.db");
    std::fs::rename(&path, &aside).unwrap();
    let error = run(&store, ADD).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::Unavailable, "DATABASE_AWAY"), "{error}");
    assert!(error.message().contains("is gone"), "{error}");
    assert!(!path.exists(), "an empty one must not take its place");
    std::fs::write(&path, "").unwrap();
    assert!(run(&store, ADD).await.unwrap_err().message().contains("replaced"));
    std::fs::remove_file(&path).unwrap();
    std::fs::rename(&aside, &path).unwrap();
    run(&store, ADD).await.expect("it is there again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_says_so_and_work_goes_on_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("gyre.db"));
    run(&store, MAKE).await.unwrap();
    // SQLite gives the same error for a full disk and for a file that may not grow
    store.write("limit", |conn| Ok(conn.query(Sql::new("PRAGMA max_page_count = 16"))?.len())).await.unwrap();
    let large = "INSERT INTO thing (note) VALUES (zeroblob(1000000))";
    let error = run(&store, large).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::ResourceExhausted, "DATABASE_FULL"), "{error}");
    assert!(error.retry().is_some());
    run(&store, ADD).await.expect("a small one has room");
    store.write("limit", |conn| Ok(conn.query(Sql::new("PRAGMA max_page_count = 100000"))?.len())).await.unwrap();
    run(&store, large).await.unwrap();
}
