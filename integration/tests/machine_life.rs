//! The life of a machine through the front door of the one-process node, on a simulated host.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gyre_agent::{Simulation, WorkKind};
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode};
use http::{Method, StatusCode};
use serde_json::{Value, json};

async fn node(folder: &tempfile::TempDir) -> Result<TestNode> {
    TestNode::start(folder.path(), Hosts::Simulated(Simulation::default())).await
}

async fn state(front: &Front, vm: &str) -> Result<String> {
    let vm = front.get(&format!("/v1/vms/{vm}")).await?.good()?;
    Ok(vm["state"].as_str().unwrap_or_default().trim_start_matches("VM_STATE_").to_owned())
}

async fn image(front: &Front, site: &gyre_integration::front::Site) -> Result<String> {
    front.upload(site, "empty", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_made_stopped_started_binned_recovered_and_expunged() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(&folder).await?;
    let front = node.front().await?;
    let site = front.site("life", &["local"], "/var/lib/gyre").await?;
    let image = image(&front, &site).await?;

    let vm = front.done(Method::POST, "/v1/vms", Some(Front::vm(&site, &image, "web-1"))).await?;
    let made = front.get(&format!("/v1/vms/{vm}")).await?.good()?;
    assert_eq!(made["state"], "VM_STATE_RUNNING");
    assert_eq!(made["hostUuid"], site.hosts[0].as_str());
    assert_eq!(made["addresses"].as_array().map(Vec::len), Some(1));
    let host = front.get(&format!("/v1/hosts/{}", site.hosts[0])).await?.good()?;
    assert_eq!(host["cpuUsed"], "1");

    for (action, after) in
        [("stop", "STOPPED"), ("start", "RUNNING"), ("reboot", "RUNNING"), ("stop", "STOPPED"), ("start", "RUNNING")]
    {
        front.done(Method::POST, &format!("/v1/vms/{vm}:{action}"), Some(json!({}))).await?;
        assert_eq!(state(&front, &vm).await?, after, "{action}");
    }
    let wrong = front.post(&format!("/v1/vms/{vm}:start"), json!({})).await?;
    assert_eq!((wrong.status, wrong.reason()), (StatusCode::BAD_REQUEST, "WRONG_STATE"));

    front.done(Method::DELETE, &format!("/v1/vms/{vm}"), None).await?;
    assert_eq!(state(&front, &vm).await?, "DESTROYED");
    front.done(Method::POST, &format!("/v1/vms/{vm}:recover"), Some(json!({}))).await?;
    assert_eq!(state(&front, &vm).await?, "STOPPED");
    front.done(Method::DELETE, &format!("/v1/vms/{vm}"), None).await?;
    front.done(Method::POST, &format!("/v1/vms/{vm}:expunge"), Some(json!({}))).await?;
    assert_eq!(front.get(&format!("/v1/vms/{vm}")).await?.status, StatusCode::NOT_FOUND);

    nothing_left(&front, &site).await?;
    node.shutdown().await;
    Ok(())
}

/// No volume, no address, no room is taken.
async fn nothing_left(front: &Front, site: &gyre_integration::front::Site) -> Result<()> {
    let volumes = front.get("/v1/volumes").await?.good()?;
    assert!(volumes["volumes"].as_array().is_none_or(Vec::is_empty), "{volumes}");
    let ranges = front.get("/v1/ip-ranges").await?.good()?;
    for range in ranges["ipRanges"].as_array().into_iter().flatten() {
        assert!(zero(&range["usedCount"]), "{range}");
    }
    for host in &site.hosts {
        let host = front.get(&format!("/v1/hosts/{host}")).await?.good()?;
        assert!(zero(&host["cpuUsed"]) && zero(&host["memoryUsedBytes"]), "{host}");
    }
    let storage = front.get(&format!("/v1/primary-storages/{}", site.primary_storage)).await?.good()?;
    assert!(zero(&storage["usedBytes"]), "{storage}");
    Ok(())
}

/// A number that is zero, or left out as proto3 JSON does.
fn zero(value: &Value) -> bool {
    value.is_null() || value == "0" || value == 0
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_made_says_why_and_leaves_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(&folder).await?;
    let front = node.front().await?;
    let site = front.site("bad", &["local"], "/var/lib/gyre").await?;
    let image = image(&front, &site).await?;

    let all_at_once = front.post("/v1/vms", json!({"name": "x".repeat(65), "cpuCount": 4096})).await?;
    assert_eq!((all_at_once.status, all_at_once.reason()), (StatusCode::BAD_REQUEST, "INVALID_FIELD"));
    let fields: Vec<_> =
        all_at_once.body["violations"].as_array().into_iter().flatten().map(|one| one["field"].clone()).collect();
    for field in ["name", "cpu_count", "image_uuid"] {
        assert!(fields.iter().any(|found| found.as_str().is_some_and(|found| found.ends_with(field))), "{fields:?}");
    }

    let unknown = gyre_model::Uuid::new_v4().to_string();
    for (change, reason) in [
        (json!({"imageUuid": unknown}), "IMAGE_NOT_FOUND"),
        (json!({"instanceOfferingUuid": unknown}), "INSTANCE_OFFERING_NOT_FOUND"),
        (json!({"l3NetworkUuids": [unknown]}), "L3_NETWORK_NOT_FOUND"),
        (json!({"rootVolumeBytes": "4096"}), "VOLUME_TOO_SMALL"),
        (json!({"hostUuid": unknown}), "HOST_NOT_FOUND"),
    ] {
        let mut vm = Front::vm(&site, &image, "bad");
        for (key, value) in change.as_object().into_iter().flatten() {
            vm[key] = value.clone();
        }
        let refused = front.post("/v1/vms", vm).await?;
        assert_eq!(refused.reason(), reason, "{}", refused.body);
    }

    let mut huge = Front::vm(&site, &image, "huge");
    huge["instanceOfferingUuid"] = Value::Null;
    huge["cpuCount"] = json!(256);
    huge["memoryBytes"] = json!((8i64 << 40).to_string());
    let failed = front.operation(Method::POST, "/v1/vms", Some(huge)).await?;
    assert_eq!(failed["state"], "OPERATION_STATE_FAILED");
    assert_eq!(failed["error"]["reason"], "NO_HOST_WITH_ROOM", "{failed}");
    assert!(failed["error"]["metadata"].to_string().contains("bad-0"), "{failed}");
    let gone = front.get(&format!("/v1/vms/{}", failed["resourceUuid"].as_str().unwrap_or_default())).await?;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    nothing_left(&front, &site).await?;
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_see_their_own_and_what_is_shared() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(&folder).await?;
    let admin = node.front().await?;
    let site = admin.site("acc", &["local"], "/var/lib/gyre").await?;
    let image = image(&admin, &site).await?;
    for name in ["ann", "bob"] {
        let account = json!({"name": name, "type": "ACCOUNT_TYPE_NORMAL", "password": "correct horse"});
        admin.make("/v1/accounts", account).await?;
    }
    let ann = Front::sign_in(&node.endpoint(), "ann", "correct horse").await?;
    let bob = Front::sign_in(&node.endpoint(), "bob", "correct horse").await?;
    let vm = ann.done(Method::POST, "/v1/vms", Some(Front::vm(&site, &image, "hers"))).await?;

    assert_eq!(bob.get(&format!("/v1/vms/{vm}")).await?.status, StatusCode::NOT_FOUND);
    assert_eq!(bob.post(&format!("/v1/vms/{vm}:stop"), json!({})).await?.status, StatusCode::NOT_FOUND);
    assert!(bob.get("/v1/vms").await?.good()?["vms"].as_array().is_none_or(Vec::is_empty));
    assert_eq!(admin.get(&format!("/v1/vms/{vm}")).await?.status, StatusCode::OK);
    assert_eq!(bob.post("/v1/zones", json!({"name": "mine"})).await?.status, StatusCode::FORBIDDEN);
    let nobody = Front::new(&node.endpoint(), "");
    assert_eq!(nobody.get("/v1/vms").await?.status, StatusCode::UNAUTHORIZED);
    assert_eq!(Front::new(&node.endpoint(), "not.a.token").get("/v1/vms").await?.status, StatusCode::UNAUTHORIZED);

    let key = ann.post("/v1/api-keys", json!({"name": "ci"})).await?.good()?;
    let robot = Front::new(&node.endpoint(), key["secret"].as_str().unwrap_or_default());
    assert_eq!(robot.get(&format!("/v1/vms/{vm}")).await?.status, StatusCode::OK);
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_is_one_machine() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(&folder).await?;
    let front = node.front().await?;
    let site = front.site("once", &["local"], "/var/lib/gyre").await?;
    let image = image(&front, &site).await?;
    let vm = Front::vm(&site, &image, "once");
    let first = front.post("/v1/vms?requestId=wish-1", vm.clone()).await?.good()?;
    let again = front.post("/v1/vms?requestId=wish-1", vm.clone()).await?.good()?;
    assert_eq!((&first["uuid"], &first["resourceUuid"]), (&again["uuid"], &again["resourceUuid"]));
    let other = front.post("/v1/vms?requestId=wish-1", Front::vm(&site, &image, "another")).await?;
    assert_eq!(other.reason(), "REQUEST_ID_REUSED", "{}", other.body);
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_finds_everything_as_it_was() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let first = node(&folder).await?;
    let zone = first.front().await?.make("/v1/zones", json!({"name": "kept"})).await?;
    let password = first.admin().1.to_owned();
    first.shutdown().await;
    let second = node(&folder).await?;
    assert_eq!(second.admin().1, password);
    let found = second.front().await?.get(&format!("/v1/zones/{zone}")).await?.good()?;
    assert_eq!(found["name"], "kept");
    second.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_machines_at_once_take_what_there_is_and_no_more() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // room for 8 machines of 64 MiB
    let simulation = Simulation { cpus: 64, memory_bytes: 8 * (64 << 20), ..Simulation::default() };
    let node = TestNode::start(folder.path(), Hosts::Simulated(simulation)).await?;
    let front = node.front().await?;
    let site = front.site("many", &["local"], "/var/lib/gyre").await?;
    let image = image(&front, &site).await?;
    let mut set = tokio::task::JoinSet::new();
    for at in 0..24 {
        let (front, vm) = (front.clone(), Front::vm(&site, &image, &format!("m-{at}")));
        set.spawn(async move { front.operation(Method::POST, "/v1/vms", Some(vm)).await });
    }
    let mut running = 0;
    while let Some(ended) = set.join_next().await {
        let ended = ended??;
        match ended["state"].as_str() {
            Some("OPERATION_STATE_SUCCEEDED") => running += 1,
            _ => assert_eq!(ended["error"]["reason"], "NO_HOST_WITH_ROOM", "{ended}"),
        }
    }
    assert_eq!(running, 8);
    let vms = front.get("/v1/vms?filter=state%3DRUNNING").await?.good()?;
    assert_eq!(vms["vms"].as_array().map(Vec::len), Some(8));
    let addresses: std::collections::BTreeSet<_> =
        vms["vms"].as_array().into_iter().flatten().map(|vm| vm["addresses"].to_string()).collect();
    assert_eq!(addresses.len(), 8);
    node.shutdown().await;
    Ok(())
}

/// Every operation ends, and says how.
async fn all_end(front: &Front) -> Result<Vec<Value>> {
    let begun = std::time::Instant::now();
    loop {
        let filter = "/v1/operations?pageSize=1000&filter=state%3DQUEUED%20OR%20state%3DRUNNING%20OR%20state%3DUNDOING";
        let left = front.get(filter).await?.good()?;
        if left["operations"].as_array().is_none_or(Vec::is_empty) {
            let all = front.get("/v1/operations?pageSize=1000").await?.good()?;
            return Ok(all["operations"].as_array().cloned().unwrap_or_default());
        }
        anyhow::ensure!(begun.elapsed() < std::time::Duration::from_secs(60), "these do not end: {left}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_once_on_one_machine_run_one_after_the_other_and_all_end() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(&folder).await?;
    let front = node.front().await?;
    let site = front.site("race", &["local"], "/var/lib/gyre").await?;
    let image = image(&front, &site).await?;
    let mut machines = Vec::new();
    for at in 0..20 {
        let vm = Front::vm(&site, &image, &format!("r-{at}"));
        machines.push(front.done(Method::POST, "/v1/vms", Some(vm)).await?);
    }
    let mut set = tokio::task::JoinSet::new();
    for vm in &machines {
        for action in ["reboot", "reboot", "stop", "start", "reboot"] {
            let (front, path) = (front.clone(), format!("/v1/vms/{vm}:{action}"));
            set.spawn(async move { front.post(&path, json!({})).await });
        }
    }
    while let Some(answer) = set.join_next().await {
        let answer = answer??;
        assert!(answer.status.is_success() || answer.reason() == "WRONG_STATE", "{}", answer.body);
    }
    all_end(&front).await?;
    for vm in &machines {
        let state = state(&front, vm).await?;
        assert!(["RUNNING", "STOPPED"].contains(&state.as_str()), "{state}");
    }
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn creates_that_are_cancelled_anywhere_end_and_leave_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(&folder).await?;
    let front = node.front().await?;
    let site = front.site("cancel", &["local"], "/var/lib/gyre").await?;
    let image = image(&front, &site).await?;
    let mut set = tokio::task::JoinSet::new();
    for at in 0..40u64 {
        let (front, vm) = (front.clone(), Front::vm(&site, &image, &format!("c-{at}")));
        set.spawn(async move {
            let made = front.post("/v1/vms", vm).await?.good()?;
            tokio::time::sleep(std::time::Duration::from_millis(2 * at)).await;
            let uuid = made["uuid"].as_str().unwrap_or_default().to_owned();
            // one that has ended meanwhile refuses, which is as good
            front.post(&format!("/v1/operations/{uuid}:cancel"), json!({})).await
        });
    }
    while let Some(answer) = set.join_next().await {
        answer??;
    }
    all_end(&front).await?;
    let left = front.get("/v1/vms?pageSize=1000").await?.good()?;
    for vm in left["vms"].as_array().into_iter().flatten() {
        assert_eq!(vm["state"], "VM_STATE_RUNNING", "{vm}");
        let path = format!("/v1/vms/{}", vm["uuid"].as_str().unwrap_or_default());
        front.done(Method::DELETE, &path, None).await?;
        front.done(Method::POST, &format!("{path}:expunge"), Some(json!({}))).await?;
    }
    nothing_left(&front, &site).await?;
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_is_cancelled_ends_on_the_host_too() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(&folder).await?;
    let front = node.front().await?;
    let site = front.site("stop", &["local"], "/var/lib/gyre").await?;
    let image = image(&front, &site).await?;
    let vm = front.done(Method::POST, "/v1/vms", Some(Front::vm(&site, &image, "web-1"))).await?;
    let agent = node.node().agent().context("an agent")?;
    let faults = agent.faults().context("a simulator")?;
    // a guest that hears no button
    faults.hang_next(WorkKind::StopMachine, 1);
    let stop = front.post(&format!("/v1/vms/{vm}:stop"), json!({ "graceSeconds": 3600 })).await?.good()?;
    let stop = format!("/v1/operations/{}", stop["uuid"].as_str().unwrap_or_default());
    let soon = Instant::now() + Duration::from_secs(60);
    while faults.seen(WorkKind::StopMachine) == 0 {
        ensure!(Instant::now() < soon, "the agent was not asked to stop the machine");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    front.post(&format!("{stop}:cancel"), json!({})).await?.good()?;
    let soon = Instant::now() + Duration::from_secs(5);
    loop {
        let operation = front.get(&stop).await?.good()?;
        let (_, machines, tasks) = agent.counts();
        if operation["state"] == "OPERATION_STATE_CANCELLED" && tasks == 0 {
            assert_eq!(machines, 1);
            break;
        }
        ensure!(Instant::now() < soon, "{tasks} tasks are left: {operation}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(state(&front, &vm).await?, "RUNNING");
    // the machine's lane on the host is free
    front.done(Method::POST, &format!("/v1/vms/{vm}:stop"), Some(json!({}))).await?;
    assert_eq!(state(&front, &vm).await?, "STOPPED");
    node.shutdown().await;
    Ok(())
}
