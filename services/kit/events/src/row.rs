//! A row of the log, and what the resource was before and after it. Each is turned into values once, when the first that is
//! interested asks, and shared by all.

use std::sync::{Arc, OnceLock};

use gyre_model::{Error, Result, Uuid, catalog, time};
use gyre_proto::Resource as _;
use gyre_proto::common::v1::Change;
use gyre_proto::json::JsonCodec;
use gyre_query::table::{Table, by_kind, table};
use gyre_store::{Conn, Dialect, Row as Cells, Sql, Value};

use crate::position::{Place, Position, Snapshot};

/// A resource as it was at a moment: its message, and the values of its columns.
#[derive(Debug)]
pub struct Image {
    /// The message's wire bytes.
    pub message: gyre_proto::Bytes,
    /// The values, in the order of the table's columns.
    pub values: Vec<Value>,
}

impl Image {
    fn of_json(table: &Table, json: &str) -> Result<Self> {
        let codec = JsonCodec::by_name(table.kind.message).ok_or_else(|| Error::internal(table.kind.message))?;
        let message = (codec.parse)(json.as_bytes()).map_err(Error::internal)?;
        let values = table.values(&message)?;
        Ok(Self { message, values })
    }

    /// The generation that it had; 0 for what has none.
    pub fn generation(&self, table: &Table) -> i64 {
        let at = table.column("generation").map(|(at, _)| at);
        match at.and_then(|at| self.values.get(at)) {
            Some(Value::Int(generation)) => *generation,
            _ => 0,
        }
    }
}

/// A row of the log.
#[derive(Debug)]
pub struct Row {
    /// The transaction that wrote it; 0 on SQLite.
    pub(crate) transaction: i64,
    /// Its position.
    pub position: i64,
    /// The kind of the resource.
    pub kind: &'static str,
    /// The resource.
    pub uuid: Uuid,
    /// The account that owns it.
    pub account: Option<Uuid>,
    /// The operation that it is part of.
    pub operation: Option<Uuid>,
    /// What happened: the short name of a `ChangeAction`.
    pub action: String,
    before: Option<String>,
    after: Option<String>,
    cells: Cells,
    before_image: OnceLock<Option<Image>>,
    after_image: OnceLock<Option<Image>>,
    change: OnceLock<Option<Image>>,
}

/// The columns of the log that rows are made from, and the transaction.
pub(crate) fn columns(conn: &Conn) -> String {
    let names = &table::<Change>().names;
    match conn.dialect() {
        Dialect::Sqlite => format!("{names}, 0"),
        Dialect::Postgres => format!("{names}, transaction::text::bigint"),
    }
}

/// Where the columns stand.
struct Places {
    account: usize,
    position: usize,
    kind: usize,
    uuid: usize,
    action: usize,
    operation: usize,
    before: usize,
    after: usize,
    transaction: usize,
}

fn places() -> &'static Places {
    static PLACES: OnceLock<Places> = OnceLock::new();
    PLACES.get_or_init(|| {
        let table = table::<Change>();
        let place = |name: &str| table.column(name).map_or(usize::MAX, |(at, _)| at);
        Places {
            account: place("account_uuid"),
            position: place("position"),
            kind: place("kind"),
            uuid: place("resource_uuid"),
            action: place("action"),
            operation: place("operation_uuid"),
            before: place("before"),
            after: place("after"),
            transaction: table.columns.len(),
        }
    })
}

impl Row {
    /// Reads one from the columns that [`columns`] names.
    pub(crate) fn read(cells: Cells) -> Result<Self> {
        let places = places();
        let kind = cells.text(places.kind)?;
        Ok(Self {
            transaction: cells.int(places.transaction)?,
            position: cells.int(places.position)?,
            // of a kind that a later version knows nobody here knows anything
            kind: catalog().kind(kind).map_or("", |kind| kind.kind),
            uuid: cells.opt_id(places.uuid)?.unwrap_or_default(),
            account: cells.opt_id(places.account)?,
            operation: cells.opt_id(places.operation)?,
            action: cells.text(places.action)?.to_owned(),
            before: cells.opt_text(places.before)?.map(str::to_owned),
            after: cells.opt_text(places.after)?.map(str::to_owned),
            cells,
            before_image: OnceLock::new(),
            after_image: OnceLock::new(),
            change: OnceLock::new(),
        })
    }

    /// Whether it tells of a change of its resource, and not only of a call or an operation.
    pub fn is_change(&self) -> bool {
        self.before.is_some() || self.after.is_some()
    }

    /// The resource before.
    pub fn before(&self) -> Option<&Image> {
        self.before_image.get_or_init(|| self.image(self.before.as_deref()?)).as_ref()
    }

    /// The resource after.
    pub fn after(&self) -> Option<&Image> {
        self.after_image.get_or_init(|| self.image(self.after.as_deref()?)).as_ref()
    }

    /// The resource before and after as JSON.
    pub fn json(&self) -> (Option<&str>, Option<&str>) {
        (self.before.as_deref(), self.after.as_deref())
    }

    /// The row itself, as a resource of the kind `change`.
    pub fn change(&self) -> Option<&Image> {
        let image = || -> Result<Image> {
            let table = table::<Change>();
            let message = gyre_proto::Bytes::from(table.message(&self.cells)?);
            let values = table.values(&message)?;
            Ok(Image { message, values })
        };
        let read = || image().inspect_err(|error| tracing::error!(%error, "a row of the log cannot be read")).ok();
        self.change.get_or_init(read).as_ref()
    }

    fn image(&self, json: &str) -> Option<Image> {
        if self.kind.is_empty() {
            return None;
        }
        Image::of_json(by_kind(self.kind), json)
            .inspect_err(|error| tracing::error!(%error, kind = self.kind, "an image in the log cannot be read"))
            .ok()
    }
}

/// Some rows of the log, and where they end.
#[derive(Debug)]
pub struct Page {
    /// The rows, in order, each with the place after it.
    pub rows: Vec<(Row, Position)>,
    /// The place after them.
    pub next: Position,
    /// Whether more are there already.
    pub more: bool,
}

/// The mark that rows were trimmed, beside the places of observers.
const TRIMMED: &str = "(trimmed)";

/// The place behind all rows that are there.
///
/// # Errors
/// The database's.
pub fn head(conn: &mut Conn) -> Result<Position> {
    match conn.dialect() {
        Dialect::Sqlite => Ok(Position::after(last(conn)?)),
        Dialect::Postgres => Ok(Position::behind(snapshot(conn)?)),
    }
}

fn last(conn: &mut Conn) -> Result<i64> {
    let row = conn.query_one(Sql::new("SELECT COALESCE(MAX(position), 0) FROM change_log"))?;
    row.ok_or_else(|| Error::internal("a number that is not answered"))?.int(0)
}

/// What a statement would see now.
fn snapshot(conn: &mut Conn) -> Result<Snapshot> {
    let row = conn.query_one(Sql::new("SELECT pg_current_snapshot()::text"))?;
    let row = row.ok_or_else(|| Error::internal("a snapshot that is not answered"))?;
    let text = row.text(0)?;
    Snapshot::parse(text).ok_or_else(|| Error::internal(format!("a snapshot that cannot be read: {text:?}")))
}

/// Whether a place is still in the log: nothing after it was trimmed, and it is not from somewhere else.
///
/// # Errors
/// `POSITION_EXPIRED` where it is not.
pub fn check(conn: &mut Conn, position: &Position) -> Result<()> {
    let begun = match &position.0 {
        Place::Row(at) => *at <= last(conn)?,
        Place::Batch { from, until, .. } => until.xmax.max(from.xmax) <= snapshot(conn)?.xmax,
    };
    let marked = Sql::new("SELECT 1 FROM log_observer WHERE name = ").bind(TRIMMED);
    let there = begun && (conn.query_one(marked)?.is_none() || covers_oldest(conn, position)?);
    if there {
        return Ok(());
    }
    let text = format!("the log no longer goes back to position {position}: watch again without a position");
    Err(Error::new(gyre_model::Kind::FailedPrecondition, "POSITION_EXPIRED", text))
}

/// Whether the oldest row, the last of those that were trimmed, is before a place.
fn covers_oldest(conn: &mut Conn, position: &Position) -> Result<bool> {
    let transaction = match conn.dialect() {
        Dialect::Sqlite => "0",
        Dialect::Postgres => "transaction::text::bigint",
    };
    let sql = Sql::new(format!("SELECT {transaction}, position FROM change_log ORDER BY position LIMIT 1"));
    conn.query_one(sql)?.map_or(Ok(true), |row| Ok(position.covers(row.int(0)?, row.int(1)?)))
}

/// Deletes rows from before a time. The last of them stays, and it is marked that others went: so it is known who comes with a place
/// after which something is missing. Answers how many were deleted.
///
/// # Errors
/// The database's.
pub fn trim(conn: &mut Conn, before: i64) -> Result<usize> {
    let before = Value::time(before);
    let old = Sql::new("DELETE FROM change_log WHERE time < ")
        .bind(before.clone())
        .sql(" AND position < (SELECT MAX(position) FROM change_log WHERE time < ")
        .bind(before)
        .sql(")");
    let trimmed = conn.execute(old)?;
    if trimmed > 0 {
        let mark = Sql::new("INSERT INTO log_observer (name, position, update_time) VALUES (")
            .bind_all([Value::from(TRIMMED), Value::from(""), Value::time(time::now_micros())])
            .sql(") ON CONFLICT (name) DO UPDATE SET update_time = excluded.update_time");
        conn.execute(mark)?;
    }
    Ok(trimmed)
}

/// Which rows of the log are wanted; all where nothing is said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Only {
    /// Those of this kind.
    pub kind: Option<&'static str>,
    /// Those that this account sees.
    pub account: Option<Uuid>,
}

/// Reads the rows after a place.
///
/// # Errors
/// The database's.
pub fn after(conn: &mut Conn, place: &Position, only: Only, most: usize) -> Result<Page> {
    let sql = Sql::new(format!("SELECT {} FROM change_log WHERE position > ", columns(conn)));
    // who wants some rows only has seen all of the others, too
    let seen = match &place.0 {
        Place::Row(at) if only.kind.is_some() || only.account.is_some() => last(conn)?.max(*at),
        _ => 0,
    };
    let (sql, batch) = match &place.0 {
        Place::Row(at) => (sql.bind(*at), None),
        Place::Batch { from, until, at } => {
            // the rest of a batch, or the next one
            let until = if *at > 0 { Arc::clone(until) } else { Arc::new(snapshot(conn)?) };
            if until == *from {
                return Ok(Page { rows: Vec::new(), next: place.clone(), more: false });
            }
            let sql = sql
                .bind(*at)
                .sql(" AND transaction >= ")
                .bind(from.xmin.to_string())
                .sql("::text::xid8 AND NOT pg_visible_in_snapshot(transaction, ")
                .bind(from.to_string())
                .sql("::text::pg_snapshot) AND pg_visible_in_snapshot(transaction, ")
                .bind(until.to_string())
                .sql("::text::pg_snapshot)");
            (sql, Some((from, until)))
        }
    };
    let sql = match only.kind {
        Some(kind) => sql.sql(" AND kind = ").bind(kind),
        None => sql,
    };
    let sql = match only.account {
        Some(account) => sql.sql(" AND account_uuid = ").bind(account),
        None => sql,
    };
    let cells = conn.query(sql.sql(format!(" ORDER BY position LIMIT {most}")))?;
    let full = cells.len() == most;
    let rows = cells
        .into_iter()
        .map(|cells| {
            let row = Row::read(cells)?;
            let place = match &batch {
                None => Place::Row(row.position),
                Some((from, until)) => {
                    Place::Batch { from: Arc::clone(from), until: Arc::clone(until), at: row.position }
                }
            };
            Ok((row, Position(place)))
        })
        .collect::<Result<Vec<_>>>()?;
    let last = rows.last().map(|(_, place)| place.clone());
    // a batch that was begun before is followed by what came since
    let resumed = matches!(&place.0, Place::Batch { at: 1.., .. });
    let next = match (batch, full) {
        (Some((_, until)), false) => Position::behind(until),
        (None, false) if seen > rows.last().map_or(0, |(row, _)| row.position) => Position::after(seen),
        (_, _) => last.unwrap_or_else(|| place.clone()),
    };
    Ok(Page { rows, next, more: full || resumed })
}

/// The newest rows that tell of changes of a resource, the newest first.
///
/// # Errors
/// The database's.
pub(crate) fn newest(conn: &mut Conn, kind: &'static str, uuid: Uuid, most: usize) -> Result<Vec<Row>> {
    let sql = Sql::new(format!("SELECT {} FROM change_log WHERE resource_uuid = ", columns(conn)))
        .bind(uuid)
        .sql(" AND kind = ")
        .bind(kind)
        .sql(format!(" AND action IN ('CREATE', 'UPDATE', 'DELETE') ORDER BY position DESC LIMIT {most}"));
    conn.query(sql)?.into_iter().map(Row::read).collect()
}

/// The kind of the rows themselves.
pub(crate) const CHANGE: &str = Change::KIND;
