//! Workflows as they stand registered, for who shows or tests all of them.

use std::time::Duration;

use crate::Flow;
use crate::registry::Workflow;

/// A workflow that this process can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowOverview {
    /// Its name, such as "create-vm".
    pub name: String,
    /// The service that runs it.
    pub service: &'static str,
    /// The kind of resource that it works on.
    pub resource: String,
    /// How long it may take.
    pub deadline: Duration,
    /// Its steps in order, those of sub-workflows among them.
    pub steps: Vec<StepOverview>,
}

/// A step of such a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepOverview {
    /// Its name, which is new in the workflow: the second half of the key that goes along with all that it asks for.
    pub name: String,
    /// What people read.
    pub label: String,
    /// Whether it has an undo.
    pub undo: bool,
    /// Why it needs none.
    pub no_undo: Option<String>,
    /// Whether the operation is not undone any more once this step has begun.
    pub point_of_no_return: bool,
    /// Whether it is not Gyre's own, but a plugin's.
    pub plugin: bool,
}

impl Flow {
    /// All workflows that are registered here, by name.
    pub fn workflows(&self) -> Vec<WorkflowOverview> {
        let mut all: Vec<_> =
            self.inner().registry.all().iter().map(|one| overview(self.inner().service, one)).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }
}

fn overview(service: &'static str, workflow: &Workflow) -> WorkflowOverview {
    let definition = &workflow.definition;
    let steps = definition.steps.iter().zip(&workflow.steps).map(|(named, step)| StepOverview {
        name: named.step.clone(),
        label: named.label.clone().unwrap_or_else(|| named.step.clone()),
        undo: step.undo.is_some(),
        no_undo: named.no_undo.clone(),
        point_of_no_return: named.point_of_no_return,
        plugin: named.plugin.is_some(),
    });
    WorkflowOverview {
        name: definition.name.clone(),
        service,
        resource: definition.resource.clone(),
        deadline: Duration::from_secs(definition.deadline_seconds),
        steps: steps.collect(),
    }
}
