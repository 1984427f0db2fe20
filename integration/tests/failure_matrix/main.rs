//! The failure matrix: every workflow that a service of the system has registered, with every fault at every step of it, and with
//! a crash between any two writes. Each case ends with a clean slate: everything was done or nothing was, in all tables and on the
//! simulated hosts, and the sums agree. See `docs/testing.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop")]

mod call;
mod cases;
mod scenario;
mod site;
mod slate;
mod sums;
mod world;

use std::time::{Duration, Instant};

use anyhow::Result;
use cases::Matrix;
use gyre_flow::faults::{self, Known};
use site::{Settings, Site};

/// What is done with a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Steps,
    Crashes,
}

/// Every workflow, as the services register them.
fn workflows() -> Result<Vec<Known>> {
    if faults::workflows().is_empty() {
        Site::start(settings("", false))?;
    }
    Ok(faults::workflows())
}

/// What a workflow's world is like. Room that is left over is looked for at once where that is what begins it, and never else: a
/// leak must not heal unseen.
fn settings(workflow: &str, postgres: bool) -> Settings {
    let (soon, never) = (Duration::from_millis(200), Duration::from_secs(3600));
    let mends = matches!(workflow, "stop-again-vm" | "sweep-vm");
    Settings {
        postgres,
        reconcile_period: if workflow == "settle-vm" { soon } else { never },
        // what is mended by a rule is not to be mended by another report meanwhile
        report_period: if mends { never } else { soon },
    }
}

/// Runs a part of some workflows, and tells how much there was.
fn run(all: &[Known], part: Part, postgres: bool, only: Option<&str>) -> Result<()> {
    let mut problems = Vec::new();
    for known in all {
        let matrices = Matrix::of(known, settings(&known.name, postgres), only);
        let matrices = matrices.unwrap_or_else(|error| {
            problems.push(format!("{}: {error:#}", known.name));
            Vec::new()
        });
        for mut matrix in matrices {
            let begun = Instant::now();
            match part {
                Part::Steps => matrix.steps()?,
                Part::Crashes => matrix.crashes()?,
            }
            println!(
                "{} {part:?}: {} cases, {} right by a step's reason for having no undo, {} problems, {:.1} s",
                matrix.name(),
                matrix.tally.cases,
                matrix.tally.by_reason,
                matrix.tally.problems.len(),
                begun.elapsed().as_secs_f32()
            );
            problems.extend(matrix.tally.problems);
        }
    }
    assert!(problems.is_empty(), "{} cases end with something left:\n{}", problems.len(), problems.join("\n"));
    Ok(())
}

/// One of the shards among which the workflows are dealt out: a new workflow is in one of them by itself.
fn shard(part: Part, at: usize, of: usize) -> Result<()> {
    if std::env::var_os("GYRE_MATRIX").is_some() {
        return Ok(());
    }
    let dealt: Vec<_> =
        workflows()?.into_iter().enumerate().filter(|(place, _)| place % of == at).map(|(_, known)| known).collect();
    run(&dealt, part, false, None)
}

macro_rules! shards {
    ($part:expr, $of:literal: $($name:ident $at:literal),+) => {
        $(
            #[test]
            fn $name() -> anyhow::Result<()> {
                super::shard($part, $at, $of)
            }
        )+
    };
}

mod steps {
    shards!(crate::Part::Steps, 8: of_8_0 0, of_8_1 1, of_8_2 2, of_8_3 3, of_8_4 4, of_8_5 5, of_8_6 6, of_8_7 7);
}

mod crashes {
    shards!(crate::Part::Crashes, 8: of_8_0 0, of_8_1 1, of_8_2 2, of_8_3 3, of_8_4 4, of_8_5 5, of_8_6 6, of_8_7 7);
}

/// The workflows that touch most, on PostgreSQL, where there is a server.
#[test]
fn on_postgres() -> Result<()> {
    if std::env::var_os("GYRE_TEST_POSTGRES").is_none() {
        println!("skipped: GYRE_TEST_POSTGRES names no server (see .ci/with-postgres)");
        return Ok(());
    }
    let touch_most = ["create-vm", "delete-volume", "stop-vm"];
    let all: Vec<_> = workflows()?.into_iter().filter(|known| touch_most.contains(&known.name.as_str())).collect();
    run(&all, Part::Steps, true, None)?;
    run(&all, Part::Crashes, true, None)
}

/// One workflow, one case of it, or all: `GYRE_MATRIX=create-vm`, `GYRE_MATRIX=create-vm/place/within:3`, `GYRE_MATRIX=all`.
#[test]
fn one() -> Result<()> {
    let Ok(wanted) = std::env::var("GYRE_MATRIX") else { return Ok(()) };
    let (workflow, case) = wanted.split_once('/').map_or((wanted.as_str(), None), |(one, case)| (one, Some(case)));
    let all: Vec<_> = workflows()?.into_iter().filter(|known| workflow == "all" || known.name == workflow).collect();
    assert!(!all.is_empty(), "there is no workflow {workflow:?}");
    let postgres = std::env::var_os("GYRE_TEST_POSTGRES").is_some();
    match case {
        Some(case) if case.contains("crash:") => run(&all, Part::Crashes, postgres, Some(case)),
        Some(case) => run(&all, Part::Steps, postgres, Some(case)),
        None => run(&all, Part::Steps, postgres, None).and_then(|()| run(&all, Part::Crashes, postgres, None)),
    }
}
