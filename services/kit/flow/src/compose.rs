//! Putting workflows together from files: the steps of sub-workflows are spliced in, and what an operator inserts or changes
//! ([`crate::overrides`]) is worked in.

use std::collections::BTreeMap;
use std::sync::Arc;

use gyre_model::Result;

use crate::definition::{Definition, File, Item, StepDefinition, sorted, wrong};
use crate::overrides::Extension;

/// The files of a service.
#[derive(Clone, Default)]
pub(crate) struct Library {
    files: BTreeMap<String, File>,
    extensions: Vec<Extension>,
}

impl Library {
    /// Gyre's own files.
    pub fn of(texts: &[&str]) -> Result<Self> {
        let mut library = Self::default();
        for text in texts {
            let file = File::parse(None, text)?;
            if let Some(other) = library.files.insert(file.name.clone(), file) {
                return Err(wrong(&other.origin, "two workflows have this name"));
            }
        }
        Ok(library)
    }

    /// Takes a file in, in place of the one of its name.
    pub fn replace(&mut self, file: File) {
        self.files.insert(file.name.clone(), file);
    }

    /// Takes an extension in; it is worked in after those before it.
    pub fn extend(&mut self, extension: Extension) -> Result<()> {
        if !self.files.contains_key(&extension.extends) {
            return Err(wrong(
                format_args!("{}: extends", extension.origin),
                format_args!("there is no workflow {:?}: write one of {}", extension.extends, self.names()),
            ));
        }
        self.extensions.push(extension);
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<&File> {
        self.files.get(name)
    }

    /// The names of all, for messages.
    pub fn names(&self) -> String {
        sorted(self.files.keys().map(String::as_str))
    }

    /// All workflows and parts, with their sub-workflows spliced in.
    pub fn resolve(&self) -> Result<Vec<Definition>> {
        self.files.values().map(|file| self.definition(file, &mut Vec::new())).collect()
    }

    /// A workflow; `inside` names those that it is being spliced into.
    fn definition(&self, file: &File, inside: &mut Vec<String>) -> Result<Definition> {
        inside.push(file.name.clone());
        let mut steps = Vec::new();
        for (at, entry) in file.steps.iter().enumerate() {
            let at = format!("{}: steps[{at}]", file.origin);
            match entry.item(&at)? {
                Item::Step(step) => steps.push(step),
                Item::Part(name) => steps.extend(self.part(file, &at, &name, inside)?),
            }
        }
        inside.pop();
        let mut definition = Definition {
            name: file.name.clone(),
            resource: file.resource.clone().unwrap_or_default(),
            deadline_seconds: file.deadline(),
            steps,
            origin: Arc::clone(&file.origin),
        };
        for extension in self.extensions.iter().filter(|extension| extension.extends == file.name) {
            extension.work_in(&mut definition)?;
        }
        Ok(definition)
    }

    fn part(&self, file: &File, at: &str, name: &str, inside: &mut Vec<String>) -> Result<Vec<StepDefinition>> {
        let at = format!("{at}.workflow");
        let Some(part) = self.files.get(name) else {
            let what = format!("there is no workflow {name:?} in this service: write one of {}", self.names());
            return Err(wrong(at, what));
        };
        if inside.iter().any(|outer| outer == name) {
            let circle = format!("{} -> {name}", inside.join(" -> "));
            return Err(wrong(at, format_args!("{name:?} stands in itself ({circle}): take it out")));
        }
        if let (Some(inner), Some(outer)) = (&part.resource, &file.resource)
            && inner != outer
        {
            let what =
                format!("{name:?} works on a {inner}, and this workflow on a {outer}: write one of the same kind");
            return Err(wrong(at, what));
        }
        let mut steps = self.definition(part, inside)?.steps;
        for step in &mut steps {
            step.step = format!("{name}/{}", step.step);
        }
        Ok(steps)
    }
}
