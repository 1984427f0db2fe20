//! Values as both databases know them.
//!
//! | type | PostgreSQL | SQLite |
//! | --- | --- | --- |
//! | [`Type::Bool`] | boolean | INTEGER 0 or 1 |
//! | [`Type::Int`] | bigint | INTEGER |
//! | [`Type::Float`] | double precision | REAL |
//! | [`Type::Text`] | text | TEXT |
//! | [`Type::Bytes`] | bytea | BLOB |
//! | [`Type::Id`] | uuid | BLOB of 16 bytes |
//! | [`Type::Json`] | jsonb | TEXT |
//! | [`Type::Time`] | timestamptz | INTEGER, microseconds since 1970 |

use diesel::backend::Backend;
use diesel::query_builder::AstPass;
use diesel::result::QueryResult;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{BigInt, Binary, Bool, Double, Nullable, SqlType, Text};
use gyre_model::Uuid;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// True or false.
    Bool,
    /// 64 bits with sign.
    Int,
    /// Double precision.
    Float,
    /// UTF-8.
    Text,
    /// Bytes.
    Bytes,
    /// A UUID.
    Id,
    /// A JSON document.
    Json,
    /// A point in time.
    Time,
}

/// A value of a column, or to compare one with.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing, of a type.
    Null(Type),
    /// True or false.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A UUID.
    Id(Id),
    /// A JSON document as text.
    Json(Json),
    /// A point in time.
    Time(Time),
}

/// A UUID as databases see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(pub Uuid);
/// A JSON text as databases see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(pub String);
/// Microseconds since 1970 as databases see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub i64);

impl Value {
    /// A JSON document.
    pub fn json(text: impl Into<String>) -> Self {
        Self::Json(Json(text.into()))
    }
    /// A point in time, in microseconds since 1970.
    pub fn time(micros: i64) -> Self {
        Self::Time(Time(micros))
    }
    /// The value, or nothing of this type.
    pub fn or_null<T: Into<Self>>(value: Option<T>, ty: Type) -> Self {
        value.map_or(Self::Null(ty), Into::into)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(i64::from(value))
    }
}
impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}
impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}
impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}
impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}
impl From<Uuid> for Value {
    fn from(value: Uuid) -> Self {
        Self::Id(Id(value))
    }
}

/// The SQL type of UUIDs.
#[derive(SqlType)]
#[cfg_attr(feature = "postgres", diesel(postgres_type(oid = 2950, array_oid = 2951)))]
#[cfg_attr(feature = "sqlite", diesel(sqlite_type(name = "Binary")))]
pub struct IdSql;
/// The SQL type of JSON documents.
#[derive(SqlType)]
#[cfg_attr(feature = "postgres", diesel(postgres_type(oid = 3802, array_oid = 3807)))]
#[cfg_attr(feature = "sqlite", diesel(sqlite_type(name = "Text")))]
pub struct JsonSql;
/// The SQL type of points in time.
#[derive(SqlType)]
#[cfg_attr(feature = "postgres", diesel(postgres_type(oid = 1184, array_oid = 1185)))]
#[cfg_attr(feature = "sqlite", diesel(sqlite_type(name = "Long")))]
pub struct TimeSql;

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;
    use diesel::sqlite::Sqlite;

    impl ToSql<IdSql, Sqlite> for Id {
        fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
            out.set_value(self.0.as_bytes().as_slice());
            Ok(IsNull::No)
        }
    }
    impl ToSql<JsonSql, Sqlite> for Json {
        fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
            out.set_value(self.0.as_str());
            Ok(IsNull::No)
        }
    }
    impl ToSql<TimeSql, Sqlite> for Time {
        fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
            out.set_value(self.0);
            Ok(IsNull::No)
        }
    }
}

/// From 1970 to PostgreSQL's epoch, 2000-01-01, in microseconds.
#[cfg(feature = "postgres")]
pub(crate) const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

#[cfg(feature = "postgres")]
mod postgres {
    use super::*;
    use diesel::pg::Pg;
    use std::io::Write as _;

    impl ToSql<IdSql, Pg> for Id {
        fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
            out.write_all(self.0.as_bytes())?;
            Ok(IsNull::No)
        }
    }
    impl ToSql<JsonSql, Pg> for Json {
        fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
            // the version of the binary form of jsonb
            out.write_all(&[1])?;
            out.write_all(self.0.as_bytes())?;
            Ok(IsNull::No)
        }
    }
    impl ToSql<TimeSql, Pg> for Time {
        fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
            out.write_all(&(self.0 - POSTGRES_EPOCH).to_be_bytes())?;
            Ok(IsNull::No)
        }
    }
}

/// A back end that knows all types of [`Value`].
pub(crate) trait Knows: Backend {
    fn bind<'b>(out: &mut AstPass<'_, 'b, Self>, value: &'b Value) -> QueryResult<()>;
}

macro_rules! knows {
    ($backend:ty) => {
        impl Knows for $backend {
            fn bind<'b>(out: &mut AstPass<'_, 'b, Self>, value: &'b Value) -> QueryResult<()> {
                match value {
                    Value::Null(Type::Bool) => out.push_bind_param::<Nullable<Bool>, Option<bool>>(&None),
                    Value::Null(Type::Int) => out.push_bind_param::<Nullable<BigInt>, Option<i64>>(&None),
                    Value::Null(Type::Float) => out.push_bind_param::<Nullable<Double>, Option<f64>>(&None),
                    Value::Null(Type::Text) => out.push_bind_param::<Nullable<Text>, Option<&str>>(&None),
                    Value::Null(Type::Bytes) => out.push_bind_param::<Nullable<Binary>, Option<&[u8]>>(&None),
                    Value::Null(Type::Id) => out.push_bind_param::<Nullable<IdSql>, Null<Id>>(&Null(None)),
                    Value::Null(Type::Json) => out.push_bind_param::<Nullable<JsonSql>, Null<Json>>(&Null(None)),
                    Value::Null(Type::Time) => out.push_bind_param::<Nullable<TimeSql>, Null<Time>>(&Null(None)),
                    Value::Bool(value) => out.push_bind_param::<Bool, bool>(value),
                    Value::Int(value) => out.push_bind_param::<BigInt, i64>(value),
                    Value::Float(value) => out.push_bind_param::<Double, f64>(value),
                    Value::Text(value) => out.push_bind_param::<Text, String>(value),
                    Value::Bytes(value) => out.push_bind_param::<Binary, Vec<u8>>(value),
                    Value::Id(value) => out.push_bind_param::<IdSql, Id>(value),
                    Value::Json(value) => out.push_bind_param::<JsonSql, Json>(value),
                    Value::Time(value) => out.push_bind_param::<TimeSql, Time>(value),
                }
            }
        }
    };
}

/// Nothing, of a type of ours.
#[derive(Debug)]
struct Null<T>(Option<T>);

macro_rules! nullable {
    ($backend:ty, $($sql:ty => $rust:ty),*) => {$(
        impl ToSql<Nullable<$sql>, $backend> for Null<$rust> {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, $backend>) -> serialize::Result {
                match &self.0 {
                    Some(value) => ToSql::<$sql, $backend>::to_sql(value, out),
                    None => Ok(IsNull::Yes),
                }
            }
        }
    )*};
}

#[cfg(feature = "sqlite")]
knows!(diesel::sqlite::Sqlite);
#[cfg(feature = "sqlite")]
nullable!(diesel::sqlite::Sqlite, IdSql => Id, JsonSql => Json, TimeSql => Time);
#[cfg(feature = "postgres")]
knows!(diesel::pg::Pg);
#[cfg(feature = "postgres")]
nullable!(diesel::pg::Pg, IdSql => Id, JsonSql => Json, TimeSql => Time);
