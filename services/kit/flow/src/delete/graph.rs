//! The graph of deletions, as the references' options say it: what refers to a kind, and what deleting that does to it.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use gyre_model::catalog;
use gyre_model::catalog::{Access, FieldInfo, HostedBy, KindInfo, MethodInfo, OnDelete};

/// What deleting something does to what refers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It is deleted by its own call, before.
    Delete,
    /// It goes in the same step.
    Part,
    /// It forgets the reference.
    Detach,
    /// It forbids the deletion.
    Forbid,
}

/// A reference.
#[derive(Debug)]
pub(crate) struct Edge {
    /// The kind that refers.
    pub kind: &'static KindInfo,
    /// The field by which it does.
    pub field: &'static FieldInfo,
    /// What deleting what it refers to does to it.
    pub how: How,
}

/// The call that deletes a kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    /// The service that answers it.
    pub service: &'static str,
    /// The call.
    pub method: &'static MethodInfo,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Graph {
    edges: HashMap<&'static str, Vec<Edge>>,
    calls: HashMap<&'static str, Call>,
    ranks: HashMap<&'static str, usize>,
}

/// The message whose fields every such call has.
const REQUEST: &str = "gyre.common.v1.DeleteRequest";

impl Graph {
    /// What refers to a kind.
    pub fn referring(&self, kind: &str) -> &[Edge] {
        self.edges.get(kind).map(Vec::as_slice).unwrap_or_default()
    }

    /// The call that deletes a kind; nothing where it only goes with others.
    pub fn call(&self, kind: &str) -> Option<Call> {
        self.calls.get(kind).copied()
    }

    /// When a kind's turn comes: what refers to others goes before those.
    pub fn rank(&self, kind: &str) -> usize {
        self.ranks.get(kind).copied().unwrap_or(0)
    }

    /// Whether deleting one of this kind can do anything to others than its parts.
    pub fn has_dependents(&self, kind: &str) -> bool {
        self.referring(kind).iter().any(|edge| edge.how != How::Part)
    }

    fn read() -> Self {
        let calls = calls();
        let mut edges: HashMap<&'static str, Vec<Edge>> = HashMap::new();
        let mut kinds: Vec<_> = catalog().kinds().collect();
        kinds.sort_by_key(|kind| kind.kind);
        for reference in catalog().references() {
            let Some(kind) = catalog().kind(reference.kind) else { continue };
            let Some(field) = catalog().message(kind.message).and_then(|message| message.field(reference.field)) else {
                continue;
            };
            let how = match reference.on_delete {
                OnDelete::Cascade if calls.contains_key(kind.kind) => How::Delete,
                OnDelete::Cascade | OnDelete::Part => How::Part,
                OnDelete::Detach => How::Detach,
                OnDelete::Restrict | OnDelete::Unspecified => How::Forbid,
                OnDelete::Keep => continue,
            };
            edges.entry(reference.to).or_default().push(Edge { kind, field, how });
        }
        let mut graph = Self { edges, calls, ranks: HashMap::new() };
        for kind in kinds {
            graph.climb(kind.kind, &mut HashSet::new());
        }
        graph
    }

    /// One more than the highest rank of what refers to it. Parts do not count: they go in the same step. Nor does what
    /// closes a circle.
    fn climb(&mut self, kind: &'static str, above: &mut HashSet<&'static str>) -> usize {
        if let Some(rank) = self.ranks.get(kind) {
            return *rank;
        }
        above.insert(kind);
        let below: Vec<_> =
            self.referring(kind).iter().filter(|edge| edge.how != How::Part).map(|edge| edge.kind.kind).collect();
        let mut rank = 0;
        for kind in below {
            if !above.contains(kind) {
                rank = rank.max(self.climb(kind, above) + 1);
            }
        }
        above.remove(kind);
        self.ranks.insert(kind, rank);
        rank
    }
}

/// The calls that delete, by the kinds that they delete.
fn calls() -> HashMap<&'static str, Call> {
    let Some(common) = catalog().message(REQUEST) else { return HashMap::new() };
    let of = |method: &'static MethodInfo| {
        let HostedBy::Service(service) = method.host else { return None };
        let input = catalog().message(method.input)?;
        let same = common.fields.iter().all(|field| {
            let here = input.field(field.name);
            // only what has a bin has this one
            here.map_or(field.name == "expunge", |here| here.number == field.number && here.ty == field.ty)
        });
        let kind = catalog().kind(&input.field("uuid")?.rule.refers_to)?;
        (same && method.access != Access::Internal).then_some((kind.kind, Call { service, method }))
    };
    catalog().methods().filter_map(of).collect()
}

/// The graph of this build.
pub(crate) fn graph() -> &'static Graph {
    static GRAPH: OnceLock<Graph> = OnceLock::new();
    GRAPH.get_or_init(Graph::read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_that_people_make_can_be_deleted() {
        for method in catalog().methods().filter(|method| method.name.starts_with("Delete")) {
            let kind = method.name.strip_prefix("Delete").unwrap();
            if matches!(method.host, HostedBy::Service(_)) && method.access != Access::Internal {
                let found = graph().calls.values().any(|call| call.method.path == method.path);
                assert!(found, "the request of {kind} lacks the fields of {REQUEST}, or its uuid no refers_to");
                assert_eq!(method.output, "gyre.common.v1.Operation", "{}", method.path);
            }
        }
    }

    #[test]
    fn what_refers_goes_before_what_it_refers_to() {
        let graph = graph();
        for (to, edges) in &graph.edges {
            for edge in edges.iter().filter(|edge| edge.how != How::Part) {
                let (before, after) = (graph.rank(edge.kind.kind), graph.rank(to));
                assert!(before < after, "{}.{} has rank {before}, {to} {after}", edge.kind.kind, edge.field.name);
            }
        }
    }

    #[test]
    fn what_can_be_forgotten_is_one_reference_that_may_be_missing() {
        for edge in graph().edges.values().flatten().filter(|edge| edge.how == How::Detach) {
            assert!(!edge.field.repeated, "{}.{}", edge.kind.kind, edge.field.name);
        }
    }
}
