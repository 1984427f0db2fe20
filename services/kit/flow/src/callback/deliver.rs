//! Sending what is due.

use std::sync::Arc;
use std::time::Duration;

use gyre_mesh::egress::Target;
use gyre_model::{Error, Result, Uuid, parse_uuid, time};
use gyre_proto::common::v1::{CallbackState, Operation, OperationEvent, OperationEventKind};
use gyre_proto::json::JsonCodec;
use gyre_proto::{Message as _, Named as _};
use gyre_store::{Conn, Sql, Value};
use tokio::sync::Notify;

use super::key::{self, Key};
use crate::letters::{Failed, LONGEST_ERROR, Letter, Place, Places, Poster, schedule};
use crate::{Inner, metrics, record, timeline};

/// How often what is due is looked for when nothing points at it.
const PERIOD: Duration = Duration::from_secs(2);
/// The shortest time between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// Most rows of one page of what is due.
const PAGE: usize = 200;
/// How long tries under way may go on when the process stops.
const GRACE: Duration = Duration::from_secs(2);
/// How long after the operation's end tries go on, in microseconds.
const PATIENCE: i64 = 24 * 3600 * 1_000_000;

/// What this process knows of callbacks.
#[derive(Default)]
pub(crate) struct Callbacks {
    wake: Notify,
    places: Arc<Places>,
    poster: Poster,
}

impl Callbacks {
    /// Says that an operation has ended here.
    pub fn ended(&self, operation: &Operation) {
        if operation.callback_state() == CallbackState::Pending {
            self.wake.notify_one();
        }
    }
}

/// A callback that is due.
#[derive(Debug, Clone)]
struct Due {
    uuid: Uuid,
    resource: Uuid,
    destination: String,
    time: i64,
}

/// Starts to send.
pub(crate) fn start(flow: &Arc<Inner>) {
    let sender = Arc::clone(flow);
    flow.tasks.spawn_until_stop("callbacks", async move {
        let mut tick = tokio::time::interval(PERIOD);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = sender.callbacks.wake.notified() => {}
                () = sender.callbacks.places.freed() => {}
            }
            if sender.may_start().is_err() {
                continue;
            }
            if let Err(error) = look(&sender).await {
                tracing::warn!(%error, "cannot look for callbacks that are due");
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
}

/// Looks through all that is due, and begins what there is place for.
async fn look(flow: &Arc<Inner>) -> Result<()> {
    let mut after = None;
    loop {
        if flow.callbacks.places.full() {
            return Ok(());
        }
        let page = due(flow, after.as_ref()).await?;
        let last = page.len() < PAGE;
        after = page.last().map(|due| (due.time, due.uuid));
        for due in page {
            if flow.mesh.owns(flow.service, due.resource)
                && let Some(place) = flow.callbacks.places.take(due.uuid, &due.destination)
            {
                begin(flow, due, place);
            }
        }
        if last {
            return Ok(());
        }
    }
}

/// A page of what is due, whoever is to send it; what goes to destinations that take no more is passed over.
async fn due(flow: &Inner, after: Option<&(i64, Uuid)>) -> Result<Vec<Due>> {
    let mut sql = Sql::new(
        "SELECT uuid, resource_uuid, callback_destination, callback_time FROM operation \
         JOIN operation_work ON operation_work.operation_uuid = operation.uuid \
         WHERE callback_state = 'PENDING' AND state IN ('SUCCEEDED', 'FAILED', 'CANCELLED') AND service = ",
    )
    .bind(flow.service)
    .sql(" AND callback_time <= ")
    .bind(Value::time(time::now_micros()));
    if let Some((time, uuid)) = after {
        sql = sql.sql(" AND (callback_time, uuid) > (").bind(Value::time(*time)).sql(", ").bind(*uuid).sql(")");
    }
    let busy = flow.callbacks.places.busy();
    if !busy.is_empty() {
        sql = sql.sql(" AND callback_destination NOT IN (").bind_all(busy).sql(")");
    }
    let sql = sql.sql(format!(" ORDER BY callback_time, uuid LIMIT {PAGE}"));
    let read = |conn: &mut Conn| {
        let rows = conn.query(sql)?;
        let due = rows.iter().map(|row| {
            let resource = row.opt_id(1)?.unwrap_or_default();
            Ok(Due { uuid: row.id(0)?, resource, destination: row.text(2)?.to_owned(), time: row.int(3)? })
        });
        due.collect()
    };
    flow.store.read("due-callbacks", read).await
}

fn begin(flow: &Arc<Inner>, due: Due, place: Place) {
    let stopping = flow.tasks.stopping();
    let sender = Arc::clone(flow);
    flow.tasks.spawn("callback", async move {
        let _place = place;
        let late = async {
            stopping.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            // what is cut here is sent again by the next owner
            () = late => {}
            result = deliver(&sender, &due) => if let Err(error) = result {
                let operation = due.uuid;
                tracing::warn!(%operation, %error, "a callback cannot be read or recorded; it is tried again");
                // before the place is free again: what cannot be recorded must not be sent without end
                tokio::time::sleep(PERIOD).await;
            }
        }
    });
}

/// Makes one try and records it.
async fn deliver(flow: &Inner, due: &Due) -> Result<()> {
    let uuid = due.uuid;
    let read = move |conn: &mut Conn| {
        let found: Vec<Operation> = gyre_query::select(conn, Sql::new("uuid = ").bind(uuid))?;
        let Some(operation) = found.into_iter().next() else { return Ok(None) };
        let key = key::find(conn, account(&operation))?;
        Ok(Some((operation, key)))
    };
    let Some((operation, key)) = flow.store.read("callback", read).await? else { return Ok(()) };
    if operation.callback_state() != CallbackState::Pending {
        return Ok(());
    }
    let account = account(&operation);
    let key = match key {
        Some(key) => Ok(key),
        None => flow.store.write("make-callback-key", move |conn| key::find_or_make(conn, account)).await,
    };
    let outcome = match (key, Target::parse(&operation.callback_url)) {
        (Ok(key), Ok(target)) => {
            let allow = flow.mesh.callbacks();
            flow.callbacks.poster.post(&allow, &target, letter(&operation, &key)?).await
        }
        (Ok(_), Err(must)) => Err(Failed::Try(format!("the URL {must}"))),
        (Err(error), _) if error.kind().retryable() => return Err(error),
        // the account is gone
        (Err(_), _) => Err(Failed::Try("the account has no key to sign with".to_owned())),
    };
    record(flow, &operation, due, outcome).await
}

fn account(operation: &Operation) -> Uuid {
    parse_uuid(&operation.account_uuid).unwrap_or_default()
}

fn letter(operation: &Operation, key: &Key) -> Result<Letter> {
    let codec = JsonCodec::by_name(Operation::NAME).ok_or_else(|| Error::internal(Operation::NAME))?;
    let mut body = Vec::with_capacity(1024);
    (codec.print)(&operation.encode_to_vec(), &mut body).map_err(Error::internal)?;
    Ok(Letter::sign(key.secrets(), operation.uuid.clone(), body))
}

async fn record(flow: &Inner, operation: &Operation, due: &Due, outcome: Result<(), Failed>) -> Result<()> {
    let (uuid, destination) = (due.uuid, due.destination.as_str());
    let (seen, attempts) = (operation.callback_attempts, operation.callback_attempts + 1);
    let now = time::now_micros();
    let ended = operation.end_time.as_ref().map_or(now, time::to_micros);
    let (became, next, why) = match outcome {
        Ok(()) => (OperationEventKind::CallbackDelivered, None, String::new()),
        Err(Failed::Gone) => (OperationEventKind::CallbackGivenUp, None, "the receiver answers 410 Gone".to_owned()),
        Err(Failed::Try(why)) => match schedule::next(uuid, attempts.into(), ended + PATIENCE, now) {
            Some(next) => (OperationEventKind::CallbackFailed, Some(next), why),
            None => (OperationEventKind::CallbackGivenUp, None, why),
        },
    };
    let why: String = why.chars().take(LONGEST_ERROR).collect();
    let (state, outcome) = match became {
        OperationEventKind::CallbackDelivered => {
            tracing::info!(operation = %uuid, destination, attempts, "callback delivered");
            ("DELIVERED", "delivered")
        }
        OperationEventKind::CallbackFailed => {
            tracing::info!(operation = %uuid, destination, attempts, error = why, "callback failed; it is tried again");
            ("PENDING", "failed")
        }
        _ => {
            tracing::warn!(operation = %uuid, destination, attempts, error = why, "callback given up");
            ("GAVE_UP", "gave_up")
        }
    };
    metrics::callback(outcome);
    let event = OperationEvent {
        instance_uuid: flow.mesh.instance().to_string(),
        attempt: attempts,
        message: if why.is_empty() { destination.to_owned() } else { format!("{destination}: {why}") },
        ..timeline::event(operation, became)
    };
    let sql = Sql::new("UPDATE operation SET generation = generation + 1, update_time = ")
        .bind(Value::time(now))
        .sql(", callback_state = ")
        .bind(state)
        .sql(", callback_attempts = ")
        .bind(attempts)
        .sql(", callback_time = ")
        .bind(Value::time(next.unwrap_or(now)))
        .sql(", callback_error = ")
        .bind(why)
        .sql(" WHERE uuid = ")
        .bind(uuid)
        .sql(" AND callback_state = 'PENDING' AND callback_attempts = ")
        .bind(seen);
    let write = move |conn: &mut Conn| {
        if conn.execute(sql)? == 1
            && let Some(mut record) = record::load(conn, uuid)?
        {
            record.timeline.push(event);
            let kept = Value::Bytes(record.timeline.to_bytes());
            let sql = Sql::new("UPDATE operation_work SET timeline = ").bind(kept);
            conn.execute(sql.sql(" WHERE operation_uuid = ").bind(uuid))?;
        }
        Ok(())
    };
    flow.store.write("record-callback", write).await
}
