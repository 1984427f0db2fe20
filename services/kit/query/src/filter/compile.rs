//! From a tree to a condition over the rows of a kind.
//!
//! # Theory
//! - Each comparison is true or false, never unknown: what is nothing is equal to no value and different from every one. So `NOT`
//!   is what people expect, and SQL's third value has to be kept out: wherever a condition stands under a `NOT`, one that could be
//!   unknown says that there is something, too.
//! - A path through references to one resource each is as if that resource's field were the row's own; where one of the references
//!   names nothing that the caller may see, the field is nothing. A path that can lead to many asks whether there is one among
//!   them that fulfils the comparison; `NOT` before it asks that there is none.
//! - Rows come in through [`Rows`] only, with what may be seen of them.
//! - Whether there is one among others can be asked of each row (`EXISTS`), or once of all (`IN` a list); which of the two is
//!   better depends on how many there are, and [`super::strategy`] finds that out where the database cannot.

use gyre_model::catalog::{Edge, FieldInfo, FieldType};
use gyre_model::{Error, Result};
use gyre_store::{Dialect, Sql, Type, Value};

use super::literal::literal;
use super::parse::{Expression, Given, Restriction};
use super::pattern::Pattern;
use super::scan::Operator;
use super::strategy::{Strategies, Strategy};
use super::wrong;
use crate::path::{Leaf, Path};
use crate::table::Column;
use crate::view::{Rows, View};

/// What a filter may cost; see [`Compiler::pay`].
const BUDGET: usize = 200;
/// A comparison, or one more value of an `IN`.
const COMPARISON: usize = 1;
/// A step to one resource.
const STEP: usize = 2;
/// A step to any number of resources, or through the elements of a list.
const SEARCH: usize = 10;

/// Compiles the filter of one statement.
pub(crate) struct Compiler<'v> {
    view: &'v View,
    /// The last alias that was given out.
    aliases: usize,
    spent: usize,
    now: i64,
    strategies: Strategies,
}

/// What a value is asked, where there is one; false where there is none.
#[derive(Debug)]
pub(super) enum Test {
    /// That it is there: not null, not empty.
    Present,
    /// To compare so with a value.
    Compare(&'static str, Value),
    /// To be one of these.
    In(Vec<Value>),
    /// To look like one of these.
    Like(Vec<Pattern>),
    /// To have this text in it.
    Contains(String),
}

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

impl<'v> Compiler<'v> {
    /// For what a caller may see, at a point in time. Aliases from `aliases` on are free.
    pub fn new(view: &'v View, aliases: usize, now: i64) -> Self {
        Self { view, aliases, spent: 0, now, strategies: Strategies::default() }
    }

    /// With what was found out about the comparisons.
    pub fn with(mut self, strategies: Strategies) -> Self {
        self.strategies = strategies;
        self
    }

    /// The condition of a filter over rows. Where it is `strict` it is never unknown.
    pub fn condition(&mut self, rows: &Rows<'_>, expression: &Expression, strict: bool) -> Result<Sql> {
        Ok(match expression {
            Expression::And(all) => self.all(rows, all, " AND ", strict)?,
            Expression::Or(all) => self.all(rows, all, " OR ", strict)?,
            Expression::Not(inner) => Sql::new("NOT (").append(self.condition(rows, inner, true)?).sql(")"),
            Expression::Compare(restriction) => self.compare(rows, restriction, strict)?,
        })
    }

    fn all(&mut self, rows: &Rows<'_>, all: &[Expression], word: &'static str, strict: bool) -> Result<Sql> {
        let mut sql = Sql::new("(");
        for (at, one) in all.iter().enumerate() {
            if at > 0 {
                sql.push(word);
            }
            sql = sql.append(self.condition(rows, one, strict)?);
        }
        Ok(sql.sql(")"))
    }

    /// Takes from the budget what a part of the filter costs the database.
    fn pay(&mut self, at: usize, cost: usize) -> Result<()> {
        self.spent += cost;
        if self.spent > BUDGET {
            return Err(wrong(
                at,
                format_args!(
                    "costs more than {BUDGET} by here: a comparison costs {COMPARISON}, a step to one resource {STEP}, to many {SEARCH}; \
                     under NOT, != and for null the steps of a path multiply"
                ),
            ));
        }
        Ok(())
    }

    fn compare(&mut self, rows: &Rows<'_>, restriction: &Restriction, strict: bool) -> Result<Sql> {
        let path = Path::find(rows.table.kind.kind, &restriction.path)
            .map_err(|astray| wrong(restriction.at + astray.at, astray.text))?;
        let steps: usize = path.hops.iter().map(|hop| if hop.many() { SEARCH } else { STEP }).sum();
        self.pay(restriction.at, steps + COMPARISON * restriction.values.len())?;
        let leaf = match path.leaf {
            Leaf::Row => Leaf::Column(crate::table::by_kind(path.kind.kind).uuid()),
            leaf => leaf,
        };
        if list(leaf) {
            self.pay(restriction.at, SEARCH)?;
        }
        let (test, not) = test(self.now, leaf, restriction)?;
        if not || strict {
            // each row asks for itself here, and each that it finds asks again
            let each: usize = path.hops.iter().map(|hop| if hop.many() { SEARCH } else { STEP }).product();
            self.pay(restriction.at, if path.hops.len() > 1 { each } else { 0 })?;
        }
        let asked = Asked { test, row: matches!(path.leaf, Leaf::Row), has: restriction.operator == Operator::Has };
        match (path.hops.split_first(), self.strategies.of(restriction)) {
            (Some((hop, _)), strategy @ (Strategy::List | Strategy::Drive)) if !not && !strict => {
                let name = rows.name(if hop.forward { hop.reference.field } else { "uuid" });
                let list = self.list(&path.hops, leaf, &asked, "")?;
                Ok(match (strategy, self.view.dialect()) {
                    // neither database begins with what is no plain column any more
                    (Strategy::List, Dialect::Sqlite) => self.one_of(&format!("+{name}"), list),
                    (Strategy::List, Dialect::Postgres) => {
                        Sql::new("COALESCE(").append(self.one_of(&name, list)).sql(", FALSE)")
                    }
                    _ => self.one_of(&name, list),
                })
            }
            _ => self.follow(rows, &path.hops, leaf, &asked, not, strict),
        }
    }

    /// The lists that the steps of a path make, from the last step to the first, each at most so long: for counting. Nothing for a
    /// comparison that no list answers.
    pub fn lists(&mut self, rows: &Rows<'_>, restriction: &Restriction, limit: &str) -> Result<Vec<Sql>> {
        let path = Path::find(rows.table.kind.kind, &restriction.path)
            .map_err(|astray| wrong(restriction.at + astray.at, astray.text))?;
        let leaf = match path.leaf {
            Leaf::Row => Leaf::Column(crate::table::by_kind(path.kind.kind).uuid()),
            leaf => leaf,
        };
        let (test, not) = test(self.now, leaf, restriction)?;
        if not || path.hops.iter().any(|hop| hop.reference.repeated) {
            return Ok(Vec::new());
        }
        let asked = Asked { test, row: matches!(path.leaf, Leaf::Row), has: restriction.operator == Operator::Has };
        (0..path.hops.len()).rev().map(|at| self.list(&path.hops[at..], leaf, &asked, limit)).collect()
    }

    /// That a column has one of the values of a list, which is made first. PostgreSQL makes an array of it: of a subquery it would make
    /// one more join, and put that where its statistics, which know nothing of the rows at the far end, say that it is best.
    pub fn one_of(&self, name: &str, list: Sql) -> Sql {
        match self.view.dialect() {
            Dialect::Sqlite => Sql::new(format!("{name} IN (")).append(list).sql(")"),
            Dialect::Postgres => Sql::new(format!("{name} = ANY (ARRAY(")).append(list).sql("))"),
        }
    }

    /// What the first step of a path may lead to, as a list of what the row that it starts from names it by.
    fn list(&mut self, hops: &[Edge<'static>], leaf: Leaf, asked: &Asked, limit: &str) -> Result<Sql> {
        let Some((hop, rest)) = hops.split_first() else { return Err(Error::internal("a path without a step")) };
        self.aliases += 1;
        let view = self.view;
        let there = view.rows(hop.to(), self.aliases);
        let condition = match rest.first() {
            Some(next) => {
                let name = there.name(if next.forward { next.reference.field } else { "uuid" });
                let list = self.list(rest, leaf, asked, "")?;
                Some(self.one_of(&name, list))
            }
            None if asked.row && matches!(asked.test, Test::Present) => None,
            None => Some(self.ask(&there, leaf, asked, false, false)?),
        };
        let what = there.name(if hop.forward { "uuid" } else { hop.reference.field });
        Ok(there.values(&what, "", condition).sql(limit.to_owned()))
    }

    /// Asks what a path leads to.
    fn follow(
        &mut self,
        rows: &Rows<'_>,
        hops: &[Edge<'static>],
        leaf: Leaf,
        asked: &Asked,
        not: bool,
        strict: bool,
    ) -> Result<Sql> {
        let Some((hop, rest)) = hops.split_first() else { return self.ask(rows, leaf, asked, not, strict) };
        // A comparison is turned round for each of many; for one it is the whole that is turned round, since where there is none
        // the answer is to be the other, too.
        let present = matches!(asked.test, Test::Present);
        let before = if asked.row && present { &hops[..hops.len() - 1] } else { hops };
        let many = before.iter().any(Edge::many) || list(leaf) && !present;
        if not && !many {
            return Ok(Sql::new("NOT ").append(self.follow(rows, hops, leaf, asked, false, true)?));
        }
        self.aliases += 1;
        let alias = self.aliases;
        let view = self.view;
        let there = view.rows(hop.to(), alias);
        let inner = if rest.is_empty() && asked.row && present {
            None
        } else {
            Some(self.follow(&there, rest, leaf, asked, not, false)?)
        };
        Ok(self.step(rows, hop, &there, inner))
    }

    /// Whether a reference leads to a row that fulfils a condition.
    fn step(&mut self, rows: &Rows<'_>, hop: &Edge<'static>, there: &Rows<'_>, condition: Option<Sql>) -> Sql {
        let field = hop.reference.field;
        match (hop.forward, hop.reference.repeated) {
            (true, false) => {
                there.exists("", Sql::new(format!("{} = {}", there.name("uuid"), rows.name(field))), condition)
            }
            (false, false) => {
                there.exists("", Sql::new(format!("{} = {}", there.name(field), rows.name("uuid"))), condition)
            }
            (true, true) => {
                let (elements, element) = self.elements(&rows.name(field), true);
                let link = format!("{} = {}", there.name("uuid"), self.id(&element));
                there.exists(&format!("{elements}, "), Sql::new(link), condition)
            }
            (false, true) => {
                let (elements, element) = self.elements(&there.name(field), true);
                let values = there.values(&self.id(&element), &format!(", {elements}"), condition);
                Sql::new(format!("{} IN (", rows.name("uuid"))).append(values).sql(")")
            }
        }
    }

    /// The elements of a list as rows, and what one of them is called. Texts come without their quotes.
    fn elements(&mut self, list: &str, texts: bool) -> (String, String) {
        self.aliases += 1;
        let alias = format!("e{}", self.aliases);
        let from = match (self.view.dialect(), texts) {
            (Dialect::Sqlite, _) => format!("json_each({list}) {alias}"),
            (Dialect::Postgres, true) => format!("jsonb_array_elements_text({list}) {alias}(value)"),
            (Dialect::Postgres, false) => format!("jsonb_array_elements({list}) {alias}(value)"),
        };
        (from, format!("{alias}.value"))
    }

    /// A UUID that is written as text.
    fn id(&self, text: &str) -> String {
        match self.view.dialect() {
            Dialect::Sqlite => format!("unhex(replace({text}, '-', ''))"),
            Dialect::Postgres => format!("CAST({text} AS uuid)"),
        }
    }

    /// Asks a value of a row.
    fn ask(&mut self, rows: &Rows<'_>, leaf: Leaf, asked: &Asked, not: bool, strict: bool) -> Result<Sql> {
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
        Operand { sql: self.typed(element, ty), ty, nullable: false, field: column.field, whole_names: false }
    }

    /// A field of a JSON object. What is not there has its default.
    fn inside(&self, object: &str, field: &'static FieldInfo) -> Operand {
        let ty = scalar(field).unwrap_or(Type::Json);
        let raw = match self.view.dialect() {
            Dialect::Sqlite => format!("json_extract({object}, '$.{}')", field.json_name),
            Dialect::Postgres => format!("({object} ->> '{}')", field.json_name),
        };
        let zero = field.values.first().map_or("", |(_, whole, _)| *whole);
        let sql = match (ty, self.view.dialect()) {
            (Type::Text, _) => format!("COALESCE({raw}, '{zero}')"),
            (Type::Bool, Dialect::Postgres) => format!("COALESCE({raw}, 'false')"),
            (Type::Json, _) => raw,
            _ => format!("COALESCE({raw}, '0')"),
        };
        Operand { sql: self.typed(sql, ty), ty, nullable: ty == Type::Json, field, whole_names: true }
    }

    /// What JSON holds, as a value of a type.
    fn typed(&self, sql: String, ty: Type) -> String {
        match (ty, self.view.dialect()) {
            (Type::Int, Dialect::Sqlite) => format!("CAST({sql} AS INTEGER)"),
            (Type::Int, Dialect::Postgres) => format!("CAST({sql} AS bigint)"),
            (Type::Float, Dialect::Sqlite) => format!("CAST({sql} AS REAL)"),
            (Type::Float, Dialect::Postgres) => format!("CAST({sql} AS double precision)"),
            (Type::Bool, Dialect::Sqlite) => format!("CAST({sql} AS INTEGER)"),
            (Type::Bool, Dialect::Postgres) => format!("CAST({sql} AS boolean)"),
            _ => sql,
        }
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

/// What is asked at the end of a path.
struct Asked {
    test: Test,
    /// Whether the path ends at a resource, not at a field of it.
    row: bool,
    /// Whether it is asked with a colon.
    has: bool,
}

/// A text that is compared and sorted by its letters' numbers, in both databases.
pub(crate) fn letters(dialect: Dialect, sql: &str) -> String {
    match dialect {
        Dialect::Sqlite => sql.to_owned(),
        Dialect::Postgres => format!("{sql} COLLATE \"C\""),
    }
}

/// What a comparison asks of a value, and whether the answer is turned round.
pub(super) fn test(now: i64, leaf: Leaf, restriction: &Restriction) -> Result<(Test, bool)> {
    use Operator::{Equal, Greater, GreaterOrEqual, Has, In, Less, LessOrEqual, NotEqual};
    let Restriction { operator, values, .. } = restriction;
    let not = *operator == NotEqual;
    let first = &values[0];
    let null = values.iter().find(|value| value.is_null());
    match (operator, null) {
        (Equal | NotEqual, Some(_)) => return Ok((Test::Present, !not)),
        (_, Some(null)) => return Err(wrong(null.at, "null is compared with = and != only")),
        (Has, None) if first.text.text == "*" && !first.text.stars.is_empty() => return Ok((Test::Present, false)),
        _ => {}
    }
    let Some((field, ty)) = element(leaf) else {
        let text = format!("{} can only be asked whether it is there: = null, != null, :*", restriction.path);
        return Err(wrong(restriction.at, text));
    };
    let whole_names = matches!(leaf, Leaf::Inside(..));
    let value = |given: &Given| literal(field, ty, whole_names, given, now);
    let sign = match operator {
        Less => Some("<"),
        LessOrEqual => Some("<="),
        Greater => Some(">"),
        GreaterOrEqual => Some(">="),
        Equal | NotEqual | Has | In => None,
    };
    let named = !field.values.is_empty() || matches!(ty, Type::Bool | Type::Id);
    if let Some(sign) = sign {
        if named || list(leaf) {
            let text = format!("{} has no order: compare it with =, !=, : or IN", restriction.path);
            return Err(wrong(restriction.at, text));
        }
        return Ok((Test::Compare(sign, value(first)?), false));
    }
    let texts = ty == Type::Text && field.values.is_empty();
    if texts && values.iter().any(|given| !given.text.stars.is_empty()) {
        return Ok((Test::Like(values.iter().map(Pattern::new).collect::<Result<_>>()?), not));
    }
    if texts && *operator == Has && !list(leaf) {
        return Ok((Test::Contains(first.text.text.clone()), false));
    }
    if *operator == In {
        return Ok((Test::In(values.iter().map(value).collect::<Result<_>>()?), false));
    }
    Ok((Test::Compare("=", value(first)?), not))
}

/// Whether a path ends in a list.
fn list(leaf: Leaf) -> bool {
    match leaf {
        Leaf::Column(column) | Leaf::Inside(column, _) => column.field.repeated,
        Leaf::Tags => true,
        Leaf::Row => false,
    }
}

/// The field and the type of what is compared at the end of a path; nothing where it cannot be compared.
fn element(leaf: Leaf) -> Option<(&'static FieldInfo, Type)> {
    match leaf {
        Leaf::Column(column) if column.field.repeated => scalar(column.field).map(|ty| (column.field, ty)),
        Leaf::Column(column) if matches!(column.ty, Type::Json | Type::Bytes) => None,
        Leaf::Column(column) => Some((column.field, column.ty)),
        Leaf::Inside(_, field) if field.repeated => None,
        Leaf::Inside(_, field) => scalar(field).map(|ty| (field, ty)),
        Leaf::Tags => crate::table::by_kind("tag").column("text").map(|(_, column)| (column.field, column.ty)),
        Leaf::Row => None,
    }
}

/// The type of a value in JSON that can be compared.
fn scalar(field: &FieldInfo) -> Option<Type> {
    match field.ty {
        FieldType::Bool => Some(Type::Bool),
        FieldType::Int | FieldType::Uint => Some(Type::Int),
        FieldType::Float => Some(Type::Float),
        FieldType::Text | FieldType::Enum(_) => Some(Type::Text),
        FieldType::Bytes | FieldType::Time | FieldType::Duration | FieldType::Message(_) | FieldType::Map => None,
    }
}

#[cfg(test)]
mod tests {
    use gyre_model::{Caller, Uuid};
    use gyre_store::Dialect;

    use super::Compiler;
    use crate::filter::parse;
    use crate::view::View;

    fn compiled(kind: &str, filter: &str, caller: &Caller, dialect: Dialect) -> gyre_model::Result<String> {
        let view = View::new(caller, dialect);
        let expression = parse(filter)?.unwrap();
        Compiler::new(&view, 0, 0).condition(&view.rows(kind, 0), &expression, false).map(|sql| sql.text())
    }

    fn text(filter: &str) -> String {
        compiled("vm", filter, &Caller::system(), Dialect::Sqlite).unwrap()
    }

    #[test]
    fn comparisons_become_conditions_with_bound_values() {
        assert_eq!(text("name = \"web-1\""), "r0.name = ?");
        assert_eq!(text("name = \"web-*\""), "(r0.name >= ? AND r0.name < ?)");
        assert_eq!(text("name = \"*web*\""), "instr(r0.name, ?) > 0");
        assert_eq!(text("name = \"a*b\""), "((r0.name >= ? AND r0.name < ?) AND r0.name LIKE ? ESCAPE '!')");
        assert_eq!(text("state = RUNNING AND memoryBytes >= 4GiB"), "(r0.state = ? AND r0.memory_bytes >= ?)");
        assert_eq!(text("state IN (RUNNING, stopped)"), "r0.state IN (?, ?)");
        assert_eq!(
            text("NOT (host_uuid = null OR cpu_count != 2)"),
            "NOT ((r0.host_uuid IS NULL OR r0.cpu_count <> ?))"
        );
        assert_eq!(text("addresses:10.0.0.7"), "EXISTS (SELECT 1 FROM json_each(r0.addresses) e1 WHERE e1.value = ?)");
    }

    #[test]
    fn what_could_be_unknown_is_false_under_not() {
        assert_eq!(text("destroy_time < now"), "r0.destroy_time < ?");
        assert_eq!(text("NOT destroy_time < now"), "NOT ((r0.destroy_time < ? AND r0.destroy_time IS NOT NULL))");
        assert_eq!(text("destroy_time != now"), "(r0.destroy_time <> ? OR r0.destroy_time IS NULL)");
    }

    #[test]
    fn paths_become_searches() {
        assert_eq!(
            text("host.cluster.name = a"),
            "EXISTS (SELECT 1 FROM host r1 WHERE r1.uuid = r0.host_uuid AND \
             EXISTS (SELECT 1 FROM cluster r2 WHERE r2.uuid = r1.cluster_uuid AND r2.name = ?))"
        );
        // to one: what is not there differs from every value
        assert_eq!(
            text("host.name != a"),
            "NOT EXISTS (SELECT 1 FROM host r1 WHERE r1.uuid = r0.host_uuid AND r1.name = ?)"
        );
        // to many: there is one that differs
        assert_eq!(
            text("volumes.name != a"),
            "EXISTS (SELECT 1 FROM volume r1 WHERE r1.vm_uuid = r0.uuid AND r1.name <> ?)"
        );
        assert_eq!(text("volumes = null"), "NOT EXISTS (SELECT 1 FROM volume r1 WHERE r1.vm_uuid = r0.uuid)");
        assert_eq!(text("volumes:*"), "EXISTS (SELECT 1 FROM volume r1 WHERE r1.vm_uuid = r0.uuid)");
    }

    #[test]
    fn tags_are_asked_by_text_or_by_key() {
        assert_eq!(
            text("tags:\"env=prod\""),
            "EXISTS (SELECT 1 FROM tag r1 WHERE r1.resource_uuid = r0.uuid AND r1.text = ?)"
        );
        assert_eq!(
            text("tags:env"),
            "EXISTS (SELECT 1 FROM tag r1 WHERE r1.resource_uuid = r0.uuid AND (r1.text = ? OR r1.\"key\" = ?))"
        );
        assert_eq!(text("tags = null"), "NOT EXISTS (SELECT 1 FROM tag r1 WHERE r1.resource_uuid = r0.uuid)");
        assert_eq!(
            text("host.tags:*"),
            "EXISTS (SELECT 1 FROM host r1 WHERE r1.uuid = r0.host_uuid AND \
             EXISTS (SELECT 1 FROM tag r2 WHERE r2.resource_uuid = r1.uuid))"
        );
    }

    #[test]
    fn every_row_of_a_path_is_one_that_the_caller_may_see() {
        let user = Caller::of(Uuid::new_v4(), false);
        assert_eq!(
            compiled("zone", "clusters.vms.image.name = a", &user, Dialect::Postgres).unwrap(),
            "EXISTS (SELECT 1 FROM cluster r1 WHERE r1.zone_uuid = r0.uuid AND \
             EXISTS (SELECT 1 FROM vm r2 WHERE r2.cluster_uuid = r1.uuid AND r2.account_uuid = ? AND \
             EXISTS (SELECT 1 FROM image r3 WHERE r3.uuid = r2.image_uuid AND (r3.account_uuid = ? OR r3.shared = ?) AND \
             r3.name COLLATE \"C\" = ?)))"
        );
    }

    #[test]
    fn faults_name_the_remedy_and_point_at_the_character() {
        let error =
            |filter: &str| compiled("vm", filter, &Caller::system(), Dialect::Sqlite).unwrap_err().message().to_owned();
        for (filter, told, at) in [
            ("nam = x", "did you mean \"name\"", 1),
            ("name = x AND host.cluster.nme = y", "did you mean \"name\"", 27),
            ("state = FLYING", "one of CREATING", 9),
            ("state < RUNNING", "has no order", 1),
            ("cpu_count = many", "a whole number", 13),
            ("host_uuid = web", "a UUID", 13),
            ("create_time > soon", "a time such as", 15),
            ("cpu_count > null", "null is compared with = and !=", 13),
            ("name = \"*a*b*c*d*e*f*g*h*i*\"", "at most 8 stars", 8),
        ] {
            let message = error(filter);
            assert!(message.contains(told) && message.ends_with(&format!("at character {at}")), "{filter}: {message}");
        }
    }

    #[test]
    fn a_filter_has_a_budget() {
        let many = |count: usize, one: &str| vec![one; count].join(" AND ");
        assert!(compiled("vm", &many(200, "cpu_count = 1"), &Caller::system(), Dialect::Sqlite).is_ok());
        let long = many(201, "cpu_count = 1");
        assert!(
            compiled("vm", &long, &Caller::system(), Dialect::Sqlite).unwrap_err().message().contains("costs more")
        );
        let deep = many(4, "volumes.vm.volumes.vm.volumes.vm.name = x");
        assert!(compiled("vm", &deep, &Caller::system(), Dialect::Sqlite).is_ok());
        let deep = many(6, "volumes.vm.volumes.vm.volumes.vm.name = x");
        assert!(compiled("vm", &deep, &Caller::system(), Dialect::Sqlite).is_err());
    }
}
