//! Questions that cost too much, asked of a node with a table in which they would take minutes: refused for their cost, or ended, and
//! nobody else waits for them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gyre_agent::Simulation;
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode};
use gyre_query::table::by_kind;
use gyre_store::Sql;
use http::{Request, StatusCode};
use serde_json::json;
use tokio::time::timeout;

/// So many that each asking for all takes minutes.
const MANY: usize = 20_000;
/// Within the budget; and counting its rows asks each of all.
const DEAR: &str = "/v1/clusters?count=true&pageSize=1&filter=NOT%20zone.clusters.description%20%3D%20%22nobody%22";
/// Longer than what must be answered takes on a busy machine, and shorter than what a call may take.
const PROMPT: Duration = Duration::from_secs(20);

/// A node with many clusters in one zone, a client, and the zone.
async fn node(folder: &std::path::Path) -> Result<(TestNode, Front, String)> {
    let node = TestNode::start(folder, Hosts::Simulated(Simulation::default())).await?;
    let front = node.front().await?;
    let zone = front.post("/v1/zones", json!({"name": "z"})).await?.good()?;
    let zone = zone["uuid"].as_str().context("a zone without UUID")?.to_owned();
    front.post("/v1/clusters", json!({"name": "c", "zoneUuid": zone})).await?.good()?;
    let columns: Vec<_> = by_kind("cluster").columns.iter().map(|column| column.field.name).collect();
    let values: Vec<_> = columns.iter().map(|name| if *name == "uuid" { "randomblob(16)" } else { *name }).collect();
    let more = format!(
        "INSERT INTO cluster ({}) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY}) \
         SELECT {} FROM cluster, n",
        columns.join(", "),
        values.join(", ")
    );
    node.node().store().write("test-clusters", move |conn| Ok(conn.execute(Sql::new(more))?)).await?;
    Ok((node, front, zone))
}

/// Waits until lists wait for others.
async fn lists_wait(front: &Front) -> Result<()> {
    let begun = Instant::now();
    while let Ok(answer) = timeout(Duration::from_millis(300), front.get("/v1/zones")).await {
        answer?.good()?;
        ensure!(begun.elapsed() < PROMPT, "lists are answered beside those that are dear");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_dear_lists_and_they_end_with_who_asked() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (node, front, zone) = node(folder.path()).await?;
    let begun = Instant::now();
    let dear: Vec<_> = (0..8)
        .map(|_| {
            let front = front.clone();
            tokio::spawn(async move { front.get(DEAR).await })
        })
        .collect();
    lists_wait(&front).await?;
    for _ in 0..5 {
        timeout(PROMPT, front.get(&format!("/v1/zones/{zone}"))).await??.good()?;
        timeout(PROMPT, node.front()).await??;
        timeout(PROMPT, front.post("/v1/zones", json!({"name": "another"}))).await??.good()?;
    }
    ensure!(!dear.iter().any(|one| one.is_finished()), "they were not dear: {:?}", begun.elapsed());
    // their connections break
    for one in &dear {
        one.abort();
    }
    timeout(PROMPT, front.get("/v1/zones")).await??.good()?;
    ensure!(begun.elapsed() < Duration::from_secs(30), "they may have come to their own end: {:?}", begun.elapsed());
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dear_list_ends_when_its_time_is_over() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (node, front, _) = node(folder.path()).await?;
    let asked = (0..6).map(|_| {
        let front = front.clone();
        tokio::spawn(async move {
            let request = Request::get(format!("{}{DEAR}", front.endpoint())).header("X-Request-Timeout", "1");
            front.send(request, "").await
        })
    });
    for ended in asked.collect::<Vec<_>>() {
        let answer = timeout(PROMPT, ended).await???;
        assert_eq!((answer.status, answer.reason()), (StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"), "{answer:?}");
    }
    // and their readers are free again
    timeout(PROMPT, front.get("/v1/zones")).await??.good()?;
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_multiplies_is_refused_before_a_row_is_read() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (node, front, _) = node(folder.path()).await?;
    for (kind, filter, at) in [
        ("clusters", "NOT zone.clusters.zone.clusters.description = nobody", 5),
        ("clusters", "name = c AND zone.clusters.zone.clusters.description = null", 14),
        ("clusters", "zone.clusters.zone.clusters.description != nobody", 1),
        ("vms", "NOT host.vms.host.vms.name = \"a\"", 5),
        ("vms", "-host.vms.host.vms:*", 2),
        ("zones", "NOT (name = a OR clusters.hosts.vms.name = a)", 18),
    ] {
        for path in [format!("/v1/{kind}?count=true&filter="), format!("/v1/{kind}:query?count=true&filter=")] {
            let uri = format!("{}{path}{}", front.endpoint(), encoded(filter));
            // to read would take minutes
            let answer = front.send(Request::get(uri).header("X-Request-Timeout", "10"), "").await?;
            assert_eq!(
                (answer.status, answer.reason()),
                (StatusCode::BAD_REQUEST, "INVALID_FIELD"),
                "{filter}: {answer:?}"
            );
            let violation = &answer.body["violations"][0];
            assert_eq!(violation["field"], "filter", "{filter}: {answer:?}");
            let told = violation["description"].as_str().unwrap_or_default();
            assert!(told.contains("costs more than 200"), "{filter}: {told}");
            assert!(told.ends_with(&format!("at character {at}")), "{filter}: {told}");
        }
    }
    // what the documentation says is fine
    let fine = encoded("NOT host.vms.name = \"a\"");
    front.get(&format!("/v1/vms?filter={fine}")).await?.good()?;
    node.shutdown().await;
    Ok(())
}

/// A text as it stands in a query.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
