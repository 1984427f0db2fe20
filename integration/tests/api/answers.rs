//! What answers look like to whoever asks over HTTP.

use anyhow::Result;
use gyre_agent::Simulation;
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode};
use http::StatusCode;
use serde_json::{Value, json};

async fn simulated(folder: &std::path::Path) -> Result<(TestNode, Front)> {
    let node = TestNode::start(folder, Hosts::Simulated(Simulation::default())).await?;
    let front = node.front().await?;
    Ok((node, front))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_of_nothing_is_a_count() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (node, front) = simulated(folder.path()).await?;
    for path in ["/v1/vms", "/v1/vms:query", "/v1/operations", "/v1/changes"] {
        let nothing = "filter=uuid%20%3D%200193f3a0-1111-4222-8333-444455556666";
        let counted = front.get(&format!("{path}?count=true&{nothing}")).await?.good()?;
        assert_eq!(counted, json!({"totalSize": "0"}), "{path}");
        let plain = front.get(&format!("{path}?{nothing}")).await?.good()?;
        assert_eq!(plain, json!({}), "{path}");
    }
    front.post("/v1/zones", json!({"name": "z"})).await?.good()?;
    assert_eq!(front.get("/v1/zones?count=true").await?.good()?["totalSize"], "1");
    assert_eq!(front.get("/v1/zones").await?.good()?["totalSize"], Value::Null);
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_numbers_in_images_have_no_fraction() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (node, front) = simulated(folder.path()).await?;
    let zone = front.make("/v1/zones", json!({"name": "z"})).await?;
    let cluster = json!({"name": "c", "zoneUuid": zone, "cpuOvercommit": 3});
    let cluster = front.make("/v1/clusters", cluster).await?;
    front.patch(&format!("/v1/clusters/{cluster}"), json!({"cpuOvercommit": 4})).await?.good()?;
    let filter = format!("filter=resource_uuid%20%3D%20{cluster}%20AND%20action%20%3D%20UPDATE");
    for (path, rows) in [("/v1/changes", "changes"), ("/v1/changes:query", "rows")] {
        let changes = front.get(&format!("{path}?{filter}")).await?.good()?;
        let change = &changes[rows][0];
        let numbers = [&change["before"]["cpuOvercommit"], &change["after"]["cpuOvercommit"]];
        assert_eq!(numbers.map(Value::to_string), ["3", "4"], "{path}: {change}");
    }
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_accounts_take_is_for_administrators() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (node, admin) = simulated(folder.path()).await?;
    let site = admin.site("s", &["local"], &folder.path().display().to_string()).await?;
    let (name, password) = ("alice", "A-good-password-1");
    admin.make("/v1/accounts", json!({"name": name, "password": password})).await?;
    let alice = Front::sign_in(&node.endpoint(), name, password).await?;
    for (kind, uuid, hidden, seen) in [
        ("hosts", &site.hosts[0], "memoryUsedBytes", "memoryCapacityBytes"),
        ("primary-storages", &site.primary_storage, "usedBytes", "totalBytes"),
        ("image-servers", &site.image_server, "availableBytes", "totalBytes"),
    ] {
        let one = alice.get(&format!("/v1/{kind}/{uuid}")).await?.good()?;
        let all = alice.get(&format!("/v1/{kind}:query?fields={seen}&fields={hidden}")).await?.good()?;
        for shown in [&one, &all["rows"][0]] {
            assert!(shown[hidden].is_null() && shown[seen].is_string(), "{kind}: {shown}");
        }
        for ask in [format!("filter={hidden}%20%3E%200"), format!("orderBy={hidden}")] {
            for path in [format!("/v1/{kind}?{ask}"), format!("/v1/{kind}:query?{ask}")] {
                let refused = alice.get(&path).await?;
                assert_eq!((refused.status, refused.reason()), (StatusCode::BAD_REQUEST, "INVALID_FIELD"), "{path}");
                assert!(refused.body.to_string().contains("for administrators only"), "{path}: {}", refused.body);
                admin.get(&path).await?.good()?;
            }
        }
        let watched = alice.get(&format!("/v1/{kind}:watch?filter={hidden}%20%3E%200")).await?;
        assert_eq!(watched.status, StatusCode::BAD_REQUEST, "{kind}: {}", watched.body);
    }
    // what an image server has free is known at once
    let server = admin.get(&format!("/v1/image-servers/{}", site.image_server)).await?.good()?;
    assert!(server["availableBytes"].is_string(), "{server}");
    node.shutdown().await;
    Ok(())
}
