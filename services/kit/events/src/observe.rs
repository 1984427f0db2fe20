//! Observers after the fact: parts of a service that are told of changes from the log, and may not refuse them. Those that are told
//! before, in the transaction, and may, stand in [`gyre_query::observe`].
//!
//! # Theory
//! - An observer has a name, and under it a place in the log that is kept in the database (`log_observer`). It is told of a page
//!   of rows, and its place moves on once it has done with them: each row reaches it at least once, whoever dies on the way.
//! - One task in each process that hosts the service works on it. They take turns by comparing and setting the place: who was
//!   overtaken drops what it read. So a row may reach it twice, in two processes; what it does must be idempotent.
//! - It is told of the rows in the order of the log. One that fails is told again of the same rows, after a pause; those of other names do not
//!   wait for it. Observers of one kind that must follow one another are one observer.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use gyre_mesh::Mesh;
use gyre_mesh::tasks::Tasks;
use gyre_model::{Error, Result, time};
use gyre_store::{Conn, Sql, Store, Value};

use crate::position::Position;
use crate::row::{self, Row};

/// Rows that an observer is told of at once.
const PAGE: usize = 200;
/// How long rows are gathered after a commit of this process: what an observer does is in no hurry, and its place is a row, too.
const GATHERED: Duration = Duration::from_millis(300);
/// How often it looks whether another process left rows.
const PERIOD: Duration = Duration::from_secs(5);
/// The pause after a failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What an observer does with rows.
pub type Observe = Arc<dyn Fn(Arc<Vec<Row>>) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// An observer.
#[derive(Clone)]
pub struct Observer {
    /// Its name: its place in the log is kept under it.
    pub name: &'static str,
    /// The kinds whose changes it is told of.
    pub kinds: &'static [&'static str],
    /// What it does.
    pub observe: Observe,
}

/// Tells an observer of changes, from where it is on, until the tasks end. One that is new begins with what comes from now on.
pub fn start(tasks: &Tasks, mesh: &Mesh, store: &Store, observer: Observer) {
    let (mesh, store) = (mesh.clone(), store.clone());
    tasks.spawn_until_stop("observer", async move {
        let mut pause = FIRST_PAUSE;
        loop {
            let Err(error) = work(&mesh, &store, &observer).await;
            tracing::warn!(observer = observer.name, %error, "an observer is told again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    });
}

/// Works until something fails.
async fn work(mesh: &Mesh, store: &Store, observer: &Observer) -> Result<std::convert::Infallible> {
    let mut commits = store.log_commits();
    loop {
        // what is committed from here on wakes
        commits.borrow_and_update();
        while mesh.may_work() && step(store, observer).await? {}
        tokio::select! {
            // a store that is gone wakes nobody any more
            changed = commits.changed() => match changed {
                Ok(()) => tokio::time::sleep(GATHERED).await,
                Err(_) => return Err(Error::unavailable("STORE_STOPPED", "the store is gone")),
            },
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

/// Tells it of the next rows. Answers whether there may be more.
async fn step(store: &Store, observer: &Observer) -> Result<bool> {
    let (name, kinds) = (observer.name, observer.kinds);
    let place = match store.read("observer-place", move |conn| find(conn, name)).await? {
        Some(place) => place,
        None => store.write("observer-begin", move |conn| begin(conn, name)).await?,
    };
    let from = place.clone();
    // rows of other kinds are passed over in the database: most are, and they are long
    let kind = if let [kind] = kinds { Some(*kind) } else { None };
    let read = move |conn: &mut Conn| {
        row::check(conn, &from)?;
        row::after(conn, &from, row::Only { kind, account: None }, PAGE)
    };
    let page = match store.read("observer-rows", read).await {
        Ok(page) => page,
        Err(error) if error.reason() == "POSITION_EXPIRED" => {
            tracing::error!(observer = name, %error, "an observer missed changes that the log no longer has");
            let now = store.read("log-head", row::head).await?;
            store.write("observer-place", move |conn| advance(conn, name, &place, &now)).await?;
            return Ok(true);
        }
        Err(error) => return Err(error),
    };
    let (next, more) = (page.next, page.more);
    let rows: Vec<Row> = page.rows.into_iter().map(|(row, _)| row).collect();
    let rows: Vec<Row> = rows.into_iter().filter(|row| row.is_change() && kinds.contains(&row.kind)).collect();
    if !rows.is_empty() {
        (observer.observe)(Arc::new(rows)).await?;
    }
    if next == place {
        return Ok(false);
    }
    // another process that did the same goes on
    let moved = store.write("observer-place", move |conn| advance(conn, name, &place, &next)).await?;
    Ok(more || !moved)
}

/// Where an observer is.
fn find(conn: &mut Conn, name: &str) -> Result<Option<Position>> {
    let sql = Sql::new("SELECT position FROM log_observer WHERE name = ").bind(name);
    let row = conn.query_one(sql)?;
    row.map(|row| Position::parse(row.text(0)?, conn.dialect())).transpose()
}

/// Lets a new observer begin at the end of the log.
fn begin(conn: &mut Conn, name: &str) -> Result<Position> {
    let head = row::head(conn)?;
    let insert = Sql::new("INSERT INTO log_observer (name, position, update_time) VALUES (")
        .bind_all([Value::from(name), Value::from(head.to_string()), Value::time(time::now_micros())])
        .sql(") ON CONFLICT (name) DO NOTHING");
    conn.execute(insert)?;
    find(conn, name)?.ok_or_else(|| Error::internal("an observer without a place"))
}

/// Moves an observer on, if it is still where it was.
fn advance(conn: &mut Conn, name: &str, from: &Position, to: &Position) -> Result<bool> {
    let sql = Sql::new("UPDATE log_observer SET position = ")
        .bind(to.to_string())
        .sql(", update_time = ")
        .bind(Value::time(time::now_micros()))
        .sql(" WHERE name = ")
        .bind(name)
        .sql(" AND position = ")
        .bind(from.to_string());
    Ok(conn.execute(sql)? > 0)
}
