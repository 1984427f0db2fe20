//! Filters and orders by chance, and how people would write them.

use gyre_model::catalog::{Edge, FieldInfo, FieldType, catalog};
use gyre_model::time;
use gyre_query::table;
use gyre_store::Type;

use super::Chance;
use super::naive::{Ask, Compare, Filter, Key};
use super::world::{NAMES, Val, World};

/// Kinds that the world has no rows of, and that paths would be lost in.
const POOR: [&str; 3] = ["operation", "debt", "tag"];

/// A walk of at most so many references.
fn walk(chance: &mut Chance, kind: &'static str, most: usize, one: bool) -> (Vec<Edge<'static>>, &'static str) {
    let (mut hops, mut here) = (Vec::new(), kind);
    for _ in 0..chance.below(most + 1) {
        let edges: Vec<_> =
            catalog().edges(here).filter(|edge| !(POOR.contains(&edge.to()) || one && edge.many())).collect();
        if edges.is_empty() {
            break;
        }
        let edge = *chance.pick(&edges);
        here = edge.to();
        hops.push(edge);
    }
    (hops, here)
}

fn some_field(chance: &mut Chance, kind: &str, lists: bool) -> &'static FieldInfo {
    loop {
        let column = chance.pick(&table::by_kind(kind).columns);
        let texts = column.field.repeated && column.field.ty == FieldType::Text;
        if column.field.name != "update_time" && column.ty != Type::Bytes && (column.ty != Type::Json || lists && texts)
        {
            return column.field;
        }
    }
}

/// A value that the field has somewhere, or nearly.
fn some_value(chance: &mut Chance, world: &World, kind: &str, field: &FieldInfo) -> Val {
    let all = world.all(kind);
    let found = (!all.is_empty()).then(|| chance.pick(all).fields[field.name].clone());
    let named = !field.values.is_empty();
    match found {
        Some(Val::List(all)) if !all.is_empty() => Val::Text(chance.pick(&all).clone()),
        Some(Val::Text(text)) if named || !chance.one_in(3) => Val::Text(text),
        Some(Val::Int(number)) if chance.one_in(3) => Val::Int(number + chance.below(3) as i64 - 1),
        Some(value @ (Val::Bool(_) | Val::Int(_) | Val::Id(_) | Val::Time(_))) => value,
        _ if named => Val::Text(chance.pick(&field.values).2.to_owned()),
        _ => match field.ty {
            FieldType::Bool => Val::Bool(true),
            FieldType::Int | FieldType::Uint | FieldType::Duration => Val::Int(chance.below(9) as i64),
            FieldType::Time => Val::Time(1_767_225_600_000_000 + chance.below(9) as i64),
            FieldType::Text if field.name.ends_with("uuid") => Val::Id(gyre_model::Uuid::from_u128(4)),
            _ => Val::Text((*chance.pick(&NAMES)).to_owned()),
        },
    }
}

/// A filter of at most this depth.
pub fn filter(chance: &mut Chance, world: &World, kind: &'static str, depth: usize) -> Filter {
    let some = |chance: &mut Chance| (0..2 + chance.below(2)).map(|_| filter(chance, world, kind, depth - 1)).collect();
    match chance.below(if depth == 0 { 1 } else { 5 }) {
        1 => Filter::And(some(chance)),
        2 => Filter::Or(some(chance)),
        3 => Filter::Not(Box::new(filter(chance, world, kind, depth - 1))),
        _ => compare(chance, world, kind),
    }
}

fn compare(chance: &mut Chance, world: &World, kind: &'static str) -> Filter {
    let most = *chance.pick(&[0, 1, 1, 2, 3, 6]);
    let (hops, end) = walk(chance, kind, most, false);
    if !hops.is_empty() && chance.one_in(5) {
        let known = world.all(end);
        let nobody = gyre_model::Uuid::from_u128(4);
        let value = Val::Id(if known.is_empty() { nobody } else { chance.pick(known).uuid });
        let ask = match chance.below(4) {
            0 => Ask::Equal(value),
            1 => Ask::NotEqual(value),
            2 => Ask::Null,
            _ => Ask::NotNull,
        };
        return Filter::Compare(Compare { hops, field: None, ask });
    }
    let field = some_field(chance, end, true);
    let value = some_value(chance, world, end, field);
    let text = match &value {
        Val::Text(text) if field.values.is_empty() => Some(text.clone()),
        _ => None,
    };
    let ordered = !field.repeated && !matches!(value, Val::Bool(_) | Val::Id(_)) && field.values.is_empty();
    let ask = match (chance.below(10), text) {
        (0, _) => Ask::Null,
        (1, _) => Ask::NotNull,
        (2, _) => Ask::NotEqual(value),
        (3, _) => Ask::In((0..1 + chance.below(3)).map(|_| some_value(chance, world, end, field)).collect()),
        (4, Some(text)) => Ask::Like(pieces(chance, &text)),
        (5, Some(text)) => Ask::NotLike(pieces(chance, &text)),
        (6, Some(text)) if !field.repeated => Ask::Contains(text.chars().take(1).collect()),
        (6, _) if ordered => Ask::Less(value),
        (7, _) if ordered => Ask::LessOrEqual(value),
        (8, _) if ordered => Ask::Greater(value),
        (9, _) if ordered => Ask::GreaterOrEqual(value),
        _ => Ask::Equal(value),
    };
    Filter::Compare(Compare { hops, field: Some(field), ask })
}

/// A text with some of it taken out.
fn pieces(chance: &mut Chance, text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let from = chance.below(letters.len() + 1);
    let to = from + chance.below(letters.len() - from + 1);
    let mut pieces = vec![letters[..from].iter().collect(), letters[to..].iter().collect()];
    if chance.one_in(3) {
        pieces.insert(chance.below(3), String::new());
    }
    pieces
}

/// Keys to sort by.
pub fn keys(chance: &mut Chance, kind: &'static str) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    for _ in 0..chance.below(4) {
        let (hops, end) = walk(chance, kind, 3, true);
        let key = Key { hops, field: some_field(chance, end, false).name, descending: chance.one_in(2) };
        if !keys.iter().any(|known| known.hops == key.hops && known.field == key.field) {
            keys.push(key);
        }
    }
    keys
}

/// How keys are written.
pub fn order_by(chance: &mut Chance, keys: &[Key]) -> String {
    let keys: Vec<_> = keys
        .iter()
        .map(|key| {
            let way = if key.descending { " desc" } else { *chance.pick(&["", " asc"]) };
            format!("{}{way}", path(chance, &key.hops, Some(key.field)))
        })
        .collect();
    keys.join(", ")
}

/// How a path is written: each name in one of the two ways.
pub fn path(chance: &mut Chance, hops: &[Edge<'static>], field: Option<&str>) -> String {
    let names: Vec<_> = hops.iter().map(|hop| hop.segment).chain(field).map(|name| spelled(chance, name)).collect();
    names.join(".")
}

fn spelled(chance: &mut Chance, name: &str) -> String {
    if chance.one_in(2) {
        return name.to_owned();
    }
    let mut upper = false;
    name.chars()
        .filter_map(|letter| match letter {
            '_' => {
                upper = true;
                None
            }
            _ if std::mem::take(&mut upper) => Some(letter.to_ascii_uppercase()),
            _ => Some(letter),
        })
        .collect()
}

/// How a filter is written.
pub fn written(chance: &mut Chance, filter: &Filter) -> String {
    match filter {
        Filter::And(all) => {
            // OR binds tighter: it needs no parentheses here
            let parts: Vec<_> = all
                .iter()
                .map(|one| match one {
                    Filter::And(_) => format!("({})", written(chance, one)),
                    Filter::Or(_) if chance.one_in(2) => format!("({})", written(chance, one)),
                    _ => written(chance, one),
                })
                .collect();
            parts.join(" AND ")
        }
        Filter::Or(all) => {
            let parts: Vec<_> = all
                .iter()
                .map(|one| match one {
                    Filter::And(_) | Filter::Or(_) => format!("({})", written(chance, one)),
                    _ => written(chance, one),
                })
                .collect();
            parts.join(" OR ")
        }
        Filter::Not(inner) => {
            let inner = match **inner {
                Filter::And(_) | Filter::Or(_) => format!("({})", written(chance, inner)),
                _ => written(chance, inner),
            };
            format!("{}{inner}", chance.pick(&["NOT ", "-"]))
        }
        Filter::Compare(compare) => {
            let path = path(chance, &compare.hops, compare.field.map(|field| field.name));
            comparison(chance, &path, compare)
        }
    }
}

fn comparison(chance: &mut Chance, path: &str, compare: &Compare) -> String {
    let named = compare.field.is_some_and(|field| !field.values.is_empty());
    let mut value = |value: &Val| literal(chance, value, named);
    match &compare.ask {
        Ask::Null => format!("{path} = null"),
        Ask::NotNull if named => format!("{path}:*"),
        Ask::NotNull => format!("{path} != null"),
        Ask::Equal(wanted) if named => format!("{path}:{}", value(wanted)),
        Ask::Equal(wanted) => format!("{path} = {}", value(wanted)),
        Ask::NotEqual(wanted) => format!("{path}!={}", value(wanted)),
        Ask::Less(wanted) => format!("{path} < {}", value(wanted)),
        Ask::LessOrEqual(wanted) => format!("{path}<={}", value(wanted)),
        Ask::Greater(wanted) => format!("{path} > {}", value(wanted)),
        Ask::GreaterOrEqual(wanted) => format!("{path} >= {}", value(wanted)),
        Ask::In(all) => {
            let all: Vec<_> = all.iter().map(&mut value).collect();
            format!("{path} IN ({})", all.join(", "))
        }
        Ask::Like(pieces) => format!("{path} = \"{}\"", pattern(pieces)),
        Ask::NotLike(pieces) => format!("{path} != '{}'", pattern(pieces)),
        Ask::Contains(part) => format!("{path}:{}", quoted(part)),
    }
}

fn pattern(pieces: &[String]) -> String {
    let pieces: Vec<_> = pieces.iter().map(|piece| escaped(piece)).collect();
    pieces.join("*")
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if matches!(letter, '"' | '\'' | '\\' | '*') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

fn literal(chance: &mut Chance, value: &Val, named: bool) -> String {
    match value {
        Val::Bool(value) => value.to_string(),
        Val::Int(number) if *number > 0 && number % (1 << 30) == 0 && chance.one_in(2) => {
            format!("{}GiB", number >> 30)
        }
        Val::Int(number) => number.to_string(),
        Val::Text(text) if named && chance.one_in(2) => text.to_lowercase(),
        Val::Text(text) => quoted(text),
        Val::Id(uuid) if chance.one_in(2) => uuid.simple().to_string(),
        Val::Id(uuid) => format!("\"{uuid}\""),
        Val::Time(micros) if chance.one_in(2) => time::print(*micros),
        Val::Time(micros) => quoted(&time::print(*micros)),
        other => panic!("{other:?}"),
    }
}
