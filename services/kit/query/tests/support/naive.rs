//! The meaning of filters and orders, said as plainly as possible: every row is looked at.

use std::cmp::Ordering;

use gyre_model::Caller;
use gyre_model::catalog::{Edge, FieldInfo};

use super::world::{Record, Val, World};

/// A filter.
#[derive(Debug, Clone)]
pub enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Compare(Compare),
}

/// A comparison.
#[derive(Debug, Clone)]
pub struct Compare {
    pub hops: Vec<Edge<'static>>,
    /// The field at the end; none where the path ends at a resource.
    pub field: Option<&'static FieldInfo>,
    pub ask: Ask,
}

/// What is asked.
#[derive(Debug, Clone)]
pub enum Ask {
    Null,
    NotNull,
    Equal(Val),
    NotEqual(Val),
    Less(Val),
    LessOrEqual(Val),
    Greater(Val),
    GreaterOrEqual(Val),
    In(Vec<Val>),
    /// Pieces with anything between them.
    Like(Vec<String>),
    NotLike(Vec<String>),
    /// A text that has this in it.
    Contains(String),
}

/// Whether a text is these pieces with anything between.
fn like(text: &str, pieces: &[String]) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return text.is_empty() };
    let Some(left) = text.strip_prefix(first.as_str()) else { return false };
    if rest.is_empty() {
        return left.is_empty();
    }
    left.char_indices().map(|(at, _)| at).chain([left.len()]).any(|at| like(&left[at..], rest))
}

fn order(one: &Val, other: &Val) -> Ordering {
    match (one, other) {
        (Val::Bool(one), Val::Bool(other)) => one.cmp(other),
        (Val::Int(one), Val::Int(other)) | (Val::Time(one), Val::Time(other)) => one.cmp(other),
        (Val::Text(one), Val::Text(other)) => one.cmp(other),
        (Val::Id(one), Val::Id(other)) => one.cmp(other),
        (Val::Null, Val::Null) => Ordering::Equal,
        (Val::Null, _) => Ordering::Less,
        (_, Val::Null) => Ordering::Greater,
        other => panic!("{other:?}"),
    }
}

/// A value of one thing. Nothing equals nothing here, and differs from everything.
fn value_passes(value: &Val, ask: &Ask) -> bool {
    let there = *value != Val::Null;
    match ask {
        Ask::Null => empty(value),
        Ask::NotNull => !empty(value),
        Ask::Equal(wanted) => value == wanted,
        Ask::NotEqual(wanted) => value != wanted,
        Ask::Less(wanted) => there && order(value, wanted).is_lt(),
        Ask::LessOrEqual(wanted) => there && order(value, wanted).is_le(),
        Ask::Greater(wanted) => there && order(value, wanted).is_gt(),
        Ask::GreaterOrEqual(wanted) => there && order(value, wanted).is_ge(),
        Ask::In(all) => all.contains(value),
        Ask::Like(pieces) => matches!(value, Val::Text(text) if like(text, pieces)),
        Ask::NotLike(pieces) => !matches!(value, Val::Text(text) if like(text, pieces)),
        Ask::Contains(part) => matches!(value, Val::Text(text) if text.contains(part)),
    }
}

fn empty(value: &Val) -> bool {
    match value {
        Val::Null => true,
        Val::Text(text) => text.is_empty() || text == "UNSPECIFIED",
        Val::List(all) => all.is_empty(),
        _ => false,
    }
}

impl World {
    /// Whether a filter lets a row through.
    pub fn passes(&self, caller: &Caller, row: &Record, filter: &Filter) -> bool {
        match filter {
            Filter::And(all) => all.iter().all(|one| self.passes(caller, row, one)),
            Filter::Or(all) => all.iter().any(|one| self.passes(caller, row, one)),
            Filter::Not(inner) => !self.passes(caller, row, inner),
            Filter::Compare(compare) => self.compare(caller, row, compare),
        }
    }

    fn compare(&self, caller: &Caller, row: &Record, compare: &Compare) -> bool {
        let null = matches!(compare.ask, Ask::Null | Ask::NotNull);
        // whether there is a resource is asked of the last reference itself
        let last = (null && compare.field.is_none()).then(|| compare.hops.len() - 1);
        let way = &compare.hops[..last.unwrap_or(compare.hops.len())];
        let many = way.iter().rposition(Edge::many).map_or(0, |at| at + 1);
        let mut starts = vec![row];
        for edge in &way[..many] {
            starts = starts.into_iter().flat_map(|from| self.along(caller, from, edge)).collect();
        }
        starts.into_iter().any(|start| {
            let mut end = Some(start);
            for edge in &way[many..] {
                end = end.and_then(|from| self.along(caller, from, edge).into_iter().next());
            }
            if let Some(last) = last {
                let found = end.is_some_and(|from| !self.along(caller, from, &compare.hops[last]).is_empty());
                return found == matches!(compare.ask, Ask::NotNull);
            }
            let value = match (end, compare.field) {
                (None, _) => Val::Null,
                (Some(end), None) => Val::Id(end.uuid),
                (Some(end), Some(field)) => end.fields[field.name].clone(),
            };
            match value {
                Val::List(all) if !null => all.into_iter().any(|one| value_passes(&Val::Text(one), &compare.ask)),
                // a list that is not there has no element
                Val::Null if !null && compare.field.is_some_and(|field| field.repeated) => false,
                value => value_passes(&value, &compare.ask),
            }
        })
    }

    /// The value that a path to one leads to.
    pub fn value(&self, caller: &Caller, row: &Record, hops: &[Edge<'static>], field: &str) -> Val {
        let mut end = Some(row);
        for edge in hops {
            end = end.and_then(|from| self.along(caller, from, edge).into_iter().next());
        }
        end.map_or(Val::Null, |end| end.fields[field].clone())
    }

    /// How two rows are ordered by keys, then by UUID.
    pub fn order(&self, caller: &Caller, one: &Record, other: &Record, keys: &[Key]) -> Ordering {
        for key in keys {
            let value = |row| self.value(caller, row, &key.hops, key.field);
            let compared = order(&value(one), &value(other));
            let compared = if key.descending { compared.reverse() } else { compared };
            if compared.is_ne() {
                return compared;
            }
        }
        let last = one.uuid.cmp(&other.uuid);
        if keys.last().is_some_and(|key| key.descending) { last.reverse() } else { last }
    }
}

/// What is sorted by.
#[derive(Debug, Clone)]
pub struct Key {
    pub hops: Vec<Edge<'static>>,
    pub field: &'static str,
    pub descending: bool,
}
