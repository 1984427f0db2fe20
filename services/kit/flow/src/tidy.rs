//! Deleting what need not be remembered any longer: one task in a process, for all services alike.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use gyre_events::Row;
use gyre_events::observe::Observer;
use gyre_mesh::Mesh;
use gyre_mesh::tasks::Tasks;
use gyre_model::{Result, Uuid, time};
use gyre_query::settings;
use gyre_store::{Conn, Sql, Store, Value};

use crate::request;

/// How often it is done.
const PERIOD: Duration = Duration::from_secs(600);
/// How long changes stay in the log where nobody set it: 90 days.
const CHANGES_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// The setting: how long operations that have ended are kept.
const RETENTION: &str = "operation.retention";
/// The setting: how long changes stay in the log.
const CHANGES: &str = "change.retention";
/// Most operations deleted in one transaction.
const BATCH: usize = 1_000;

/// Keeps the database from growing for ever: operations that ended longer ago than `keep` are forgotten, with their timelines; so
/// are old request ids, and old changes. An operation is kept as long as its request id is, and until its
/// callback was delivered or given up, whatever `keep` says. The settings `operation.retention` and `change.retention` stand over what the process
/// was told.
pub fn start(tasks: &Tasks, mesh: &Mesh, store: &Store, keep: Duration) {
    gyre_events::observe::start(tasks, mesh, store, accounts(store.clone()));
    let (mesh, store) = (mesh.clone(), store.clone());
    settings::process_default(RETENTION, settings::print_duration(keep));
    tasks.spawn_until_stop("operation-tidy", async move {
        let mut tick = tokio::time::interval(PERIOD.min(keep.max(Duration::from_secs(1))));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if mesh.may_work()
                && let Err(error) = tidy(&store, keep).await
            {
                tracing::warn!(%error, "cannot tidy up operations");
            }
        }
    });
}

/// Forgets the request ids of an account that was deleted, and with them what its calls were answered.
fn accounts(store: Store) -> Observer {
    let forget = move |rows: Arc<Vec<Row>>| -> BoxFuture<'static, Result<()>> {
        let store = store.clone();
        let gone: Vec<Uuid> = rows.iter().filter(|row| row.after().is_none()).map(|row| row.uuid).collect();
        Box::pin(async move {
            if gone.is_empty() {
                return Ok(());
            }
            let forget = move |conn: &mut Conn| {
                let sql = Sql::new("DELETE FROM request WHERE account_uuid IN (").bind_all(gone).sql(")");
                Ok(conn.execute(sql)?)
            };
            store.write("forget-requests", forget).await.map(drop)
        })
    };
    Observer { name: "requests-of-accounts", kinds: &["account"], observe: Arc::new(forget) }
}

/// Deletes what need not be remembered any longer. Answers how many operations that were.
///
/// # Errors
/// The database's.
pub async fn tidy(store: &Store, keep: Duration) -> Result<usize> {
    let now = time::now_micros();
    let before = |kept: Duration| now.saturating_sub(i64::try_from(kept.as_micros()).unwrap_or(i64::MAX));
    let (keep, changes) = store
        .read("tidy-settings", move |conn| {
            let keep = settings::duration(conn, RETENTION, None, keep)?;
            Ok((keep, settings::duration(conn, CHANGES, None, CHANGES_KEPT)?))
        })
        .await?;
    let (ended, changed) = (before(keep), before(changes));
    store
        .write("tidy-requests", move |conn| {
            let requests = Sql::new("DELETE FROM request WHERE time < ").bind(Value::time(now - request::REMEMBERED));
            Ok(conn.execute(requests)? + gyre_events::row::trim(conn, changed)?)
        })
        .await?;
    let mut deleted = 0;
    loop {
        let some = store
            .write("tidy-operations", move |conn| {
                let old = Sql::new(
                    "DELETE FROM operation WHERE uuid IN (SELECT o.uuid FROM operation o WHERE o.end_time IS NOT NULL \
                     AND o.callback_state <> 'PENDING' AND o.end_time < ",
                );
                // a call that is made again must find its operation
                let asked = " AND NOT EXISTS (SELECT 1 FROM request r \
                             WHERE r.account_uuid = o.account_uuid AND r.request_id = o.request_id)";
                let old = old.bind(Value::time(ended)).sql(asked).sql(format!(" LIMIT {BATCH})"));
                Ok(conn.execute(old)?)
            })
            .await?;
        deleted += some;
        if some < BATCH {
            return Ok(deleted);
        }
    }
}
