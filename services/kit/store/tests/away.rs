//! A real PostgreSQL that is killed, frozen, cut off and started again under a store.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests too")]

#[path = "support/postgres.rs"]
mod postgres;

use std::time::{Duration, Instant};

use gyre_model::{Kind, Result};
use gyre_store::{Committed, Conn, Sql, Store, StoreConfig, outcome_unknown};
use postgres::{Postgres, Way};

/// How long a call may take while the database is away: what is promised, and some for a machine that has much to do.
const PROMISED: Duration = Duration::from_millis(3_000);

fn store(url: String) -> Store {
    Store::open(&StoreConfig { connections: 3, ..StoreConfig::new(url) }).unwrap()
}

async fn table(store: &Store) {
    let make = "CREATE TABLE thing (id BIGINT PRIMARY KEY, note TEXT NOT NULL)";
    store.write("make", move |conn| Ok(conn.execute(Sql::new(make))?)).await.unwrap();
}

fn put(conn: &mut Conn, id: i64) -> Result<()> {
    conn.execute(Sql::new("INSERT INTO thing (id, note) VALUES (").bind(id).sql(", ").bind("x").sql(")"))?;
    Ok(())
}

async fn insert(store: &Store, id: i64) -> Result<()> {
    store.write("insert", move |conn| put(conn, id)).await
}

async fn count(store: &Store) -> Result<i64> {
    store.read("count", |conn| conn.query_one(Sql::new("SELECT count(*) FROM thing"))?.unwrap().int(0)).await
}

async fn sleeps(store: &Store, seconds: &str) -> Result<()> {
    let sql = format!("SELECT 1::bigint FROM (SELECT pg_sleep({seconds})) AS slept");
    store.read("sleep", move |conn| conn.query(Sql::new(sql)).map(drop).map_err(Into::into)).await
}

/// Waits until the server is in the middle of a commit.
async fn commits(direct: &Store) {
    let until = Instant::now() + Duration::from_secs(30);
    let text = "SELECT count(*) FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active'";
    while direct.read("look", move |conn| conn.query_one(Sql::new(text))?.unwrap().int(0)).await.unwrap() == 0 {
        assert!(Instant::now() < until, "nobody commits");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Many calls at once, all of which must be refused in time and in the same words.
async fn all_refused(store: &Store) {
    let calls = (0..20).map(|id| {
        let store = store.clone();
        tokio::spawn(async move {
            let began = Instant::now();
            let outcome = if id % 2 == 0 { count(&store).await.map(drop) } else { insert(&store, 1_000 + id).await };
            (outcome, began.elapsed())
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let (outcome, took) = call.await.unwrap();
        let error = outcome.expect_err("the database is away");
        assert_eq!((error.kind(), error.reason()), (Kind::Unavailable, "DATABASE_AWAY"), "{error}");
        assert!(error.retry().is_some());
        assert!(took < PROMISED, "{took:?}");
    }
}

/// Works again within some seconds, by itself.
async fn back(store: &Store, rows: i64) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        match count(store).await {
            Ok(found) => return assert_eq!(found, rows),
            Err(error) => {
                assert_eq!(error.reason(), "DATABASE_AWAY");
                assert!(Instant::now() < until, "it does not come back: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_is_unavailable_at_once_and_comes_back() {
    let Some(mut server) = Postgres::start() else { return };
    let store = store(server.url());
    table(&store).await;
    insert(&store, 1).await.unwrap();
    let asleep = tokio::spawn({
        let store = store.clone();
        async move { sleeps(&store, "20").await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.kill();
    let killed = Instant::now();
    assert_eq!(asleep.await.unwrap().unwrap_err().reason(), "DATABASE_AWAY");
    assert!(killed.elapsed() < PROMISED);
    all_refused(&store).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let began = Instant::now();
    all_refused(&store).await;
    assert!(began.elapsed() < Duration::from_millis(1_000), "refused at once by now: {:?}", began.elapsed());
    server.run();
    back(&store, 1).await;
    insert(&store, 2).await.unwrap();
    // the other connections died with the server, and nobody notices
    for _ in 0..10 {
        count(&store).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_is_given_up_and_nothing_is_half_done_when_it_wakes() {
    let Some(server) = Postgres::start() else { return };
    let store = store(server.url());
    table(&store).await;
    insert(&store, 1).await.unwrap();
    let (sender, begun) = tokio::sync::oneshot::channel();
    let between = tokio::spawn({
        let store = store.clone();
        async move {
            let write = move |conn: &mut Conn| {
                put(conn, 2)?;
                let _ = sender.send(());
                std::thread::sleep(Duration::from_millis(500));
                put(conn, 3)
            };
            let began = Instant::now();
            (store.write("two", write).await, began.elapsed())
        }
    });
    begun.await.unwrap();
    server.freeze();
    let (outcome, took) = between.await.unwrap();
    let error = outcome.unwrap_err();
    assert_eq!(error.reason(), "DATABASE_AWAY");
    assert!(!outcome_unknown(&error), "its commit was not sent");
    assert!(took < PROMISED + Duration::from_millis(500), "{took:?}");
    all_refused(&store).await;
    // new connections are refused too, again and again
    tokio::time::sleep(Duration::from_secs(3)).await;
    all_refused(&store).await;
    server.thaw();
    back(&store, 1).await;
    // whoever woke up late commits nothing
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(count(&store).await.unwrap(), 1);
    insert(&store, 2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_is_told_apart() {
    let Some(server) = Postgres::start() else { return };
    let way = Way::to(server.port);
    let direct = self::store(server.url());
    let store = store(Postgres::url_at(way.port));
    table(&store).await;
    // the constraint is looked at only when the transaction commits, and takes its time
    let slow =
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END'";
    let late = "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON thing DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()";
    store.write("slow", move |conn| Ok(conn.execute(Sql::new(slow))? + conn.execute(Sql::new(late))?)).await.unwrap();
    let writes = |id: i64| {
        let store = store.clone();
        tokio::spawn(async move { store.commit("insert", move |conn| put(conn, id).map(|()| id)).await })
    };
    // cut
    let write = writes(1);
    commits(&direct).await;
    way.cut();
    match write.await.unwrap().unwrap() {
        Committed::Unknown(1, error) => assert!(outcome_unknown(&error) && error.reason() == "DATABASE_AWAY"),
        other => panic!("{other:?}"),
    }
    let until = Instant::now() + Duration::from_secs(20);
    while count(&direct).await.unwrap() == 0 {
        assert!(Instant::now() < until, "it is committed all the same");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // swallowed: the server commits, and nobody hears of it
    let write = writes(2);
    commits(&direct).await;
    way.silent(true);
    let began = Instant::now();
    let outcome = write.await.unwrap().unwrap();
    assert!(matches!(outcome, Committed::Unknown(2, _)), "{outcome:?}");
    assert!(began.elapsed() < PROMISED, "{:?}", began.elapsed());
    way.silent(false);
    let until = Instant::now() + Duration::from_secs(20);
    while !matches!(count(&store).await, Ok(2)) {
        assert!(Instant::now() < until, "both were committed: {:?}", count(&store).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_were_cut_are_opened_again_and_silence_ends() {
    let Some(server) = Postgres::start() else { return };
    let way = Way::to(server.port);
    let store = store(Postgres::url_at(way.port));
    table(&store).await;
    for id in 0..5 {
        insert(&store, id).await.unwrap();
    }
    way.cut();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(count(&store).await.unwrap(), 5, "an idle connection that was cut costs nobody an error");
    way.silent(true);
    all_refused(&store).await;
    way.silent(false);
    back(&store, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_statement_is_left_alone_and_a_full_queue_refuses() {
    let Some(server) = Postgres::start() else { return };
    let config = StoreConfig {
        connections: 2,
        queue: 3,
        longest_wait: Duration::from_millis(700),
        ..StoreConfig::new(server.url())
    };
    let store = Store::open(&config).unwrap();
    table(&store).await;
    let slow: Vec<_> = (0..2)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { sleeps(&store, "4").await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { count(&store).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let full = count(&store).await.unwrap_err();
    assert_eq!((full.kind(), full.reason()), (Kind::ResourceExhausted, "DATABASE_BUSY"));
    assert!(full.retry().is_some());
    for wait in waiting {
        assert_eq!(wait.await.unwrap().unwrap_err().reason(), "DATABASE_BUSY", "it waited for too long");
    }
    for slow in slow {
        slow.await.unwrap().expect("slow is not away");
    }
    assert_eq!(count(&store).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_in_each_others_way_are_run_again() {
    let Some(server) = Postgres::start() else { return };
    let store = store(server.url());
    table(&store).await;
    insert(&store, 1).await.unwrap();
    insert(&store, 2).await.unwrap();
    // each locks its first row and then wants the other's
    let touch = |first: i64, second: i64| {
        let store = store.clone();
        tokio::spawn(async move {
            let write = move |conn: &mut Conn| {
                for id in [first, second] {
                    conn.execute(Sql::new("UPDATE thing SET note = note || 'y' WHERE id = ").bind(id))?;
                    std::thread::sleep(Duration::from_millis(200));
                }
                Ok(())
            };
            store.write_again("touch", write).await
        })
    };
    let (one, other) = (touch(1, 2), touch(2, 1));
    one.await.unwrap().unwrap();
    other.await.unwrap().unwrap();
    let note = "SELECT note FROM thing WHERE id = 1";
    let note = store.read("note", move |conn| Ok(conn.query_one(Sql::new(note))?.unwrap().text(0)?.to_owned())).await;
    assert_eq!(note.unwrap(), "xyy", "each once");
}
