//! The call `Query`: rows of any kind with whatever fields are wanted, groups with sums, a count, or the plan of all that.

use gyre_model::catalog::{FieldInfo, KindInfo, catalog};
use gyre_model::{Caller, Error, Result};
use gyre_store::{Conn, Dialect, Row, Sql, Type};
use serde_json::{Map, Value as Json};

use crate::answer::{self, Record};
use crate::filter::{self, letters};
use crate::joins::{Field, Joins, Shown};
use crate::order::{self, Key, Order};
use crate::page::Window;
use crate::path::suggestion;
use crate::read::{condition, count};
use crate::table::{Column, by_kind, tags_at};
use crate::view::View;

/// Most fields, and most groups and sums, that one query shows.
const MOST: usize = 64;

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// The kind, or its plural.
    pub kind: String,
    /// Which rows.
    pub filter: String,
    /// In which order.
    pub order_by: String,
    /// How many at most.
    pub page_size: i32,
    /// Where the page before ended.
    pub page_token: String,
    /// The paths to show; all fields of the kind where there are none.
    pub fields: Vec<String>,
    /// The paths to group by.
    pub group_by: Vec<String>,
    /// The numbers to sum up in each group.
    pub sum: Vec<String>,
    /// The values of which the smallest in each group is wanted.
    pub min: Vec<String>,
    /// The values of which the largest is wanted.
    pub max: Vec<String>,
    /// Whether to count all rows, or groups.
    pub count: bool,
    /// Whether only the plan is wanted.
    pub explain: bool,
}

/// What is answered.
#[derive(Debug, Default)]
pub struct Answer {
    /// The rows or groups.
    pub rows: Vec<Record>,
    /// Where the next page begins; empty after the last.
    pub next_page_token: String,
    /// How many there are in all, where that was asked.
    pub total_size: Option<i64>,
    /// How it would be found out, where that was asked.
    pub plan: Option<Plan>,
}

/// How the database finds out.
#[derive(Debug)]
pub struct Plan {
    /// The statement, with `?` for each value.
    pub sql: String,
    /// What the database says that it would do; administrators only.
    pub database: Vec<String>,
}

/// A column of what is answered.
struct Output {
    path: Vec<&'static str>,
    /// The field; none where it is a row's tags.
    field: Option<Field>,
    ty: Type,
    /// In SQL, where rows are grouped.
    sql: String,
    aggregate: bool,
}

/// A statement, and how its rows become records.
struct Asked {
    statement: Sql,
    outputs: Vec<Output>,
    order: Order,
    /// The place of the number of rows in a group.
    counted: Option<usize>,
    /// The statement that counts all.
    whole: Sql,
}

/// Answers a question within what a caller may see.
///
/// # Errors
/// `INVALID_ARGUMENT` that names what is wrong; the database's.
pub fn ask(conn: &mut Conn, caller: &Caller, question: &Question) -> Result<Answer> {
    let view = View::new(caller, conn.dialect());
    let kind = kind(&view, &question.kind)?;
    let lists = [&question.fields, &question.group_by, &question.sum, &question.min, &question.max];
    if lists.iter().any(|list| list.len() > MOST) {
        return Err(Error::invalid("fields", format!("at most {MOST} can be asked for")));
    }
    let asked: Vec<_> = lists.iter().map(|list| list.join(",")).collect();
    let mut parts = vec!["query", kind.kind, &question.filter, &question.order_by];
    parts.extend(asked[1..].iter().map(String::as_str));
    let window = Window::new(&view, question.page_size, &parts)?;
    let grouped = lists[1..].iter().any(|list| !list.is_empty());
    if grouped && !question.fields.is_empty() {
        return Err(Error::invalid("fields", "groups have the fields of group_by: leave fields empty"));
    }
    let asked = if grouped {
        groups(conn, &view, kind, question, &window)?
    } else {
        rows(conn, &view, kind, question, &window)?
    };
    if question.explain {
        let database = if view.admin() { explain(conn, asked.statement.clone())? } else { Vec::new() };
        return Ok(Answer { plan: Some(Plan { sql: asked.statement.text(), database }), ..Answer::default() });
    }
    let mut found = conn.query(asked.statement.once())?;
    let next_page_token = window.end(&asked.order, &mut found)?;
    let rows = found.iter().map(|row| record(row, &asked.outputs, asked.counted)).collect::<Result<Vec<_>>>()?;
    let total_size = if question.count {
        let row = conn.query_one(asked.whole.once())?;
        Some(row.ok_or_else(|| Error::internal("a count answered nothing"))?.int(0)?)
    } else {
        None
    };
    Ok(Answer { rows, next_page_token, total_size, plan: None })
}

/// The kind that is meant, by its name or its plural, in whatever spelling.
fn kind(view: &View, text: &str) -> Result<&'static KindInfo> {
    let plain = |text: &str| text.replace(['-', '_'], "").to_ascii_lowercase();
    let wanted = plain(text);
    let known = || catalog().kinds().filter(|kind| view.knows(kind.kind));
    known().find(|kind| plain(kind.kind) == wanted || plain(kind.plural) == wanted).ok_or_else(|| {
        let names = known().map(|kind| kind.kind);
        Error::invalid("kind", format!("there is no kind {text:?}{}", suggestion(names, text)))
    })
}

/// Rows with their fields.
fn rows(conn: &mut Conn, view: &View, kind: &'static KindInfo, question: &Question, window: &Window) -> Result<Asked> {
    let mut joins = Joins::new(view, kind.kind);
    let mut outputs = Vec::new();
    // a list whose elements have rows of their own is asked by those rows
    let elsewhere = |field: &FieldInfo| field.repeated && catalog().edge(kind.kind, field.name).is_some();
    let seen = |column: &Column| !column.field.rule.secret && !column.hidden(view.admin());
    let shown = |column: &&Column| seen(column) && column.ty != Type::Bytes && !elsewhere(column.field);
    let own = by_kind(kind.kind).columns.iter().filter(shown);
    let all: Vec<String> = match question.fields.iter().any(|field| field != "*") {
        true => question.fields.clone(),
        false => {
            let tags = by_kind(kind.kind).has_tags().then(|| "tags".to_owned());
            own.map(|column| column.field.name.to_owned()).chain(tags).collect()
        }
    };
    for name in &all {
        let Shown { path, sql, field } = joins.shown("fields", name.trim())?;
        let ty = field.as_ref().map_or(Type::Text, |field| field.ty);
        if ty == Type::Bytes {
            return Err(Error::invalid("fields", format!("{name} has no form in JSON")));
        }
        outputs.push(Output { path, field, ty, sql, aggregate: false });
    }
    let mut order = order::parse(view, &mut joins, &question.order_by)?;
    let expression = filter::parse(&question.filter)?;
    let begin = window.begin(&order, &question.page_token)?;
    let condition = condition(conn, view, &joins, expression.as_ref())?;
    let mut names: Vec<String> = outputs.iter().map(|output| output.sql.clone()).collect();
    for key in &mut order.keys {
        key.place = names.len();
        names.push(key.sql.clone());
    }
    let whole = count(&condition.rows, condition.all.clone());
    let statement = condition.page(view, &joins, &names.join(", "), begin, &order, window);
    Ok(Asked { statement, outputs, order, counted: None, whole })
}

/// Groups with their counts, sums, smallest and largest.
fn groups(
    conn: &mut Conn,
    view: &View,
    kind: &'static KindInfo,
    question: &Question,
    window: &Window,
) -> Result<Asked> {
    let mut joins = Joins::new(view, kind.kind);
    let mut outputs = Vec::new();
    for name in &question.group_by {
        let field = joins.field("group_by", 0, name.trim())?;
        if matches!(field.ty, Type::Json | Type::Bytes) {
            return Err(Error::invalid("group_by", format!("rows cannot be grouped by {name}")));
        }
        let (path, ty, sql) = (field.path.clone(), field.ty, field.sorted(view));
        outputs.push(Output { path, field: Some(field), ty, sql, aggregate: false });
    }
    let keys = outputs.len();
    for (function, names) in [("sum", &question.sum), ("min", &question.min), ("max", &question.max)] {
        for name in names {
            let field = joins.field(function, 0, name.trim())?;
            let sql = aggregate(view.dialect(), function, &field)
                .ok_or_else(|| Error::invalid(function, format!("{name} has no {function}")))?;
            let path = std::iter::once(function).chain(field.path.iter().copied()).collect();
            let ty = field.ty;
            outputs.push(Output { path, field: Some(field), ty, sql, aggregate: true });
        }
    }
    let expression = filter::parse(&question.filter)?;
    let condition = condition(conn, view, &joins, expression.as_ref())?;
    let mut what = vec!["COUNT(*) AS n".to_owned()];
    what.extend(outputs.iter().enumerate().map(|(at, output)| format!("{} AS c{at}", output.sql)));
    let mut inner = condition.rows.select(&what.join(", "), joins.sql(), condition.all.into_iter().collect());
    if keys > 0 {
        let by: Vec<_> = outputs[..keys].iter().map(|output| output.sql.as_str()).collect();
        inner = inner.sql(format!(" GROUP BY {}", by.join(", ")));
    }
    let mut order = Order { keys: Vec::new() };
    for wish in order::wishes(&question.order_by)? {
        let key = output_key(view, &outputs, &wish).ok_or_else(|| {
            let names: Vec<_> = outputs.iter().map(|output| output.path.join(".")).collect();
            let text = format!(
                "groups are sorted by count{}{}, at character {}",
                if names.is_empty() { "" } else { ", " },
                names.join(", "),
                wish.at + 1
            );
            Error::invalid("order_by", text)
        })?;
        order.add(key);
    }
    // what a group is grouped by tells it from all others
    for at in 0..keys {
        order.add(key(view, &outputs, at, false));
    }
    if order.keys.is_empty() {
        order.add(Key { sql: "g.n".into(), ty: Type::Int, nullable: false, descending: false, place: 0 });
    }
    let begin = window.begin(&order, &question.page_token)?;
    let names: Vec<_> = (0..outputs.len()).map(|at| format!(", g.c{at}")).collect();
    let mut statement = Sql::new(format!("SELECT g.n{} FROM (", names.concat())).append(inner.clone()).sql(") g");
    if let Some(begin) = begin {
        statement = statement.sql(" WHERE ").append(begin);
    }
    let statement = statement.sql(window.limit(view, &order));
    let whole = Sql::new("SELECT COUNT(*) FROM (").append(inner).sql(") g");
    Ok(Asked { statement, outputs, order, counted: Some(0), whole })
}

/// An aggregate of a field; nothing where the field has none.
fn aggregate(dialect: Dialect, function: &str, field: &Field) -> Option<String> {
    let sql = &field.sql;
    Some(match (function, field.ty, dialect) {
        // sums end at the largest number rather than fail
        ("sum", Type::Int, Dialect::Sqlite) => {
            format!("CAST(SUM({sql} >> 32) * 4294967296 + SUM({sql} & 4294967295) AS INTEGER)")
        }
        ("sum", Type::Int, Dialect::Postgres) => {
            // LEAST and GREATEST pass over what is nothing, and the sum of nothing is nothing
            format!(
                "CAST(CASE WHEN SUM({sql}) IS NOT NULL THEN \
                 LEAST(GREATEST(SUM({sql}), -9223372036854775808), 9223372036854775807) END AS bigint)"
            )
        }
        ("sum", Type::Float, _) => format!("SUM({sql})"),
        ("min" | "max", Type::Int | Type::Float | Type::Time, _) => format!("{function}({sql})"),
        ("min" | "max", Type::Text, _) if field.field.values.is_empty() => {
            format!("{function}({})", letters(dialect, sql))
        }
        _ => return None,
    })
}

/// The key that sorts groups by one of their columns.
fn key(view: &View, outputs: &[Output], at: usize, descending: bool) -> Key {
    let output = &outputs[at];
    let name = format!("g.c{at}");
    let sql = if output.ty == Type::Text { letters(view.dialect(), &name) } else { name };
    let nullable = output.aggregate || output.field.as_ref().is_none_or(|field| field.nullable);
    Key { sql, ty: output.ty, nullable, descending, place: at + 1 }
}

/// The key for a word of `order_by`: "count", "sum.memory_bytes", a path that is grouped by.
fn output_key(view: &View, outputs: &[Output], wish: &order::Wish<'_>) -> Option<Key> {
    if wish.name == "count" {
        let descending = wish.descending;
        return Some(Key { sql: "g.n".into(), ty: Type::Int, nullable: false, descending, place: 0 });
    }
    let wanted = |name: &str| name.split('.').map(answer::camel).eq(wish.name.split('.').map(answer::camel));
    let at = outputs.iter().position(|output| wanted(&output.path.join(".")))?;
    Some(key(view, outputs, at, wish.descending))
}

fn record(row: &Row, outputs: &[Output], counted: Option<usize>) -> Result<Record> {
    let mut record = Map::new();
    let first = usize::from(counted.is_some());
    for (at, output) in outputs.iter().enumerate() {
        let summed = output.aggregate && output.path[0] == "sum" && output.ty == Type::Int && !row.is_null(at + first);
        let value = match &output.field {
            None => Json::from(tags_at(row, at + first)?),
            Some(_) if summed => Json::from(row.int(at + first)?.to_string()),
            Some(field) => answer::value(row, at + first, output.ty, field.field)?,
        };
        answer::put(&mut record, &output.path, value);
    }
    if let Some(place) = counted {
        record.insert("count".to_owned(), Json::from(row.int(place)?.to_string()));
    }
    Ok(record)
}

/// What the database says that it would do.
fn explain(conn: &mut Conn, statement: Sql) -> Result<Vec<String>> {
    match conn.dialect() {
        Dialect::Sqlite => {
            let rows = conn.query(Sql::new("EXPLAIN QUERY PLAN ").append(statement).once())?;
            let mut depths: Vec<(i64, usize)> = Vec::new();
            let line = |row: &Row| {
                let (id, parent) = (row.int(0)?, row.int(1)?);
                let depth = depths.iter().rev().find(|(known, _)| *known == parent).map_or(0, |(_, depth)| depth + 1);
                depths.push((id, depth));
                Ok(format!("{}{}", "  ".repeat(depth), row.text(3)?))
            };
            rows.iter().map(line).collect()
        }
        Dialect::Postgres => {
            let rows = conn.query(Sql::new("EXPLAIN ").append(statement).once())?;
            rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
        }
    }
}
