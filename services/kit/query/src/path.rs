//! Paths: `host.cluster.zone.name` from a machine, `nics.ip`, `steps.name`.
//!
//! Segments but the last go along references, in both directions, and the last is a field; or a reference itself, which stands for
//! what it leads to. A field that holds a message may be followed by one of the message's fields. Names are those of the .proto
//! files (`memory_bytes`) or of JSON (`memoryBytes`).

use gyre_model::catalog::{Edge, FieldInfo, FieldType, KindInfo, catalog};
use gyre_model::near::closest;
use gyre_store::Type;

use crate::table::{Column, Table, by_kind};

/// Most references that a path goes through.
pub const DEEPEST: usize = 6;

/// A path that leads somewhere.
pub(crate) struct Path {
    /// The references, in order.
    pub hops: Vec<Edge<'static>>,
    /// The kind of the rows where they end.
    pub kind: &'static KindInfo,
    /// What is read there.
    pub leaf: Leaf,
}

/// What a path ends at.
#[derive(Clone, Copy)]
pub(crate) enum Leaf {
    /// A column.
    Column(&'static Column),
    /// A field of the message, or of each message, that a column holds.
    Inside(&'static Column, &'static FieldInfo),
    /// The tags of the row.
    Tags,
    /// Nothing but the row itself.
    Row,
}

/// Why a path leads nowhere: at which character of it, and what to say.
#[derive(Debug)]
pub(crate) struct Astray {
    pub at: usize,
    pub text: String,
}

impl Path {
    /// Follows a path from a kind to what whoever asks may see.
    pub fn find(kind: &str, text: &str, admin: bool) -> Result<Self, Astray> {
        let path = Self::follow(kind, text)?;
        match path.leaf {
            Leaf::Column(column) | Leaf::Inside(column, _) if column.hidden(admin) => {
                let text = format!("{} of a {} is for administrators only", column.field.name, path.kind.kind);
                Err(Astray { at: 0, text })
            }
            _ => Ok(path),
        }
    }

    /// Follows a path from a kind, whoever asks.
    pub fn follow(kind: &str, text: &str) -> Result<Self, Astray> {
        let mut here = by_kind(kind);
        let mut hops = Vec::new();
        let mut segments = text.split('.').peekable();
        // counted in characters
        let mut at = 0;
        while let Some(segment) = segments.next() {
            let after = at + segment.chars().count() + 1;
            // where a list of messages has rows of its own beside it, the rows are meant; but for what the messages alone have
            let edge = catalog().edge(here.kind.kind, segment);
            let next = segments.clone().next();
            let own = |column: &Column| {
                let rows = edge.as_ref().filter(|_| column.field.repeated).map(|edge| by_kind(edge.to()));
                !column.field.rule.secret
                    && rows.is_none_or(|rows| next.is_some_and(|next| !has(rows, next) && inside(column, next).is_ok()))
            };
            if let Some((_, column)) = here.column(segment).filter(|(_, column)| own(column)) {
                let leaf = match (segments.next(), segments.next()) {
                    (None, _) => Leaf::Column(column),
                    (Some(inner), None) => {
                        Leaf::Inside(column, inside(column, inner).map_err(|text| Astray { at: after, text })?)
                    }
                    (Some(_), Some(_)) => {
                        let text = format!("a path ends at most one field below {segment}");
                        return Err(Astray { at: after, text });
                    }
                };
                return Ok(Self { hops, kind: here.kind, leaf });
            }
            if segment == "tags" && segments.peek().is_none() && here.has_tags() {
                return Ok(Self { hops, kind: here.kind, leaf: Leaf::Tags });
            }
            let Some(edge) = edge else {
                return Err(Astray { at, text: unknown(here.kind, segment) });
            };
            if hops.len() == DEEPEST {
                return Err(Astray { at, text: format!("a path goes through at most {DEEPEST} references") });
            }
            here = by_kind(edge.to());
            hops.push(edge);
            at = after;
        }
        Ok(Self { hops, kind: here.kind, leaf: Leaf::Row })
    }

    /// Whether it leads to one value at most.
    pub fn one(&self) -> bool {
        let list = match self.leaf {
            Leaf::Column(_) | Leaf::Row => false,
            Leaf::Inside(column, _) => column.field.repeated,
            Leaf::Tags => true,
        };
        !list && !self.hops.iter().any(Edge::many)
    }
}

/// Whether a path goes on with this name from the rows of a table.
fn has(rows: &Table, name: &str) -> bool {
    rows.column(name).is_some() || name == "tags" && rows.has_tags() || catalog().edge(rows.kind.kind, name).is_some()
}

/// The field of the message in a column.
fn inside(column: &Column, name: &str) -> Result<&'static FieldInfo, String> {
    let message = match column.field.ty {
        FieldType::Message(message) if column.ty == Type::Json => catalog().message(message),
        _ => None,
    };
    let Some(message) = message else {
        return Err(match column.field.name.strip_suffix("_uuid") {
            Some(stem) if !column.field.rule.refers_to.is_empty() => {
                format!("{} is a UUID and has no field {name:?}; did you mean {stem}.{name}?", column.field.name)
            }
            _ => format!("{} is a value and has no field {name:?}", column.field.name),
        });
    };
    let found = message.fields.iter().find(|field| field.name == name || field.json_name == name);
    found.filter(|field| !field.rule.secret).ok_or_else(|| {
        let names = message.fields.iter().map(|field| field.name);
        format!("{} has no field {name:?}{}", column.field.name, suggestion(names, name))
    })
}

fn unknown(kind: &KindInfo, name: &str) -> String {
    let columns = by_kind(kind.kind).columns.iter().map(|column| column.field.name);
    let edges = catalog().edges(kind.kind).map(|edge| edge.segment);
    format!("{} has no field {name:?}{}", kind.kind, suggestion(columns.chain(edges), name))
}

/// "; did you mean …?" with the name that is least far from a text.
pub(crate) fn suggestion<'n>(names: impl Iterator<Item = &'n str>, text: &str) -> String {
    match closest(text, names) {
        Some(nearest) => format!("; did you mean {nearest:?}?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn astray(kind: &str, text: &str) -> (usize, String) {
        let fault = Path::follow(kind, text).err().unwrap();
        (fault.at, fault.text)
    }

    #[test]
    fn paths_go_along_references_in_both_directions() {
        let path = Path::follow("vm", "host.cluster.zone.name").unwrap();
        assert_eq!((path.hops.len(), path.kind.kind, path.one()), (3, "zone", true));
        let path = Path::follow("zone", "clusters.hosts.vms.memoryBytes").unwrap();
        assert_eq!((path.hops.len(), path.kind.kind, path.one()), (3, "vm", false));
        assert!(matches!(Path::follow("vm", "volumes").unwrap().leaf, Leaf::Row));
        assert!(matches!(Path::follow("operation", "error.reason").unwrap().leaf, Leaf::Inside(..)));
        assert!(!Path::follow("operation", "steps.name").unwrap().one());
        assert_eq!(Path::follow("vm", "nics.ip").unwrap().kind.kind, "nic");
        assert_eq!(Path::follow("vm", "nics.mac").unwrap().kind.kind, "nic");
        // what the messages alone have
        assert!(matches!(Path::follow("vm", "nics.address").unwrap().leaf, Leaf::Inside(..)));
        assert!(astray("vm", "nics.adress").1.starts_with("nic has no field"));
        assert!(astray("vm", "nics.address.x").1.contains("at most one field below nics"));
        assert_eq!(Path::follow("nic", "vm.host.name").unwrap().hops.len(), 2);
    }

    #[test]
    fn a_path_that_leads_nowhere_says_where_it_went_wrong() {
        assert_eq!(astray("vm", "hots.name"), (0, r#"vm has no field "hots"; did you mean "host"?"#.to_owned()));
        let (at, text) = astray("vm", "host.cluster.zoen.name");
        assert_eq!((at, text.contains("did you mean \"zone\"")), (13, true), "{text}");
        let (at, text) = astray("vm", "host_uuid.name");
        assert_eq!((at, text.contains("did you mean host.name")), (10, true), "{text}");
        assert_eq!(astray("vm", "name.length").0, 5);
        assert_eq!(astray("vm", "host.vms.host.vms.host.vms.host.name").0, 27);
        assert_eq!(astray("vm", "").0, 0);
        assert_eq!(astray("vm", "host..name").0, 5);
    }
}
