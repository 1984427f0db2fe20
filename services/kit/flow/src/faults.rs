//! Faults on purpose, for tests (the feature `faults`): steps that fail, are broken off, or run again.
//!
//! Where a step may break. A step is a future, and whatever it does outside of itself (a call to another service, a task on a
//! host, a commit, a read) it must wait for. Between two waits nobody else sees anything of it. So breaking it off at each of its
//! waits, once what it waited for has happened, leaves the world in every state that a step which lost an answer can leave it in,
//! whatever the step is made of, and no call needs a hook of its own. What happens without a wait belongs to the next one, or to
//! the step's end. A call that stays in the process is a part of the step's future, so its handler is broken off too, between
//! two of its own writes.
//!
//! Plans are kept by instance and workflow: several nodes in one process do not meet, and what a workflow asks of others is not
//! touched. Without a plan a step pays one look into an empty map; without the feature, nothing.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use gyre_model::{Error, Kind, Result, Uuid};
use parking_lot::Mutex;

use crate::context::Context;
use crate::definition::Definition;
use crate::registry::{Run, Step};

/// The reason of the errors that are made here.
pub const REASON: &str = "FAULT_ON_PURPOSE";

/// What happens to a step when it runs forward. Once: its next run is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails for good before it did anything.
    Before,
    /// It fails for good after it did all its work.
    After,
    /// It fails for good at its wait of this number (from 1), with what it waited for done.
    Within(usize),
    /// It runs twice in a row.
    Twice,
    /// It is broken off at its wait of this number (from 1) by a passing fault, and so tried again.
    Again(usize),
}

/// What happens to the undo of every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Undo {
    /// Nothing.
    #[default]
    Once,
    /// It runs twice in a row.
    Twice,
    /// It is broken off at its wait of this number (from 1), once, and so tried again.
    Again(usize),
}

/// What is to happen to the next operation of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The step.
    pub step: String,
    /// What happens to it.
    pub fault: Fault,
    /// What happens to the undo of each step.
    pub undo: Undo,
}

/// What became of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Struck {
    /// Whether its fault struck: a step with fewer waits than were asked for is left alone.
    pub forward: bool,
    /// How many undos it struck.
    pub undo: usize,
}

struct Planned {
    plan: Plan,
    begun: bool,
    struck: Struck,
    undone: Vec<String>,
}

type Plans = HashMap<(Uuid, String), Planned>;

static PLANS: Mutex<Option<Plans>> = Mutex::new(None);
static KNOWN: Mutex<BTreeMap<String, Known>> = Mutex::new(BTreeMap::new());

/// A workflow that a service of this process has registered.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// The kind of resource that it works on.
    pub resource: String,
    /// Its steps in order.
    pub steps: Vec<KnownStep>,
}

/// A step of such a workflow.
#[derive(Debug, Clone)]
pub struct KnownStep {
    /// Its name.
    pub name: String,
    /// Why it has no undo.
    pub no_undo: Option<String>,
    /// Whether it stands at the point of no return or after.
    pub past: bool,
    /// How often it is tried in all when a passing fault meets it.
    pub attempts: u32,
}

/// Every workflow that was registered in this process, by name.
pub fn workflows() -> Vec<Known> {
    KNOWN.lock().values().cloned().collect()
}

/// Sets what happens to the next operation of a workflow at an instance.
pub fn plan(instance: Uuid, workflow: &str, plan: Plan) {
    let planned = Planned { plan, begun: false, struck: Struck::default(), undone: Vec::new() };
    PLANS.lock().get_or_insert_default().insert((instance, workflow.to_owned()), planned);
}

/// Takes a plan away, and says what became of it.
pub fn lift(instance: Uuid, workflow: &str) -> Struck {
    let mut plans = PLANS.lock();
    let planned = plans.as_mut().and_then(|plans| plans.remove(&(instance, workflow.to_owned())));
    planned.map(|planned| planned.struck).unwrap_or_default()
}

/// Notes a workflow, and puts its steps where plans can reach them.
pub(crate) fn wrapped(definition: &Definition, steps: Vec<Step>) -> Vec<Step> {
    let known = definition.steps.iter().enumerate().map(|(at, named)| KnownStep {
        name: named.step.clone(),
        no_undo: named.no_undo.clone(),
        past: definition.steps[..=at].iter().any(|step| step.point_of_no_return),
        attempts: named.retry.attempts,
    });
    let known = Known { name: definition.name.clone(), resource: definition.resource.clone(), steps: known.collect() };
    KNOWN.lock().insert(definition.name.clone(), known);
    let wrap = |(at, step): (usize, Step)| {
        let names = Arc::new((definition.name.clone(), definition.steps[at].step.clone()));
        Step {
            run: forward(Arc::clone(&names), step.run),
            undo: step.undo.map(|undo| back(names, undo)),
            uses: step.uses,
        }
    };
    steps.into_iter().enumerate().map(wrap).collect()
}

type Names = Arc<(String, String)>;

/// The fault that a run of a step meets.
fn meets(context: &Context, names: &Names) -> Option<Fault> {
    let mut plans = PLANS.lock();
    let planned = plans.as_mut()?.get_mut(&(context.shared.flow.mesh.instance(), names.0.clone()))?;
    if planned.begun || planned.plan.step != names.1 {
        return None;
    }
    planned.begun = true;
    Some(planned.plan.fault)
}

/// The fault that an undo meets: each undo once.
fn meets_undo(context: &Context, names: &Names) -> Undo {
    let mut plans = PLANS.lock();
    let key = (context.shared.flow.mesh.instance(), names.0.clone());
    let Some(planned) = plans.as_mut().and_then(|plans| plans.get_mut(&key)) else { return Undo::Once };
    if planned.undone.contains(&names.1) {
        return Undo::Once;
    }
    planned.undone.push(names.1.clone());
    planned.plan.undo
}

fn strike(context: &Context, names: &Names, mark: impl FnOnce(&mut Struck)) {
    let mut plans = PLANS.lock();
    let key = (context.shared.flow.mesh.instance(), names.0.clone());
    if let Some(planned) = plans.as_mut().and_then(|plans| plans.get_mut(&key)) {
        mark(&mut planned.struck);
    }
}

fn fault(kind: Kind, names: &Names) -> Error {
    Error::new(kind, REASON, format!("step {} was made to fail", names.1))
}

/// Runs a future up to its wait of this number. Nothing where it was broken off there.
async fn until_wait(mut future: BoxFuture<'static, Result<()>>, last: usize) -> Option<Result<()>> {
    let mut waits = 0;
    poll_fn(|context| {
        if waits >= last {
            // woken: what it waited for has happened
            return Poll::Ready(None);
        }
        match Pin::new(&mut future).poll(context) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => {
                waits += 1;
                Poll::Pending
            }
        }
    })
    .await
}

fn forward(names: Names, run: Run) -> Run {
    Arc::new(move |context| {
        let (names, run) = (Arc::clone(&names), Arc::clone(&run));
        async move {
            let Some(met) = meets(&context, &names) else { return run(context).await };
            let struck = |context: &Context| strike(context, &names, |struck| struck.forward = true);
            match met {
                Fault::Before => {
                    struck(&context);
                    Err(fault(Kind::FailedPrecondition, &names))
                }
                Fault::After => {
                    run(context.clone()).await?;
                    struck(&context);
                    Err(fault(Kind::FailedPrecondition, &names))
                }
                Fault::Twice => {
                    run(context.clone()).await?;
                    struck(&context);
                    run(context.afresh()).await
                }
                Fault::Within(wait) | Fault::Again(wait) => match until_wait(run(context.clone()), wait).await {
                    Some(result) => result,
                    None => {
                        struck(&context);
                        let passing = matches!(met, Fault::Again(_));
                        Err(fault(if passing { Kind::Unavailable } else { Kind::FailedPrecondition }, &names))
                    }
                },
            }
        }
        .boxed()
    })
}

fn back(names: Names, undo: Run) -> Run {
    Arc::new(move |context| {
        let (names, undo) = (Arc::clone(&names), Arc::clone(&undo));
        async move {
            let struck = |context: &Context| strike(context, &names, |struck| struck.undo += 1);
            match meets_undo(&context, &names) {
                Undo::Once => undo(context).await,
                Undo::Twice => {
                    undo(context.clone()).await?;
                    struck(&context);
                    undo(context.afresh()).await
                }
                Undo::Again(wait) => match until_wait(undo(context.clone()), wait).await {
                    Some(result) => result,
                    None => {
                        struck(&context);
                        Err(fault(Kind::Unavailable, &names))
                    }
                },
            }
        }
        .boxed()
    })
}
