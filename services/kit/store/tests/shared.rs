//! Closures that share a commit on SQLite: each stands or falls by itself.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::sync::mpsc;

use gyre_model::{Error, Kind, Result};
use gyre_store::{Conn, DbError, Sql, Store, StoreConfig};
use tokio::sync::oneshot;

/// What a closure does with its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Writes,
    Refuses,
    WritesAndFails,
    /// A failed statement is nothing to fail for.
    Collides,
    /// The disk is full for it.
    TooLarge,
    Panics,
}

const ACTS: [Act; 6] = [Act::Writes, Act::Refuses, Act::WritesAndFails, Act::Collides, Act::TooLarge, Act::Panics];

impl Act {
    fn run(self, conn: &mut Conn, id: i64) -> Result<i64> {
        let add = |conn: &mut Conn, note: i64| {
            conn.execute(
                Sql::new("INSERT INTO thing (id, note) VALUES (").bind(id).sql(", zeroblob(").bind(note).sql("))"),
            )
        };
        let no = || Error::new(Kind::Aborted, "NO", "no");
        match self {
            Self::Writes => drop(add(conn, 10)?),
            Self::Refuses => return Err(no()),
            Self::WritesAndFails => {
                add(conn, 10)?;
                return Err(no());
            }
            Self::Collides => {
                add(conn, 10)?;
                assert!(matches!(add(conn, 10), Err(DbError::Unique(_))));
            }
            Self::TooLarge => drop(add(conn, 100_000_000)?),
            Self::Panics => {
                add(conn, 10)?;
                panic!("as some closure does");
            }
        }
        Ok(id)
    }

    fn stays(self) -> bool {
        matches!(self, Self::Writes | Self::Collides)
    }
}

/// Runs closures that wait for one commit, each with whether it may run again, and looks what is left.
async fn together(acts: &[(Act, bool)]) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StoreConfig::new(format!("sqlite://{}/gyre.db", folder.path().display()))).unwrap();
    let make = "CREATE TABLE thing (id INTEGER NOT NULL UNIQUE, note BLOB)";
    store.write("make", move |conn| Ok(conn.execute(Sql::new(make))?)).await.unwrap();
    store.write("limit", |conn| Ok(conn.query(Sql::new("PRAGMA max_page_count = 1000"))?.len())).await.unwrap();

    // the writer is held while they come
    let (held, holds) = oneshot::channel();
    let (go, gate) = mpsc::channel();
    let holder = store.clone();
    let hold = tokio::spawn(async move {
        let hold = move |_: &mut Conn| {
            held.send(()).unwrap();
            gate.recv().unwrap();
            Ok(())
        };
        holder.write("hold", hold).await
    });
    holds.await.unwrap();
    let mut answers = Vec::new();
    for (id, &(act, again)) in (0..).zip(acts) {
        let store = store.clone();
        answers.push(tokio::spawn(async move {
            match again {
                true => store.write_again("again", move |conn| act.run(conn, id)).await,
                false => store.write("once", move |conn| act.run(conn, id)).await,
            }
        }));
        tokio::task::yield_now().await;
    }
    go.send(()).unwrap();
    // what has no room may end the whole transaction: then everybody else in it is told so
    let full = acts.iter().any(|(act, _)| *act == Act::TooLarge);
    let for_others = |error: &Error| full && error.reason() == "DATABASE_FULL";
    if let Err(error) = hold.await.unwrap() {
        assert!(for_others(&error), "{acts:?}: {error}");
    }

    let mut expected = Vec::new();
    for ((id, &(act, _)), answer) in (0..).zip(acts).zip(answers) {
        match (act.stays(), answer.await.unwrap()) {
            (true, Ok(answered)) if answered == id => expected.push(id),
            (true, Err(error)) if for_others(&error) => {}
            (false, Err(error)) => {
                let reason = match act {
                    Act::TooLarge => "DATABASE_FULL",
                    Act::Panics => "INTERNAL",
                    _ => "NO",
                };
                assert_eq!(error.reason(), reason, "{id} of {acts:?}: {error}");
            }
            (_, other) => panic!("{id} of {acts:?}: {other:?}"),
        }
    }
    let ids = |conn: &mut Conn| {
        let rows = conn.query(Sql::new("SELECT id FROM thing ORDER BY id"))?;
        rows.iter().map(|row| row.int(0)).collect::<Result<Vec<_>>>()
    };
    assert_eq!(store.read("ids", ids).await.unwrap(), expected, "{acts:?}");
}

#[tokio::test]
async fn one_that_fails_takes_back_what_it_did_and_nothing_else() {
    // each act first, in the middle and last, among those that may run again and those that may not
    for act in ACTS {
        for again in [true, false] {
            for others in [true, false] {
                for at in 0..4 {
                    let mut acts = vec![(Act::Writes, others); 3];
                    acts.insert(at, (act, again));
                    together(&acts).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn whatever_meets_each_stands_or_falls_by_itself() {
    // splitmix64
    let mut seed = 7_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        usize::try_from((mixed ^ (mixed >> 27)) % below as u64).unwrap()
    };
    for _ in 0..60 {
        let many = next(40) + 1;
        // mostly writes, as in life
        let acts: Vec<_> = (0..many)
            .map(|_| {
                let act = ACTS.get(next(12)).copied().unwrap_or(Act::Writes);
                (act, next(4) > 0)
            })
            .collect();
        together(&acts).await;
    }
}
