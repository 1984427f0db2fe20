//! The guard on what calls cost. What depends on the machine (time) is measured by `gyre-bench`; what does not is counted here, and may
//! not grow unseen: statements, commits, tasks on hosts and allocations of a call, in a whole node with its driver. The bounds stand in
//! `costs.json`, each with its reason: who makes a call dearer changes the bound there, and says why; who makes it cheaper lowers it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use gyre_agent::Simulation;
use gyre_integration::Front;
use gyre_integration::bench::counters::Counters;
use gyre_integration::node::{Hosts, TestNode};
use http::Method;
use serde::Deserialize;
use serde_json::Value as Json;

/// Calls of each kind.
const CALLS: usize = 40;
/// Calls before those that count: they fill caches and prepare statements.
const BEFORE: usize = 10;
/// What runs less often for a call is the background's.
const OFTEN: f64 = 0.5;
/// How far below its bound a figure may be before the bound is to be lowered; one that is less than one is the background's.
const SLACK: f64 = 0.75;

/// The system's allocator, which counts.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[allow(unsafe_code, reason = "an allocator is unsafe by its nature; this one hands everything on")]
// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as this function is called
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as this function is called
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as this function is called
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A bound on one figure.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bound {
    most: f64,
    why: String,
}

/// What a call of one kind cost, by the name of the figure.
type Costs = BTreeMap<&'static str, f64>;

struct Meter {
    front: Front,
    counters: Counters,
}

impl Meter {
    /// Makes calls one after the other, and counts what each costs.
    async fn count<F>(&self, calls: &mut impl Iterator<Item = F>) -> Result<(Costs, Vec<String>)>
    where
        F: Future<Output = Result<String>>,
    {
        let mut answers = Vec::with_capacity(BEFORE + CALLS);
        for call in calls.by_ref().take(BEFORE) {
            answers.push(call.await?);
        }
        let before = self.counters.read().await?;
        let allocated = ALLOCATIONS.load(Ordering::Relaxed);
        for call in calls.take(CALLS) {
            answers.push(call.await?);
        }
        let allocations = ALLOCATIONS.load(Ordering::Relaxed) - allocated;
        let each = self.counters.read().await?.each(&before, CALLS);
        let own = || each.by_name.values().filter(|(ran, _)| *ran >= OFTEN);
        let costs = Costs::from([
            ("statements", own().map(|(_, statements)| statements).sum::<f64>()),
            ("closures", own().map(|(ran, _)| ran).sum::<f64>()),
            ("commits", each.commits_per_call.unwrap_or_default()),
            ("agent_trips", each.agent_trips_per_call.unwrap_or_default()),
            ("allocations", allocations as f64 / CALLS as f64),
        ]);
        Ok((costs, answers))
    }

    async fn read(&self, path: String) -> Result<String> {
        self.front.get(&path).await?.good().map(|_| String::new())
    }
}

/// Compares what was counted with its bounds.
fn judge(kind: &str, costs: &Costs, bounds: &BTreeMap<String, Bound>, wrong: &mut Vec<String>) {
    for (figure, cost) in costs {
        let shown = format!("{kind}: {cost:.2} {figure} a call");
        match bounds.get(*figure) {
            None if *cost == 0.0 => {}
            None => wrong.push(format!("{shown}, and costs.json has no bound for it")),
            Some(bound) if *cost > bound.most => {
                wrong.push(format!("{shown}, at most {} are allowed ({})", bound.most, bound.why));
            }
            Some(bound) if bound.most >= 1.0 && *cost < bound.most * SLACK => {
                wrong.push(format!("{shown}, far below the bound of {}: lower it", bound.most));
            }
            Some(_) => println!("{shown} of {}", bounds[*figure].most),
        }
    }
    wrong.extend(
        bounds
            .iter()
            .filter(|(_, bound)| bound.why.is_empty())
            .map(|(figure, _)| format!("{kind}: {figure} has no reason")),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_cost_what_they_may() -> Result<()> {
    let bounds: BTreeMap<String, BTreeMap<String, Bound>> = serde_json::from_str(include_str!("costs.json"))?;
    let folder = tempfile::tempdir()?;
    let simulation = Simulation { cpus: 10_000, memory_bytes: 1 << 44, ..Simulation::default() };
    let node = TestNode::start_with(folder.path(), Hosts::Simulated(simulation), |config| {
        config.process.metrics_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    });
    let node = node.await?;
    let front = node.front().await?;
    let metrics = node.node().metrics_address().context("a node without metrics")?;
    let meter = Meter { front: front.clone(), counters: Counters::at(vec![format!("http://{metrics}")]) };
    let site = front.site("costs", &["local"; 4], "/var/lib/gyre-costs").await?;
    let image = front.upload(&site, "costs", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;

    let mut wrong = Vec::new();
    let mut made = (0..).map(|at| {
        let (front, vm) = (front.clone(), Front::vm(&site, &image, &format!("costs-{at}")));
        async move { front.done(Method::POST, "/v1/vms", Some(vm)).await }
    });
    let (costs, vms) = meter.count(&mut made).await?;
    judge("create-vm", &costs, &bounds["create-vm"], &mut wrong);

    let mut read = vms.iter().map(|vm| meter.read(format!("/v1/vms/{vm}")));
    judge("get-vm", &meter.count(&mut read).await?.0, &bounds["get-vm"], &mut wrong);

    let mut list = (0..).map(|_| meter.read("/v1/vms?pageSize=20".to_owned()));
    judge("list-vms", &meter.count(&mut list).await?.0, &bounds["list-vms"], &mut wrong);

    let mut deleted = vms.iter().map(|vm| {
        let (front, path) = (front.clone(), format!("/v1/vms/{vm}?expunge=true"));
        async move { front.done(Method::DELETE, &path, None).await }
    });
    judge("delete-vm", &meter.count(&mut deleted).await?.0, &bounds["delete-vm"], &mut wrong);

    let left: Json = front.get("/v1/vms").await?.good()?;
    assert!(left["vms"].as_array().is_none_or(Vec::is_empty), "machines are left: {left}");
    node.shutdown().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
