//! Workflows as operators see them: a file for each, in the service's `workflows/`.
//!
//! ```yaml
//! name: create-vm
//! resource: vm
//! deadline_seconds: 600
//! steps:
//!   - step: reserve-host
//!     label: pick a host
//!   - step: start-machine
//!     label: start the machine
//!     retry: { attempts: 3, first_ms: 200 }
//!   - step: finish
//!     no_undo: nothing is left to undo once it ran
//! ```

use std::time::Duration;

use gyre_model::{Error, Kind, Result};
use serde::Deserialize;

/// A workflow.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Its name, such as "create-vm".
    pub name: String,
    /// The kind of resource that it works on.
    pub resource: String,
    /// How long it may take before what runs is stopped and undone.
    #[serde(default = "default_deadline")]
    pub deadline_seconds: u64,
    /// Its steps in order.
    pub steps: Vec<StepDefinition>,
}

/// A step of a workflow.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepDefinition {
    /// The registered step.
    pub step: String,
    /// What people read; the step's name where it is missing.
    pub label: Option<String>,
    /// How often a passing fault is tried again.
    #[serde(default)]
    pub retry: Retry,
    /// Why there is nothing to undo.
    pub no_undo: Option<String>,
    /// Once this step has begun, the operation is not undone any more: the rest is tried until it succeeds.
    #[serde(default)]
    pub point_of_no_return: bool,
}

/// How a step is tried again after a passing fault.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Tries in all.
    pub attempts: u32,
    /// The wait before the second try, in milliseconds; it doubles from try to try, up to 5 s.
    pub first_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 5, first_ms: 100 }
    }
}

impl Retry {
    /// The wait after so many tries.
    pub fn wait(&self, tried: u32) -> Duration {
        let factor = 1u64 << tried.saturating_sub(1).min(16);
        Duration::from_millis(self.first_ms.saturating_mul(factor).min(5_000))
    }
}

fn default_deadline() -> u64 {
    600
}

impl Definition {
    /// Reads a definition.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn parse(text: &str) -> Result<Self> {
        let definition: Self = serde_yaml_ng::from_str(text).map_err(|error| {
            Error::new(Kind::FailedPrecondition, "WORKFLOW_INVALID", format!("a workflow cannot be read: {error}"))
        })?;
        if definition.steps.is_empty() {
            return Err(definition.wrong("has no steps"));
        }
        Ok(definition)
    }

    /// An error about this definition.
    pub(crate) fn wrong(&self, what: impl std::fmt::Display) -> Error {
        Error::new(Kind::FailedPrecondition, "WORKFLOW_INVALID", format!("workflow {}: {what}", self.name))
    }
}
