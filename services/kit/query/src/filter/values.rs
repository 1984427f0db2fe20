//! What lies at the end of a path is asked: a column, an element of a list, a field inside of a message, tags.

use gyre_model::catalog::FieldInfo;
use gyre_model::{Error, Result};
use gyre_store::{Dialect, Sql, Type, Value};

use super::compile::Compiler;
use super::follow::Asked;
use super::wanted::{Test, scalar};
use crate::path::Leaf;
use crate::table::Column;
use crate::view::Rows;

/// Something to compare.
struct Operand {
    /// In SQL.
    sql: String,
    ty: Type,
    nullable: bool,
    field: &'static FieldInfo,
    /// Whether values of enums are kept with their whole names: inside JSON.
    whole_names: bool,
}

impl Operand {
    /// A text that is any text, not the name of a value.
    fn plain_text(&self) -> bool {
        self.ty == Type::Text && self.field.values.is_empty()
    }
}

impl Compiler<'_> {
    /// Asks a value of a row.
    pub(super) fn ask(&mut self, rows: &Rows<'_>, leaf: Leaf, asked: &Asked, not: bool, strict: bool) -> Result<Sql> {
        let (Leaf::Column(column) | Leaf::Inside(column, _)) = leaf else {
            return match leaf {
                Leaf::Tags => Ok(self.tags(rows, asked, not)),
                _ => Err(Error::internal("a path without an end")),
            };
        };
        let name = rows.column(column);
        let operand = Operand {
            sql: name.clone(),
            ty: column.ty,
            nullable: column.nullable,
            field: column.field,
            whole_names: false,
        };
        let whole = match leaf {
            Leaf::Inside(_, field) if column.field.repeated => {
                let (from, element) = self.elements(&name, false);
                return Ok(self.among(&from, &self.inside(&element, field), &asked.test, not));
            }
            Leaf::Inside(_, field) => self.inside(&name, field),
            _ if column.field.repeated && !matches!(asked.test, Test::Present) => {
                let (from, element) = self.elements(&name, true);
                let operand = self.element(element, column);
                return Ok(self.among(&from, &operand, &asked.test, not));
            }
            _ => operand,
        };
        Ok(self.holds(&whole, &asked.test, not, strict))
    }

    /// Whether a row has a tag that passes a test. With a colon, a word without "=" asks for any tag with that key, too.
    fn tags(&mut self, rows: &Rows<'_>, asked: &Asked, not: bool) -> Sql {
        self.aliases += 1;
        let tags = self.view.rows("tag", self.aliases);
        let link = Sql::new(format!("{} = {}", tags.name("resource_uuid"), rows.name("uuid")));
        let Some((_, column)) = tags.table.column("text") else { return Sql::new("1 = 0") };
        let (sql, field) = (tags.column(column), column.field);
        let operand = Operand { sql, ty: column.ty, nullable: false, field, whole_names: false };
        let condition = match &asked.test {
            Test::Present => {
                let there = tags.exists("", link, None);
                return if not { Sql::new("NOT ").append(there) } else { there };
            }
            Test::Compare(_, Value::Text(word)) if asked.has && !word.contains('=') => {
                let key = letters(self.view.dialect(), &tags.name("\"key\""));
                Sql::new("(")
                    .append(self.holds(&operand, &asked.test, not, false))
                    .sql(format!(" OR {key} = "))
                    .bind(word.as_str())
                    .sql(")")
            }
            test => self.holds(&operand, test, not, false),
        };
        tags.exists("", link, Some(condition))
    }

    /// Whether there is an element of a list that passes a test.
    fn among(&self, from: &str, operand: &Operand, test: &Test, not: bool) -> Sql {
        Sql::new(format!("EXISTS (SELECT 1 FROM {from} WHERE ")).append(self.holds(operand, test, not, false)).sql(")")
    }

    fn element(&self, element: String, column: &Column) -> Operand {
        let ty = scalar(column.field).unwrap_or(Type::Text);
        Operand {
            sql: typed(self.view.dialect(), element, ty),
            ty,
            nullable: false,
            field: column.field,
            whole_names: false,
        }
    }

    /// A field of a JSON object. What is not there has its default.
    fn inside(&self, object: &str, field: &'static FieldInfo) -> Operand {
        let (sql, ty) = inside(self.view.dialect(), object, field);
        Operand { sql, ty, nullable: ty == Type::Json, field, whole_names: true }
    }

    /// Whether a value passes a test, or does not. Where it is `strict` the answer is never unknown.
    fn holds(&self, operand: &Operand, test: &Test, not: bool, strict: bool) -> Sql {
        if !not {
            return self.passes(operand, test, strict);
        }
        match test {
            Test::Present if operand.nullable && !operand.plain_text() => Sql::new(format!("{} IS NULL", operand.sql)),
            Test::Compare("=", value) if operand.nullable => {
                let text = self.text(operand);
                Sql::new(format!("({text} <> ")).bind(value.clone()).sql(format!(" OR {} IS NULL)", operand.sql))
            }
            Test::Compare("=", value) => Sql::new(format!("{} <> ", self.text(operand))).bind(value.clone()),
            _ => Sql::new("NOT (").append(self.passes(operand, test, true)).sql(")"),
        }
    }

    fn passes(&self, operand: &Operand, test: &Test, strict: bool) -> Sql {
        let sql = match test {
            Test::Present => return self.present(operand),
            Test::Compare(sign, value) => Sql::new(format!("{} {sign} ", self.text(operand))).bind(value.clone()),
            Test::In(values) => {
                Sql::new(format!("{} IN (", self.text(operand))).bind_all(values.iter().cloned()).sql(")")
            }
            Test::Like(patterns) => {
                let name = self.text(operand);
                let mut sql = Sql::new(if patterns.len() > 1 { "(" } else { "" });
                for (at, pattern) in patterns.iter().enumerate() {
                    sql = sql.sql(if at > 0 { " OR " } else { "" }).append(pattern.sql(&name, self.view.dialect()));
                }
                sql.sql(if patterns.len() > 1 { ")" } else { "" })
            }
            Test::Contains(text) => {
                let function = match self.view.dialect() {
                    Dialect::Sqlite => "instr",
                    Dialect::Postgres => "strpos",
                };
                Sql::new(format!("{function}({}, ", operand.sql)).bind(text.as_str()).sql(") > 0")
            }
        };
        if strict && operand.nullable {
            return Sql::new("(").append(sql).sql(format!(" AND {} IS NOT NULL)", operand.sql));
        }
        sql
    }

    /// Whether a value is there: not null, not empty.
    fn present(&self, operand: &Operand) -> Sql {
        let Operand { sql, ty, field, .. } = operand;
        match ty {
            _ if operand.nullable => Sql::new(format!("{sql} IS NOT NULL")),
            Type::Json => Sql::new(format!("CAST({sql} AS TEXT) <> '[]'")),
            Type::Text => {
                let zero = field.values.first().map_or(
                    "",
                    |(_, whole, short)| {
                        if operand.whole_names { whole } else { short }
                    },
                );
                Sql::new(format!("{sql} <> ")).bind(zero)
            }
            _ => Sql::new("1 = 1"),
        }
    }

    /// An operand, so that texts are compared alike in both databases: by their letters' numbers.
    fn text(&self, operand: &Operand) -> String {
        if operand.plain_text() { letters(self.view.dialect(), &operand.sql) } else { operand.sql.clone() }
    }
}

/// A text that is compared and sorted by its letters' numbers, in both databases.
pub(crate) fn letters(dialect: Dialect, sql: &str) -> String {
    match dialect {
        Dialect::Sqlite => sql.to_owned(),
        Dialect::Postgres => format!("{sql} COLLATE \"C\""),
    }
}

/// A field of a JSON object, and its type; [`Type::Json`] where it cannot be compared. What is not there has its default.
pub(crate) fn inside(dialect: Dialect, object: &str, field: &FieldInfo) -> (String, Type) {
    let ty = scalar(field).filter(|_| !field.repeated).unwrap_or(Type::Json);
    let raw = match dialect {
        Dialect::Sqlite => format!("json_extract({object}, '$.{}')", field.json_name),
        Dialect::Postgres => format!("({object} ->> '{}')", field.json_name),
    };
    let zero = field.values.first().map_or("", |(_, whole, _)| *whole);
    let sql = match (ty, dialect) {
        (Type::Text, _) => format!("COALESCE({raw}, '{zero}')"),
        (Type::Bool, Dialect::Postgres) => format!("COALESCE({raw}, 'false')"),
        (Type::Json, _) => raw,
        _ => format!("COALESCE({raw}, '0')"),
    };
    (typed(dialect, sql, ty), ty)
}

/// What JSON holds, as a value of a type.
fn typed(dialect: Dialect, sql: String, ty: Type) -> String {
    match (ty, dialect) {
        (Type::Int, Dialect::Sqlite) => format!("CAST({sql} AS INTEGER)"),
        (Type::Int, Dialect::Postgres) => format!("CAST({sql} AS bigint)"),
        (Type::Float, Dialect::Sqlite) => format!("CAST({sql} AS REAL)"),
        (Type::Float, Dialect::Postgres) => format!("CAST({sql} AS double precision)"),
        (Type::Bool, Dialect::Sqlite) => format!("CAST({sql} AS INTEGER)"),
        (Type::Bool, Dialect::Postgres) => format!("CAST({sql} AS boolean)"),
        _ => sql,
    }
}
