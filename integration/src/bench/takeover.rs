//! How long the operations of an instance that is killed wait for their next owner: from the kill until each of them has the
//! next fence. For a cluster that runs; its simulated hosts must take longer for a start than all the
//! calls take together, so that the operations are under way when the instance dies.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::calls::{Extent, Runner, timed};
use super::figures::Figures;
use super::opened::Opened;
use crate::front::Front;

/// Machines that are asked for at a time.
const CALLERS: usize = 32;
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);
/// The longest that anything may take.
const LIMIT: Duration = Duration::from_secs(300);

/// The operations that are in one of some states, by UUID.
async fn operations(front: &Front, filter: &str) -> Result<BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    let mut token = String::new();
    loop {
        let query: String = url(filter);
        let page = front.get(&format!("/v1/operations?pageSize=1000&filter={query}&pageToken={}", url(&token))).await?;
        let page = page.good()?;
        for operation in page["operations"].as_array().into_iter().flatten() {
            let uuid = operation["uuid"].as_str().context("an operation without UUID")?;
            found.insert(uuid.to_owned(), operation.clone());
        }
        match page["nextPageToken"].as_str().filter(|next| !next.is_empty()) {
            Some(next) => next.clone_into(&mut token),
            None => return Ok(found),
        }
    }
}

/// Percent-encoding of what stands in a query (RFC 3986, 2.1).
fn url(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

async fn members(front: &Front) -> Result<BTreeSet<String>> {
    let listed = front.get("/v1/members").await?.good()?;
    let uuids = listed["members"].as_array().into_iter().flatten();
    Ok(uuids.filter_map(|member| member["uuid"].as_str().map(str::to_owned)).collect())
}

const UNFINISHED: &str = "workflow = \"create-vm\" AND \
     (state = \"QUEUED\" OR state = \"RUNNING\" OR state = \"UNDOING\" OR state = \"STUCK\")";

/// Puts operations under way, kills the process, and looks on. The calls are those that ask for machines; what else is told counts
/// from the kill.
///
/// # Errors
/// When a call is refused, or nothing moves for minutes.
pub async fn run(opened: &Opened, count: usize, pid: u32) -> Result<Figures> {
    let front = &opened.node.front;
    let (asking, site, image) = (front.clone(), opened.site.clone(), opened.image.clone());
    let call = move |at: usize| {
        let (front, vm) = (asking.clone(), Front::vm(&site, &image, &format!("takeover-{at}")));
        timed(async move { front.post("/v1/vms", vm).await?.good().map(drop) })
    };
    let runner = Runner { concurrency: CALLERS, ..opened.node.runner.clone() };
    let asked = runner.run("takeover", Extent::of(count), call).await?.figures;
    let problem = asked.problem.clone().unwrap_or_default();
    ensure!(asked.failed == 0, "{} machines were refused: {problem}", asked.failed);
    let before = members(front).await?;
    let under_way = operations(front, UNFINISHED).await?;
    ensure!(
        under_way.len() >= count,
        "only {} of {count} operations are under way: let starts take longer",
        under_way.len()
    );
    let killed = Instant::now();
    ensure!(Command::new("kill").args(["-9", &pid.to_string()]).status()?.success(), "cannot kill process {pid}");
    let dead = loop {
        let gone: Vec<_> = before.difference(&members(front).await?).cloned().collect();
        match gone.as_slice() {
            [] if killed.elapsed() < LIMIT => tokio::time::sleep(LOOK).await,
            [one] => break one.clone(),
            other => bail!("one instance should be gone from the ring, {} are", other.len()),
        }
    };
    let noticed = killed.elapsed();
    let its = |operation: &&Value| operation["instanceUuid"].as_str() == Some(&dead);
    let of_the_dead = under_way.values().filter(its).count();
    ensure!(of_the_dead > 0, "the killed process had no operation under way: kill an instance of vm");
    let mut half = None;
    let orphaned = format!("{UNFINISHED} AND instance_uuid = \"{dead}\"");
    let resumed = loop {
        let left = operations(front, &orphaned).await?.len();
        if 2 * left <= of_the_dead {
            half.get_or_insert_with(|| killed.elapsed());
        }
        if left == 0 {
            break killed.elapsed();
        }
        ensure!(killed.elapsed() < LIMIT, "{left} operations have no new owner after {LIMIT:?}");
        tokio::time::sleep(LOOK).await;
    };
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let figures = asked.with("operations", under_way.len()).with("of_the_dead", of_the_dead);
    let figures = figures.with("noticed_ms", ms(noticed)).with("half_resumed_ms", ms(half.unwrap_or(resumed)));
    Ok(figures.with("all_resumed_ms", ms(resumed)))
}
