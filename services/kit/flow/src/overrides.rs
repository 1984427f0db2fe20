//! What an operator changes without building anything: files in `DIR/<service>/`. One that defines a workflow of a name that Gyre
//! has replaces it; one that says `extends` inserts plugins' steps and changes how long and how often steps are tried. All of it
//! is checked before the service starts.

use std::fs;
use std::path::{Path, PathBuf};

use gyre_model::Result;
use serde::Deserialize;

use crate::compose::Library;
use crate::definition::{
    Definition, Entry, File, Item, Retry, StepDefinition, check_deadline, check_retry, document, read, sorted, wrong,
};
use crate::shape;

/// The services that have workflows. Each process looks at all folders, also those of services that it does not run.
const WITH_WORKFLOWS: [&str; 5] = ["host", "identity", "network", "storage", "vm"];

/// A file that changes a workflow.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extension {
    /// The workflow.
    pub extends: String,
    deadline_seconds: Option<u64>,
    #[serde(default)]
    insert: Vec<Insert>,
    #[serde(default)]
    change: Vec<Change>,
    #[serde(skip)]
    pub origin: String,
}

/// A step more.
#[derive(Debug, Clone, Deserialize)]
struct Insert {
    before: Option<String>,
    after: Option<String>,
    #[serde(flatten)]
    entry: serde_yaml_ng::Value,
}

/// A step that is tried otherwise.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    step: String,
    retry: Option<Retry>,
    deadline_seconds: Option<u64>,
}

impl Extension {
    fn parse(origin: &str, text: &str) -> Result<Self> {
        let mut extension: Self = read(origin, text, &shape::EXTENSION)?;
        origin.clone_into(&mut extension.origin);
        check_deadline(origin, extension.deadline_seconds)?;
        Ok(extension)
    }

    /// Changes a workflow.
    pub fn work_in(&self, definition: &mut Definition) -> Result<()> {
        if let Some(seconds) = self.deadline_seconds {
            if definition.resource.is_empty() {
                return Err(wrong(
                    format_args!("{}: deadline_seconds", self.origin),
                    format_args!(
                        "{} is a part, and has the deadline of the workflow that it stands in",
                        definition.name
                    ),
                ));
            }
            definition.deadline_seconds = seconds;
        }
        for (at, insert) in self.insert.iter().enumerate() {
            let at = format!("{}: insert[{at}]", self.origin);
            let step = insert.step(&at)?;
            if definition.steps.iter().any(|other| other.step == step.step) {
                let what = format!("{} has a step {:?} already: choose another name", definition.name, step.step);
                return Err(wrong(format_args!("{at}.step"), what));
            }
            let position = match (&insert.before, &insert.after) {
                (Some(name), None) => position(definition, &format!("{at}.before"), name)?,
                (None, Some(name)) => position(definition, &format!("{at}.after"), name)? + 1,
                _ => return Err(wrong(at, "write one of before and after, with a step's name")),
            };
            definition.steps.insert(position, step);
        }
        for (at, change) in self.change.iter().enumerate() {
            let at = format!("{}: change[{at}]", self.origin);
            check_deadline(&at, change.deadline_seconds)?;
            check_retry(&at, change.retry)?;
            let position = position(definition, &format!("{at}.step"), &change.step)?;
            let step = &mut definition.steps[position];
            step.retry = change.retry.unwrap_or(step.retry);
            step.deadline_seconds = change.deadline_seconds.or(step.deadline_seconds);
            step.origin = at;
        }
        Ok(())
    }
}

impl Insert {
    fn step(&self, at: &str) -> Result<StepDefinition> {
        let entry: Entry = serde_yaml_ng::from_value(self.entry.clone()).map_err(|error| wrong(at, error))?;
        match entry.item(at)? {
            Item::Step(step) if step.plugin.is_some() => Ok(step),
            Item::Step(step) => {
                let what =
                    format!("step {:?} has no plugin: only plugins' steps can be inserted; write plugin", step.step);
                Err(wrong(at, what))
            }
            Item::Part(_) => Err(wrong(at, "only plugins' steps can be inserted: write step and plugin")),
        }
    }
}

fn position(definition: &Definition, at: &str, name: &str) -> Result<usize> {
    definition.steps.iter().position(|step| step.step == name).ok_or_else(|| {
        let names: Vec<_> = definition.steps.iter().map(|step| step.step.as_str()).collect();
        let what = format!("{} has no step {name:?}: write one of {}", definition.name, names.join(", "));
        wrong(at, what)
    })
}

/// Gyre's own workflows of a service, with what the files of an operator's directory change.
pub(crate) fn load(directory: &Path, service: &str, own: Library) -> Result<Library> {
    check_layout(directory)?;
    let mut library = own.clone();
    let mut extensions = Vec::new();
    let mut seen: Vec<(String, String)> = Vec::new();
    let folder = directory.join(service);
    for path in yaml_files(&folder)? {
        let origin = path.display().to_string();
        let text =
            fs::read_to_string(&path).map_err(|error| wrong(&origin, format_args!("cannot be read: {error}")))?;
        let document = document(&origin, &text)?;
        if document.get("extends").is_some() {
            extensions.push(Extension::parse(&origin, &text)?);
            continue;
        }
        let file = File::parse(Some(&origin), &text)?;
        if let Some((_, other)) = seen.iter().find(|(name, _)| *name == file.name) {
            return Err(wrong(
                format_args!("{origin}: name"),
                format_args!("{other} defines {:?} too: keep one", file.name),
            ));
        }
        if file.resource.is_some() && own.get(&file.name).is_none() {
            return Err(wrong(
                format_args!("{origin}: name"),
                format_args!(
                    "service {service} has no workflow {:?}, so nothing would start it: write one of {}, or leave resource out \
                     to make it a part of others",
                    file.name,
                    own.names()
                ),
            ));
        }
        tracing::info!(file = %origin, workflow = file.name, "a workflow is replaced");
        seen.push((file.name.clone(), origin));
        library.replace(file);
    }
    for extension in extensions {
        tracing::info!(file = %extension.origin, workflow = extension.extends, "a workflow is extended");
        library.extend(extension)?;
    }
    Ok(library)
}

/// Whether the directory holds a folder for each service and no more: a file that nobody reads would be taken for one that counts.
fn check_layout(directory: &Path) -> Result<()> {
    for path in entries(directory)? {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() && !WITH_WORKFLOWS.contains(&name.as_str()) {
            let what = format!(
                "no service with workflows is named {name:?}: name the folder after one of {}",
                sorted(WITH_WORKFLOWS)
            );
            return Err(wrong(path.display(), what));
        }
        if path.is_file() && is_yaml(&path) {
            let what = format!("put it into the folder of its service: one of {}", sorted(WITH_WORKFLOWS));
            return Err(wrong(path.display(), what));
        }
    }
    Ok(())
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// The YAML files of a folder in the order of their names; none where there is no such folder.
fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    Ok(entries(folder)?.into_iter().filter(|path| is_yaml(path)).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot = |error: std::io::Error| {
        wrong(folder.display(), format_args!("cannot be read: {error}; name a directory with --workflows"))
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)? {
        paths.push(entry.map_err(cannot)?.path());
    }
    paths.sort();
    Ok(paths)
}
