//! Reading resources: by UUID, and page by page, within what the caller may see.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gyre_model::catalog::Scope;
use gyre_model::{Caller, Error, Result, Uuid};
use gyre_proto::{Page, PageRequest, Resource};
use gyre_store::{Conn, Dialect, Row, Sql, Value};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::filter;
use crate::order::{self, Order};
use crate::table::{Table, table};

/// Rows in a page when the request does not say.
pub const DEFAULT_PAGE: i32 = 100;
/// Most rows in a page.
pub const LARGEST_PAGE: i32 = 1000;

/// The condition that keeps to what a caller may see; nothing for administrators and for what everybody sees.
pub fn scope(table: &Table, caller: &Caller) -> Option<Sql> {
    if caller.admin {
        return None;
    }
    match table.scope() {
        Scope::Global => None,
        Scope::Admin => Some(Sql::new("1 = 0")),
        Scope::Account | Scope::Unspecified => {
            let owner = if table.account().is_some() { "account_uuid = " } else { "uuid = " };
            let own = Sql::new(owner).bind(caller.account_uuid);
            Some(if table.has_shared() {
                Sql::new("(").append(own).sql(" OR shared = ").bind(true).sql(")")
            } else {
                own
            })
        }
    }
}

fn select_from(table: &Table, dialect: Dialect) -> Sql {
    Sql::new(format!("SELECT {} FROM {}", table.read_names(dialect), table.kind.table))
}

/// Reads the row of one, if it is there and for the caller to see.
pub(crate) fn find_row(conn: &mut Conn, table: &Table, caller: &Caller, uuid: Uuid) -> Result<Option<Row>> {
    let mut sql = select_from(table, conn.dialect()).sql(" WHERE uuid = ").bind(uuid);
    if let Some(scope) = scope(table, caller) {
        sql = sql.sql(" AND ").append(scope);
    }
    Ok(conn.query_one(sql)?)
}

/// Reads one, if it is there and for the caller to see.
///
/// # Errors
/// The database's.
pub fn find<R: Resource>(conn: &mut Conn, caller: &Caller, uuid: Uuid) -> Result<Option<R>> {
    let table = table::<R>();
    find_row(conn, table, caller, uuid)?.map(|row| table.resource(&row)).transpose()
}

/// Reads one.
///
/// # Errors
/// `NOT_FOUND`, also for what is not for the caller to see.
pub fn get<R: Resource>(conn: &mut Conn, caller: &Caller, uuid: Uuid) -> Result<R> {
    find(conn, caller, uuid)?.ok_or_else(|| Error::not_found(R::KIND, uuid))
}

/// Reads those that fulfil a condition, for the owning service's own work: no scope is put in.
/// The condition follows `WHERE`, and may go on with `ORDER BY` and `LIMIT`.
///
/// # Errors
/// The database's.
pub fn select<R: Resource>(conn: &mut Conn, condition: Sql) -> Result<Vec<R>> {
    let table = table::<R>();
    let rows = conn.query(select_from(table, conn.dialect()).sql(" WHERE ").append(condition))?;
    rows.iter().map(|row| table.resource(row)).collect()
}

/// Where a page ended: the sort key of its last row, and a hash of what was asked, so that a token fits its question only.
#[derive(Serialize, Deserialize)]
struct Token {
    h: u64,
    k: Vec<serde_json::Value>,
}

fn question(table: &Table, caller: &Caller, page: &PageRequest<'_>) -> u64 {
    let text =
        format!("{}\0{}\0{}\0{}\0{}", table.kind.kind, caller.account_uuid, caller.admin, page.filter, page.order_by);
    xxh3_64(text.as_bytes())
}

fn bad_token() -> Error {
    Error::invalid("page_token", "must be the next_page_token of the page before, with the same filter and order_by")
}

/// Reads a page of a list.
///
/// # Errors
/// `INVALID_ARGUMENT` for a filter, an order or a token that is wrong.
pub fn list<P: Page>(conn: &mut Conn, caller: &Caller, page: PageRequest<'_>) -> Result<P> {
    let table = table::<P::Item>();
    let size = match page.page_size {
        0 => DEFAULT_PAGE,
        size if (1..=LARGEST_PAGE).contains(&size) => size,
        size => return Err(Error::invalid("page_size", format!("must be between 0 and {LARGEST_PAGE}, got {size}"))),
    };
    let order = order::parse(table, page.order_by, conn.dialect())?;
    let mut sql = select_from(table, conn.dialect()).sql(" WHERE 1 = 1");
    if let Some(scope) = scope(table, caller) {
        sql = sql.sql(" AND ").append(scope);
    }
    if let Some(condition) = filter::compile(table, page.filter)? {
        sql = sql.sql(" AND (").append(condition).sql(")");
    }
    let hash = question(table, caller, &page);
    if !page.page_token.is_empty() {
        let bytes = URL_SAFE_NO_PAD.decode(page.page_token).map_err(|_| bad_token())?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|_| bad_token())?;
        if token.h != hash || token.k.len() != order.keys.len() {
            return Err(bad_token());
        }
        sql = sql.sql(" AND (").append(after(&order, &token.k)?).sql(")");
    }
    sql = sql.sql(order.sql()).sql(format!(" LIMIT {}", size + 1));
    let mut rows = conn.query(sql)?;
    let more = rows.len() > usize::try_from(size).unwrap_or(usize::MAX);
    let next = if more {
        rows.pop();
        let last = rows.last().ok_or_else(|| Error::internal("an empty page with more to come"))?;
        let key = order.keys.iter().map(|key| key.token(last)).collect::<Result<Vec<_>>>()?;
        let token = serde_json::to_vec(&Token { h: hash, k: key }).map_err(Error::internal)?;
        URL_SAFE_NO_PAD.encode(token)
    } else {
        String::new()
    };
    let items = rows.iter().map(|row| table.resource(row)).collect::<Result<Vec<_>>>()?;
    Ok(P::new(items, next))
}

/// The rows after a sort key: `a > x OR (a = x AND b > y) …`.
fn after(order: &Order, key: &[serde_json::Value]) -> Result<Sql> {
    let mut condition = Sql::default();
    let values = order
        .keys
        .iter()
        .zip(key)
        .map(|(column, value)| column.value(value).ok_or_else(bad_token))
        .collect::<Result<Vec<Value>>>()?;
    for (at, column) in order.keys.iter().enumerate() {
        if at > 0 {
            condition.push(" OR ");
        }
        condition.push("(");
        for (before, value) in order.keys.iter().zip(&values).take(at) {
            condition.push(format!("{} = ", before.expression));
            condition.push_bind(value.clone());
            condition.push(" AND ");
        }
        condition.push(format!("{} {} ", column.expression, if column.descending { "<" } else { ">" }));
        condition.push_bind(values[at].clone());
        condition.push(")");
    }
    Ok(condition)
}
