//! What a comparison wants of a value.

use gyre_model::Result;
use gyre_model::catalog::{FieldInfo, FieldType};
use gyre_store::{Type, Value};

use super::literal::literal;
use super::parse::{Given, Restriction};
use super::pattern::Pattern;
use super::scan::Operator;
use super::wrong;
use crate::path::Leaf;

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
        // of a list of messages one is asked for that has more
        let number_inside = matches!(leaf, Leaf::Inside(..)) && matches!(ty, Type::Int | Type::Float);
        if named || list(leaf) && !number_inside {
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
pub(super) fn list(leaf: Leaf) -> bool {
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
pub(super) fn scalar(field: &FieldInfo) -> Option<Type> {
    match field.ty {
        FieldType::Bool => Some(Type::Bool),
        FieldType::Int | FieldType::Uint => Some(Type::Int),
        FieldType::Float => Some(Type::Float),
        FieldType::Text | FieldType::Enum(_) => Some(Type::Text),
        FieldType::Bytes | FieldType::Time | FieldType::Duration | FieldType::Message(_) | FieldType::Map => None,
    }
}
