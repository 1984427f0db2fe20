//! Reading resources: by UUID, and page by page, within what the caller may see.

use gyre_model::{Caller, Error, Result, Uuid};
use gyre_proto::{Page, PageRequest, Resource};
use gyre_store::{Conn, Dialect, Row, Sql};

use crate::filter::{self, Compiler, Expression};
use crate::joins::Joins;
use crate::order::{self, Order};
use crate::page::Window;
use crate::path::suggestion;
use crate::table::{Table, table};
use crate::view::{Rows, View};

/// Page sizes that people ask for: statements with these are kept prepared.
const USUAL_PAGES: [usize; 6] = [10, 20, 50, 100, 500, 1000];

/// Reads the row of one, if it is there and for the caller to see.
pub(crate) fn find_row(conn: &mut Conn, table: &Table, caller: &Caller, uuid: Uuid) -> Result<Option<Row>> {
    let mut sql = Sql::new(table.find(conn.dialect())).bind(uuid);
    if let Some(scope) = View::new(caller, conn.dialect()).scope(table, "") {
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
    find_row(conn, table, caller, uuid)?.map(|row| table.resource_for(&row, caller.admin)).transpose()
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
    let names = table.read_names(conn.dialect());
    let rows = conn.query(Sql::new(format!("SELECT {names} FROM {} WHERE ", table.kind.table)).append(condition))?;
    rows.iter().map(|row| table.resource(row)).collect()
}

/// Refuses a filter that lists of a kind would refuse to a caller, without asking the database anything.
///
/// # Errors
/// `INVALID_ARGUMENT` for a filter that is wrong, or costs too much.
pub fn check(dialect: Dialect, caller: &Caller, kind: &'static str, filter: &str) -> Result<()> {
    let view = View::new(caller, dialect);
    let joins = Joins::new(&view, kind);
    let Some(expression) = filter::parse(filter)? else { return Ok(()) };
    let now = gyre_model::time::now_micros();
    Compiler::new(&view, joins.aliases(), now).condition(&joins.base(), &expression, false).map(drop)
}

/// Which of these resources of a kind the caller may see and a filter lets through: what a stream of changes asks.
///
/// # Errors
/// `INVALID_ARGUMENT` for a filter that is wrong; the database's.
pub fn matching(
    conn: &mut Conn,
    caller: &Caller,
    kind: &'static str,
    filter: &str,
    uuids: &[Uuid],
) -> Result<Vec<Uuid>> {
    let view = View::new(caller, conn.dialect());
    let joins = Joins::new(&view, kind);
    let rows = joins.base();
    let expression = filter::parse(filter)?;
    let mut conditions = vec![Sql::new(format!("{} IN (", rows.name("uuid"))).bind_all(uuids.iter().copied()).sql(")")];
    conditions.extend(condition_of_named(conn, &view, &rows, expression.as_ref())?);
    if uuids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = rows.select(&rows.name("uuid"), Sql::default(), conditions).once();
    conn.query(sql)?.iter().map(|row| row.id(0)).collect()
}

/// The condition of a filter, in two forms that let the same through, and the rows that it is about.
pub(crate) struct Condition<'v> {
    /// What a statement begins with.
    pub rows: Rows<'v>,
    /// For a page in an order.
    pub page: Option<Sql>,
    /// For all at once, in no order.
    pub all: Option<Sql>,
    /// Whether a page first finds out which rows it has: many are looked through in order, and what is asked of them may stand in the
    /// index of the order (PostgreSQL, which looks there only where nothing else is wanted of the row; SQLite does by itself).
    walks: bool,
}

impl Condition<'_> {
    /// The statement for a page: what is wanted of its rows, from where the page before ended, in their order.
    pub fn page(
        self,
        view: &View,
        joins: &Joins<'_>,
        what: &str,
        begin: Option<Sql>,
        order: &Order,
        window: &Window,
    ) -> Sql {
        let conditions = self.page.into_iter().chain(begin).collect();
        let limit = window.limit(view, order);
        if !self.walks {
            return self.rows.select(what, joins.sql(), conditions).sql(limit);
        }
        let uuid = self.rows.name("uuid");
        let found = self.rows.select(&uuid, joins.sql(), conditions).sql(limit);
        let among = Sql::new(format!("{uuid} = ANY (ARRAY(")).append(found).sql("))");
        self.rows.select(what, joins.sql(), vec![among]).sql(order.sql(view.dialect()))
    }
}

/// The condition of a filter over the rows that a statement begins with.
pub(crate) fn condition<'v>(
    conn: &mut Conn,
    view: &View,
    joins: &Joins<'v>,
    filter: Option<&Expression>,
) -> Result<Condition<'v>> {
    debug_assert!(conn.searches(), "what callers ask for as they like is read by Store::search");
    let mut rows = joins.base();
    let Some(expression) = filter else { return Ok(Condition { rows, page: None, all: None, walks: false }) };
    let now = gyre_model::time::now_micros();
    // what is wrong or costs too much is refused before the database is asked anything
    let plain = Compiler::new(view, joins.aliases(), now).condition(&rows, expression, false)?;
    let strategies = filter::choose(conn, view, &rows, expression, now)?;
    if strategies.is_empty() {
        return Ok(Condition { rows, page: Some(plain.clone()), all: Some(plain), walks: false });
    }
    let compiler = |strategies| Compiler::new(view, joins.aliases(), now).with(strategies);
    let mut begins = compiler((*strategies).clone());
    rows = begins.begin(rows, expression)?;
    let page = Some(begins.condition(&rows, expression, false)?);
    let all = if rows.begun() {
        page.clone()
    } else {
        Some(compiler(strategies.of_all(expression)).condition(&rows, expression, false)?)
    };
    let walks = view.dialect() == Dialect::Postgres && !rows.begun() && strategies.walks(expression);
    Ok(Condition { rows, page, all, walks })
}

/// The condition of a filter over rows that a statement names by itself, and so begins with.
pub(crate) fn condition_of_named(
    conn: &mut Conn,
    view: &View,
    rows: &Rows<'_>,
    filter: Option<&Expression>,
) -> Result<Option<Sql>> {
    debug_assert!(conn.searches(), "what callers ask for as they like is read by Store::search");
    let Some(expression) = filter else { return Ok(None) };
    let now = gyre_model::time::now_micros();
    let plain = Compiler::new(view, 0, now).condition(rows, expression, false)?;
    let strategies = filter::choose(conn, view, rows, expression, now)?;
    if strategies.is_empty() {
        return Ok(Some(plain));
    }
    Compiler::new(view, 0, now).with((*strategies).clone()).condition(rows, expression, false).map(Some)
}

/// The columns that a mask names, or all, as far as the caller sees them: their places, and whether the tags are wanted.
fn masked(view: &View, table: &Table, paths: &[String]) -> Result<(Vec<usize>, bool)> {
    let seen = |at: &usize| !table.columns[*at].hidden(view.admin());
    if paths.is_empty() || paths.iter().any(|path| path == "*") {
        return Ok(((0..table.columns.len()).filter(seen).collect(), table.has_tags()));
    }
    let mut wanted = vec![false; table.columns.len()];
    for path in paths {
        if let Some((at, _)) = table.column(path) {
            wanted[at] = true;
        } else if !table.unstored.iter().any(|field| field.name == path || field.json_name == path) {
            let names = table.columns.iter().map(|column| column.field.name);
            let text = format!("{} has no field {path:?}{}", table.kind.kind, suggestion(names, path));
            return Err(Error::invalid("read_mask", text));
        }
    }
    let tags = table.has_tags() && paths.iter().any(|path| path == "tags");
    Ok(((0..wanted.len()).filter(|at| wanted[*at] && seen(at)).collect(), tags))
}

/// What to select for these columns and for the keys of an order. Keys that are among the columns are read there.
fn selected(view: &View, joins: &Joins<'_>, columns: &[usize], tags: bool, order: &mut Order) -> String {
    let base = joins.base();
    let mut names: Vec<String> = columns.iter().map(|at| base.column(&base.table.columns[*at])).collect();
    if tags {
        names.push(base.tags(view));
    }
    for key in &mut order.keys {
        let plain = key.sql.trim_end_matches(" COLLATE \"C\"");
        key.place = names.iter().position(|name| name == plain).unwrap_or_else(|| {
            names.push(plain.to_owned());
            names.len() - 1
        });
    }
    names.join(", ")
}

/// Reads a page of a list.
///
/// # Errors
/// `INVALID_ARGUMENT` for a filter, an order, a mask or a token that is wrong.
pub fn list<P: Page>(conn: &mut Conn, caller: &Caller, page: PageRequest<'_>) -> Result<P> {
    let table = table::<P::Item>();
    let view = View::new(caller, conn.dialect());
    let window = Window::new(&view, page.page_size, &["list", table.kind.kind, page.filter, page.order_by])?;
    let mut joins = Joins::new(&view, table.kind.kind);
    let mut order = order::parse(&view, &mut joins, page.order_by)?;
    let (columns, tags) = masked(&view, table, page.read_mask)?;
    let expression = filter::parse(page.filter)?;
    let begin = window.begin(&order, page.page_token)?;
    let condition = condition(conn, &view, &joins, expression.as_ref())?;
    let what = selected(&view, &joins, &columns, tags, &mut order);
    // what a caller can word as it likes would fill the connections' memory with prepared statements
    let usual = page.read_mask.is_empty() && order.keys.len() <= 2 && joins.aliases() == 0;
    let once = condition.page.is_some() || !usual || !USUAL_PAGES.contains(&window.size);
    let total = page.count.then(|| count(&condition.rows, condition.all.clone()).once());
    let mut sql = condition.page(&view, &joins, &what, begin, &order, &window);
    if once {
        sql = sql.once();
    }
    let mut rows = conn.query(sql)?;
    let next = window.end(&order, &mut rows)?;
    let items = rows.iter().map(|row| table.part(row, &columns, tags)).collect::<Result<Vec<_>>>()?;
    let total = match total {
        Some(total) => {
            let row = conn.query_one(total)?;
            Some(row.ok_or_else(|| Error::internal("a count answered nothing"))?.int(0)?)
        }
        None => None,
    };
    Ok(P::new(items, next, total))
}

/// The statement that counts all that a condition lets through.
pub(crate) fn count(rows: &Rows<'_>, condition: Option<Sql>) -> Sql {
    rows.select("COUNT(*)", Sql::default(), condition.into_iter().collect())
}
