//! SQLite's write-ahead log stays short, although somebody reads all the time.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::path::Path;
use std::time::Duration;

use gyre_model::Result;
use gyre_store::{Conn, Sql, Store, StoreConfig};
use tokio::time::timeout;

/// More time than it takes.
const BOUND: Duration = Duration::from_secs(60);
/// How long the log may be.
const LONG: u64 = 1 << 20;

/// Reads for some time, in a transaction of its own.
fn slow(conn: &mut Conn) -> Result<i64> {
    let text = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
                SELECT (SELECT count(*) FROM thing) + count(*) FROM n";
    conn.query_one(Sql::new(text))?.unwrap().int(0)
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path.with_extension("db-wal")).map_or(0, |facts| facts.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_shortened_although_somebody_reads_all_the_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gyre.db");
    let config = StoreConfig { longest_log: LONG, ..StoreConfig::new(format!("sqlite://{}", path.display())) };
    let store = Store::open(&config).unwrap();
    let table = |conn: &mut Conn| Ok(conn.execute(Sql::new("CREATE TABLE thing (note BLOB)"))?);
    store.write("table", table).await.unwrap();
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { while store.read("slow", slow).await.is_ok() {} })
        })
        .collect();
    let write = |conn: &mut Conn| Ok(conn.execute(Sql::new("INSERT INTO thing VALUES (randomblob(100000))"))?);
    let (mut longest, mut shortened) = (0, 0);
    let shortens = async {
        while shortened < 3 {
            store.write("thing", write).await.unwrap();
            let now = length(&path);
            if longest > LONG && now < LONG {
                (longest, shortened) = (0, shortened + 1);
            }
            longest = longest.max(now);
        }
    };
    timeout(BOUND, shortens).await.expect("the log grows without end");
    readers.iter().for_each(tokio::task::JoinHandle::abort);
}
