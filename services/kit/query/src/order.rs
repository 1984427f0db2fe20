//! `order_by`: "name, create_time desc". Ties are broken by UUID, so that pages never overlap. What has no value comes first,
//! on both databases.

use gyre_model::{Error, Result, parse_uuid};
use gyre_store::{Dialect, Row, Type, Value};

use crate::table::Table;

/// Most keys.
const MOST: usize = 8;

/// A list's order.
pub struct Order {
    /// Its keys; the last is the UUID.
    pub keys: Vec<Key>,
}

/// One key.
pub struct Key {
    /// What is sorted by, in SQL.
    pub expression: String,
    /// Largest first.
    pub descending: bool,
    place: usize,
    ty: Type,
}

impl Order {
    /// In SQL.
    pub fn sql(&self) -> String {
        let keys: Vec<_> = self
            .keys
            .iter()
            .map(|key| format!("{}{}", key.expression, if key.descending { " DESC" } else { "" }))
            .collect();
        format!(" ORDER BY {}", keys.join(", "))
    }
}

impl Key {
    fn new(table: &Table, name: &str, descending: bool, dialect: Dialect) -> Option<Self> {
        let (place, column) = table.column(name)?;
        let name = column.field.name;
        let expression = match column.ty {
            Type::Json | Type::Bytes => return None,
            ty if column.nullable => format!("COALESCE({name}, {})", nothing(ty, dialect)),
            _ => name.to_owned(),
        };
        Some(Self { expression, descending, place, ty: column.ty })
    }

    /// This key of a row, for a token.
    ///
    /// # Errors
    /// A column that holds something else: a fault of Gyre's.
    pub fn token(&self, row: &Row) -> Result<serde_json::Value> {
        use serde_json::Value as Json;
        Ok(match self.ty {
            Type::Id => Json::from(row.opt_id(self.place)?.unwrap_or_default().to_string()),
            Type::Time => Json::from(row.opt_int(self.place)?.unwrap_or(0)),
            Type::Int => Json::from(row.int(self.place)?),
            Type::Bool => Json::from(row.bool(self.place)?),
            Type::Float => Json::from(row.float(self.place)?),
            _ => Json::from(row.text(self.place)?),
        })
    }

    /// Back from a token.
    pub fn value(&self, token: &serde_json::Value) -> Option<Value> {
        Some(match self.ty {
            Type::Id => Value::from(parse_uuid(token.as_str()?)?),
            Type::Time => Value::time(token.as_i64()?),
            Type::Int => Value::from(token.as_i64()?),
            Type::Bool => Value::from(token.as_bool()?),
            Type::Float => Value::from(token.as_f64()?),
            _ => Value::from(token.as_str()?),
        })
    }
}

/// What stands for "nothing" when sorting: a value before all others.
fn nothing(ty: Type, dialect: Dialect) -> &'static str {
    match (ty, dialect) {
        (Type::Id, Dialect::Sqlite) => "X'00000000000000000000000000000000'",
        (Type::Id, Dialect::Postgres) => "'00000000-0000-0000-0000-000000000000'::uuid",
        (_, Dialect::Sqlite) => "0",
        (_, Dialect::Postgres) => "'epoch'::timestamptz",
    }
}

/// Reads an order. The empty one is by time of creation, of operations and changes the newest first.
///
/// # Errors
/// `INVALID_ARGUMENT` that names what is wrong.
pub fn parse(table: &Table, text: &str, dialect: Dialect) -> Result<Order> {
    let mut keys = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let mut words = part.split_whitespace();
        let name = words.next().unwrap_or_default();
        let descending = match words.next() {
            None => false,
            Some(word) if word.eq_ignore_ascii_case("asc") => false,
            Some(word) if word.eq_ignore_ascii_case("desc") => true,
            Some(word) => {
                return Err(Error::invalid("order_by", format!("after {name:?} comes asc or desc, got {word:?}")));
            }
        };
        let key = Key::new(table, name, descending, dialect).ok_or_else(|| {
            Error::invalid("order_by", format!("{} has no field {name:?} to sort by", table.kind.kind))
        })?;
        if words.next().is_some() || keys.len() == MOST {
            return Err(Error::invalid("order_by", format!("must be at most {MOST} of \"field\" or \"field desc\"")));
        }
        keys.push(key);
    }
    if keys.is_empty() {
        let (name, newest_first) = match table.kind.kind {
            "operation" => ("create_time", true),
            // the log has a place for each
            "change" => ("position", true),
            _ => ("create_time", false),
        };
        keys.extend(Key::new(table, name, newest_first, dialect));
    }
    if !keys.iter().any(|key| key.expression == "uuid") {
        let descending = keys.last().is_some_and(|key| key.descending);
        keys.extend(Key::new(table, "uuid", descending, dialect));
    }
    Ok(Order { keys })
}
