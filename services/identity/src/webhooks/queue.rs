//! What waits to be posted, and where in the log each webhook is.

use gyre_events::{Position, Row, row};
use gyre_model::{Caller, Error, Kind, Result, Uuid, parse_uuid, time};
use gyre_proto::Message as _;
use gyre_proto::common::v1::Change as Logged;
use gyre_proto::identity::v1::{DeadLetter, Webhook};
use gyre_query::Change;
use gyre_store::{Conn, Sql, Value};

use super::MOST_DEAD;
use super::key::{self, Keys};

/// A webhook that may send, and whose it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub webhook: Uuid,
    pub account: Uuid,
    /// Whether the account administers the cloud, and sees all changes.
    pub admin: bool,
}

/// What a courier works from.
#[derive(Debug)]
pub(crate) struct Work {
    pub webhook: Webhook,
    pub standing: Standing,
    pub place: Position,
    pub keys: Keys,
}

/// A delivery whose turn it is.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub uuid: Uuid,
    pub lane: Uuid,
    pub change: Uuid,
    pub position: i64,
    pub since: i64,
    pub attempts: i64,
}

/// Those that may send: enabled, of an account that is enabled.
fn sending(columns: &str, conn: &mut Conn, end: Sql) -> Result<Vec<gyre_store::Row>> {
    let sql = Sql::new(format!(
        "SELECT {columns} FROM webhook JOIN account ON account.uuid = webhook.account_uuid \
         WHERE account.state = 'ENABLED' AND webhook.disabled = "
    ));
    Ok(conn.query(sql.bind(false).append(end))?)
}

const STANDING: &str = "webhook.uuid, webhook.account_uuid, account.type";

fn standing(row: &gyre_store::Row) -> Result<Standing> {
    Ok(Standing { webhook: row.id(0)?, account: row.id(1)?, admin: row.text(2)? == "ADMIN" })
}

/// All webhooks that may send.
pub(crate) fn all(conn: &mut Conn) -> Result<Vec<Standing>> {
    sending(STANDING, conn, Sql::default())?.iter().map(standing).collect()
}

/// What a courier works from; nothing where its webhook may not send, or is gone.
pub(crate) fn work(conn: &mut Conn, uuid: Uuid) -> Result<Option<Work>> {
    let rows = sending(STANDING, conn, Sql::new(" AND webhook.uuid = ").bind(uuid))?;
    let Some(standing) = rows.first().map(standing).transpose()? else { return Ok(None) };
    let Some(webhook) = gyre_query::find::<Webhook>(conn, &Caller::system(), uuid)? else { return Ok(None) };
    let sql = Sql::new(format!("SELECT {}, position FROM webhook_work WHERE webhook_uuid = ", key::COLUMNS)).bind(uuid);
    let Some(row) = conn.query_one(sql)? else { return Ok(None) };
    let (keys, place) = (Keys::read(&row, 0)?, Position::parse(row.text(3)?, conn.dialect())?);
    Ok(Some(Work { webhook, standing, place, keys }))
}

/// How many deliveries of a webhook wait.
pub(crate) fn waiting(conn: &mut Conn, webhook: Uuid) -> Result<i64> {
    let count = Sql::new("SELECT COUNT(*) FROM webhook_delivery WHERE webhook_uuid = ").bind(webhook);
    conn.query_one(count)?.map_or(Ok(0), |row| row.int(0))
}

/// Lets a new webhook begin at the end of the log.
pub(crate) fn begin(conn: &mut Conn, webhook: Uuid, secret: Vec<u8>) -> Result<()> {
    let head = row::head(conn)?;
    let sql = Sql::new("INSERT INTO webhook_work (webhook_uuid, position, secret) VALUES (").bind_all([
        Value::from(webhook),
        Value::from(head.to_string()),
        Value::Bytes(secret),
    ]);
    conn.execute(sql.sql(")"))?;
    Ok(())
}

/// What a row of the log is as a delivery: its change, its place, its lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    change: Uuid,
    lane: Uuid,
    position: i64,
    time: i64,
}

impl Wanted {
    /// Reads a row.
    pub fn of(row: &Row) -> Result<Self> {
        let image = row.change().ok_or_else(|| Error::internal("a row of the log that cannot be read"))?;
        let change = Logged::decode(image.message.as_ref()).map_err(Error::internal)?;
        Ok(Self::of_change(&change))
    }

    fn of_change(change: &Logged) -> Self {
        let uuid = parse_uuid(&change.uuid).unwrap_or_default();
        Self {
            change: uuid,
            // what is about nothing has nothing to follow
            lane: parse_uuid(&change.resource_uuid).unwrap_or(uuid),
            position: change.position,
            time: change.time.as_ref().map_or_else(time::now_micros, time::to_micros),
        }
    }
}

/// Writes deliveries and moves a webhook on, if it is still where it was. Answers whether it was.
pub(crate) fn route(conn: &mut Conn, webhook: Uuid, from: &Position, to: &Position, wanted: &[Wanted]) -> Result<bool> {
    let sql = Sql::new("UPDATE webhook_work SET position = ")
        .bind(to.to_string())
        .sql(" WHERE webhook_uuid = ")
        .bind(webhook)
        .sql(" AND position = ")
        .bind(from.to_string());
    if conn.execute(sql)? == 0 {
        return Ok(false);
    }
    for wanted in wanted {
        add(conn, webhook, wanted, wanted.time)?;
    }
    Ok(true)
}

/// Adds a delivery, whose time begins then, unless the change waits already.
fn add(conn: &mut Conn, webhook: Uuid, wanted: &Wanted, since: i64) -> Result<()> {
    let sql = Sql::new(
        "INSERT INTO webhook_delivery \
         (uuid, webhook_uuid, lane_uuid, position, change_uuid, since, attempts, next_time) VALUES (",
    )
    .bind_all([
        Value::from(gyre_model::id::ordered_uuid()),
        Value::from(webhook),
        Value::from(wanted.lane),
        Value::Int(wanted.position),
        Value::from(wanted.change),
        Value::time(since),
        Value::Int(0),
        Value::time(time::now_micros()),
    ])
    .sql(") ON CONFLICT (webhook_uuid, change_uuid) DO NOTHING");
    conn.execute(sql)?;
    Ok(())
}

/// The first deliveries of their lanes whose time has come, but for these lanes; where there are none, when the next comes.
pub(crate) fn due(conn: &mut Conn, webhook: Uuid, busy: &[Uuid], most: usize) -> Result<(Vec<Due>, Option<i64>)> {
    let now = time::now_micros();
    let mut sql = Sql::new(
        "SELECT uuid, lane_uuid, change_uuid, position, since, attempts FROM webhook_delivery d \
         WHERE webhook_uuid = ",
    )
    .bind(webhook)
    .sql(" AND next_time <= ")
    .bind(Value::time(now));
    if !busy.is_empty() {
        sql = sql.sql(" AND lane_uuid NOT IN (").bind_all(busy.iter().copied()).sql(")");
    }
    let sql = sql.sql(format!(
        " AND NOT EXISTS (SELECT 1 FROM webhook_delivery e WHERE e.webhook_uuid = d.webhook_uuid \
         AND e.lane_uuid = d.lane_uuid AND e.position < d.position) ORDER BY position LIMIT {most}"
    ));
    let rows = conn.query(sql)?;
    let due = rows.iter().map(|row| {
        Ok(Due {
            uuid: row.id(0)?,
            lane: row.id(1)?,
            change: row.id(2)?,
            position: row.int(3)?,
            since: row.int(4)?,
            attempts: row.int(5)?,
        })
    });
    let due = due.collect::<Result<Vec<_>>>()?;
    if !due.is_empty() {
        return Ok((due, None));
    }
    let sql = Sql::new("SELECT MIN(next_time) FROM webhook_delivery WHERE webhook_uuid = ")
        .bind(webhook)
        .sql(" AND next_time > ")
        .bind(Value::time(now));
    let next = conn.query_one(sql)?.map_or(Ok(None), |row| row.opt_int(0))?;
    Ok((due, next))
}

/// A change, as long as it is in the log.
pub(crate) fn change(conn: &mut Conn, uuid: Uuid) -> Result<Option<Logged>> {
    gyre_query::find(conn, &Caller::system(), uuid)
}

/// Records that a delivery was made.
pub(crate) fn delivered(conn: &mut Conn, due: &Due) -> Result<()> {
    conn.execute(Sql::new("DELETE FROM webhook_delivery WHERE uuid = ").bind(due.uuid))?;
    Ok(())
}

/// Records that a try failed, and when the next is.
pub(crate) fn failed(conn: &mut Conn, due: &Due, next: i64) -> Result<()> {
    let sql = Sql::new("UPDATE webhook_delivery SET attempts = ")
        .bind(due.attempts + 1)
        .sql(", next_time = ")
        .bind(Value::time(next))
        .sql(" WHERE uuid = ")
        .bind(due.uuid)
        .sql(" AND attempts = ")
        .bind(due.attempts);
    conn.execute(sql)?;
    Ok(())
}

/// Makes a dead letter of a delivery; the oldest goes where there are too many.
pub(crate) fn give_up(conn: &mut Conn, standing: &Standing, due: &Due, logged: &Logged, error: &str) -> Result<()> {
    let sql = Sql::new("DELETE FROM webhook_delivery WHERE uuid = ").bind(due.uuid);
    if conn.execute(sql.sql(" AND attempts = ").bind(due.attempts))? == 0 {
        return Ok(());
    }
    let change = Change::by(Caller::system());
    let letter = DeadLetter {
        uuid: gyre_model::id::ordered_uuid().to_string(),
        account_uuid: standing.account.to_string(),
        webhook_uuid: standing.webhook.to_string(),
        change_uuid: due.change.to_string(),
        position: due.position,
        change_time: logged.time,
        resource_kind: logged.kind.clone(),
        resource_uuid: logged.resource_uuid.clone(),
        attempts: due.attempts + 1,
        error: error.to_owned(),
        ..DeadLetter::default()
    };
    gyre_query::insert(conn, &change, &letter)?;
    let sql = Sql::new("SELECT uuid FROM dead_letter WHERE webhook_uuid = ")
        .bind(standing.webhook)
        .sql(format!(" ORDER BY create_time DESC, uuid DESC LIMIT 10 OFFSET {MOST_DEAD}"));
    for row in conn.query(sql)? {
        gyre_query::delete::<DeadLetter>(conn, &change, row.id(0)?)?;
    }
    Ok(())
}

/// Takes a dead letter up again. Answers the webhook that it is for.
///
/// # Errors
/// `CHANGE_EXPIRED` where the change is no longer in the log.
pub(crate) fn redeliver(conn: &mut Conn, by: &Change, letter: &DeadLetter) -> Result<Uuid> {
    let uuid = |text: &str| parse_uuid(text).unwrap_or_default();
    let (webhook, own) = (uuid(&letter.webhook_uuid), uuid(&letter.uuid));
    let Some(logged) = change(conn, uuid(&letter.change_uuid))? else {
        let text = format!(
            "change {} is no longer in the log, so dead letter {own} cannot be delivered again: delete it",
            letter.change_uuid
        );
        return Err(Error::new(Kind::FailedPrecondition, "CHANGE_EXPIRED", text));
    };
    if gyre_query::delete::<DeadLetter>(conn, by, own)? {
        add(conn, webhook, &Wanted::of_change(&logged), time::now_micros())?;
    }
    Ok(webhook)
}

/// Makes all that waits for its next try due.
pub(crate) fn hurry(conn: &mut Conn, webhook: Uuid) -> Result<()> {
    let now = Value::time(time::now_micros());
    let sql = Sql::new("UPDATE webhook_delivery SET next_time = ").bind(now.clone());
    conn.execute(sql.sql(" WHERE webhook_uuid = ").bind(webhook).sql(" AND next_time > ").bind(now))?;
    Ok(())
}
