//! Who looks: the one place where the rows of a table come into a statement, and with them what the looker may see of them.
//!
//! # Theory
//! The compiler of queries names no table itself. It asks a [`View`] for the [`Rows`] of a table under an alias, and can only put
//! them into a statement by [`Rows::select`], [`Rows::exists`], [`Rows::values`] and [`Rows::join`]. Each of them writes the
//! condition that keeps to what the caller may see: of the rows that are asked for, and of every row that a path goes through.
//! So it cannot be left out. A row that is not for the caller's eyes is for them as if it were not there. [`Rows::touched`] alone
//! leaves it out: it says how much a list makes the database read, which decides how a question is asked and not what it answers.
//!
//! How a list is begun with on PostgreSQL ([`Rows::through`]), so that it is begun with whatever the planner's statistics say: its
//! elements are rows of their own, and each looks up the rows that have it (`CROSS JOIN LATERAL`). `OFFSET 0` keeps the two apart, so that
//! the planner can neither walk along the index of the order, nor look through the table once and for all. `BETWEEN` says nothing
//! that `=` has not said; but of a range whose ends it does not know, the planner takes it that one row in 200 lies in it, however few
//! different values a column has, and so it takes the column's index. Without it, it looks through all machines for the few that have
//! a rare image, where there are ten images.

use std::borrow::Cow;

use gyre_model::catalog::{Scope, catalog};
use gyre_model::{Caller, Uuid, parse_uuid, wire};
use gyre_proto::Resource;
use gyre_store::{Dialect, Sql};

use crate::table::{Column, Table, by_kind, table, tags_of};

/// Who looks, and at which kind of database.
#[derive(Debug, Clone, Copy)]
pub struct View {
    account: Uuid,
    admin: bool,
    dialect: Dialect,
}

/// The rows of a table that a caller may see, under an alias.
pub(crate) struct Rows<'v> {
    view: &'v View,
    /// Which table.
    pub table: &'static Table,
    alias: usize,
    /// The column that must have a value of a list, which a statement begins with.
    through: Option<(&'static str, Sql)>,
}

impl View {
    /// What this caller sees.
    pub fn new(caller: &Caller, dialect: Dialect) -> Self {
        Self { account: caller.account_uuid, admin: caller.admin, dialect }
    }

    /// Which database is asked.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether it is an administrator who looks.
    pub fn admin(&self) -> bool {
        self.admin
    }

    /// The account that looks.
    pub fn account(&self) -> Uuid {
        self.account
    }

    /// What this caller sees of a kind's rows.
    pub(crate) fn rows(&self, kind: &str, alias: usize) -> Rows<'_> {
        Rows { view: self, table: by_kind(kind), alias, through: None }
    }

    /// Which kinds there are for this caller.
    pub(crate) fn knows(&self, kind: &str) -> bool {
        catalog().kind(kind).is_some_and(|kind| self.admin || kind.scope != Scope::Admin)
    }

    /// The condition that keeps to what may be seen; nothing where everything may. What it says of columns begins with `prefix`.
    pub(crate) fn scope(&self, table: &Table, prefix: &str) -> Option<Sql> {
        if self.admin {
            return None;
        }
        match table.scope() {
            Scope::Global => None,
            Scope::Admin => Some(Sql::new("1 = 0")),
            Scope::Account | Scope::Unspecified => Some(self.owned(table, prefix)),
        }
    }

    /// The same asked of a resource at hand: whether it may be seen.
    pub fn sees<R: Resource>(&self, resource: &R) -> bool {
        let table = table::<R>();
        match table.scope() {
            _ if self.admin => true,
            Scope::Global => true,
            Scope::Admin => false,
            Scope::Account | Scope::Unspecified => {
                let message = resource.encode_to_vec();
                let owner = parse_uuid(resource.uuid()).and_then(|uuid| table.owner(uuid, &message));
                let shared =
                    table.column("shared").is_some_and(|(_, column)| wire::has(&message, &[column.field.number]));
                owner == Some(self.account) || shared
            }
        }
    }

    /// What the caller's account owns, and what all may see of what others own.
    fn owned(&self, table: &Table, prefix: &str) -> Sql {
        let owner = if table.account().is_some() { "account_uuid = " } else { "uuid = " };
        // reading by UUID, which is done most, puts no text together
        let name = |name: &'static str| match prefix {
            "" => Cow::Borrowed(name),
            prefix => Cow::Owned(format!("{prefix}{name}")),
        };
        let own = Sql::new(name(owner)).bind(self.account);
        if table.has_shared() {
            Sql::new("(").append(own).sql(" OR ").sql(name("shared = ")).bind(true).sql(")")
        } else {
            own
        }
    }
}

impl Rows<'_> {
    /// A column of theirs, in SQL.
    pub fn column(&self, column: &Column) -> String {
        self.name(column.field.name)
    }

    /// A column of theirs by its name, in SQL.
    pub fn name(&self, column: &str) -> String {
        format!("r{}.{column}", self.alias)
    }

    /// Their tags as one text, in SQL: whoever sees a resource sees its tags.
    pub fn tags(&self, view: &View) -> String {
        tags_of(&format!("r{}", self.alias), view.dialect)
    }

    /// Those of them whose column has a value of a list without doubles, found from the list (PostgreSQL).
    pub fn through(mut self, column: &'static str, list: Sql) -> Self {
        self.through = Some((column, list));
        self
    }

    /// Whether they are found from a list.
    pub fn begun(&self) -> bool {
        self.through.is_some()
    }

    fn table(&self) -> String {
        format!("{} r{}", self.table.kind.table, self.alias)
    }

    fn from(&self) -> Sql {
        let Some((column, list)) = &self.through else { return Sql::new(self.table()) };
        let (table, at) = (self.table.kind.table, self.alias);
        Sql::new("unnest(ARRAY(").append(list.clone()).sql(format!(
            ")) k{at}(key) CROSS JOIN LATERAL (SELECT * FROM {table} WHERE {column} = k{at}.key AND \
             {column} BETWEEN k{at}.key AND k{at}.key OFFSET 0) r{at}"
        ))
    }

    fn scope(&self) -> Option<Sql> {
        self.view.scope(self.table, &format!("r{}.", self.alias))
    }

    /// `SELECT what FROM these, those that are joined, WHERE they may be seen AND the conditions hold`.
    pub fn select(&self, what: &str, joins: Sql, conditions: Vec<Sql>) -> Sql {
        let mut sql = Sql::new(format!("SELECT {what} FROM ")).append(self.from()).append(joins);
        let mut word = " WHERE ";
        for condition in self.scope().into_iter().chain(conditions) {
            sql = sql.sql(word).append(condition);
            word = " AND ";
        }
        sql
    }

    /// Whether there is one among them, linked to the row outside as `link` says. `from` is what else the link needs, such as the
    /// elements of a list.
    pub fn exists(&self, from: &str, link: Sql, condition: Option<Sql>) -> Sql {
        let mut sql = Sql::new(format!("EXISTS (SELECT 1 FROM {from}{} WHERE ", self.table())).append(link);
        for condition in self.scope().into_iter().chain(condition) {
            sql = sql.sql(" AND ").append(condition);
        }
        sql.sql(")")
    }

    /// What the database has to read to find them, whoever sees it: a row for each, at most so many.
    pub fn touched(&self, most: i64) -> Sql {
        Sql::new("SELECT 1 FROM ").append(self.from()).sql(format!(" LIMIT {most}"))
    }

    /// The values of an expression over them: what `IN` looks into. None of them is nothing.
    pub fn values(&self, what: &str, more: &str, condition: Option<Sql>) -> Sql {
        let mut sql = Sql::new(format!("SELECT {what} FROM "));
        sql = sql.append(self.from()).sql(format!("{more} WHERE {what} IS NOT NULL"));
        for condition in self.scope().into_iter().chain(condition) {
            sql = sql.sql(" AND ").append(condition);
        }
        sql
    }

    /// Joins the one that a reference names, where there is one to be seen.
    pub fn join(&self, link: &str) -> Sql {
        let sql = Sql::new(format!(" LEFT JOIN {} ON {link}", self.table()));
        match self.scope() {
            Some(scope) => sql.sql(" AND ").append(scope),
            None => sql,
        }
    }
}
