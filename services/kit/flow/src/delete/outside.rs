//! What plugins of the operator's keep, outside of Gyre, for resources that are to be deleted.
//!
//! # Theory
//! - A plugin's step in the workflows that delete a kind may say `edge`: the plugin keeps something for resources of that kind, which
//!   that step takes away. So it is done in each child's own operation, under the step's key, before the row goes.
//! - Who plans a deletion asks the services of all kinds that go ([`ask`]); each asks the plugins of its own workflows ([`Edge::of`]), since
//!   only it has read their files.
//! - Where no file says `edge` that costs one call for each kind. Otherwise a call to the plugin for each [`BATCH`] resources, some at
//!   a time, each within the plugin's time and all within [`ALL`].
//! - A plugin that cannot be asked refuses the deletion: nobody knows what it keeps, and its step would fail, too.
//! - A plan is a look. Between it and the step things may change: the step has the last word.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use gyre_model::{Caller, Error, Kind, Result, Uuid, catalog};
use gyre_proto::common::v1::deletion_service_client::DeletionServiceClient;
use gyre_proto::common::v1::{DeletionEffect, ListOutsideRequest, ListOutsideResponse, OutsideNode};
use gyre_proto::plugin::v1::Dependents;

use super::plan::NAMED;
use crate::definition::{Definition, EdgeEntry, OnDelete, StepDefinition, wrong};
use crate::plugin::Plugin;
use crate::{Flow, Inner};

/// Resources in one question.
const BATCH: usize = 500;
/// Questions at a time.
const ABREAST: usize = 4;
/// How long all of them may take.
const ALL: Duration = Duration::from_secs(25);

/// What a plugin keeps for resources of a kind.
pub(crate) struct Edge {
    /// The step that takes it away.
    step: String,
    words: EdgeEntry,
    plugin: Arc<Plugin>,
}

impl Edge {
    pub fn new(step: &StepDefinition, words: &EdgeEntry, plugin: Arc<Plugin>) -> Self {
        Self { step: step.step.clone(), words: words.clone(), plugin }
    }

    /// Asks the plugin.
    async fn of(&self, kind: &str, uuids: &[String]) -> Result<Vec<OutsideNode>> {
        let node = |effect: DeletionEffect| OutsideNode {
            step: self.step.clone(),
            kind: self.words.kind.clone(),
            plural: self.words.plural.clone(),
            effect: effect.into(),
            ..OutsideNode::default()
        };
        let (mut goes, mut stays) = (node(DeletionEffect::Delete), node(DeletionEffect::Forbid));
        if uuids.is_empty() {
            return Ok(vec![goes]);
        }
        for found in self.plugin.dependents(&self.step, kind, uuids).await? {
            let Dependents { count, names, forbids, .. } = found;
            let into =
                if self.words.on_delete == OnDelete::Restrict || !forbids.is_empty() { &mut stays } else { &mut goes };
            into.count += count.max(i64::try_from(names.len()).unwrap_or(0));
            into.names.extend(names.into_iter().take(NAMED.saturating_sub(into.names.len())));
            if into.said.is_empty() {
                into.said = forbids;
            }
        }
        Ok([goes, stays].into_iter().filter(|node| node.count > 0 || !node.said.is_empty()).collect())
    }
}

/// Whether edges stand where they can do what they say: in the workflows that delete a kind for good, in all of them.
pub(crate) fn check(definitions: &[&Definition]) -> Result<()> {
    let deleting = |kind: &str| {
        let bin = catalog().kind(kind).and_then(|info| info.bin).map(|bin| bin.expunge.to_owned());
        std::iter::once(format!("delete-{kind}")).chain(bin)
    };
    for definition in definitions {
        for step in definition.steps.iter().filter(|step| step.edge.is_some()) {
            let at = format!("{}.edge", step.origin);
            let kind = &definition.resource;
            if !deleting(kind).any(|name| name == definition.name) {
                let names: Vec<_> = deleting(kind).collect();
                let what = format!("{} does not delete a {kind}: write it in {}", definition.name, names.join(" and "));
                return Err(wrong(at, what));
            }
            for name in deleting(kind) {
                let there = definitions.iter().any(|other| {
                    other.name == name && other.steps.iter().any(|same| same.step == step.step && same.edge.is_some())
                });
                if !there {
                    let what =
                        format!("{name} deletes a {kind}, too: insert the step {:?} with its edge there", step.step);
                    return Err(wrong(at, what));
                }
            }
        }
    }
    Ok(())
}

/// Answers for the workflows of this service.
pub(super) async fn list(flow: &Inner, request: &ListOutsideRequest) -> Result<ListOutsideResponse> {
    let mut nodes = Vec::new();
    for edge in flow.registry.edges(&request.kind) {
        nodes.extend(edge.of(&request.kind, &request.uuids).await?);
    }
    Ok(ListOutsideResponse { nodes })
}

/// Resources of a kind below one node of a plan.
pub(super) struct Going {
    pub node: usize,
    pub kind: &'static str,
    pub uuids: Vec<Uuid>,
}

/// What plugins keep for resources that go, by the node that they stand below.
///
/// # Errors
/// `PLUGIN_UNREACHABLE`, `PLUGIN_TIMEOUT` and the others of plugins: which one it is, and what to do.
pub(super) async fn ask(flow: &Flow, caller: Caller, going: Vec<Going>) -> Result<Vec<(usize, OutsideNode)>> {
    let asked = tokio::time::timeout(ALL, ask_all(flow, caller, going));
    asked.await.unwrap_or_else(|_| {
        let text = format!("plugins did not tell within {ALL:?} what they keep: delete less at a time, or try again");
        Err(Error::new(Kind::DeadlineExceeded, "PLUGIN_TIMEOUT", text))
    })
}

/// A question on its way: the answer, and the node that it is about.
type Question = BoxFuture<'static, Result<(usize, Vec<OutsideNode>)>>;

async fn ask_all(flow: &Flow, caller: Caller, going: Vec<Going>) -> Result<Vec<(usize, OutsideNode)>> {
    let mut kinds: Vec<_> = going.iter().map(|going| going.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let with_edges = kinds.iter().map(|kind| call(flow.clone(), caller, kind, Vec::new()));
    let with_edges = futures::future::try_join_all(with_edges.collect::<Vec<_>>()).await?;
    let kinds: Vec<_> = kinds.into_iter().zip(with_edges).filter(|(_, nodes)| !nodes.is_empty()).collect();
    let mut questions: Vec<Question> = Vec::new();
    for mut going in going.into_iter().filter(|going| kinds.iter().any(|(kind, _)| *kind == going.kind)) {
        going.uuids.sort_unstable();
        for batch in going.uuids.chunks(BATCH) {
            let asked = call(flow.clone(), caller, going.kind, batch.iter().map(Uuid::to_string).collect());
            questions.push(asked.map_ok(move |nodes| (going.node, nodes)).boxed());
        }
    }
    let mut merged: BTreeMap<(usize, String, i32), OutsideNode> = BTreeMap::new();
    let mut answers = futures::stream::iter(questions).buffered(ABREAST);
    while let Some((node, nodes)) = answers.try_next().await? {
        for found in nodes {
            let into = merged.entry((node, found.step.clone(), found.effect)).or_insert_with(|| OutsideNode {
                count: 0,
                names: Vec::new(),
                ..found.clone()
            });
            into.count += found.count;
            into.names.extend(found.names.into_iter().take(NAMED.saturating_sub(into.names.len())));
        }
    }
    Ok(merged.into_iter().map(|((node, ..), found)| (node, found)).collect())
}

fn call(
    flow: Flow,
    caller: Caller,
    kind: &'static str,
    uuids: Vec<String>,
) -> BoxFuture<'static, Result<Vec<OutsideNode>>> {
    let asked = async move {
        let Some(info) = catalog().kind(kind) else { return Ok(Vec::new()) };
        let request = ListOutsideRequest { kind: kind.to_owned(), uuids };
        if info.service == flow.inner().service {
            return Ok(list(flow.inner(), &request).await?.nodes);
        }
        let mut client = DeletionServiceClient::new(flow.mesh().channel(info.service));
        let mut request = caller.request(request);
        request.set_timeout(ALL);
        Ok(client.list_outside(request).await?.into_inner().nodes)
    };
    asked.boxed()
}
