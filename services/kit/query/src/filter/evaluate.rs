//! A filter in memory, over the values of a row: for streams of changes, which ask of every change whether it is in a list.
//!
//! It says of a row what the database says ([`super::compile`]): `services/kit/events/tests/agree.rs` asks both. What only the
//! database can tell (paths through references, fields inside of messages) has no predicate.

use gyre_model::{Caller, Result, time};
use gyre_store::Value;

use super::parse::{Expression, Restriction};
use super::wanted::{self, Test};
use super::wrong;
use crate::path::{Leaf, Path};
use crate::table::{Column, Table};

/// A filter over a resource's own attributes.
#[derive(Debug)]
pub struct Predicate(Node);

#[derive(Debug)]
enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Compare(Box<Comparison>),
}

/// What is asked of one column.
#[derive(Debug)]
struct Comparison {
    at: usize,
    column: &'static Column,
    test: Test,
    not: bool,
}

impl Predicate {
    /// Compiles a filter of somebody's; nothing where only the database can tell.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` that points at the character.
    pub fn compile(table: &'static Table, caller: &Caller, filter: &str) -> Result<Option<Self>> {
        match super::parse(filter)? {
            Some(expression) => Ok(node(table, &expression, time::now_micros(), caller.admin)?.map(Self)),
            None => Ok(Some(Self(Node::And(Vec::new())))),
        }
    }

    /// Whether a row with these values, in the order of the table's columns, is in the list.
    pub fn holds(&self, values: &[Value]) -> bool {
        self.0.holds(values)
    }
}

/// The kinds whose rows decide what a filter of this kind lets through, beside that kind itself.
///
/// # Errors
/// `INVALID_ARGUMENT` that points at the character.
pub fn kinds_on_paths(kind: &str, filter: &str) -> Result<Vec<&'static str>> {
    fn visit(kind: &str, expression: &Expression, found: &mut Vec<&'static str>) -> Result<()> {
        match expression {
            Expression::And(all) | Expression::Or(all) => all.iter().try_for_each(|one| visit(kind, one, found)),
            Expression::Not(inner) => visit(kind, inner, found),
            Expression::Compare(restriction) => {
                found.extend(path(kind, restriction, true)?.hops.iter().map(gyre_model::catalog::Edge::to));
                Ok(())
            }
        }
    }
    let mut found = Vec::new();
    if let Some(expression) = super::parse(filter)? {
        visit(kind, &expression, &mut found)?;
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn path(kind: &str, restriction: &Restriction, admin: bool) -> Result<Path> {
    Path::find(kind, &restriction.path, admin).map_err(|astray| wrong(restriction.at + astray.at, astray.text))
}

fn node(table: &'static Table, expression: &Expression, now: i64, admin: bool) -> Result<Option<Node>> {
    let all = |all: &[Expression]| -> Result<Option<Vec<Node>>> {
        all.iter().map(|one| node(table, one, now, admin)).collect::<Result<Option<Vec<_>>>>()
    };
    Ok(match expression {
        Expression::And(parts) => all(parts)?.map(Node::And),
        Expression::Or(parts) => all(parts)?.map(Node::Or),
        Expression::Not(inner) => node(table, inner, now, admin)?.map(|inner| Node::Not(Box::new(inner))),
        Expression::Compare(restriction) => {
            let path = path(table.kind.kind, restriction, admin)?;
            let Leaf::Column(column) = path.leaf else { return Ok(None) };
            let (test, not) = wanted::test(now, path.leaf, restriction)?;
            let texts = column.field.ty == gyre_model::catalog::FieldType::Text;
            let simple = path.hops.is_empty() && (!column.field.repeated || texts);
            let at = table.column(column.field.name).map(|(at, _)| at);
            at.filter(|_| simple).map(|at| Node::Compare(Box::new(Comparison { at, column, test, not })))
        }
    })
}

impl Node {
    fn holds(&self, values: &[Value]) -> bool {
        match self {
            Self::And(all) => all.iter().all(|one| one.holds(values)),
            Self::Or(all) => all.iter().any(|one| one.holds(values)),
            Self::Not(inner) => !inner.holds(values),
            Self::Compare(comparison) => values.get(comparison.at).is_some_and(|value| comparison.holds(value)),
        }
    }
}

impl Comparison {
    fn holds(&self, value: &Value) -> bool {
        let present = matches!(self.test, Test::Present);
        match value {
            // each element of a list is asked, also by `!=`
            Value::Json(list) if self.column.field.repeated && !present => {
                let texts: Vec<String> = serde_json::from_str(&list.0).unwrap_or_default();
                texts.into_iter().map(Value::from).any(|text| self.test.passes(&text) != self.not)
            }
            _ if present => self.is_there(value) != self.not,
            _ => self.test.passes(value) != self.not,
        }
    }

    /// Whether a value is there: not null, not empty.
    fn is_there(&self, value: &Value) -> bool {
        match value {
            Value::Null(_) => false,
            _ if self.column.nullable => true,
            Value::Json(list) => list.0 != "[]",
            Value::Text(text) => text != self.column.field.values.first().map_or("", |(.., short)| *short),
            _ => true,
        }
    }
}

impl Test {
    /// Whether a value passes; what is nothing never does.
    fn passes(&self, value: &Value) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        match self {
            Self::Present => !matches!(value, Value::Null(_)),
            Self::Compare(sign, other) => match order(value, other) {
                None => false,
                Some(order) => match *sign {
                    "=" => order == Equal,
                    "<" => order == Less,
                    "<=" => order != Greater,
                    ">" => order == Greater,
                    _ => order != Less,
                },
            },
            Self::In(values) => values.iter().any(|other| order(value, other) == Some(Equal)),
            Self::Like(patterns) => {
                matches!(value, Value::Text(text) if patterns.iter().any(|pattern| pattern.fits(text)))
            }
            Self::Contains(part) => matches!(value, Value::Text(text) if text.contains(part.as_str())),
        }
    }
}

/// How two values of one type stand to each other; nothing where one is nothing.
fn order(left: &Value, right: &Value) -> Option<std::cmp::Ordering> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Float(left), Value::Float(right)) => left.partial_cmp(right),
        (Value::Text(left), Value::Text(right)) => Some(left.as_bytes().cmp(right.as_bytes())),
        (Value::Id(left), Value::Id(right)) => Some(left.0.cmp(&right.0)),
        (Value::Time(left), Value::Time(right)) => Some(left.0.cmp(&right.0)),
        _ => None,
    }
}
