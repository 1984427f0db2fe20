//! More work than a node bears, asked for by one account while another asks for little: what is refused and how, whose turn it is, and
//! that what has begun ends. See docs/overload.md.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests too")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gyre_agent::Simulation;
use gyre_integration::front::{Answer, Site};
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode};
use gyre_node::NodeConfig;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Method, Request};
use serde_json::{Value, json};
use tokio::time::timeout;

/// Longer than anything here takes.
const BOUND: Duration = Duration::from_secs(120);

struct World {
    node: TestNode,
    admin: Front,
    site: Site,
    image: String,
}

impl World {
    /// A node whose hosts take so many milliseconds for each task.
    async fn new(folder: &Path, delay: &str, change: impl FnOnce(&mut NodeConfig)) -> Result<Self> {
        let delay = delay.parse().map_err(anyhow::Error::msg)?;
        let simulation = Simulation { delay, ..Simulation::default() };
        let node = TestNode::start_with(folder, Hosts::Simulated(simulation), change).await?;
        let admin = node.front().await?;
        let site = admin.site("east", &["local"], "/var/lib/gyre").await?;
        let image = admin.upload(&site, "empty", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
        Ok(Self { node, admin, site, image })
    }

    async fn account(&self, name: &str) -> Result<Front> {
        let password = "Trubador-and-3-onions";
        self.admin.make("/v1/accounts", json!({"name": name, "password": password})).await?;
        Front::sign_in(&self.node.endpoint(), name, password).await
    }

    /// Asks for a machine, and does not wait for it.
    async fn begin(&self, front: &Front, name: &str, request_id: &str) -> Result<Answer> {
        let request = Request::post(format!("{}/v1/vms", front.endpoint()))
            .header(CONTENT_TYPE, "application/json")
            .header("x-request-id", request_id);
        front.send(request, Front::vm(&self.site, &self.image, name).to_string()).await
    }
}

/// How many of a list there are.
async fn count(front: &Front, path: &str, of: &str) -> Result<usize> {
    let page = front.get(path).await?.good()?;
    Ok(page[of].as_array().map_or(0, Vec::len))
}

/// Waits for an operation to succeed.
async fn succeeds(front: &Front, operation: &Value) -> Result<()> {
    let uuid = operation["uuid"].as_str().context("an operation without UUID")?;
    let path = format!("/v1/operations/{uuid}:wait");
    let ended = front.post(&path, json!({"timeout": "100s"})).await?.good()?;
    ensure!(ended["state"] == "OPERATION_STATE_SUCCEEDED", "{ended}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_does_not_wait_behind_all_that_another_account_asked_for() -> Result<()> {
    const FLOOD: usize = 30;
    let folder = tempfile::tempdir()?;
    // the host does one task of each kind at a time
    let world = World::new(folder.path(), "150", |config| config.services.host.widths.light = 1).await?;
    let (flood, quiet) = (world.account("flood").await?, world.account("quiet").await?);
    for at in 0..FLOOD {
        world.begin(&flood, &format!("flood-{at}"), &format!("flood-{at}")).await?.good()?;
    }
    let machine = Front::vm(&world.site, &world.image, "quiet");
    timeout(BOUND, quiet.done(Method::POST, "/v1/vms", Some(machine))).await??;
    let running = count(&flood, "/v1/vms?filter=state%20%3D%20RUNNING&pageSize=100", "vms").await?;
    ensure!(running <= FLOOD / 2, "{running} of {FLOOD} machines that were asked for before run already");
    // and they all come to be
    let begun = std::time::Instant::now();
    while count(&flood, "/v1/vms?filter=state%20%3D%20RUNNING&pageSize=100", "vms").await? < FLOOD {
        ensure!(begun.elapsed() < BOUND, "the flood does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_operations_are_refused_and_those_that_have_begun_end() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::new(folder.path(), "1500", |config| config.process.operations_per_account = 2).await?;
    let (flood, quiet) = (world.account("flood").await?, world.account("quiet").await?);
    let mut begun = Vec::new();
    for at in 0..2 {
        begun.push(world.begin(&flood, &format!("m-{at}"), &format!("wish-{at}")).await?.good()?);
    }
    let refused = world.begin(&flood, "m-2", "wish-2").await?;
    assert_eq!((refused.status.as_u16(), refused.reason()), (429, "TOO_MANY_OPERATIONS"), "{refused:?}");
    assert_eq!(refused.headers[RETRY_AFTER], "5");
    assert!(refused.body["detail"].as_str().unwrap().contains("nothing was begun: try again when some have ended"));
    // nothing of it is there
    assert_eq!(count(&flood, "/v1/vms", "vms").await?, 2);
    assert_eq!(count(&flood, "/v1/operations?filter=workflow%20%3D%20%22create-vm%22", "operations").await?, 2);
    // the same wish again is no new one
    let again = world.begin(&flood, "m-0", "wish-0").await?.good()?;
    assert_eq!(again["uuid"], begun[0]["uuid"]);
    // what reads, and who else asks, is not concerned
    let other = world.begin(&quiet, "other", "wish-0").await?.good()?;
    // those that have begun end, with all that they ask for themselves
    for operation in &begun {
        succeeds(&flood, operation).await?;
    }
    succeeds(&quiet, &other).await?;
    // and the wish that was refused is granted
    let now = world.begin(&flood, "m-2", "wish-2").await?.good()?;
    succeeds(&flood, &now).await?;
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_begun_ends_while_a_flood_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::new(folder.path(), "20", |config| {
        let limits = &mut config.api.limits;
        (limits.reads, limits.changes, limits.waiting) = (Some(2), 2, 2);
    })
    .await?;
    let (flood, quiet) = (world.account("flood").await?, world.account("quiet").await?);
    let own = flood.done(Method::POST, "/v1/vms", Some(Front::vm(&world.site, &world.image, "own"))).await?;
    let (stop, refused, answered) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..24)
        .map(|_| {
            let (front, path) = (flood.clone(), format!("/v1/vms/{own}"));
            let (stop, refused, answered) = (stop.clone(), refused.clone(), answered.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = front.get(&path).await?;
                    match answer.status.as_u16() {
                        200 => answered.fetch_add(1, Ordering::Relaxed),
                        429 if answer.reason() == "OVERLOADED" => refused.fetch_add(1, Ordering::Relaxed),
                        _ => anyhow::bail!("{answer:?}"),
                    };
                }
                anyhow::Ok(())
            })
        })
        .collect();
    let begun = std::time::Instant::now();
    while refused.load(Ordering::Relaxed) == 0 {
        ensure!(begun.elapsed() < BOUND, "nothing is refused");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for at in 0..3 {
        // none of its calls, nor of what they begin, is refused
        let machine = Front::vm(&world.site, &world.image, &format!("quiet-{at}"));
        let made = timeout(BOUND, quiet.done(Method::POST, "/v1/vms", Some(machine))).await??;
        quiet.done(Method::DELETE, &format!("/v1/vms/{made}?expunge=true"), None).await?;
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await??;
    }
    assert!(answered.load(Ordering::Relaxed) > 0, "the flood has its part");
    world.node.shutdown().await;
    Ok(())
}
