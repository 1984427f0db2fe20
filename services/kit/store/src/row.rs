//! A row as it came, whatever its columns are. Values are read by place, with the type that the reader expects.

use diesel::deserialize::{self, FromSql, QueryableByName};
use diesel::row::{Field, NamedRow, Row as RowFields};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use diesel::sql_types::{BigInt, Binary, Double, Text};
use gyre_model::{Error, Result, Uuid};

use crate::value::{Id, Json, Time, Value};

#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Null,
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    cells: Vec<Cell>,
}

fn mismatch(at: usize, wanted: &str, cell: Option<&Cell>) -> Error {
    Error::internal(format!("column {at} should hold {wanted}, holds {cell:?}"))
}

impl From<Value> for Cell {
    fn from(value: Value) -> Self {
        match value {
            Value::Null(_) => Self::Null,
            Value::Bool(value) => Self::Int(i64::from(value)),
            Value::Int(value) | Value::Time(Time(value)) => Self::Int(value),
            Value::Float(value) => Self::Float(value),
            Value::Text(value) | Value::Json(Json(value)) => Self::Text(value),
            Value::Bytes(value) => Self::Bytes(value),
            Value::Id(Id(value)) => Self::Bytes(value.as_bytes().to_vec()),
        }
    }
}

impl Row {
    /// The row that the database holds once these values are written: who wrote them need not read them again.
    pub fn of(values: impl IntoIterator<Item = Value>) -> Self {
        Self { cells: values.into_iter().map(Cell::from).collect() }
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Whether a column holds nothing.
    pub fn is_null(&self, at: usize) -> bool {
        matches!(self.cells.get(at), None | Some(Cell::Null))
    }

    /// A number, or a point in time in microseconds since 1970.
    ///
    /// # Errors
    /// The column holds something else: a fault of Gyre's.
    pub fn int(&self, at: usize) -> Result<i64> {
        match self.cells.get(at) {
            Some(Cell::Int(value)) => Ok(*value),
            other => Err(mismatch(at, "a number", other)),
        }
    }

    /// A number that may be missing.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn opt_int(&self, at: usize) -> Result<Option<i64>> {
        if self.is_null(at) { Ok(None) } else { self.int(at).map(Some) }
    }

    /// True or false.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn bool(&self, at: usize) -> Result<bool> {
        self.int(at).map(|value| value != 0)
    }

    /// A number in double precision.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn float(&self, at: usize) -> Result<f64> {
        match self.cells.get(at) {
            Some(Cell::Float(value)) => Ok(*value),
            Some(Cell::Int(value)) => Ok(*value as f64),
            other => Err(mismatch(at, "a number", other)),
        }
    }

    /// A text or a JSON document.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn text(&self, at: usize) -> Result<&str> {
        match self.cells.get(at) {
            Some(Cell::Text(value)) => Ok(value),
            other => Err(mismatch(at, "a text", other)),
        }
    }

    /// A text that may be missing.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn opt_text(&self, at: usize) -> Result<Option<&str>> {
        if self.is_null(at) { Ok(None) } else { self.text(at).map(Some) }
    }

    /// Bytes.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn bytes(&self, at: usize) -> Result<&[u8]> {
        match self.cells.get(at) {
            Some(Cell::Bytes(value)) => Ok(value),
            other => Err(mismatch(at, "bytes", other)),
        }
    }

    /// A UUID.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn id(&self, at: usize) -> Result<Uuid> {
        Uuid::from_slice(self.bytes(at)?).map_err(|_| mismatch(at, "a UUID", self.cells.get(at)))
    }

    /// A UUID that may be missing.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn opt_id(&self, at: usize) -> Result<Option<Uuid>> {
        if self.is_null(at) { Ok(None) } else { self.id(at).map(Some) }
    }
}

#[cfg(feature = "sqlite")]
impl QueryableByName<diesel::sqlite::Sqlite> for Row {
    fn build<'a>(row: &impl NamedRow<'a, diesel::sqlite::Sqlite>) -> deserialize::Result<Self> {
        use diesel::sqlite::{Sqlite, SqliteType};
        let mut cells = Vec::with_capacity(row.field_count());
        for at in 0..row.field_count() {
            let field = RowFields::get(row, at).ok_or("a column went missing")?;
            let cell = match field.value() {
                None => Cell::Null,
                Some(value) => match value.value_type() {
                    None => Cell::Null,
                    Some(SqliteType::Long | SqliteType::Integer | SqliteType::SmallInt) => {
                        Cell::Int(<i64 as FromSql<BigInt, Sqlite>>::from_sql(value)?)
                    }
                    Some(SqliteType::Double | SqliteType::Float) => {
                        Cell::Float(<f64 as FromSql<Double, Sqlite>>::from_sql(value)?)
                    }
                    Some(SqliteType::Text) => Cell::Text(<String as FromSql<Text, Sqlite>>::from_sql(value)?),
                    Some(SqliteType::Binary) => Cell::Bytes(<Vec<u8> as FromSql<Binary, Sqlite>>::from_sql(value)?),
                },
            };
            cells.push(cell);
        }
        Ok(Self { cells })
    }
}

#[cfg(feature = "postgres")]
impl QueryableByName<diesel::pg::Pg> for Row {
    fn build<'a>(row: &impl NamedRow<'a, diesel::pg::Pg>) -> deserialize::Result<Self> {
        use diesel::pg::Pg;
        let mut cells = Vec::with_capacity(row.field_count());
        for at in 0..row.field_count() {
            let field = RowFields::get(row, at).ok_or("a column went missing")?;
            let Some(value) = field.value() else {
                cells.push(Cell::Null);
                continue;
            };
            let bytes = value.as_bytes();
            // the object ids of pg_type.dat
            cells.push(match value.get_oid().get() {
                16 => Cell::Int(i64::from(bytes.first().copied().unwrap_or(0))),
                20 => Cell::Int(<i64 as FromSql<BigInt, Pg>>::from_sql(value)?),
                21 => Cell::Int(i64::from(i16::from_be_bytes(bytes.try_into()?))),
                23 => Cell::Int(i64::from(i32::from_be_bytes(bytes.try_into()?))),
                701 => Cell::Float(<f64 as FromSql<Double, Pg>>::from_sql(value)?),
                17 => Cell::Bytes(<Vec<u8> as FromSql<Binary, Pg>>::from_sql(value)?),
                2950 => Cell::Bytes(bytes.to_vec()),
                25 | 1043 => Cell::Text(<String as FromSql<Text, Pg>>::from_sql(value)?),
                // jsonb: a version byte, then text
                3802 => Cell::Text(String::from_utf8(bytes.get(1..).unwrap_or_default().to_vec())?),
                1184 => Cell::Int(i64::from_be_bytes(bytes.try_into()?) + crate::value::POSTGRES_EPOCH),
                other => return Err(format!("column {at} has a type with oid {other}, which no table uses").into()),
            });
        }
        Ok(Self { cells })
    }
}
