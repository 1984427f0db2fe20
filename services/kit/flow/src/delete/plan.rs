//! What deleting a resource would do, found set by set: what refers to the resource, what refers to that, and so on. Statements
//! name many rows each, so their number hangs on the depth of the tree and not on the number of resources.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};

use gyre_model::catalog::{Access, Scope};
use gyre_model::{Caller, Error, Kind, Result, Uuid};
use gyre_proto::common::v1::{Deletion, DeletionEffect, DeletionItem, DeletionNode};
use gyre_query::table;
use gyre_query::table::Table;
use gyre_store::{Conn, Dialect, Sql};

use super::graph::{Edge, How, graph};
use super::outside;
use crate::Flow;

/// How many of a node's resources are named.
pub(super) const NAMED: usize = 10;
/// Rows that one statement names. Few sizes, so that there are few statements.
const CHUNKS: [usize; 3] = [1, 32, 512];

/// A node of the tree.
struct Node {
    above: Option<usize>,
    edge: Option<&'static Edge>,
    kind: Cow<'static, str>,
    effect: DeletionEffect,
    count: i64,
    items: Vec<DeletionItem>,
    hidden: bool,
    /// Where a plugin keeps these.
    outside: Option<Outside>,
}

/// What a plugin keeps.
struct Outside {
    step: String,
    plural: String,
    /// Why it forbids the deletion.
    said: String,
}

/// A row that refers to something.
struct Row {
    uuid: Uuid,
    name: String,
    account: Option<Uuid>,
}

/// What is to be deleted, by the rank of its turn.
pub(crate) type Ranks = BTreeMap<usize, Vec<(&'static str, Uuid)>>;

/// What deleting a resource would do.
pub(crate) struct Plan {
    kind: &'static str,
    nodes: Vec<Node>,
    found: HashMap<&'static str, HashMap<Uuid, usize>>,
    /// References to the resource itself that are cleared before it goes.
    pub detach: Vec<&'static Edge>,
}

/// What a caller may do with a row of another.
#[derive(PartialEq, Eq)]
enum Sight {
    Delete,
    See,
    Nothing,
}

fn sight(caller: &Caller, table: &Table, row: &Row) -> Sight {
    if caller.admin {
        return Sight::Delete;
    }
    let own = row.account == Some(caller.account_uuid);
    let open = graph().call(table.kind.kind).is_none_or(|call| call.method.access == Access::Account);
    match table.scope() {
        _ if own && open => Sight::Delete,
        Scope::Global => Sight::See,
        _ if own => Sight::See,
        _ => Sight::Nothing,
    }
}

/// The condition that a field refers to one of these.
fn refers(dialect: Dialect, edge: &Edge, targets: &[Uuid]) -> Sql {
    let field = edge.field.name;
    if !edge.field.repeated {
        return Sql::new(format!("{field} IN (")).bind_all(targets.iter().copied()).sql(")");
    }
    let list = match dialect {
        Dialect::Sqlite => format!("EXISTS (SELECT 1 FROM json_each({field}) named WHERE named.value IN ("),
        Dialect::Postgres => {
            format!("EXISTS (SELECT 1 FROM jsonb_array_elements_text({field}) named(value) WHERE named.value IN (")
        }
    };
    Sql::new(list).bind_all(targets.iter().map(|uuid| uuid.to_string())).sql("))")
}

/// Whether anything refers to a resource by this edge.
pub(crate) fn any(conn: &mut Conn, edge: &Edge, to: Uuid) -> Result<bool> {
    let dialect = conn.dialect();
    let sql = Sql::new(format!("SELECT 1 FROM {} WHERE ", edge.kind.table)).append(refers(dialect, edge, &[to]));
    Ok(conn.query_one(sql.sql(" LIMIT 1"))?.is_some())
}

/// What refers to a resource by this edge.
pub(crate) fn those(conn: &mut Conn, edge: &Edge, to: Uuid) -> Result<Vec<Uuid>> {
    Ok(rows(conn, edge, &[to])?.into_iter().map(|row| row.uuid).collect())
}

fn rows(conn: &mut Conn, edge: &Edge, targets: &[Uuid]) -> Result<Vec<Row>> {
    let table = table::by_kind(edge.kind.kind);
    let column = |name: &'static str| if table.column(name).is_some() { name } else { "NULL" };
    let head = format!("SELECT uuid, {}, {} FROM {} WHERE ", column("name"), column("account_uuid"), edge.kind.table);
    let (named, owned) = (column("name") != "NULL", column("account_uuid") != "NULL");
    let most = CHUNKS[CHUNKS.len() - 1];
    let mut found = Vec::new();
    for chunk in targets.chunks(most) {
        let size = CHUNKS.into_iter().find(|size| *size >= chunk.len()).unwrap_or(most);
        let padded: Vec<_> = chunk.iter().chain(std::iter::repeat(&chunk[0])).take(size).copied().collect();
        let sql = Sql::new(head.clone()).append(refers(conn.dialect(), edge, &padded));
        for row in conn.query(sql)? {
            found.push(Row {
                uuid: row.id(0)?,
                name: if named { row.text(1)?.to_owned() } else { String::new() },
                account: if owned { row.opt_id(2)? } else { None },
            });
        }
    }
    Ok(found)
}

impl Plan {
    /// Finds out what deleting a resource would do. What has a bin and is only put there does nothing to anything.
    pub fn of(conn: &mut Conn, caller: &Caller, kind: &'static str, uuid: Uuid, binned: bool) -> Result<Self> {
        let named = table::by_kind(kind);
        let column = if named.column("name").is_some() { "name" } else { "''" };
        let sql = Sql::new(format!("SELECT {column} FROM {} WHERE uuid = ", named.kind.table)).bind(uuid);
        let name = conn.query_one(sql)?.ok_or_else(|| Error::not_found(kind, uuid))?.text(0)?.to_owned();
        let root = Node {
            above: None,
            edge: None,
            kind: kind.into(),
            effect: if binned { DeletionEffect::Bin } else { DeletionEffect::Delete },
            count: 1,
            items: vec![DeletionItem { uuid: uuid.to_string(), name }],
            hidden: false,
            outside: None,
        };
        let found = HashMap::from([(kind, HashMap::from([(uuid, 0)]))]);
        let mut plan = Self { kind, nodes: vec![root], found, detach: Vec::new() };
        if !binned {
            plan.descend(conn, caller, uuid)?;
            plan.look_around(conn, caller, uuid)?;
        }
        Ok(plan)
    }

    /// Finds all that goes.
    fn descend(&mut self, conn: &mut Conn, caller: &Caller, root: Uuid) -> Result<()> {
        let mut next = VecDeque::from([(0, vec![root])]);
        while let Some((above, uuids)) = next.pop_front() {
            let kind = self.nodes[above].kind.clone();
            for edge in graph().referring(&kind).iter().filter(|edge| matches!(edge.how, How::Delete | How::Part)) {
                let rows = rows(conn, edge, &uuids)?;
                let effect = if edge.how == How::Part { DeletionEffect::Part } else { DeletionEffect::Delete };
                let (mut node, mut forbidding, mut new) = (None, None, Vec::new());
                for row in rows {
                    let known = self.found.get(edge.kind.kind).and_then(|found| found.get(&row.uuid)).copied();
                    match known {
                        // what was found by another way before is a part all the same
                        Some(at)
                            if edge.how == How::Part && self.nodes[at].effect != DeletionEffect::Part && at != 0 =>
                        {
                            self.nodes[at].count -= 1;
                            self.nodes[at].items.retain(|item| item.uuid != row.uuid.to_string());
                        }
                        Some(_) => continue,
                        None => new.push(row.uuid),
                    }
                    let sight = sight(caller, table::by_kind(edge.kind.kind), &row);
                    // parts go with what their owner may delete
                    if edge.how == How::Part || sight == Sight::Delete {
                        let at = *node.get_or_insert_with(|| self.node(above, edge, effect));
                        self.found.entry(edge.kind.kind).or_default().insert(row.uuid, at);
                        self.count(at, row);
                    } else {
                        new.retain(|uuid| *uuid != row.uuid);
                        let at = *forbidding.get_or_insert_with(|| self.node(above, edge, DeletionEffect::Forbid));
                        self.forbid(at, row, &sight);
                    }
                }
                if let Some(node) = node.filter(|_| !new.is_empty()) {
                    next.push_back((node, new));
                }
            }
        }
        Ok(())
    }

    /// Finds what stays and refers to what goes.
    fn look_around(&mut self, conn: &mut Conn, caller: &Caller, root: Uuid) -> Result<()> {
        let mut going: BTreeMap<usize, Vec<Uuid>> = BTreeMap::new();
        for (uuid, node) in self.found.values().flatten() {
            going.entry(*node).or_default().push(*uuid);
        }
        for (above, mut uuids) in going {
            uuids.sort_unstable();
            let kind = self.nodes[above].kind.clone();
            for edge in graph().referring(&kind).iter().filter(|edge| matches!(edge.how, How::Detach | How::Forbid)) {
                let mut node = None;
                for row in rows(conn, edge, &uuids)? {
                    if self.found.get(edge.kind.kind).is_some_and(|found| found.contains_key(&row.uuid)) {
                        continue;
                    }
                    let sight = sight(caller, table::by_kind(edge.kind.kind), &row);
                    if edge.how == How::Forbid {
                        let at = *node.get_or_insert_with(|| self.node(above, edge, DeletionEffect::Forbid));
                        self.forbid(at, row, &sight);
                        continue;
                    }
                    if uuids.contains(&root) && !self.detach.iter().any(|known| std::ptr::eq(*known, edge)) {
                        self.detach.push(edge);
                    }
                    // what others lose is not the caller's to know
                    if sight != Sight::Nothing {
                        let at = *node.get_or_insert_with(|| self.node(above, edge, DeletionEffect::Detach));
                        self.count(at, row);
                    }
                }
            }
        }
        Ok(())
    }

    fn node(&mut self, above: usize, edge: &'static Edge, effect: DeletionEffect) -> usize {
        self.nodes.push(Node {
            above: Some(above),
            edge: Some(edge),
            kind: edge.kind.kind.into(),
            effect,
            count: 0,
            items: Vec::new(),
            hidden: false,
            outside: None,
        });
        self.nodes.len() - 1
    }

    fn count(&mut self, at: usize, row: Row) {
        let node = &mut self.nodes[at];
        node.count += 1;
        if node.items.len() < NAMED {
            node.items.push(DeletionItem { uuid: row.uuid.to_string(), name: row.name });
        }
    }

    fn forbid(&mut self, at: usize, row: Row, sight: &Sight) {
        if *sight == Sight::Nothing {
            self.nodes[at].hidden = true;
        } else {
            self.count(at, row);
        }
    }

    /// Asks what plugins keep for all that goes by calls of its own, and puts it into the tree.
    ///
    /// # Errors
    /// Those of a plugin that cannot tell.
    pub async fn ask_outside(&mut self, flow: &Flow, caller: Caller) -> Result<()> {
        let mut going: BTreeMap<usize, outside::Going> = BTreeMap::new();
        for (kind, found) in &self.found {
            for (uuid, node) in found.iter().filter(|(_, node)| self.nodes[**node].effect == DeletionEffect::Delete) {
                let (node, uuids) = (*node, Vec::new());
                going.entry(node).or_insert(outside::Going { node, kind, uuids }).uuids.push(*uuid);
            }
        }
        for (above, found) in outside::ask(flow, caller, going.into_values().collect()).await? {
            let effect = found.effect();
            let items = found.names.into_iter().map(|name| DeletionItem { uuid: String::new(), name }).collect();
            self.nodes.push(Node {
                above: Some(above),
                edge: None,
                kind: found.kind.into(),
                effect,
                count: found.count,
                items,
                hidden: false,
                outside: Some(Outside { step: found.step, plural: found.plural, said: found.said }),
            });
        }
        Ok(())
    }

    /// What goes before the resource by calls of its own, in their order.
    pub fn ranks(&self) -> Ranks {
        let mut ranks = Ranks::new();
        for (kind, found) in &self.found {
            for (uuid, node) in found {
                if *node != 0 && self.nodes[*node].effect == DeletionEffect::Delete {
                    ranks.entry(graph().rank(kind)).or_default().push((*kind, *uuid));
                }
            }
        }
        ranks.values_mut().for_each(|rank| rank.sort_unstable());
        ranks
    }

    /// Refuses what may not be: what something forbids, and what would take others along without being told to.
    ///
    /// # Errors
    /// `IN_USE`, `NEEDS_CASCADE`, with how much of which kind there is.
    pub fn check(&self, cascade: bool) -> Result<()> {
        let forbidding: Vec<_> = self.nodes.iter().filter(|node| node.effect == DeletionEffect::Forbid).collect();
        let subject = format!("{} {}", self.kind, self.nodes[0].items.first().map_or("", |item| item.uuid.as_str()));
        if !forbidding.is_empty() {
            let shown = forbidding.iter().filter(|node| node.count > 0 || node.outside.is_some());
            let mut list: Vec<_> = shown.map(|node| told(node)).collect();
            if forbidding.iter().any(|node| node.hidden) {
                list.push("something of other accounts".to_owned());
            }
            let text =
                format!("{subject} cannot be deleted, since it is used by {}: remove that first", list.join(", "));
            let error = Error::new(Kind::FailedPrecondition, "IN_USE", text);
            return Err(with_counts(error, &forbidding));
        }
        // what a plugin keeps is its step's, which is a part of the deletion itself
        let goes = |node: &&Node| node.effect == DeletionEffect::Delete && node.count > 0 && node.outside.is_none();
        let going: Vec<_> = self.nodes.iter().skip(1).filter(goes).collect();
        if !cascade && !going.is_empty() {
            let list: Vec<_> =
                totals(&going).into_iter().map(|(plural, (kind, count))| words(kind, plural, count)).collect();
            let text = format!(
                "deleting {subject} would delete {}, too: look at it with validate_only, and say cascade if that is what \
                 you want, or remove them first",
                list.join(", ")
            );
            let error = Error::new(Kind::FailedPrecondition, "NEEDS_CASCADE", text);
            return Err(with_counts(error, &going));
        }
        Ok(())
    }

    /// The plan as it is answered.
    pub fn told(&self, refused: Option<&Error>) -> Deletion {
        let mut nodes = Vec::with_capacity(self.nodes.len());
        self.outline(None, 0, &mut nodes);
        Deletion {
            allowed: refused.is_none(),
            refusal: refused.map(|error| error.message().to_owned()).unwrap_or_default(),
            nodes,
        }
    }

    fn outline(&self, above: Option<usize>, depth: i32, out: &mut Vec<DeletionNode>) {
        for (at, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.above == above) {
            if node.count == 0 && !node.hidden && node.outside.is_none() {
                // all of it goes another way; what stands below it does, too
                self.outline(Some(at), depth, out);
                continue;
            }
            out.push(DeletionNode {
                depth,
                kind: named(node).to_owned(),
                plugin: node.outside.as_ref().map(|outside| outside.step.clone()).unwrap_or_default(),
                field: node.edge.map(|edge| edge.field.name.to_owned()).unwrap_or_default(),
                effect: node.effect.into(),
                count: node.count,
                items: node.items.clone(),
                hidden: node.hidden,
            });
            self.outline(Some(at), depth + 1, out);
        }
    }
}

fn words(kind: &str, plural: &str, count: i64) -> String {
    format!("{count} {}", if count == 1 { kind } else { plural })
}

/// What a node's kind is called in an answer: for resources the kind, for what a plugin keeps the operator's word for so many.
fn named(node: &Node) -> &str {
    match &node.outside {
        Some(outside) if node.count != 1 => &outside.plural,
        _ => &node.kind,
    }
}

/// How a node's kind is called where there are several.
fn plural(node: &Node) -> &str {
    match &node.outside {
        Some(outside) => &outside.plural,
        None => gyre_model::catalog().kind(&node.kind).map_or(node.kind.as_ref(), |info| info.plural),
    }
}

/// How much of a kind, and the first names.
fn told(node: &Node) -> String {
    let names: Vec<_> =
        node.items.iter().take(3).map(|item| item.name.as_str()).filter(|name| !name.is_empty()).collect();
    let more = if names.len() < usize::try_from(node.count).unwrap_or(0) { ", …" } else { "" };
    let counted = words(&node.kind, plural(node), node.count);
    let text = match names.as_slice() {
        [] => counted,
        names => format!("{counted} ({}{more})", names.join(", ")),
    };
    match &node.outside {
        Some(outside) if outside.said.is_empty() => format!("{text} that plugin {} keeps", outside.step),
        Some(outside) => format!("{text} that plugin {} keeps, which says {:?}", outside.step, outside.said),
        None => text,
    }
}

/// How many there are of each kind, by its plural.
fn totals<'a>(nodes: &[&'a Node]) -> BTreeMap<&'a str, (&'a str, i64)> {
    let mut totals = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.count > 0) {
        totals.entry(plural(node)).or_insert((node.kind.as_ref(), 0)).1 += node.count;
    }
    totals
}

fn with_counts(error: Error, nodes: &[&Node]) -> Error {
    totals(nodes)
        .into_iter()
        .fold(error, |error, (plural, (_, count))| error.with(plural.replace(['-', ' '], "_"), count.to_string()))
}
