//! The references between kinds: one registry for queries (paths go along them and back) and for deletion (its graph).
//!
//! A stored field `x_uuid` with `refers_to` is an edge `x` from its kind to the one referred to; a list `x_uuids` is `xs`. The way
//! back is called as the field's option `reverse` says, or else as the plural of the field's kind: `zone.clusters`, `host.vms`. Where
//! the kind has a list of messages of that name (`vm.nics`), a path means the rows: they say the same, and more.

use std::collections::{BTreeMap, HashMap};

use super::{FieldInfo, KindInfo, MessageInfo, OnDelete, keep};

/// A field of one kind that names resources of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// The kind that refers: "vm".
    pub kind: &'static str,
    /// The field that does, and its column: "host_uuid".
    pub field: &'static str,
    /// What a path calls the way there: "host".
    pub forward: &'static str,
    /// The kind that is referred to: "host".
    pub to: &'static str,
    /// What a path calls the way back: "vms".
    pub reverse: &'static str,
    /// What deleting the one referred to does.
    pub on_delete: OnDelete,
    /// Whether the field is a list.
    pub repeated: bool,
}

/// A reference seen from one of its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge<'a> {
    /// The segment of a path, in snake case.
    pub segment: &'static str,
    /// The reference.
    pub reference: &'a Reference,
    /// Whether it goes from who refers to who is referred to.
    pub forward: bool,
}

impl Edge<'_> {
    /// The kind that it leads to.
    pub fn to(&self) -> &'static str {
        if self.forward { self.reference.to } else { self.reference.kind }
    }

    /// Whether it may lead to more than one resource.
    pub fn many(&self) -> bool {
        !self.forward || self.reference.repeated
    }
}

/// All references, and the edges by the kind that they start from.
#[derive(Debug)]
pub(super) struct References {
    all: Vec<Reference>,
    edges: HashMap<&'static str, BTreeMap<&'static str, (usize, bool)>>,
}

impl Reference {
    fn new(kind: &KindInfo, field: &FieldInfo, kinds: &HashMap<&'static str, KindInfo>) -> Option<Self> {
        let to = kinds.get(field.rule.refers_to.as_str()).filter(|_| !field.rule.not_stored)?.kind;
        let forward = match (field.name.strip_suffix("_uuid"), field.name.strip_suffix("_uuids")) {
            (Some(stem), _) => stem,
            (_, Some(stem)) => keep(format!("{stem}s")),
            _ => return None,
        };
        let reverse = match field.rule.reverse.as_str() {
            "" => keep(kind.plural.replace('-', "_")),
            name => keep(name),
        };
        let on_delete = match field.rule.on_delete() {
            OnDelete::Unspecified => OnDelete::Restrict,
            other => other,
        };
        Some(Self { kind: kind.kind, field: field.name, forward, to, reverse, on_delete, repeated: field.repeated })
    }
}

impl References {
    pub(super) fn new(kinds: &HashMap<&'static str, KindInfo>, messages: &HashMap<&'static str, MessageInfo>) -> Self {
        let mut all: Vec<_> = kinds
            .values()
            .filter_map(|kind| Some((kind, messages.get(kind.message)?)))
            .flat_map(|(kind, message)| message.fields.iter().map(move |field| (kind, field)))
            .filter_map(|(kind, field)| Reference::new(kind, field, kinds))
            .collect();
        all.sort_by_key(|reference| (reference.kind, reference.field));
        let mut edges: HashMap<_, BTreeMap<_, _>> = HashMap::new();
        for (at, reference) in all.iter().enumerate() {
            edges.entry(reference.kind).or_default().insert(reference.forward, (at, true));
            // a name that the kind has for another edge already goes to that: a test finds it
            edges.entry(reference.to).or_default().entry(reference.reverse).or_insert((at, false));
        }
        Self { all, edges }
    }

    pub(super) fn all(&self) -> &[Reference] {
        &self.all
    }

    pub(super) fn edge(&self, kind: &str, segment: &str) -> Option<Edge<'_>> {
        let edges = self.edges.get(kind)?;
        let found = match edges.get_key_value(segment) {
            Some(found) => Some(found),
            None if segment.bytes().any(|letter| letter.is_ascii_uppercase()) => {
                edges.get_key_value(snake(segment).as_str())
            }
            None => None,
        };
        found.map(|(segment, place)| self.seen(segment, *place))
    }

    pub(super) fn edges(&self, kind: &str) -> impl Iterator<Item = Edge<'_>> {
        self.edges.get(kind).into_iter().flatten().map(|(segment, place)| self.seen(segment, *place))
    }

    fn seen(&self, segment: &'static str, (at, forward): (usize, bool)) -> Edge<'_> {
        Edge { segment, reference: &self.all[at], forward }
    }
}

/// `l3Networks` as `l3_networks`.
fn snake(segment: &str) -> String {
    let mut snake = String::with_capacity(segment.len() + 4);
    for letter in segment.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crate::catalog::{FieldInfo, FieldType, catalog};

    #[test]
    fn paths_go_along_references_and_back() {
        let to = |kind: &str, segment: &str| catalog().edge(kind, segment).map(|edge| (edge.to(), edge.many()));
        assert_eq!(to("vm", "host"), Some(("host", false)));
        assert_eq!(to("host", "vms"), Some(("vm", true)));
        assert_eq!(to("zone", "clusters"), Some(("cluster", true)));
        assert_eq!(to("vm", "l3Networks"), Some(("l3-network", true)));
        assert_eq!(to("l3-network", "ip_ranges"), Some(("ip-range", true)));
        assert_eq!(to("volume", "root_of"), Some(("vm", true)));
        assert_eq!(to("vm", "account"), Some(("account", false)));
        assert_eq!(to("vm", "nics"), Some(("nic", true)));
        assert_eq!(to("vm", "host_uuid"), None);
    }

    /// From each kind, a segment means one thing: one edge, and no stored field of the same name but a list of messages.
    #[test]
    fn no_segment_of_a_path_is_ambiguous() {
        for kind in catalog().kinds() {
            let fields = catalog().message(kind.message).map(|message| message.fields.as_slice()).unwrap_or_default();
            let messages = |field: &FieldInfo| field.repeated && matches!(field.ty, FieldType::Message(_));
            let alone = fields.iter().filter(|field| !field.rule.not_stored && !messages(field));
            let mut names: HashSet<_> = alone.map(|field| field.name).collect();
            for reference in catalog().references() {
                if reference.kind == kind.kind {
                    assert!(
                        names.insert(reference.forward),
                        "{} has two things called {}",
                        kind.kind,
                        reference.forward
                    );
                }
                if reference.to == kind.kind {
                    assert!(
                        names.insert(reference.reverse),
                        "{} has two things called {}: give {}.{} the option `reverse`",
                        kind.kind,
                        reference.reverse,
                        reference.kind,
                        reference.field,
                    );
                }
            }
        }
    }

    #[test]
    fn every_field_that_refers_is_an_edge() {
        for kind in catalog().kinds() {
            let fields = catalog().message(kind.message).map(|message| message.fields.as_slice()).unwrap_or_default();
            for field in fields.iter().filter(|field| !field.rule.refers_to.is_empty() && !field.rule.not_stored) {
                let found = catalog()
                    .references()
                    .iter()
                    .any(|reference| (reference.kind, reference.field) == (kind.kind, field.name));
                assert!(found, "{}.{} refers and is not named x_uuid or x_uuids", kind.kind, field.name);
            }
        }
    }
}
