//! `order_by`: "name, host.name desc". Ties are broken by UUID, so that pages never overlap. What has no value comes before all
//! that has one, and after it in descending order; texts are sorted by their letters' numbers: both alike on both databases.

use gyre_model::{Error, Result, parse_uuid};
use gyre_store::{Dialect, Row, Sql, Type, Value};
use serde_json::Value as Json;

use crate::filter::bounded;
use crate::joins::{Field, Joins};
use crate::view::View;

/// Most keys.
const MOST: usize = 8;

/// A list's order.
pub(crate) struct Order {
    /// Its keys; together they are different for each row.
    pub keys: Vec<Key>,
}

/// One key.
pub(crate) struct Key {
    /// What is sorted by, in SQL.
    pub sql: String,
    /// Its type.
    pub ty: Type,
    /// Whether it may be nothing.
    pub nullable: bool,
    /// Largest first.
    pub descending: bool,
    /// Where in a row it is read, once that is known.
    pub place: usize,
}

/// A word of `order_by` and what follows it.
pub(crate) struct Wish<'a> {
    /// The path.
    pub name: &'a str,
    /// The character that it begins at.
    pub at: usize,
    /// Whether the largest comes first.
    pub descending: bool,
}

/// Takes the text apart.
///
/// # Errors
/// `INVALID_ARGUMENT` that points at the character.
pub(crate) fn wishes(text: &str) -> Result<Vec<Wish<'_>>> {
    let mut wishes = Vec::new();
    let mut start = 0;
    for part in text.split(',') {
        let blank = part.len() - part.trim_start().len();
        let at = text[..start + blank].chars().count();
        start += part.len() + 1;
        let mut words = part.split_whitespace();
        let Some(name) = words.next() else { continue };
        let descending = match words.next() {
            None => false,
            Some(word) if word.eq_ignore_ascii_case("asc") => false,
            Some(word) if word.eq_ignore_ascii_case("desc") => true,
            Some(word) => {
                let text = format!("after {name:?} comes asc or desc, got {word:?}, at character {}", at + 1);
                return Err(Error::invalid("order_by", text));
            }
        };
        if words.next().is_some() || wishes.len() == MOST {
            return Err(Error::invalid("order_by", format!("must be at most {MOST} of \"field\" or \"field desc\"")));
        }
        wishes.push(Wish { name, at, descending });
    }
    Ok(wishes)
}

/// Reads an order. The empty one is by time of creation, of operations and changes the newest first.
///
/// # Errors
/// `INVALID_ARGUMENT` that names what is wrong.
pub(crate) fn parse(view: &View, joins: &mut Joins<'_>, text: &str) -> Result<Order> {
    let mut order = Order { keys: Vec::new() };
    for wish in wishes(text)? {
        let field = joins.field("order_by", wish.at, wish.name)?;
        order.push(view, &field, wish.descending).ok_or_else(|| {
            Error::invalid("order_by", format!("{} has no order, at character {}", wish.name, wish.at + 1))
        })?;
    }
    if order.keys.is_empty() {
        let (name, newest_first) = match joins.base().table.kind.kind {
            "operation" => ("create_time", true),
            // the log has a place for each
            "change" => ("position", true),
            _ => ("create_time", false),
        };
        if joins.base().table.column(name).is_some() {
            order.push(view, &joins.field("order_by", 0, name)?, newest_first);
        }
    }
    let descending = order.keys.last().is_some_and(|key| key.descending);
    order.push(view, &joins.field("order_by", 0, "uuid")?, descending);
    Ok(order)
}

impl Order {
    /// Adds a key, unless it is there. Nothing for what has no order.
    fn push(&mut self, view: &View, field: &Field, descending: bool) -> Option<()> {
        if matches!(field.ty, Type::Json | Type::Bytes) {
            return None;
        }
        self.add(Key { sql: field.sorted(view), ty: field.ty, nullable: field.nullable, descending, place: 0 });
        Some(())
    }

    /// Adds a key, unless it is there.
    pub fn add(&mut self, key: Key) {
        if !self.keys.iter().any(|known| known.sql == key.sql) {
            self.keys.push(key);
        }
    }

    /// In SQL.
    pub fn sql(&self, dialect: Dialect) -> String {
        let keys: Vec<_> = self.keys.iter().map(|key| key.order(dialect)).collect();
        format!(" ORDER BY {}", keys.join(", "))
    }

    /// The rows after a sort key.
    pub fn after(&self, values: &[Option<Value>]) -> Sql {
        let keys: Vec<_> = self.keys.iter().zip(values).collect();
        let plain = keys.iter().all(|(key, _)| !key.nullable && key.descending == self.keys[0].descending);
        if plain && keys.len() > 1 {
            // a comparison of rows, which an index serves whole
            let names: Vec<_> = self.keys.iter().map(|key| key.sql.as_str()).collect();
            let sign = if self.keys[0].descending { "<" } else { ">" };
            return Sql::new(format!("({}) {sign} (", names.join(", ")))
                .bind_all(values.iter().flatten().cloned())
                .sql(")");
        }
        let mut sql = Sql::new("(");
        for at in 0..keys.len() {
            if at > 0 {
                sql.push(" OR ");
            }
            sql.push("(");
            for (key, value) in &keys[..at] {
                sql = sql.append(key.same(value.as_ref())).sql(" AND ");
            }
            let (key, value) = keys[at];
            sql = sql.append(key.behind(value.as_ref())).sql(")");
        }
        // said once more for the first alone, so that an index can begin there
        match keys.first() {
            Some((key, Some(value))) if !(key.nullable && key.descending) => {
                let sign = if key.descending { "<=" } else { ">=" };
                sql.sql(format!(") AND {} {sign} ", key.sql)).bind(value.clone())
            }
            _ => sql.sql(")"),
        }
    }
}

impl Key {
    fn order(&self, dialect: Dialect) -> String {
        // SQLite sorts so by itself, and PostgreSQL would not
        let nulls = match (self.nullable && dialect == Dialect::Postgres, self.descending) {
            (true, false) => " NULLS FIRST",
            (true, true) => " NULLS LAST",
            (false, _) => "",
        };
        format!("{}{}{nulls}", self.sql, if self.descending { " DESC" } else { "" })
    }

    fn same(&self, value: Option<&Value>) -> Sql {
        match value {
            Some(value) => Sql::new(format!("{} = ", self.sql)).bind(value.clone()),
            None => Sql::new(format!("{} IS NULL", self.sql)),
        }
    }

    /// Whether a row comes after this value by this key alone. Nothing is the smallest.
    fn behind(&self, value: Option<&Value>) -> Sql {
        match (value, self.descending) {
            (Some(value), false) => Sql::new(format!("{} > ", self.sql)).bind(value.clone()),
            (Some(value), true) if self.nullable => {
                Sql::new(format!("({} < ", self.sql)).bind(value.clone()).sql(format!(" OR {} IS NULL)", self.sql))
            }
            (Some(value), true) => Sql::new(format!("{} < ", self.sql)).bind(value.clone()),
            (None, false) => Sql::new(format!("{} IS NOT NULL", self.sql)),
            (None, true) => Sql::new("1 = 0"),
        }
    }

    /// This key of a row, for a token.
    ///
    /// # Errors
    /// A column that holds something else: a fault of Gyre's.
    pub fn token(&self, row: &Row) -> Result<Json> {
        if row.is_null(self.place) {
            return Ok(Json::Null);
        }
        Ok(match self.ty {
            Type::Id => Json::from(row.id(self.place)?.to_string()),
            Type::Time | Type::Int => Json::from(row.int(self.place)?),
            Type::Bool => Json::from(row.bool(self.place)?),
            Type::Float => Json::from(row.float(self.place)?),
            _ => Json::from(row.text(self.place)?),
        })
    }

    /// Back from a token; nothing where it is none of ours.
    pub fn value(&self, token: &Json) -> Option<Option<Value>> {
        if token.is_null() {
            return self.nullable.then_some(None);
        }
        Some(Some(match self.ty {
            Type::Id => Value::from(parse_uuid(token.as_str()?)?),
            Type::Time => Value::time(token.as_i64().filter(bounded)?),
            Type::Int => Value::from(token.as_i64()?),
            Type::Bool => Value::from(token.as_bool()?),
            Type::Float => Value::from(token.as_f64()?),
            _ => Value::from(token.as_str().filter(|text| !text.contains('\0'))?),
        }))
    }
}
