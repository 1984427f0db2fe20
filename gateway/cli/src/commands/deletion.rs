//! `gyre … delete --dry-run`: what would go, as a tree.

use gyre_model::catalog::catalog;
use gyre_proto::common::v1::{Deletion, DeletionEffect, DeletionNode, Operation};
use prost_reflect::{DynamicMessage, ReflectMessage as _};

use crate::failure::{Failure, Result};
use crate::nouns::OPERATION;
use crate::output;

/// How many names stand in a line.
const NAMED: usize = 5;

/// The plan in an answer, where there is one.
///
/// # Errors
/// An answer that is no operation.
pub fn of(answer: &DynamicMessage) -> Result<Option<Deletion>> {
    if answer.descriptor().full_name() != OPERATION {
        return Ok(None);
    }
    let operation: Operation =
        answer.transcode_to().map_err(|error| Failure::general(format!("the answer is no operation: {error}")))?;
    Ok(operation.deletion)
}

/// Prints a plan for people.
///
/// # Errors
/// When it cannot be written.
pub fn print(plan: &Deletion) -> Result<()> {
    output::print(&tree(plan))
}

fn tree(plan: &Deletion) -> String {
    let mut text = String::new();
    for (at, node) in plan.nodes.iter().enumerate() {
        text += &branch(&plan.nodes, at);
        text += &line(node);
        text.push('\n');
    }
    text.push('\n');
    match plan.allowed {
        true => text += "nothing was deleted; without --dry-run this would be done\n",
        false => text += &format!("this would be refused: {}\n", plain(&plan.refusal)),
    }
    text
}

/// The lines that lead to a node.
fn branch(nodes: &[DeletionNode], at: usize) -> String {
    let depth = nodes[at].depth;
    let mut text = String::new();
    for level in 1..=depth {
        // whether another branch of that level comes further down before the tree goes above it
        let more = nodes[at + 1..].iter().find(|node| node.depth <= level).is_some_and(|node| node.depth == level);
        text += match (level == depth, more) {
            (true, true) => "├─ ",
            (true, false) => "└─ ",
            (false, true) => "│  ",
            (false, false) => "   ",
        };
    }
    text
}

fn line(node: &DeletionNode) -> String {
    let what = match node.effect() {
        DeletionEffect::Unspecified => "",
        DeletionEffect::Delete => "delete ",
        DeletionEffect::Part => "with it ",
        DeletionEffect::Detach => "detach ",
        DeletionEffect::Forbid => "in the way: ",
        DeletionEffect::Bin => "into the bin ",
    };
    let by = if node.plugin.is_empty() { String::new() } else { format!(" (plugin {})", plain(&node.plugin)) };
    let kind = match catalog().kind(&node.kind) {
        Some(info) if node.count != 1 => info.plural,
        _ => node.kind.as_str(),
    };
    let kind = format!("{}{by}", plain(kind));
    let names: Vec<_> = node
        .items
        .iter()
        .take(NAMED)
        .map(|item| if item.name.is_empty() { item.uuid.as_str() } else { item.name.as_str() })
        .map(plain)
        .collect();
    let more = if i64::try_from(names.len()).is_ok_and(|named| named < node.count) { ", …" } else { "" };
    let counted = match (node.count, node.hidden) {
        (0, true) => return format!("{what}{kind} that you may not see"),
        (count, hidden) => format!("{count} {kind}{}", if hidden { ", and more that you may not see" } else { "" }),
    };
    if names.is_empty() { format!("{what}{counted}") } else { format!("{what}{counted}: {}{more}", names.join(", ")) }
}

/// A text without anything that would move a terminal's cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use gyre_proto::common::v1::DeletionItem;

    use super::*;

    fn node(depth: i32, kind: &str, effect: DeletionEffect, count: i64, names: &[&str]) -> DeletionNode {
        let items = names.iter().map(|name| DeletionItem { name: (*name).to_owned(), ..DeletionItem::default() });
        let items = items.collect();
        DeletionNode { depth, kind: kind.into(), effect: effect.into(), count, items, ..DeletionNode::default() }
    }

    #[test]
    fn what_goes_into_the_bin_is_not_deleted() {
        let nodes = vec![node(0, "vm", DeletionEffect::Bin, 1, &["web-1"])];
        let text = tree(&Deletion { allowed: true, refusal: String::new(), nodes });
        assert!(text.starts_with("into the bin 1 vm: web-1\n"), "{text}");
    }

    #[test]
    fn a_plan_is_a_tree() {
        use DeletionEffect::{Delete, Forbid, Part};
        let nodes = vec![
            node(0, "zone", Delete, 1, &["east"]),
            node(1, "cluster", Delete, 2, &["a", "b"]),
            node(2, "host", Delete, 1, &["h1"]),
            node(3, "vm", Delete, 300, &["web-1", "web-2"]),
            node(4, "volume", Part, 300, &["root", "root"]),
            DeletionNode { plugin: "dns".into(), ..node(4, "names in DNS", Delete, 2, &["a.example", "b.example"]) },
            node(2, "l2-network", Delete, 1, &["wire"]),
            DeletionNode { hidden: true, ..node(1, "host", Forbid, 0, &[]) },
        ];
        let text = tree(&Deletion { allowed: false, refusal: "because\n".into(), nodes });
        let wanted = "delete 1 zone: east\n\
                      ├─ delete 2 clusters: a, b\n\
                      │  ├─ delete 1 host: h1\n\
                      │  │  └─ delete 300 vms: web-1, web-2, …\n\
                      │  │     ├─ with it 300 volumes: root, root, …\n\
                      │  │     └─ delete 2 names in DNS (plugin dns): a.example, b.example\n\
                      │  └─ delete 1 l2-network: wire\n\
                      └─ in the way: hosts that you may not see\n\
                      \nthis would be refused: because \n";
        assert_eq!(text, wanted);
    }
}
