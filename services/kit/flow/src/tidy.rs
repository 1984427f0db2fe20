//! Deleting what need not be remembered any longer.

use std::time::Duration;

use gyre_model::{Result, time};
use gyre_store::{Sql, Value};

use crate::{Inner, request};

/// How long changes stay in the log, in microseconds: 90 days.
const CHANGES_KEPT: i64 = 90 * 24 * 3600 * 1_000_000;

/// Deletes what need not be remembered any longer: request ids, and operations that ended long ago.
pub(crate) async fn tidy(flow: &Inner, keep: Duration) -> Result<usize> {
    let service = flow.service;
    let now = time::now_micros();
    let ended = now - i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
    flow.store
        .write("tidy-operations", move |conn| {
            let requests = Sql::new("DELETE FROM request WHERE time < ").bind(Value::time(now - request::REMEMBERED));
            let operations = Sql::new("DELETE FROM operation WHERE service = ")
                .bind(service)
                .sql(" AND end_time < ")
                .bind(Value::time(ended));
            // the log is everybody's, and deleting what is old twice does no harm
            let log = Sql::new("DELETE FROM change_log WHERE time < ").bind(Value::time(now - CHANGES_KEPT));
            Ok(conn.execute(requests)? + conn.execute(operations)? + conn.execute(log)?)
        })
        .await
}
