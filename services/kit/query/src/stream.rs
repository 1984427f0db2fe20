//! Reading for streams of changes: what is in a list by a filter, of any kind, as messages.

use gyre_model::{Caller, Result, Uuid};
use gyre_store::{Conn, Row, Sql};

use crate::filter;
use crate::joins::Joins;
use crate::read::{condition, condition_of_named};
use crate::table::by_kind;
use crate::view::View;

/// What says that a resource is one of some.
const AMONG: &str = "uuid IN ";

/// A resource as a stream sends it.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its identity.
    pub uuid: Uuid,
    /// Its generation; 0 for what has none.
    pub generation: i64,
    /// Its message.
    pub message: Vec<u8>,
}

/// The next resources of a list by their UUIDs, after one.
///
/// # Errors
/// `INVALID_ARGUMENT` for a filter that is wrong; the database's.
pub fn page(
    conn: &mut Conn,
    caller: &Caller,
    kind: &'static str,
    filter: &str,
    after: Option<Uuid>,
    most: usize,
) -> Result<Vec<Found>> {
    let after = after.map(|after| ("uuid > ", vec![after]));
    whole(conn, caller, kind, filter, after, &format!(" ORDER BY r0.uuid LIMIT {most}"))
}

/// Those of these resources that are in a list.
///
/// # Errors
/// As [`page`].
pub fn among(conn: &mut Conn, caller: &Caller, kind: &'static str, filter: &str, uuids: &[Uuid]) -> Result<Vec<Found>> {
    if uuids.is_empty() {
        return Ok(Vec::new());
    }
    whole(conn, caller, kind, filter, Some((AMONG, uuids.to_vec())), "")
}

/// The UUIDs of all that is in a list, each with its generation; at most so many.
///
/// # Errors
/// As [`page`].
pub fn keys(
    conn: &mut Conn,
    caller: &Caller,
    kind: &'static str,
    filter: &str,
    most: usize,
) -> Result<Vec<(Uuid, i64)>> {
    let generation = if by_kind(kind).column("generation").is_some() { "r0.generation" } else { "0" };
    let what = format!("r0.uuid, {generation}");
    let rows = select(conn, caller, kind, filter, &what, false, None, &format!(" LIMIT {most}"))?;
    rows.iter().map(|row| Ok((row.id(0)?, row.int(1)?))).collect()
}

fn whole(
    conn: &mut Conn,
    caller: &Caller,
    kind: &'static str,
    filter: &str,
    which: Option<(&str, Vec<Uuid>)>,
    end: &str,
) -> Result<Vec<Found>> {
    let table = by_kind(kind);
    let names: Vec<_> = table.columns.iter().map(|column| format!("r0.{}", column.field.name)).collect();
    let place = |name: &str| table.column(name).map(|(at, _)| at);
    let (uuid, generation) = (place("uuid").unwrap_or_default(), place("generation"));
    let rows = select(conn, caller, kind, filter, &names.join(", "), table.has_tags(), which, end)?;
    let found = rows.iter().map(|row| {
        let generation = generation.map_or(Ok(0), |at| row.int(at))?;
        Ok(Found { uuid: row.id(uuid)?, generation, message: table.message_for(row, caller.admin)? })
    });
    found.collect()
}

#[allow(clippy::too_many_arguments, reason = "the parts of one statement")]
fn select(
    conn: &mut Conn,
    caller: &Caller,
    kind: &'static str,
    filter: &str,
    what: &str,
    tags: bool,
    which: Option<(&str, Vec<Uuid>)>,
    end: &str,
) -> Result<Vec<Row>> {
    let view = View::new(caller, conn.dialect());
    let joins = Joins::new(&view, kind);
    let expression = filter::parse(filter)?;
    let base = joins.base();
    let what = if tags { format!("{what}, {}", base.tags(&view)) } else { what.to_owned() };
    let named = which.as_ref().is_some_and(|(sign, _)| *sign == AMONG);
    let (rows, condition) = if named {
        let condition = condition_of_named(conn, &view, &base, expression.as_ref())?;
        (base, condition)
    } else {
        let condition = condition(conn, &view, &joins, expression.as_ref())?;
        (condition.rows, condition.page)
    };
    let mut conditions: Vec<Sql> = condition.into_iter().collect();
    if let Some((sign, uuids)) = which {
        conditions.push(Sql::new(format!("r0.{sign}(")).bind_all(uuids).sql(")"));
    }
    let sql = rows.select(&what, Sql::default(), conditions).sql(end.to_owned()).once();
    Ok(conn.query(sql)?)
}
