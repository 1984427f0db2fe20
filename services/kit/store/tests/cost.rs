//! What the limit of reads costs a scan of SQLite's, and what a condition of SQL in its place would. Not for every run:
//! `cargo test -p gyre-store --release --all-features --test cost -- --ignored --nocapture`.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, QueryableByName, RunQueryDsl as _, SqliteConnection};
use gyre_store::{Sql, Store, StoreConfig};

const SCAN: &str = "SELECT count(*) AS found FROM thing WHERE note LIKE '%77%' AND size > 3";

/// The same with a function that looks whether to go on.
const ASKING: &str = "SELECT count(*) AS found FROM thing WHERE go_on() AND note LIKE '%77%' AND size > 3";

diesel::define_sql_function! {
    /// Whether to go on.
    fn go_on() -> diesel::sql_types::Bool;
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    found: i64,
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn a_scan_costs_as_much_with_a_limit_as_without() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cost.db");
    // opened before the first store, so without what stores put into connections
    let mut bare = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    bare.batch_execute(
        "PRAGMA journal_mode = WAL; PRAGMA cache_size = -8192; CREATE TABLE thing (uuid BLOB PRIMARY KEY, note TEXT, size BIGINT); \
         INSERT INTO thing WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) \
         SELECT randomblob(16), 'web-' || i, i % 97 FROM n;",
    )
    .unwrap();
    let store = Store::open(&StoreConfig::new(format!("sqlite://{}", path.display()))).unwrap();
    let until = Instant::now() + Duration::from_secs(3_600);
    go_on_utils::register_nondeterministic_impl(&bare, move || Instant::now() < until).unwrap();
    let (mut without, mut with, mut asking) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..15 {
        let began = Instant::now();
        let found = diesel::sql_query(SCAN).get_result::<Found>(&mut bare).unwrap().found;
        without.push(began.elapsed());
        let began = Instant::now();
        let same = store.read("scan", |conn| conn.query_one(Sql::new(SCAN))?.unwrap().int(0)).await.unwrap();
        with.push(began.elapsed());
        assert_eq!(found, same);
        let began = Instant::now();
        let same = diesel::sql_query(ASKING).get_result::<Found>(&mut bare).unwrap().found;
        asking.push(began.elapsed());
        assert_eq!(found, same);
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        (times[0], times[times.len() / 2])
    };
    let (without, with, asking) = (median(&mut without), median(&mut with), median(&mut asking));
    println!(
        "1,000,000 rows, least and median of 15: {without:?} without, {with:?} with the limit, {asking:?} with a condition"
    );
    let ratio = |of: (Duration, Duration)| of.0.as_secs_f64() / without.0.as_secs_f64();
    println!("ratio of the least: {:.3} with the limit, {:.3} with a condition", ratio(with), ratio(asking));
}
