//! The cases of one workflow, and what each must end with.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gyre_flow::faults::{self, Fault, Known, Plan, Struck, Undo};
use gyre_model::Uuid;
use gyre_proto::common::v1::OperationState;
use gyre_store::Sql;
use gyre_store::faults::Moment;

use crate::scenario::{self, Scenario, Wish};
use crate::site::Settings;
use crate::slate::{Effect, Slate};
use crate::sums;
use crate::world::World;

/// What an operation that failed may leave although nothing was done: beginnings of lines of its effect, and why.
const LEFT: [(&str, &str, &str); 1] =
    [("finish-upload", "- image ", "an upload that was looked at and cannot be kept goes, with its row")];

/// How long the slate may take to become clean after the operation ended: what a host reports comes after it.
const SETTLING: Duration = Duration::from_secs(8);
/// The same where a step gives a reason for what it leaves.
const GLANCE: Duration = Duration::from_millis(300);
/// How long a host's report may take to be followed.
const REPORTS: Duration = Duration::from_secs(1);
/// How many steps broken off, and how many crashes, are enough to stop counting.
const MOST: usize = 200;
/// How often a fault may miss before a step counts as over.
const TRIES: usize = 3;
/// Problems of one workflow after which the rest is not run.
const ENOUGH: usize = 8;

/// One case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub plan: Option<Plan>,
    pub crash: Option<(usize, Moment)>,
}

impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Plan { step, fault, undo }) = &self.plan {
            match fault {
                Fault::Before => write!(out, "{step}/before")?,
                Fault::After => write!(out, "{step}/after")?,
                Fault::Within(wait) => write!(out, "{step}/within:{wait}")?,
                Fault::Twice => write!(out, "{step}/twice")?,
                Fault::Again(wait) => write!(out, "{step}/again:{wait}")?,
            }
            match undo {
                Undo::Once => {}
                Undo::Twice => write!(out, "/undo-twice")?,
                Undo::Again(wait) => write!(out, "/undo-again:{wait}")?,
            }
        } else if self.crash.is_none() {
            write!(out, "undisturbed")?;
        }
        match self.crash {
            Some((commits, moment)) => {
                let slash = if self.plan.is_some() { "/" } else { "" };
                let moment = if moment == Moment::Durable { "durable" } else { "before-next" };
                write!(out, "{slash}crash:{commits}:{moment}")
            }
            None => Ok(()),
        }
    }
}

/// How a case was found to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It did all, or nothing.
    Clean,
    /// What it left is what a step's reason for having no undo says; the same call again did all.
    ByReason,
    /// The fault did not strike: the step, or the workflow, is over before.
    Missed,
}

/// What the cases of one workflow came to.
#[derive(Debug, Default)]
pub struct Tally {
    pub cases: usize,
    pub by_reason: usize,
    pub problems: Vec<String>,
}

/// The cases of one workflow.
pub struct Matrix {
    known: Known,
    scenario: Scenario,
    settings: Settings,
    world: Option<World>,
    /// What the workflow does when nothing disturbs it.
    whole: Effect,
    only: Option<String>,
    /// The state of what it works on.
    state: Option<String>,
    pub tally: Tally,
}

/// An operation that was begun.
struct Begun {
    wish: Wish,
    before: Slate,
    /// What was wrong before on purpose.
    wrong: Vec<String>,
    older: BTreeSet<Uuid>,
}

fn operations(world: &World, workflow: &str) -> Result<Vec<(Uuid, String, String)>> {
    let workflow = workflow.to_owned();
    world
        .site
        .run(world.site.store().read("matrix-operations", move |conn| {
            let sql = Sql::new("SELECT uuid, state, error FROM operation WHERE workflow = ").bind(workflow.as_str());
            let rows = conn.query(sql.sql(" ORDER BY create_time"))?;
            rows.iter()
                .map(|row| {
                    let error = if row.is_null(2) { String::new() } else { row.text(2)?.to_owned() };
                    Ok((row.id(0)?, row.text(1)?.to_owned(), error))
                })
                .collect()
        }))
        .map_err(anyhow::Error::from)
}

/// Whether a store stops within some time.
fn stopped(world: &World, arrest: &gyre_store::faults::Arrest, within: Duration) -> bool {
    world.site.run(async {
        tokio::select! {
            biased;
            () = arrest.reached() => true,
            () = tokio::time::sleep(within) => false,
        }
    })
}

impl Matrix {
    /// Begins with the undisturbed run, which says what success is.
    ///
    /// For each state of what it works on in which it may be begun, since what it does then may differ.
    pub fn of(known: &Known, settings: Settings, only: Option<&str>) -> Result<Vec<Self>> {
        let scenario = scenario::of(&known.name)?;
        let only = only.map(str::to_owned);
        let mut world = World::new(settings)?;
        let mut states: Vec<_> = match scenario {
            Scenario::Call(_) if !scenario::creates(known) => {
                world.states_of(&known.resource)?.into_iter().map(Some).collect()
            }
            _ => Vec::new(),
        };
        if states.is_empty() {
            states.push(None);
        }
        let mut found = Vec::new();
        let mut refused = Vec::new();
        for state in states {
            let (known, scenario, only) = (known.clone(), scenario.clone(), only.clone());
            let (whole, tally) = (Effect::new(), Tally::default());
            let mut matrix = Self { known, scenario, settings, world: Some(world), whole, only, state, tally };
            match matrix.undisturbed()? {
                Ok(()) => {
                    found.push(matrix);
                    world = World::new(settings)?;
                }
                Err(why) => {
                    refused.extend(why);
                    world = matrix.world.take().context("a world")?;
                }
            }
        }
        refused.sort();
        refused.dedup();
        ensure!(
            !found.is_empty(),
            "workflow {}: nothing in the world can be worked on; add it to World::stock in \
             integration/tests/failure_matrix/world.rs. Refused: {refused:#?}",
            known.name
        );
        Ok(found)
    }

    /// What is worked on, for people.
    pub fn name(&self) -> String {
        match &self.state {
            Some(state) => format!("{} of {state}", self.known.name),
            None => self.known.name.clone(),
        }
    }

    /// The undisturbed run; why it was refused.
    fn undisturbed(&mut self) -> Result<std::result::Result<(), Vec<String>>> {
        let matrix = self;
        let undisturbed = Case { plan: None, crash: None };
        let begun = match matrix.begin(&undisturbed)? {
            Ok(begun) => begun,
            Err(refused) => return Ok(Err(refused)),
        };
        let (state, why) = matrix.ended(&undisturbed, &begun)?;
        ensure!(
            state == OperationState::Succeeded,
            "{} does not succeed when nothing disturbs it: {why}",
            matrix.known.name
        );
        let world = matrix.world()?;
        world.quiet()?;
        matrix.whole = begun.before.effect(&Slate::of(&matrix.world()?.site)?);
        let mut wrong = sums::wrong(&matrix.world()?.site)?;
        wrong.retain(|line| !begun.wrong.contains(line));
        ensure!(wrong.is_empty(), "{}: after an undisturbed run: {wrong:#?}", matrix.known.name);
        matrix.tally.cases += 1;
        Ok(Ok(()))
    }

    fn world(&mut self) -> Result<&mut World> {
        if self.world.is_none() {
            self.world = Some(World::new(self.settings)?);
        }
        self.world.as_mut().context("a world")
    }

    /// Gives the world something to work on, and begins the workflow with the first wish that is taken.
    fn begin(&mut self, case: &Case) -> Result<std::result::Result<Begun, Vec<String>>> {
        let (known, scenario, state) = (self.known.clone(), self.scenario.clone(), self.state.clone());
        let world = self.world()?;
        world.stock()?;
        world.quiet()?;
        let mut refused = Vec::new();
        for wish in world.wishes(&known, state.as_deref(), &scenario)? {
            world.prepare(&scenario, &wish)?;
            let before = Slate::of(&world.site)?;
            let wrong = sums::wrong(&world.site)?;
            let older = operations(world, &known.name)?.into_iter().map(|(uuid, ..)| uuid).collect();
            if let Some(plan) = &case.plan {
                faults::plan(world.site.mesh().instance(), &known.name, plan.clone());
            }
            let arrest = case.crash.map(|(commits, moment)| world.site.store().arrest_after(commits, moment));
            let mut answer = world.begin(&scenario, &wish);
            let begun = Begun { wish, before, wrong, older };
            if let Some(arrest) = arrest {
                // whoever asked hears nothing, or hears it and then the process dies
                let died = world.site.run(async {
                    tokio::select! {
                        biased;
                        () = arrest.reached() => None,
                        answer = &mut answer => Some(answer),
                    }
                });
                match died {
                    Some(Ok(Err(error))) => {
                        refused.push(format!("{error:#}"));
                        continue;
                    }
                    Some(Err(error)) => return Err(error.into()),
                    Some(Ok(Ok(_))) => {
                        let over = self.over_or_arrested(&begun, &arrest)?;
                        let world = self.world()?;
                        if over {
                            return Ok(Ok(begun));
                        }
                        world.site.kill();
                        drop(arrest);
                        world.site.revive()?;
                    }
                    None => {
                        world.site.kill();
                        drop(arrest);
                        world.site.revive()?;
                    }
                }
                self.world()?.quiet()?;
                return Ok(Ok(begun));
            }
            match world.site.run(answer)? {
                Ok(Some(operation)) if operation.workflow != known.name => {
                    refused.push(format!("it begins {}", operation.workflow));
                    world.ended(scenario::operation_uuid(&operation)?)?;
                }
                Ok(_) => return Ok(Ok(begun)),
                Err(error) => refused.push(format!("{error:#}")),
            }
        }
        Ok(Err(refused))
    }

    /// Waits until the operation is over, or the store has stopped. Answers whether it is over.
    fn over_or_arrested(&mut self, begun: &Begun, arrest: &gyre_store::faults::Arrest) -> Result<bool> {
        let name = self.known.name.clone();
        let world = self.world()?;
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if stopped(world, arrest, Duration::from_millis(5)) {
                return Ok(false);
            }
            let all = operations(world, &name)?;
            let ended = all.iter().filter(|(uuid, ..)| !begun.older.contains(uuid));
            let mut ended =
                ended.map(|(_, state, _)| matches!(state.as_str(), "SUCCEEDED" | "FAILED" | "CANCELLED")).peekable();
            if ended.peek().is_some() && ended.all(|ended| ended) {
                // a commit is seen a moment before the store stops after it
                return Ok(!stopped(world, arrest, Duration::from_millis(20)));
            }
            ensure!(Instant::now() < until, "neither over nor stopped");
        }
    }

    /// How the operation ended; as one that failed where nothing was begun.
    fn ended(&mut self, case: &Case, begun: &Begun) -> Result<(OperationState, String)> {
        let name = self.known.name.clone();
        let nobody_asks = matches!(self.scenario, Scenario::Leftover);
        let world = self.world()?;
        // one that nobody asks for may have died before there was a reason for it
        let until = Instant::now() + Duration::from_secs(if case.crash.is_some() { 2 } else { 30 });
        let operation = loop {
            let new = operations(world, &name)?.into_iter().find(|(uuid, ..)| !begun.older.contains(uuid));
            match new {
                Some((uuid, ..)) => break uuid,
                None if !nobody_asks || case.crash.is_some() && Instant::now() > until => {
                    return Ok((OperationState::Failed, "nothing was begun".to_owned()));
                }
                None => ensure!(Instant::now() < until, "nobody begins {name}"),
            }
            world.site.wait(Duration::from_millis(20));
        };
        world.ended(operation)
    }

    /// Waits until the world is as it should be. Answers what is not.
    fn differs(&mut self, begun: &Begun, wanted: &Effect, patience: Duration) -> Result<Vec<String>> {
        let name = self.known.name.clone();
        let world = self.world()?;
        let until = Instant::now() + patience;
        loop {
            world.quiet()?;
            let now = Slate::of(&world.site)?;
            let mut wrong = sums::wrong(&world.site)?;
            wrong.retain(|line| !begun.wrong.contains(line));
            let effect = begun.before.effect(&now);
            let left = LEFT.iter().any(|(of, start, _)| {
                *of == name && wanted.is_empty() && effect.iter().all(|line| line.starts_with(start))
            });
            if (effect == *wanted || left) && wrong.is_empty() {
                return Ok(Vec::new());
            }
            if Instant::now() > until {
                let mut problems = wrong;
                if effect != *wanted {
                    problems.push(if wanted.is_empty() {
                        format!("something is left: {:#?}", begun.before.changes(&now))
                    } else {
                        let missing: Vec<_> = wanted.iter().filter(|line| !effect.contains(line)).collect();
                        let more: Vec<_> = effect.iter().filter(|line| !wanted.contains(line)).collect();
                        format!("another end than that of an undisturbed run: missing {missing:#?}, more {more:#?}")
                    });
                }
                return Ok(problems);
            }
            world.site.wait(Duration::from_millis(20));
        }
    }

    /// Runs a case.
    fn verdict(&mut self, case: &Case) -> Result<(Verdict, Struck)> {
        let instance = self.world()?.site.mesh().instance();
        let begun = self.begin(case)?.map_err(|refused| anyhow::anyhow!("it is refused: {refused:#?}"))?;
        let (state, why) = self.ended(case, &begun)?;
        let struck = faults::lift(instance, &self.known.name);
        let crashed = case.crash.is_some() && self.world()?.site.mesh().instance() != instance;
        self.check_course(case, struck, state, &why)?;
        let (whole, nothing) = (self.whole.clone(), Effect::new());
        let nobody_asks = matches!(self.scenario, Scenario::Leftover);
        let last = match &case.plan {
            Some(plan) if case.crash.is_none() => self.known.steps.iter().position(|step| step.name == plan.step),
            _ => None,
        };
        let last = last.unwrap_or(self.known.steps.len() - 1);
        let reason = self.known.steps[..=last].iter().any(|step| step.no_undo.is_some());
        let verdict = if state == OperationState::Succeeded || nobody_asks {
            let differs = self.differs(&begun, &whole, SETTLING)?;
            ensure!(differs.is_empty(), "it is {}: {differs:#?}", state.as_str_name());
            Verdict::Clean
        } else {
            let differs = self.differs(&begun, &nothing, if reason { GLANCE } else { SETTLING })?;
            if differs.is_empty() {
                Verdict::Clean
            } else {
                ensure!(reason, "it is {} ({why}): {differs:#?}", state.as_str_name());
                // what a host reports may have brought it to its end meanwhile, or does so right before the call is made again
                if !self.differs(&begun, &whole, REPORTS)?.is_empty()
                    && let Err(error) = self.again(&begun, &whole)
                {
                    let still = self.differs(&begun, &whole, SETTLING)?;
                    if !still.is_empty() {
                        return Err(error.context(format!("it left {differs:#?}, and then {still:#?}")));
                    }
                }
                Verdict::ByReason
            }
        };
        let missed = match case {
            Case { crash: Some(_), .. } => !crashed,
            Case { plan: Some(plan), .. } if matches!(plan.undo, Undo::Again(_)) => struck.undo == 0,
            Case { plan: Some(_), .. } => !struck.forward,
            _ => false,
        };
        Ok((if missed { Verdict::Missed } else { verdict }, struck))
    }

    /// Whether it went the way that the fault asks for.
    fn check_course(&self, case: &Case, struck: Struck, state: OperationState, why: &str) -> Result<()> {
        let Case { plan: Some(plan), crash: None } = case else { return Ok(()) };
        let step = self.known.steps.iter().find(|step| step.name == plan.step).context("a step")?;
        let fails = struck.forward
            && !step.past
            && match plan.fault {
                Fault::Before | Fault::After | Fault::Within(_) => true,
                Fault::Twice => false,
                Fault::Again(_) => step.attempts < 2,
            };
        let wanted = if fails { OperationState::Failed } else { OperationState::Succeeded };
        ensure!(state == wanted, "it should end as {} and is {}: {why}", wanted.as_str_name(), state.as_str_name());
        ensure!(!fails || why.contains(faults::REASON), "it failed for another reason: {why}");
        Ok(())
    }

    /// The same call again, undisturbed: it must do all.
    fn again(&mut self, begun: &Begun, whole: &Effect) -> Result<()> {
        let (name, scenario) = (self.known.name.clone(), self.scenario.clone());
        let world = self.world()?;
        let operation =
            world.site.run(world.begin(&scenario, &begun.wish))?.context("the same call again is refused")?;
        let operation = operation.context("nobody can ask for it again")?;
        let (state, why) = world.ended(scenario::operation_uuid(&operation)?)?;
        ensure!(state == OperationState::Succeeded, "{name} again is {}: {why}", state.as_str_name());
        let differs = self.differs(begun, whole, SETTLING)?;
        ensure!(differs.is_empty(), "after {name} again: {differs:#?}");
        Ok(())
    }

    /// Runs a case, and notes what became of it. Answers whether its fault struck: an answer that comes at once is not waited
    /// for, so a step may have a wait less in one run than in another, and one miss tells nothing.
    fn run(&mut self, case: &Case) -> Result<bool> {
        for _ in 0..TRIES {
            if self.try_run(case)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn try_run(&mut self, case: &Case) -> Result<bool> {
        if self.tally.problems.len() >= ENOUGH {
            return Ok(false);
        }
        if self.only.as_ref().is_some_and(|only| *only != case.to_string()) {
            // count on, as far as it goes
            return Ok(true);
        }
        let begun = Instant::now();
        let outcome = self.verdict(case);
        if std::env::var_os("GYRE_MATRIX_VERBOSE").is_some() {
            let outcome =
                outcome.as_ref().map(|(verdict, _)| format!("{verdict:?}")).unwrap_or_else(|_| "FAILED".into());
            println!("{}/{case}: {outcome} ({} ms)", self.name(), begun.elapsed().as_millis());
        }
        if matches!(self.scenario, Scenario::Mend(..)) {
            // what is left unmended there, the next node mends of its own accord
            self.world = None;
        }
        match outcome {
            Ok((Verdict::Missed, _)) => return Ok(false),
            Ok((Verdict::ByReason, _)) => self.tally.by_reason += 1,
            Ok((Verdict::Clean, _)) => {}
            Err(error) => {
                self.tally.problems.push(format!("{}/{case}: {error:#}", self.name()));
                // nothing is known of this world any more
                self.world = None;
            }
        }
        self.tally.cases += 1;
        Ok(true)
    }

    fn faulty(step: &str, fault: Fault, undo: Undo) -> Case {
        Case { plan: Some(Plan { step: step.to_owned(), fault, undo }), crash: None }
    }

    /// Every step fails before, in and after its work, is broken off and tried again, and runs twice; undo runs twice.
    pub fn steps(&mut self) -> Result<()> {
        for step in self.known.steps.clone() {
            for fault in [Fault::Before, Fault::After, Fault::Twice] {
                self.run(&Self::faulty(&step.name, fault, Undo::Once))?;
            }
            for kind in [Fault::Within as fn(usize) -> Fault, Fault::Again] {
                for wait in 1..MOST {
                    if !self.run(&Self::faulty(&step.name, kind(wait), Undo::Once))? {
                        break;
                    }
                }
            }
        }
        if let Some(last) = self.last_undone() {
            self.run(&Self::faulty(&last, Fault::After, Undo::Twice))?;
            for wait in 1..MOST {
                if !self.run(&Self::faulty(&last, Fault::After, Undo::Again(wait)))? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The last step before the point of no return.
    fn last_undone(&self) -> Option<String> {
        self.known.steps.iter().rfind(|step| !step.past).map(|step| step.name.clone())
    }

    /// The process dies between any two writes, on the way forward and on the way back.
    pub fn crashes(&mut self) -> Result<()> {
        let back = self.last_undone().map(|last| Plan { step: last, fault: Fault::After, undo: Undo::Once });
        for plan in [None].into_iter().chain(back.map(Some)) {
            for moment in [Moment::BeforeNext, Moment::Durable] {
                let first = usize::from(moment == Moment::Durable);
                for commits in first..MOST {
                    if !self.run(&Case { plan: plan.clone(), crash: Some((commits, moment)) })? {
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}
