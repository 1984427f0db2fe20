//! Workflows as people write them, a file for each in the service's `workflows/`; `docs/workflows.md` describes the format. Here
//! is what one file says by itself; [`crate::compose`] puts several together, [`crate::check`] holds them against the steps.
//!
//! ```yaml
//! name: create-vm
//! resource: vm
//! deadline_seconds: 600
//! steps:
//!   - step: reserve-host
//!     label: pick a host
//!   - workflow: allocate-volume
//!   - step: start-machine
//!     label: start the machine
//!     retry: { attempts: 3, first_ms: 200 }
//!   - step: finish
//!     no_undo: nothing is left to undo once it ran
//! ```

use std::sync::Arc;
use std::time::Duration;

use gyre_model::{Error, Kind, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_yaml_ng::Value;

use crate::plugin::{PluginEntry, USUAL_DEADLINE as USUAL_DEADLINE_OF_PLUGINS};
use crate::shape::{self, Shape};

/// What a workflow may take where its file does not say.
const USUAL_DEADLINE: u64 = 600;
/// The longest deadline: a week.
const LONGEST_DEADLINE: u64 = 7 * 86_400;
/// Most characters of what an operator calls something.
const LONGEST_WORD: usize = 64;
/// Most tries of a step.
const MOST_ATTEMPTS: u32 = 1_000;

/// A workflow, its sub-workflows spliced in.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    /// Its name, such as "create-vm".
    pub name: String,
    /// The kind of resource that it works on. Empty for a part, which only other workflows use.
    pub resource: String,
    /// How long it may take before what runs is stopped and undone.
    pub deadline_seconds: u64,
    /// Its steps in order.
    pub steps: Vec<StepDefinition>,
    /// Where it stands, for errors about it.
    pub origin: Arc<str>,
}

/// A step of a workflow.
#[derive(Debug, Clone)]
pub(crate) struct StepDefinition {
    /// Its name, which is new in the workflow: those of sub-workflows have the sub-workflow's name before theirs.
    pub step: String,
    /// The step that is registered in Rust; a plugin's stands for itself.
    pub registered: String,
    /// What people read; the step's name where it is missing.
    pub label: Option<String>,
    /// How often a passing fault is tried again.
    pub retry: Retry,
    /// How long it may take, all tries together.
    pub deadline_seconds: Option<u64>,
    /// Why there is nothing to undo.
    pub no_undo: Option<String>,
    /// Once this step has begun, the operation is not undone any more: the rest is tried until it succeeds.
    pub point_of_no_return: bool,
    /// The plugin that does it, where it is not Gyre's own.
    pub plugin: Option<Arc<PluginEntry>>,
    /// What the plugin keeps for the resource, which this step takes away.
    pub edge: Option<Arc<EdgeEntry>>,
    /// Where it stands, for errors about it.
    pub origin: String,
}

/// How a step is tried again after a passing fault.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Retry {
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

/// The lane in which an operation waits for its turn.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Lane {
    /// That of its resource, one operation wide: the only one.
    #[default]
    Resource,
}

/// A file that defines a workflow.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub name: String,
    pub resource: Option<String>,
    /// Read so that a file that asks for another lane is refused.
    #[serde(default, rename = "lane")]
    _lane: Lane,
    pub deadline_seconds: Option<u64>,
    pub steps: Vec<Entry>,
    #[serde(skip)]
    pub origin: Arc<str>,
}

/// An entry of its list of steps: a step, or another workflow whose steps stand here.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub step: Option<String>,
    pub workflow: Option<String>,
    pub label: Option<String>,
    pub retry: Option<Retry>,
    pub deadline_seconds: Option<u64>,
    pub no_undo: Option<String>,
    #[serde(default)]
    pub point_of_no_return: bool,
    pub plugin: Option<PluginEntry>,
    pub edge: Option<EdgeEntry>,
}

/// What a plugin keeps for resources whose deletion it has a step in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EdgeEntry {
    /// What one is called.
    pub kind: String,
    /// And several.
    pub plural: String,
    /// What deleting the resource does.
    pub on_delete: OnDelete,
}

/// What deleting a resource does to what a plugin keeps for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum OnDelete {
    /// Takes it away, unless the plugin forbids it.
    Delete,
    /// Is refused while something is there.
    Restrict,
}

impl EdgeEntry {
    /// Whether it can be shown.
    fn check(&self, at: &str) -> Result<()> {
        for (name, text) in [("kind", &self.kind), ("plural", &self.plural)] {
            if text.trim().is_empty() || text.chars().count() > LONGEST_WORD || text.chars().any(char::is_control) {
                let what = format!("{text:?}: write 1 to {LONGEST_WORD} characters, such as \"name in DNS\"");
                return Err(wrong(format_args!("{at}.edge.{name}"), what));
            }
        }
        Ok(())
    }
}

/// What an entry is.
pub(crate) enum Item {
    Step(StepDefinition),
    Part(String),
}

/// An error about a file of workflows.
pub(crate) fn wrong(at: impl std::fmt::Display, what: impl std::fmt::Display) -> Error {
    Error::new(Kind::FailedPrecondition, "WORKFLOW_INVALID", format!("{at}: {what}"))
}

/// Reads YAML; an error names the place.
pub(crate) fn document(origin: &str, text: &str) -> Result<Value> {
    serde_yaml_ng::from_str(text)
        .map_err(|error| shape::too_long(origin, &error.to_string()).unwrap_or_else(|| wrong(origin, error)))
}

/// Reads a file of this shape.
pub(crate) fn read<T: DeserializeOwned>(origin: &str, text: &str, shape: &Shape) -> Result<T> {
    shape::check(origin, &document(origin, text)?, shape)?;
    serde_yaml_ng::from_str(text).map_err(|error| wrong(origin, error))
}

/// Whether a name can stand in keys and paths.
pub(crate) fn check_name(at: &str, name: &str) -> Result<()> {
    let fine = |character: char| matches!(character, 'a'..='z' | '0'..='9' | '-');
    if (1..=64).contains(&name.len()) && name.chars().all(fine) {
        return Ok(());
    }
    Err(wrong(at, format_args!("{name:?} is no name: write 1 to 64 of a-z, 0-9 and -")))
}

/// Whether a deadline makes sense.
pub(crate) fn check_deadline(at: &str, seconds: Option<u64>) -> Result<()> {
    match seconds {
        Some(seconds) if !(1..=LONGEST_DEADLINE).contains(&seconds) => Err(wrong(
            at,
            format_args!("deadline_seconds is {seconds}: write 1 to {LONGEST_DEADLINE}, or leave it out"),
        )),
        _ => Ok(()),
    }
}

/// Whether a retry policy makes sense.
pub(crate) fn check_retry(at: &str, retry: Option<Retry>) -> Result<()> {
    match retry {
        Some(retry) if !(1..=MOST_ATTEMPTS).contains(&retry.attempts) => {
            Err(wrong(at, format_args!("retry.attempts is {}: write 1 (try once) to {MOST_ATTEMPTS}", retry.attempts)))
        }
        _ => Ok(()),
    }
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn parse(origin: Option<&str>, text: &str) -> Result<Self> {
        let mut file: Self = read(origin.unwrap_or("a workflow of Gyre's"), text, &shape::FILE)?;
        file.origin = origin.map_or_else(|| format!("Gyre's workflow {}", file.name), str::to_owned).into();
        check_name(&format!("{}: name", file.origin), &file.name)?;
        check_deadline(&file.origin, file.deadline_seconds)?;
        if file.steps.is_empty() {
            return Err(wrong(&file.origin, "steps is empty: write at least one"));
        }
        match &file.resource {
            Some(resource) if gyre_model::catalog().kind(resource).is_none() => {
                let kinds: Vec<_> = gyre_model::catalog().kinds().map(|kind| kind.kind).collect();
                let what = format!("resource: there is no kind {resource:?}: write one of {}", sorted(kinds));
                Err(wrong(&file.origin, what))
            }
            None if file.deadline_seconds.is_some() => Err(wrong(
                &file.origin,
                "deadline_seconds: a part has the deadline of the workflow that it stands in; leave it out, or name a resource",
            )),
            _ => Ok(file),
        }
    }

    /// How long it may take.
    pub fn deadline(&self) -> u64 {
        self.deadline_seconds.unwrap_or(USUAL_DEADLINE)
    }
}

impl StepDefinition {
    /// How long it may take, all tries together, where that is bounded by more than the workflow's deadline.
    pub fn deadline(&self) -> Option<Duration> {
        let usual = self.plugin.is_some().then_some(USUAL_DEADLINE_OF_PLUGINS);
        self.deadline_seconds.or(usual).map(Duration::from_secs)
    }
}

impl Entry {
    /// What stands here.
    ///
    /// # Errors
    /// Neither a step nor a workflow, or both; settings that only the other has.
    pub fn item(&self, at: &str) -> Result<Item> {
        let step = match (&self.step, &self.workflow) {
            (Some(step), None) => step,
            (None, Some(part)) => {
                let alone = self.label.is_none()
                    && self.retry.is_none()
                    && self.deadline_seconds.is_none()
                    && self.no_undo.is_none()
                    && !self.point_of_no_return
                    && self.plugin.is_none()
                    && self.edge.is_none();
                if !alone {
                    return Err(wrong(
                        at,
                        "what a sub-workflow's steps are like stands in its own file; write nothing but workflow",
                    ));
                }
                return Ok(Item::Part(part.clone()));
            }
            (Some(_), Some(_)) => return Err(wrong(at, "step and workflow stand together: write one of them")),
            (None, None) => return Err(wrong(at, "write step or workflow")),
        };
        check_name(&format!("{at}.step"), step)?;
        check_deadline(at, self.deadline_seconds)?;
        check_retry(at, self.retry)?;
        if self.no_undo.as_deref().is_some_and(|reason| reason.trim().is_empty()) {
            return Err(wrong(at, "no_undo is empty: write why nothing is to be undone"));
        }
        if let Some(plugin) = &self.plugin {
            plugin.check(at)?;
            if self.point_of_no_return {
                return Err(wrong(at, "point_of_no_return: a plugin's step cannot be one; leave it out"));
            }
        }
        if let Some(edge) = &self.edge {
            if self.plugin.is_none() {
                return Err(wrong(format_args!("{at}.edge"), "only a plugin keeps something outside: write plugin"));
            }
            edge.check(at)?;
        }
        Ok(Item::Step(StepDefinition {
            step: step.clone(),
            registered: step.clone(),
            label: self.label.clone(),
            retry: self.retry.unwrap_or_default(),
            deadline_seconds: self.deadline_seconds,
            no_undo: self.no_undo.clone(),
            point_of_no_return: self.point_of_no_return,
            plugin: self.plugin.clone().map(Arc::new),
            edge: self.edge.clone().map(Arc::new),
            origin: at.to_owned(),
        }))
    }
}

/// Names in one order, for messages.
pub(crate) fn sorted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_unstable();
    names.join(", ")
}
