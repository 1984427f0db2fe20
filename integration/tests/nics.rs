//! Interfaces as a kind of their own, through the front door: they come and go with their machine.

use anyhow::{Context as _, Result};
use gyre_agent::Simulation;
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode};
use http::{Method, StatusCode};
use serde_json::{Value, json};

/// All interfaces that the caller sees, by name.
async fn nics(front: &Front, query: &str) -> Result<Vec<Value>> {
    let page = front.get(&format!("/v1/nics?orderBy=name{query}")).await?.good()?;
    Ok(page["nics"].as_array().cloned().unwrap_or_default())
}

/// Another network of the site's cluster.
async fn network(front: &Front, cluster: &str) -> Result<String> {
    let l2 = json!({"name": "other", "type": "L2_NETWORK_TYPE_BRIDGE", "clusterUuid": cluster, "bridge": "gyre-other"});
    let l2 = front.make("/v1/l2-networks", l2).await?;
    let l3 = front.make("/v1/l3-networks", json!({"name": "other", "l2NetworkUuid": l2, "shared": true})).await?;
    let range = json!({
        "name": "other", "l3NetworkUuid": l3, "startAddress": "10.90.0.10", "endAddress": "10.90.0.200",
        "gateway": "10.90.0.1", "prefixLength": 24
    });
    front.make("/v1/ip-ranges", range).await?;
    Ok(l3)
}

#[tokio::test(flavor = "multi_thread")]
async fn interfaces_come_and_go_with_their_machine() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = TestNode::start(folder.path(), Hosts::Simulated(Simulation::default())).await?;
    let admin = node.front().await?;
    let site = admin.site("nics", &["local"], "/var/lib/gyre").await?;
    let image = admin.upload(&site, "empty", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
    let other = network(&admin, &site.cluster).await?;
    for name in ["ann", "bob"] {
        let account = json!({"name": name, "type": "ACCOUNT_TYPE_NORMAL", "password": "correct horse"});
        admin.make("/v1/accounts", account).await?;
    }
    let ann = Front::sign_in(&node.endpoint(), "ann", "correct horse").await?;
    let bob = Front::sign_in(&node.endpoint(), "bob", "correct horse").await?;

    let mut wish = Front::vm(&site, &image, "web-1");
    wish["l3NetworkUuids"] = json!([site.network, other]);
    let vm = ann.done(Method::POST, "/v1/vms", Some(wish)).await?;
    let machine = ann.get(&format!("/v1/vms/{vm}")).await?.good()?;
    let rows = nics(&ann, &format!("&filter=vm_uuid=%22{vm}%22")).await?;
    assert_eq!(rows.len(), 2, "{rows:?}");
    for (place, (row, nic)) in rows.iter().zip(machine["nics"].as_array().context("no nics")?).enumerate() {
        assert_eq!(row["name"], format!("nic-{place}"));
        assert_eq!(row["ip"], nic["address"]);
        assert_eq!((&row["vmUuid"], &row["accountUuid"]), (&machine["uuid"], &machine["accountUuid"]));
        for field in ["uuid", "mac", "gateway", "prefixLength", "bridge", "l3NetworkUuid"] {
            assert_eq!(row[field], nic[field], "{field}");
            assert!(!row[field].is_null(), "{field} of {row}");
        }
    }

    // found by address; seen by whom its machine is
    let (nic, ip) = (&rows[1]["uuid"], rows[1]["ip"].as_str().context("no address")?);
    let nic = nic.as_str().context("no UUID")?;
    let found = nics(&ann, &format!("&filter=ip=%22{ip}%22")).await?;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["uuid"], nic);
    assert!(nics(&bob, "").await?.is_empty());
    assert_eq!(bob.get(&format!("/v1/nics/{nic}")).await?.status, StatusCode::NOT_FOUND);
    assert_eq!(nics(&admin, "").await?.len(), 2);

    // its name is the owner's to change, and nothing else of it
    let path = format!("/v1/nics/{nic}");
    let named = ann.patch(&path, json!({"name": "uplink", "description": "to the world"})).await?.good()?;
    assert_eq!((&named["name"], &named["generation"], &named["ip"]), (&json!("uplink"), &json!("3"), &json!(ip)));
    assert_eq!(bob.patch(&path, json!({"name": "mine"})).await?.status, StatusCode::NOT_FOUND);
    let refused = ann.patch(&format!("{path}?updateMask=ip"), json!({"ip": "10.90.0.2"})).await?;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
    ann.done(Method::POST, &format!("/v1/vms/{vm}:stop"), Some(json!({}))).await?;
    assert_eq!(ann.get(&path).await?.good()?, named);

    let in_use = admin.delete(&format!("/v1/l3-networks/{other}")).await?;
    assert_eq!(in_use.reason(), "L3_NETWORK_IN_USE");
    // in the bin it keeps them
    ann.done(Method::DELETE, &format!("/v1/vms/{vm}"), None).await?;
    assert_eq!(nics(&ann, "").await?.len(), 2);
    ann.done(Method::POST, &format!("/v1/vms/{vm}:expunge"), Some(json!({}))).await?;
    assert!(nics(&admin, "").await?.is_empty());
    assert_eq!(ann.get(&path).await?.status, StatusCode::NOT_FOUND);

    // a machine that cannot be made leaves none
    let mut huge = Front::vm(&site, &image, "huge");
    huge["instanceOfferingUuid"] = Value::Null;
    huge["cpuCount"] = json!(256);
    huge["memoryBytes"] = json!((8i64 << 40).to_string());
    let failed = admin.operation(Method::POST, "/v1/vms", Some(huge)).await?;
    assert_eq!(failed["state"], "OPERATION_STATE_FAILED");
    assert!(nics(&admin, "").await?.is_empty());
    node.shutdown().await;
    Ok(())
}
