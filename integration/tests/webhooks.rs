//! A webhook from the front door to a receiver while its node is killed, checked as docs/events.md says.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gyre_agent::Simulation;
use gyre_integration::killable::{self, Killable};
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode};
use gyre_mesh::egress::Allow;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The longest that anything may take.
const SOON: Duration = Duration::from_secs(60);
/// How long the receiver thinks about each letter, so that some are always under way.
const SLOW: Duration = Duration::from_millis(20);
/// Zones that are changed, and how often each.
const ZONES: usize = 6;
const CHANGES: usize = 12;

/// What came: headers (names in lower case) and body.
type Letters = Arc<Mutex<Vec<(Value, String)>>>;

async fn receive(listener: TcpListener, letters: Letters) {
    while let Ok((stream, _)) = listener.accept().await {
        let letters = Arc::clone(&letters);
        // what breaks off is no letter
        tokio::spawn(async move { take(stream, &letters).await.ok() });
    }
}

async fn take(mut stream: TcpStream, letters: &Letters) -> Result<()> {
    let mut read = Vec::new();
    let (head, body) = loop {
        ensure!(stream.read_buf(&mut read).await? > 0, "broke off");
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let headers: serde_json::Map<_, _> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), json!(value)))
            .collect();
        let length: usize = headers.get("content-length").and_then(Value::as_str).unwrap_or("0").parse()?;
        if body.len() >= length {
            break (Value::Object(headers), body.to_owned());
        }
    };
    tokio::time::sleep(SLOW).await;
    letters.lock().push((head, body));
    Ok(stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?)
}

/// Runs the example of the document on a letter.
fn verify(secret: &str, letter: &(Value, String)) -> Result<bool> {
    let document = include_str!("../../docs/callbacks.md");
    let code = document.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).context("no example")?;
    let code = format!(
        "{code}\nimport json, sys\nargs = json.loads(sys.argv[1])\nprint(verify(args[0], args[1], args[2].encode()))\n"
    );
    let args = json!([secret, letter.0, letter.1]).to_string();
    let ran = std::process::Command::new("python3").args(["-c", &code, &args]).output().context("install python3")?;
    ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    Ok(String::from_utf8_lossy(&ran.stdout).trim() == "True")
}

/// The node of [`nothing_is_lost_when_the_node_is_killed`]: this test as a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_process() -> Result<()> {
    let Some(folder) = killable::folder() else { return Ok(()) };
    let node = TestNode::start(&folder, Hosts::Simulated(Simulation::default())).await?;
    let rule = "127.0.0.0/8".parse().map_err(anyhow::Error::msg)?;
    node.node().mesh().allow_callbacks(Allow::new([rule]));
    killable::tell(&folder, &node).await
}

/// Changes each of the zones in turn, until the node is gone. Answers how often each was changed for sure.
async fn change(front: Front, zones: Vec<String>) -> BTreeMap<String, i64> {
    let mut changed = BTreeMap::new();
    for at in 0..CHANGES {
        for zone in &zones {
            let patch = front.patch(&format!("/v1/zones/{zone}"), json!({"description": format!("{at}")})).await;
            let Some(generation) = patch.ok().and_then(|answer| answer.good().ok()) else { return changed };
            let generation = generation["generation"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
            changed.insert(zone.clone(), generation);
        }
    }
    changed
}

/// The generations of each zone as they came, the first time each.
fn by_zone(letters: &[(Value, String)]) -> Result<BTreeMap<String, Vec<i64>>> {
    let mut seen = HashSet::new();
    let mut found: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (headers, body) in letters {
        let body: Value = serde_json::from_str(body)?;
        if seen.insert(headers["webhook-id"].to_string()) {
            let zone = body["data"]["resourceUuid"].as_str().context("no resource")?.to_owned();
            let generation = body["data"]["after"]["generation"].as_str().context("no generation")?.parse()?;
            found.entry(zone).or_default().push(generation);
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_node_is_killed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/gyre", listener.local_addr()?);
    let letters = Letters::default();
    let receiving = tokio::spawn(receive(listener, Arc::clone(&letters)));

    let (node, front) = Killable::start(folder.path()).await?;
    let refused = front.post("/v1/webhooks", json!({"name": "inside", "url": "http://169.254.169.254/"})).await?;
    ensure!(refused.reason() == "WEBHOOK_NOT_ALLOWED", "{:?}", refused.body);
    let hook = json!({"name": "zones", "url": url, "kinds": ["zone"], "filter": "action != BEGIN AND action != END"});
    let hook = front.post("/v1/webhooks", hook).await?.good()?;
    let secret = hook["secret"].as_str().context("no secret")?.to_owned();
    let mut zones = Vec::new();
    for at in 0..ZONES {
        zones.push(front.make("/v1/zones", json!({"name": format!("zone-{at}")})).await?);
    }
    let changing = tokio::spawn(change(front, zones.clone()));
    let began = Instant::now();
    while letters.lock().len() < ZONES * CHANGES / 3 {
        ensure!(began.elapsed() < SOON, "{} letters came", letters.lock().len());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(node);
    let changed = changing.await?;
    let before = letters.lock().len();

    let (node, front) = Killable::start(folder.path()).await?;
    // what was committed counts, also where the answer did not come through any more
    let mut last = BTreeMap::new();
    for zone in &zones {
        let now = front.get(&format!("/v1/zones/{zone}")).await?.good()?;
        last.insert(zone.clone(), now["generation"].as_str().context("no generation")?.parse::<i64>()?);
    }
    ensure!(zones.iter().all(|zone| changed.get(zone).is_none_or(|sure| last[zone] >= *sure)), "{changed:?} {last:?}");
    let all: i64 = last.values().sum();
    let began = Instant::now();
    let found = loop {
        let found = by_zone(&letters.lock().clone())?;
        if found.values().map(Vec::len).sum::<usize>() == usize::try_from(all)? {
            break found;
        }
        ensure!(began.elapsed() < SOON, "{before} letters came before, and now there are {found:?} of {last:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    // each change once or more, and those of one zone in their order
    for (zone, generations) in &found {
        ensure!(*generations == (1..=last[zone]).collect::<Vec<_>>(), "{zone}: {generations:?}");
    }
    let letters = letters.lock().clone();
    ensure!(before < letters.len(), "all {before} letters came before the node was killed");
    ensure!(letters.iter().all(|(_, body)| body.starts_with(r#"{"type":"zone."#)), "{letters:?}");
    let newest = letters.last().context("no letter")?;
    ensure!(verify(&secret, newest)?, "the signature of {newest:?}");
    ensure!(!verify("whsec_AAAA", newest)?, "a wrong key");
    ensure!(front.get("/v1/dead-letters").await?.good()?["deadLetters"].is_null(), "a dead letter");
    drop(node);
    receiving.abort();
    Ok(())
}
