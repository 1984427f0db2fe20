//! The log of changes from the front door: who changed what, from where, and what was refused; and lists as live streams.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gyre_agent::Simulation;
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode};
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// A query parameter.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn changes(front: &Front, filter: &str) -> Result<Vec<Value>> {
    let path = format!("/v1/changes?orderBy=position&filter={}", escaped(filter));
    let page = front.get(&path).await?.good()?;
    Ok(page["changes"].as_array().cloned().unwrap_or_default())
}

/// Waits until as many changes fit a filter.
async fn until(front: &Front, filter: &str, count: usize) -> Result<Vec<Value>> {
    let begun = Instant::now();
    loop {
        let found = changes(front, filter).await?;
        if found.len() >= count {
            return Ok(found);
        }
        ensure!(begun.elapsed() < Duration::from_secs(20), "{filter}: {found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn user(admin: &Front, name: &str) -> Result<(Front, String)> {
    let account = json!({"name": name, "password": "A-good-password-1"});
    let uuid = admin.make("/v1/accounts", account).await?;
    Ok((Front::sign_in(admin.endpoint(), name, "A-good-password-1").await?, uuid))
}

#[tokio::test]
async fn who_changed_what_from_where_and_what_was_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = TestNode::start(folder.path(), Hosts::Simulated(Simulation::default())).await?;
    let admin = node.front().await?;
    let site = admin.site("site", &["local"], "/var/lib/gyre").await?;
    let image = admin.upload(&site, "image", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
    let (alice, account) = user(&admin, "alice").await?;
    let (bob, _) = user(&admin, "bob").await?;

    // a machine: the call, its operation and the rows
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{}/v1/vms", alice.endpoint()))
        .header("content-type", "application/json")
        .header("user-agent", "audited/1.0")
        .header("x-gyre-client", "6.6.6.6")
        .header("gyre-client", "6.6.6.6")
        .header("x-request-id", "wish-1")
        .header("prefer", "wait=120");
    let vm = Front::vm(&site, &image, "web");
    let operation = alice.send(request, vm.to_string()).await?.good()?;
    ensure!(operation["state"] == "OPERATION_STATE_SUCCEEDED", "{operation}");
    let uuid = operation["resourceUuid"].as_str().context("no uuid")?;
    let found = changes(&alice, &format!("resource_uuid = \"{uuid}\"")).await?;
    let actions: Vec<_> = found.iter().map(|change| change["action"].as_str().unwrap_or_default()).collect();
    ensure!(actions.first() == Some(&"CHANGE_ACTION_CREATE"), "{actions:?}");
    ensure!(actions.get(1) == Some(&"CHANGE_ACTION_BEGIN"), "{actions:?}");
    ensure!(actions.last() == Some(&"CHANGE_ACTION_END"), "{actions:?}");
    for change in &found {
        ensure!(change["accountUuid"] == account.as_str() && change["actorUuid"] == account.as_str(), "{change}");
        ensure!(change["operationUuid"] == operation["uuid"], "{change}");
    }
    let begun = &found[1];
    ensure!(begun["clientAddress"] == "127.0.0.1" && begun["userAgent"] == "audited/1.0", "{begun}");
    ensure!(begun["method"] == "vm:CreateVm" && begun["requestId"] == "wish-1", "{begun}");
    ensure!(begun["outcome"] == "CHANGE_OUTCOME_ACCEPTED", "{begun}");
    let end = &found[found.len() - 1];
    ensure!(end["outcome"] == "CHANGE_OUTCOME_SUCCEEDED", "{end}");
    let update = found.iter().rev().find(|change| change["action"] == "CHANGE_ACTION_UPDATE").context("no update")?;
    ensure!(update["after"]["state"] == "VM_STATE_RUNNING" && update["before"]["name"] == "web", "{update}");
    let update = update.clone();
    let one = alice.get(&format!("/v1/changes/{}", update["uuid"].as_str().unwrap_or_default())).await?.good()?;
    ensure!(one == update, "{one}");

    // nobody else sees them, administrators do
    ensure!(changes(&bob, &format!("resource_uuid = \"{uuid}\"")).await?.is_empty(), "bob sees alice's machine");
    ensure!(changes(&admin, &format!("resource_uuid = \"{uuid}\"")).await?.len() == found.len(), "the administrator");
    let foreign = changes(&bob, "").await?;
    ensure!(foreign.iter().all(|change| change["kind"] == "account"), "{foreign:?}");

    // refused: by the gateway for want of permission, by the gateway for a wrong body, and by a service
    let refused = alice.post("/v1/zones", json!({"name": "mine"})).await?;
    ensure!(refused.status == StatusCode::FORBIDDEN, "{refused:?}");
    let refused = alice.post(&format!("/v1/vms/{uuid}:stop"), json!({"force": "perhaps"})).await?;
    ensure!(refused.status == StatusCode::BAD_REQUEST, "{refused:?}");
    let refused = bob.post(&format!("/v1/vms/{uuid}:stop"), json!({})).await?;
    ensure!(refused.status == StatusCode::NOT_FOUND, "{refused:?}");
    let denied = until(&admin, "outcome = REFUSED AND reason = ADMIN_ONLY", 1).await?;
    ensure!(denied[0]["actorUuid"] == account.as_str() && denied[0]["kind"] == "zone", "{denied:?}");
    ensure!(denied[0]["method"] == "host:CreateZone" && denied[0]["clientAddress"] == "127.0.0.1", "{denied:?}");
    let stops = until(&admin, "outcome = REFUSED AND method = \"vm:StopVm\"", 2).await?;
    ensure!(stops.iter().all(|change| change["resourceUuid"] == uuid), "{stops:?}");
    ensure!(stops.iter().any(|change| change["reason"] == "NOT_FOUND"), "{stops:?}");
    // whoever tried sees it, whose machine it was does not
    ensure!(changes(&bob, "action = CALL").await?.len() == 1, "bob's try");
    ensure!(changes(&alice, "action = CALL").await?.len() == 2, "alice's tries");

    // no secret is in the log
    let all = serde_json::to_string(&changes(&admin, "kind = account").await?)?;
    ensure!(!all.contains("A-good-password") && !all.contains("argon2"), "{all}");
    node.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn an_owner_sees_what_an_administrator_does_to_its_machine() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = TestNode::start(folder.path(), Hosts::Simulated(Simulation::default())).await?;
    let admin = node.front().await?;
    let site = admin.site("site", &["local"], "/var/lib/gyre").await?;
    let image = admin.upload(&site, "image", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
    let (alice, account) = user(&admin, "alice").await?;
    let (bob, _) = user(&admin, "bob").await?;
    let root = admin.get("/v1/accounts?filter=name%3Dadmin").await?.good()?["accounts"][0]["uuid"].clone();
    let vm = alice.done(Method::POST, "/v1/vms", Some(Front::vm(&site, &image, "web"))).await?;
    admin.done(Method::POST, &format!("/v1/vms/{vm}:stop"), Some(json!({}))).await?;
    let ended = admin.operation(Method::DELETE, &format!("/v1/vms/{vm}?expunge=true"), None).await?;
    ensure!(ended["state"] == "OPERATION_STATE_SUCCEEDED", "{ended}");
    // also of the end of what took the machine away
    let about = format!("resource_uuid = \"{vm}\" AND actor_uuid = {root} AND (action = BEGIN OR action = END)");
    let found = changes(&alice, &about).await?;
    ensure!(found.len() == 4, "{found:?}");
    ensure!(found.iter().all(|change| change["accountUuid"] == account.as_str()), "{found:?}");
    ensure!(found[0]["method"] == "vm:StopVm" && found[2]["method"] == "vm:DeleteVm", "{found:?}");
    ensure!(found[0]["clientAddress"] == "127.0.0.1", "{found:?}");
    ensure!(changes(&bob, &about).await?.is_empty(), "bob sees it");
    // what no account owns is the administrators' business
    let host = format!("resource_uuid = \"{}\"", site.hosts[0]);
    ensure!(changes(&alice, &host).await?.is_empty(), "alice sees a host");
    ensure!(changes(&admin, &host).await?.iter().any(|change| change["action"] == "CHANGE_ACTION_END"), "no host");
    node.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn what_was_refused_is_told_once_with_what_it_was_about_and_who_tried() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = TestNode::start(folder.path(), Hosts::Simulated(Simulation::default())).await?;
    let admin = node.front().await?;
    let zone = admin.make("/v1/zones", json!({"name": "zone"})).await?;
    let (alice, account) = user(&admin, "alice").await?;
    let (bob, _) = user(&admin, "bob").await?;
    let path = format!("/v1/zones/{zone}");
    let nowhere = "0193f3a0-1111-4222-8333-444455556666";

    // at the gateway: the route names the zone; a dry run would have changed nothing
    ensure!(alice.delete(&format!("{path}?validateOnly=true")).await?.status == StatusCode::FORBIDDEN);
    ensure!(alice.delete(&path).await?.status == StatusCode::FORBIDDEN);
    // at the service: the same
    ensure!(alice.delete(&format!("/v1/vms/{nowhere}?validateOnly=true")).await?.reason() == "NOT_FOUND");
    ensure!(alice.delete(&format!("/v1/vms/{nowhere}")).await?.reason() == "NOT_FOUND");
    // handed on from one service to another: it is one call all the same
    let tag = json!({"resourceKind": "vm", "resourceUuid": nowhere, "text": "x"});
    ensure!(alice.post("/v1/tags", tag).await?.reason() == "NOT_FOUND");
    ensure!(alice.post("/v1/zones", json!({"name": "last"})).await?.status == StatusCode::FORBIDDEN);
    until(&admin, "method = \"host:CreateZone\" AND outcome = REFUSED", 1).await?;
    let told = until(&alice, "action = CALL", 4).await?;
    let about = |method: &str| told.iter().filter(|change| change["method"] == method).collect::<Vec<_>>();
    let deleted = about("host:DeleteZone");
    ensure!(deleted.len() == 1 && deleted[0]["resourceUuid"] == zone.as_str(), "{told:?}");
    ensure!(deleted[0]["kind"] == "zone" && deleted[0]["reason"] == "ADMIN_ONLY", "{told:?}");
    ensure!(about("vm:DeleteVm").len() == 1 && about("vm:DeleteVm")[0]["resourceUuid"] == nowhere, "{told:?}");
    ensure!(about("common:CreateTag").len() == 1, "{told:?}");
    ensure!(about("common:CreateTag")[0]["clientAddress"] == "127.0.0.1", "{told:?}");

    // strangers: a wrong password, a name that is none, no token, and one that is none
    let nobody = Front::new(admin.endpoint(), "");
    let sign_in = |name: &str| {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/v1/sessions", admin.endpoint()))
            .header("content-type", "application/json")
            .header("user-agent", "guesser/1.0");
        let body = json!({"account": name, "password": "not-this-one-1"}).to_string();
        let nobody = nobody.clone();
        async move { nobody.send(request, body).await }
    };
    ensure!(sign_in("alice").await?.status == StatusCode::UNAUTHORIZED);
    ensure!(sign_in("pa55word").await?.status == StatusCode::UNAUTHORIZED);
    ensure!(nobody.delete(&path).await?.reason() == "NO_TOKEN");
    ensure!(Front::new(admin.endpoint(), "stolen").delete(&path).await?.reason() == "INVALID_TOKEN");
    ensure!(nobody.get(&path).await?.reason() == "NO_TOKEN");
    let found = until(&admin, "action = CALL AND actor_uuid = null", 4).await?;
    ensure!(found.len() == 4, "{found:?}");
    ensure!(found.iter().all(|change| change["clientAddress"] == "127.0.0.1"), "{found:?}");
    let tried: Vec<_> = found.iter().filter(|change| change["method"] == "identity:CreateSession").collect();
    ensure!(tried.len() == 2 && tried.iter().all(|change| change["userAgent"] == "guesser/1.0"), "{found:?}");
    let hers: Vec<_> = tried.iter().filter(|change| change["resourceUuid"] == account.as_str()).collect();
    ensure!(hers.len() == 1 && hers[0]["kind"] == "account", "{tried:?}");
    ensure!(!serde_json::to_string(&found)?.contains("pa55word"), "{found:?}");
    let without: Vec<_> = found.iter().filter(|change| change["resourceUuid"] == zone.as_str()).collect();
    ensure!(without.len() == 2, "{found:?}");
    // whose account it is sees the try, and nobody else does
    let own = changes(&alice, "method = \"identity:CreateSession\"").await?;
    ensure!(own.len() == 1, "{own:?}");
    ensure!(changes(&bob, "action = CALL").await?.is_empty(), "bob sees it");
    node.shutdown().await;
    Ok(())
}

/// Server-sent events, line by line.
struct Events(BufReader<TcpStream>);

impl Events {
    async fn open(front: &Front, path: &str, last: &str) -> Result<Self> {
        let host = front.endpoint().trim_start_matches("http://").to_owned();
        let mut stream = TcpStream::connect(&host).await?;
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nLast-Event-ID: {last}\r\n\r\n",
            front.token()
        );
        stream.write_all(head.as_bytes()).await?;
        Ok(Self(BufReader::new(stream)))
    }

    /// The next event with its id; nothing for signs of life.
    async fn next(&mut self) -> Result<(String, Value)> {
        let mut id = String::new();
        loop {
            let mut line = String::new();
            let read = tokio::time::timeout(Duration::from_secs(20), self.0.read_line(&mut line)).await??;
            ensure!(read > 0, "the stream ended");
            if let Some(text) = line.strip_prefix("id: ") {
                id = text.trim().to_owned();
            }
            let Some(data) = line.strip_prefix("data: ") else { continue };
            let event: Value = serde_json::from_str(data)?;
            if event["type"] != "WATCH_EVENT_TYPE_PROGRESS" {
                return Ok((id, event));
            }
        }
    }
}

#[tokio::test]
async fn a_list_is_watched_as_server_sent_events_and_gone_on_with() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = TestNode::start(folder.path(), Hosts::Simulated(Simulation::default())).await?;
    let admin = node.front().await?;
    let (alice, account) = user(&admin, "alice").await?;
    admin.make("/v1/zones", json!({"name": "east-1", "tags": ["place=here"]})).await?;
    let path = format!("/v1/zones:watch?filter={}", escaped("name = \"east*\""));
    let mut events = Events::open(&alice, &path, "").await?;
    let (id, event) = events.next().await?;
    ensure!(event["type"] == "WATCH_EVENT_TYPE_SNAPSHOT" && id.is_empty(), "{id} {event}");
    ensure!(event["resource"]["@type"] == "type.googleapis.com/gyre.host.v1.Zone", "{event}");
    ensure!(event["resource"]["tags"][0] == "place=here", "{event}");
    let (id, event) = events.next().await?;
    ensure!(event["type"] == "WATCH_EVENT_TYPE_SYNCED" && !id.is_empty(), "{id} {event}");
    let began = Instant::now();
    let zone = admin.make("/v1/zones", json!({"name": "east-2"})).await?;
    let (added, event) = events.next().await?;
    ensure!(event["type"] == "WATCH_EVENT_TYPE_ADDED" && event["uuid"] == zone, "{event}");
    ensure!(event["position"] == added.as_str() && began.elapsed() < Duration::from_secs(5), "{added} {event}");
    drop(events);
    admin.patch(&format!("/v1/zones/{zone}"), json!({"description": "changed"})).await?.good()?;
    // as a browser does
    let mut events = Events::open(&alice, &path, &added).await?;
    let (_, event) = events.next().await?;
    ensure!(event["type"] == "WATCH_EVENT_TYPE_MODIFIED" && event["resource"]["generation"] == "2", "{event}");

    // what is wrong is a problem, not a stream
    let wrong = alice.get("/v1/zones:watch?filter=nme%3Dx").await?;
    ensure!(wrong.status == StatusCode::BAD_REQUEST, "{wrong:?}");
    let unknown = alice.get("/v1/zoness:watch").await?;
    ensure!(unknown.status == StatusCode::BAD_REQUEST, "{unknown:?}");
    let foreign = Events::open(&alice, &format!("/v1/accounts:watch?filter={}", escaped("name = admin")), "").await;
    let (_, event) = foreign?.next().await?;
    ensure!(event["type"] == "WATCH_EVENT_TYPE_SYNCED", "{event}");

    // an operation, and the end of the right to watch
    let mut operations = Events::open(&alice, "/v1/operations:watch", "").await?;
    let (_, event) = operations.next().await?;
    ensure!(event["type"] == "WATCH_EVENT_TYPE_SYNCED", "{event}");
    admin.post(&format!("/v1/accounts/{account}:disable"), json!({})).await?.good()?;
    let begun = Instant::now();
    let ended = loop {
        ensure!(begun.elapsed() < Duration::from_secs(30), "the stream goes on");
        let (_, event) = operations.next().await?;
        if event["reason"].is_string() {
            break event;
        }
    };
    ensure!(ended["reason"] == "ACCOUNT_DISABLED", "{ended}");
    node.shutdown().await;
    Ok(())
}
