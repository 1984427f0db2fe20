//! The steps that a service can do, and the workflows made of them.

use std::collections::HashMap;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use gyre_model::{Error, Result};
use parking_lot::RwLock;

use crate::context::Context;
use crate::definition::Definition;

pub(crate) type Run = Arc<dyn Fn(Context) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// A step: what it does, and how that is undone.
#[derive(Clone)]
pub(crate) struct Step {
    pub run: Run,
    pub undo: Option<Run>,
}

/// Steps on their way to the engine.
#[derive(Default)]
pub struct Steps {
    steps: HashMap<&'static str, Step>,
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
    pub fn step<S, F, R, U, V>(mut self, name: &'static str, service: &Arc<S>, run: F, undo: U) -> Self
    where
        S: Send + Sync + 'static,
        F: Fn(Arc<S>, Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
        U: Fn(Arc<S>, Context) -> V + Send + Sync + 'static,
        V: Future<Output = Result<()>> + Send + 'static,
    {
        self.steps.insert(name, Step { run: boxed(service, run), undo: Some(boxed(service, undo)) });
        self
    }

    /// Adds a step without undo; workflows that use it say why none is needed.
    #[must_use]
    pub fn without_undo<S, F, R>(mut self, name: &'static str, service: &Arc<S>, run: F) -> Self
    where
        S: Send + Sync + 'static,
        F: Fn(Arc<S>, Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        self.steps.insert(name, Step { run: boxed(service, run), undo: None });
        self
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
}

impl Registry {
    pub fn add(&self, steps: Steps, definitions: &[&str]) -> Result<()> {
        let mut workflows = self.workflows.write();
        for text in definitions {
            let definition = Definition::parse(text)?;
            if gyre_model::catalog().kind(&definition.resource).is_none() {
                return Err(definition.wrong(format_args!("there is no kind {:?}", definition.resource)));
            }
            let mut found = Vec::new();
            for (at, named) in definition.steps.iter().enumerate() {
                let Some(step) = steps.steps.get(named.step.as_str()) else {
                    return Err(definition.wrong(format_args!("there is no step {:?}", named.step)));
                };
                if definition.steps[..at].iter().any(|before| before.step == named.step) {
                    return Err(definition.wrong(format_args!("step {:?} stands twice", named.step)));
                }
                let past = definition.steps[..=at].iter().any(|step| step.point_of_no_return);
                if step.undo.is_none() && named.no_undo.is_none() && !past {
                    return Err(definition.wrong(format_args!(
                        "step {:?} has no undo; say why none is needed with no_undo",
                        named.step
                    )));
                }
                found.push(step.clone());
            }
            let name = definition.name.clone();
            let workflow = Arc::new(Workflow { definition, steps: found });
            if workflows.insert(name, workflow).is_some() {
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

    /// Lets go of the steps, and with them of the service that they hold.
    pub fn clear(&self) {
        self.workflows.write().clear();
    }
}
