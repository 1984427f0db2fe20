//! The steps that a service can do, and the workflows made of them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use gyre_mesh::Mesh;
use gyre_model::{Error, Result};
use parking_lot::RwLock;

use crate::compose::Library;
use crate::context::Context;
use crate::definition::{Definition, StepDefinition, sorted, wrong};
use crate::delete::outside;
use crate::var::{How, Uses, Var};
use crate::{check, overrides, plugin};

pub(crate) type Run = Arc<dyn Fn(Context) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// A step: what it does, how that is undone, and what it says of variables.
#[derive(Clone)]
pub(crate) struct Step {
    pub run: Run,
    pub undo: Option<Run>,
    pub uses: Arc<Uses>,
}

/// Steps on their way to the engine. What a step finds out and what it needs is said right behind it:
///
/// ```ignore
/// Steps::new()
///     .step("addresses", &service, addresses, release_addresses).gives(&ADDRESSES)
///     .step("place", &service, place, unplace).needs(&ADDRESSES).gives(&PLACE)
/// ```
#[derive(Default)]
pub struct Steps {
    steps: Vec<(&'static str, Step)>,
    pub(crate) misplaced: Option<&'static str>,
}

fn boxed<S, F, R>(service: &Arc<S>, function: F) -> Run
where
    S: Send + Sync + 'static,
    F: Fn(Arc<S>, Context) -> R + Send + Sync + 'static,
    R: Future<Output = Result<()>> + Send + 'static,
{
    let service = Arc::clone(service);
    Arc::new(move |context| function(Arc::clone(&service), context).boxed())
}

impl Steps {
    /// No steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a step and its undo, which must bear a step that did nothing, half or all of its work, and being run twice.
    #[must_use]
    pub fn step<S, F, R, U, V>(self, name: &'static str, service: &Arc<S>, run: F, undo: U) -> Self
    where
        S: Send + Sync + 'static,
        F: Fn(Arc<S>, Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
        U: Fn(Arc<S>, Context) -> V + Send + Sync + 'static,
        V: Future<Output = Result<()>> + Send + 'static,
    {
        self.add(name, boxed(service, run), Some(boxed(service, undo)))
    }

    /// Adds a step without undo; workflows that use it say why none is needed.
    #[must_use]
    pub fn without_undo<S, F, R>(self, name: &'static str, service: &Arc<S>, run: F) -> Self
    where
        S: Send + Sync + 'static,
        F: Fn(Arc<S>, Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        self.add(name, boxed(service, run), None)
    }

    /// The step added last finds this out whenever it succeeds.
    #[must_use]
    pub fn gives<T: 'static>(self, var: &Var<T>) -> Self {
        self.declare(var, How::Gives)
    }

    /// The step added last may note this, for itself, its undo, or steps that can do without.
    #[must_use]
    pub fn notes<T: 'static>(self, var: &Var<T>) -> Self {
        self.declare(var, How::Notes)
    }

    /// The step added last cannot do without this: in every workflow, a step before it must give it. To its undo, which must bear
    /// that nothing ran, it is there or not.
    #[must_use]
    pub fn needs<T: 'static>(self, var: &Var<T>) -> Self {
        self.declare(var, How::Needs)
    }

    /// The step added last, or its undo, reads this where it is there.
    #[must_use]
    pub fn may_use<T: 'static>(self, var: &Var<T>) -> Self {
        self.declare(var, How::MayUse)
    }

    fn add(mut self, name: &'static str, run: Run, undo: Option<Run>) -> Self {
        self.steps.push((name, Step { run, undo, uses: Arc::default() }));
        self
    }

    fn declare<T: 'static>(mut self, var: &Var<T>, how: How) -> Self {
        match self.steps.last_mut() {
            Some((_, step)) => Arc::make_mut(&mut step.uses).add(var, how),
            None => self.misplaced = Some(var.name()),
        }
        self
    }

    pub(crate) fn all(&self) -> &[(&'static str, Step)] {
        &self.steps
    }

    fn find(&self, named: &StepDefinition) -> Result<Step> {
        match self.steps.iter().find(|(name, _)| *name == named.registered) {
            Some((_, step)) => Ok(step.clone()),
            None => Err(wrong(
                format_args!("{}.step", named.origin),
                format_args!(
                    "there is no step {:?}: write one of {}, or say with plugin who does it",
                    named.registered,
                    sorted(self.steps.iter().map(|(name, _)| *name))
                ),
            )),
        }
    }
}

/// A workflow with its steps found.
pub(crate) struct Workflow {
    pub definition: Definition,
    pub steps: Vec<Step>,
}

/// What a service can do.
#[derive(Default)]
pub(crate) struct Registry {
    workflows: RwLock<HashMap<String, Arc<Workflow>>>,
    /// What plugins keep for resources, by the kind.
    edges: RwLock<Vec<(String, Arc<outside::Edge>)>>,
}

impl Registry {
    /// Adds workflows, changed as the files of an operator's directory say.
    pub fn add(
        &self,
        service: &str,
        mesh: &Mesh,
        steps: &Steps,
        definitions: &[&str],
        directory: Option<&Path>,
    ) -> Result<()> {
        steps.check(service)?;
        let own = Library::of(definitions)?;
        let (before, now) = match directory {
            Some(directory) => (own.resolve()?, overrides::load(directory, service, own)?.resolve()?),
            None => (Vec::new(), own.resolve()?),
        };
        // parts first, so that an error names the file and not what it is spliced into
        let (parts, whole): (Vec<_>, Vec<_>) = now.iter().partition(|definition| definition.resource.is_empty());
        for definition in parts.into_iter().chain(whole) {
            if let Some(own) = before.iter().find(|own| own.name == definition.name) {
                check::keeps(own, definition)?;
            }
        }
        outside::check(&now.iter().filter(|definition| !definition.resource.is_empty()).collect::<Vec<_>>())?;
        let mut workflows = self.workflows.write();
        let mut edges: Vec<(String, String)> = Vec::new();
        for definition in now.into_iter().filter(|definition| !definition.resource.is_empty()) {
            let found: Vec<_> = definition
                .steps
                .iter()
                .map(|named| match &named.plugin {
                    Some(entry) => {
                        let plugin = plugin::of(named, entry, mesh)?;
                        let edge = (definition.resource.clone(), named.step.clone());
                        if let Some(words) = named.edge.as_ref().filter(|_| !edges.contains(&edge)) {
                            let kept = outside::Edge::new(named, words, Arc::clone(&plugin));
                            self.edges.write().push((edge.0.clone(), Arc::new(kept)));
                            edges.push(edge);
                        }
                        Ok(plugin::step(named, plugin))
                    }
                    None => steps.find(named),
                })
                .collect::<Result<_>>()?;
            check::fits(&definition, &found)?;
            #[cfg(feature = "faults")]
            let found = crate::faults::wrapped(&definition, found);
            let name = definition.name.clone();
            if workflows.insert(name, Arc::new(Workflow { definition, steps: found })).is_some() {
                return Err(Error::internal("two workflows have one name"));
            }
        }
        Ok(())
    }

    pub fn get(&self, name: &str) -> Result<Arc<Workflow>> {
        self.workflows.read().get(name).cloned().ok_or_else(|| Error::internal(format!("no workflow {name}")))
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Workflow>> {
        self.workflows.read().values().cloned().collect()
    }

    /// What plugins keep for resources of a kind.
    pub fn edges(&self, kind: &str) -> Vec<Arc<outside::Edge>> {
        self.edges.read().iter().filter(|(of, _)| of == kind).map(|(_, edge)| Arc::clone(edge)).collect()
    }

    /// Lets go of the steps, and with them of the service that they hold.
    pub fn clear(&self) {
        self.workflows.write().clear();
        self.edges.write().clear();
    }
}
