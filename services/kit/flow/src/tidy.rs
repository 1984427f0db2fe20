//! Deleting what need not be remembered any longer: one task in a process, for all services alike.

use std::time::Duration;

use gyre_mesh::Mesh;
use gyre_mesh::tasks::Tasks;
use gyre_model::{Result, time};
use gyre_query::settings;
use gyre_store::{Sql, Store, Value};

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
            // the last of those that are old stays: it tells who comes with an older position that something is missing
            let old = Value::time(changed);
            let log = Sql::new("DELETE FROM change_log WHERE time < ")
                .bind(old.clone())
                .sql(" AND position < (SELECT MAX(position) FROM change_log WHERE time < ")
                .bind(old)
                .sql(")");
            Ok(conn.execute(requests)? + conn.execute(log)?)
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
