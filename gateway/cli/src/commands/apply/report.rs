//! What came of each document, a line for each.

use serde_json::{Value as Json, json};

use super::compare::Change;
use super::draft::Draft;
use crate::args::Globals;
use crate::failure::{Failure, Result};
use crate::output::{self, Format};

/// What came of a document.
#[derive(Debug)]
pub enum Outcome {
    /// It was made, or would be.
    Created {
        /// What it would have.
        fields: Vec<Change>,
        /// The operation that goes on.
        operation: Option<String>,
    },
    /// It was changed, or would be.
    Updated(Vec<Change>),
    /// It is as the document says.
    Unchanged,
    /// What it needs is not there.
    Skipped(String),
    /// It could not be done.
    Failed(Failure),
}

/// A document and what came of it.
#[derive(Debug)]
pub struct Told {
    shown: String,
    place: String,
    kind: &'static str,
    name: String,
    uuid: Option<String>,
    outcome: Outcome,
}

impl Told {
    /// What came of a draft.
    pub fn new(draft: &Draft, uuid: Option<String>, outcome: Outcome) -> Self {
        let kind = draft.noun.kind.kind;
        Self { shown: draft.shown(), place: draft.place.clone(), kind, name: draft.name(), uuid, outcome }
    }

    /// Tells it as soon as it is known, in the formats that have lines.
    pub fn print_at_once(&self, globals: &Globals, dry: bool) -> Result<()> {
        match globals.format {
            Format::Name => self.uuid.as_ref().map_or(Ok(()), |uuid| output::print(&format!("{}/{uuid}\n", self.kind))),
            format if format.for_people() => output::print(&self.lines(dry)),
            _ => Ok(()),
        }
    }

    fn lines(&self, dry: bool) -> String {
        let mut text = format!("{}: {}\n", self.shown, self.words(dry));
        let changes = match &self.outcome {
            Outcome::Updated(changes) => changes.as_slice(),
            Outcome::Created { fields, .. } => fields.as_slice(),
            _ => &[],
        };
        for change in changes {
            text += &match self.outcome {
                Outcome::Updated(_) => format!("  {}: {} -> {}\n", change.field, change.from, change.to),
                _ => format!("  {}: {}\n", change.field, change.to),
            };
        }
        text
    }

    fn words(&self, dry: bool) -> String {
        let uuid = self.uuid.as_deref().unwrap_or_default();
        match &self.outcome {
            Outcome::Created { .. } if dry => "would be created".to_owned(),
            Outcome::Created { operation: Some(operation), .. } => {
                format!("being created ({uuid}, operation {operation})")
            }
            Outcome::Created { .. } => format!("created ({uuid})"),
            Outcome::Updated(_) if dry => "would be updated".to_owned(),
            Outcome::Updated(_) => "updated".to_owned(),
            Outcome::Unchanged => "unchanged".to_owned(),
            Outcome::Skipped(needs) => format!("skipped, since it needs {needs}"),
            Outcome::Failed(failure) => format!("failed: {}", failure.message()),
        }
    }

    fn word(&self) -> &'static str {
        match &self.outcome {
            Outcome::Created { operation: Some(_), .. } => "creating",
            Outcome::Created { .. } => "created",
            Outcome::Updated(_) => "updated",
            Outcome::Unchanged => "unchanged",
            Outcome::Skipped(_) => "skipped",
            Outcome::Failed(_) => "failed",
        }
    }

    fn json(&self, dry: bool) -> Json {
        let mut told = json!({"document": self.place, "kind": self.kind, "name": self.name, "outcome": self.word(), "dryRun": dry});
        if let Some(uuid) = &self.uuid {
            told["uuid"] = json!(uuid);
        }
        match &self.outcome {
            Outcome::Created { operation: Some(operation), .. } => told["operation"] = json!(operation),
            Outcome::Updated(changes) | Outcome::Created { fields: changes, operation: None }
                if !changes.is_empty() =>
            {
                let change = |change: &Change| json!({"field": change.field, "from": change.from, "to": change.to});
                told["changes"] = changes.iter().map(change).collect();
            }
            Outcome::Skipped(needs) => told["needs"] = json!(needs),
            Outcome::Failed(failure) => told["error"] = failure.to_json()["error"].clone(),
            _ => {}
        }
        told
    }
}

/// Tells the rest, and fails with the first failure.
pub fn end(globals: &Globals, dry: bool, told: Vec<Told>) -> Result<()> {
    if globals.format.structured() {
        let all: Vec<_> = told.iter().map(|told| told.json(dry)).collect();
        output::print_value(globals.format, &all)?;
    } else if globals.format == Format::Csv {
        let rows = told.iter().map(|told| {
            vec![told.kind.to_owned(), told.name.clone(), told.uuid.clone().unwrap_or_default(), told.word().to_owned()]
        });
        output::print_cells(globals.format, &["kind", "name", "uuid", "outcome"], rows.collect())?;
    }
    let left = told.iter().filter(|told| matches!(told.outcome, Outcome::Failed(_) | Outcome::Skipped(_))).count();
    let all = told.len();
    let first = told.into_iter().find_map(|told| match told.outcome {
        Outcome::Failed(failure) => Some(failure.with("document", format!("{} ({})", told.shown, told.place))),
        _ => None,
    });
    match first {
        None => Ok(()),
        Some(failure) if left > 1 => Err(failure.with("documents", format!("{left} of {all} were not done"))),
        Some(failure) => Err(failure),
    }
}
