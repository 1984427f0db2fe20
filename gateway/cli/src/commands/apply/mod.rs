//! `gyre apply -f`: makes what documents say, and changes what is otherwise.
//!
//! Ground rules:
//! 1. All documents are read and checked before anything is asked or sent; all that is wrong with them is told at once.
//! 2. A document that refers to another comes after it ([`order`]). A resource that others refer to is waited for, `--wait` or not.
//! 3. What is there is found by its UUID, or by a name that only one has ([`state`]). A kind without names is found by having all
//!    the values that the document gives.
//! 4. Only the fields that a document gives are looked at. What Gyre sets is left out; a secret is sent at creation only, since
//!    nothing tells what it is.
//! 5. Running it again is harmless. A change names the generation that it was made for. A creation has a request id that follows
//!    from the document, so that a run that broke off and the one after it make one resource ([`send`]).
//! 6. A document that fails does not stop those that do not need it. The exit code is that of the first failure.

mod compare;
mod draft;
mod order;
mod report;
mod send;
mod state;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use prost_reflect::DynamicMessage;

use self::compare::Change;
use self::draft::Draft;
use self::report::{Outcome, Told};
use crate::args::{Globals, names};
use crate::client::Client;
use crate::document::{self, Reference};
use crate::failure::{Failure, Result};
use crate::ui::Ui;

/// How the command was asked to do it.
struct Way<'a> {
    client: &'a Client,
    ui: Ui,
    dry: bool,
    wait: Option<Option<Duration>>,
}

/// What came of a document.
#[derive(Debug, Clone)]
enum Came {
    /// It is there, under this UUID.
    Uuid(String),
    /// It would be made; nobody knows its UUID yet.
    Planned,
    /// It is not there.
    Failed,
}

/// Runs it.
pub async fn run(client: &Client, globals: &Globals, matches: &ArgMatches) -> Result<()> {
    let mut documents = Vec::new();
    for path in matches.get_many::<PathBuf>(names::BODY).into_iter().flatten() {
        documents.extend(document::read_all(path)?);
    }
    if documents.is_empty() {
        return Err(Failure::usage("there is no document in what -f names"));
    }
    let drafts = order::sorted(draft::drafts(documents)?)?;
    let way = Way {
        client,
        ui: Ui::new(globals.quiet),
        dry: matches.get_flag(names::DRY_RUN),
        wait: matches.get_one::<Option<Duration>>(names::WAIT).copied(),
    };
    let mut came: Vec<Came> = Vec::new();
    let mut told = Vec::new();
    for (at, draft) in drafts.iter().enumerate() {
        let needed = order::is_needed(&drafts, at);
        let outcome = one(&way, &drafts[..at], &came, draft, needed).await;
        let (outcome, result) = match outcome {
            Ok((outcome, came)) => (outcome, came),
            Err(failure) => (Outcome::Failed(failure), Came::Failed),
        };
        let uuid = if let Came::Uuid(uuid) = &result { Some(uuid.clone()) } else { None };
        let line = Told::new(draft, uuid, outcome);
        line.print_at_once(globals, way.dry)?;
        told.push(line);
        came.push(result);
    }
    report::end(globals, way.dry, told)
}

/// Does what one document asks for.
async fn one(way: &Way<'_>, before: &[Draft], came: &[Came], draft: &Draft, needed: bool) -> Result<(Outcome, Came)> {
    let mut wanted = draft.message.clone();
    let mut planned = HashMap::new();
    for reference in &draft.references {
        match meant(way, before, came, reference).await? {
            Came::Uuid(uuid) => reference.put(&mut wanted, &uuid),
            Came::Planned => {
                reference.put(&mut wanted, &draft::placeholder(reference));
                planned.insert(draft::placeholder(reference), format!("the new {} {}", reference.kind, reference.text));
            }
            Came::Failed => {
                return Ok((Outcome::Skipped(format!("{} {}", reference.kind, reference.text)), Came::Failed));
            }
        }
    }
    match state::find(way.client, draft, &wanted).await? {
        None => create(way, draft, &wanted, needed).await,
        Some(present) => update(way, draft, &present, &wanted, &planned, needed).await,
    }
}

/// The resource that a reference means: of an earlier document, or one that is there.
async fn meant(way: &Way<'_>, before: &[Draft], came: &[Came], reference: &Reference) -> Result<Came> {
    if let Some(at) = before.iter().position(|draft| draft.is(reference)) {
        return Ok(came.get(at).cloned().unwrap_or(Came::Failed));
    }
    let found = super::resolve::resolve(way.client, reference.kind, &reference.text).await;
    found.map(Came::Uuid).map_err(|failure| failure.with("field", &reference.field))
}

async fn create(way: &Way<'_>, draft: &Draft, wanted: &DynamicMessage, needed: bool) -> Result<(Outcome, Came)> {
    let verb = &draft.create;
    if way.dry {
        send::check_create(verb, wanted)?;
        let fields = compare::given(draft, wanted);
        return Ok((Outcome::Created { fields, operation: None }, Came::Planned));
    }
    let made = send::create(way.client, verb, wanted).await?;
    let wait = if needed { Some(way.wait.flatten()) } else { way.wait };
    let done = made.finish(way.client, &way.ui, wait).await?;
    let operation = made.operation.as_ref().map(|operation| operation.uuid.clone()).filter(|_| !done);
    Ok((Outcome::Created { fields: Vec::new(), operation }, Came::Uuid(made.uuid)))
}

async fn update(
    way: &Way<'_>,
    draft: &Draft,
    present: &DynamicMessage,
    wanted: &DynamicMessage,
    planned: &HashMap<String, String>,
    needed: bool,
) -> Result<(Outcome, Came)> {
    let uuid = state::text(present, "uuid");
    let changes: Vec<Change> = compare::changes(draft, present, wanted, planned)?;
    if changes.is_empty() {
        return Ok((Outcome::Unchanged, Came::Uuid(uuid)));
    }
    let verb = draft.noun.verb("update").ok_or_else(|| {
        let names: Vec<_> = changes.iter().map(|change| change.field).collect();
        Failure::immutable(&names.join(", "), format!("{} cannot be changed", draft.noun.kind.plural))
    })?;
    if !way.dry {
        let made = send::update(way.client, &verb, present, wanted, &changes).await?;
        let wait = if needed { Some(way.wait.flatten()) } else { way.wait };
        made.finish(way.client, &way.ui, wait).await?;
    }
    Ok((Outcome::Updated(changes), Came::Uuid(uuid)))
}
