//! Changing resources whose kind is only known by its name: what deletions do to whatever refers to what is deleted. Everything
//! that goes with a change of any resource goes with these, too.

use gyre_model::catalog::FieldInfo;
use gyre_model::{Caller, Error, Result, Uuid, time};
use gyre_store::{Conn, Dialect, Sql, Value};

use crate::table::{Table, by_kind};
use crate::write::{Change, log};
use crate::{read, settings, tags};

/// Deletes a resource with its tags and its own settings. Answers whether it was there.
///
/// # Errors
/// The database's.
pub fn delete(conn: &mut Conn, change: &Change, kind: &str, uuid: Uuid) -> Result<bool> {
    let table = by_kind(kind);
    let Some(before) = read::find_row(conn, table, &Caller::system(), uuid)? else { return Ok(false) };
    let tagged = !table.tags(&before)?.is_empty();
    delete_read(conn, change, table, uuid, (&table.message(&before)?, tagged))?;
    Ok(true)
}

/// Deletes what was read in this transaction: its message, and whether it has tags. Answers whether it was still there.
pub(crate) fn delete_read(
    conn: &mut Conn,
    change: &Change,
    table: &Table,
    uuid: Uuid,
    (before, tagged): (&[u8], bool),
) -> Result<bool> {
    if conn.execute(Sql::new(format!("DELETE FROM {} WHERE uuid = ", table.kind.table)).bind(uuid))? == 0 {
        return Ok(false);
    }
    if tagged {
        tags::remove_all(conn, change, uuid)?;
    }
    if settings::is_target(table.kind.kind) {
        settings::forget(conn, change, uuid)?;
    }
    log(conn, change, table.kind, uuid, Some(before), None)?;
    Ok(true)
}

/// Clears a reference to any of these, in so many rows at most. Answers in how many.
///
/// # Errors
/// The database's.
pub fn clear(
    conn: &mut Conn,
    change: &Change,
    kind: &str,
    field: &FieldInfo,
    targets: &[Uuid],
    most: usize,
) -> Result<usize> {
    let table = by_kind(kind);
    let (name, column) = (table.kind.table, field.name);
    let mut sql = Sql::new(format!("SELECT uuid FROM {name} WHERE {column} IN ("))
        .bind_all(targets.iter().copied())
        .sql(format!(") ORDER BY uuid LIMIT {most}"));
    if conn.dialect() == Dialect::Postgres {
        sql.push(" FOR UPDATE");
    }
    let rows = conn.query(sql)?.iter().map(|row| row.id(0)).collect::<Result<Vec<_>>>()?;
    for uuid in &rows {
        let Some(before) = read::find_row(conn, table, &Caller::system(), *uuid)? else { continue };
        let sql = Sql::new(format!("UPDATE {name} SET generation = generation + 1, {column} = NULL, update_time = "))
            .bind(Value::time(time::now_micros()))
            .sql(" WHERE uuid = ")
            .bind(*uuid);
        conn.execute(sql)?;
        let after = read::find_row(conn, table, &Caller::system(), *uuid)?;
        let after = after.ok_or_else(|| Error::internal("a held row went away"))?;
        log(conn, change, table.kind, *uuid, Some(&table.message(&before)?), Some(&table.message(&after)?))?;
    }
    Ok(rows.len())
}
