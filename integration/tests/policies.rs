//! Policies through the front door: what they deny and allow, that nobody gets rid of what binds them, and what is refused when they are
//! made. See docs/policies.md.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests too")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gyre_agent::Simulation;
use gyre_integration::front::{Answer, Site};
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode};
use gyre_proto::storage::v1::UploadImageRequest;
use gyre_proto::storage::v1::image_service_client::ImageServiceClient;
use gyre_proto::vm::v1::StopVmRequest;
use gyre_proto::vm::v1::vm_service_client::VmServiceClient;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long gateways may go by what was before, with room for a slow machine.
const BELIEVED: Duration = Duration::from_secs(30);

struct World {
    node: TestNode,
    admin: Front,
    site: Site,
    image: String,
    alice: Front,
    /// Alice's account.
    account: String,
    _folder: TempDir,
}

impl World {
    async fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let node = TestNode::start(folder.path(), Hosts::Simulated(Simulation::default())).await?;
        let admin = node.front().await?;
        let site = admin.site("east", &["local"], "/var/lib/gyre").await?;
        let image = admin.upload(&site, "empty", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
        let password = "Trubador-and-3-onions";
        let account = admin.make("/v1/accounts", json!({"name": "alice", "password": password})).await?;
        let alice = Front::sign_in(&node.endpoint(), "alice", password).await?;
        Ok(Self { node, admin, site, image, alice, account, _folder: folder })
    }

    async fn machine(&self, name: &str, tags: Value) -> Result<String> {
        let mut vm = Front::vm(&self.site, &self.image, name);
        vm["tags"] = tags;
        self.alice.done(Method::POST, "/v1/vms", Some(vm)).await
    }

    /// A key of alice's, and who calls with it.
    async fn key(&self, name: &str) -> Result<(String, Front)> {
        let key = self.alice.post("/v1/api-keys", json!({"name": name})).await?.good()?;
        let text = |field: &str| key[field].as_str().map(str::to_owned).context("a key");
        Ok((text("uuid")?, Front::new(&self.node.endpoint(), &text("secret")?)))
    }
}

/// Makes a call until its answer has this reason (none of a good answer), as far as gateways may take so long.
async fn until<F: Future<Output = Result<Answer>>>(reason: &str, call: impl Fn() -> F) -> Result<Answer> {
    let began = Instant::now();
    loop {
        let answer = call().await?;
        if answer.reason() == reason {
            return Ok(answer);
        }
        ensure!(began.elapsed() < BELIEVED, "{reason} did not come, but {} {}", answer.status, answer.body);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_administrator_denies_stays_denied() -> Result<()> {
    let world = World::new().await?;
    let vm = world.machine("web", json!([])).await?;
    let policy = json!({
        "name": "keep", "effect": "DENY", "actions": ["vm:Delete*", "vm:Expunge*"], "subjectUuid": world.account
    });
    let policy = world.admin.make("/v1/policies", policy).await?;
    let path = format!("/v1/vms/{vm}");
    // an unknown machine, so that nothing is lost before gateways know
    let nobody = "/v1/vms/0193f3a0-1111-4222-8333-444455556666";
    until("POLICY_DENIED", || world.alice.delete(nobody)).await?;
    let refused = world.alice.delete(&path).await?;
    assert_eq!((refused.status, refused.reason()), (StatusCode::FORBIDDEN, "POLICY_DENIED"));
    let detail = refused.body["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains("\"keep\"") && detail.contains(&policy) && detail.contains("vm:DeleteVm"), "{detail}");
    // everything else goes on
    world.alice.get(&path).await?.good()?;
    // it is the administrator's: who is bound neither sees nor changes it
    let own = world.alice.get("/v1/policies").await?.good()?;
    assert!(own["policies"].is_null(), "{own}");
    assert_eq!(world.alice.delete(&format!("/v1/policies/{policy}")).await?.status, StatusCode::NOT_FOUND);
    let allows = json!({"name": "all", "effect": "ALLOW", "actions": ["*"]});
    world.alice.make("/v1/policies", allows).await?;
    assert_eq!(world.alice.delete(&path).await?.reason(), "POLICY_DENIED");
    // the log has it
    let filter = "/v1/changes?filter=reason%3DPOLICY_DENIED";
    let began = Instant::now();
    let change = loop {
        let changes = world.admin.get(filter).await?.good()?;
        if let Some(change) = changes["changes"].as_array().and_then(|changes| changes.first()) {
            break change.clone();
        }
        ensure!(began.elapsed() < BELIEVED, "the refusal is not in the log");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(change["outcome"], "CHANGE_OUTCOME_REFUSED", "{change}");
    // others are not bound by it, and it ends
    world.admin.call(Method::DELETE, &format!("/v1/policies/{policy}"), None).await?.good()?;
    until("NOT_FOUND", || world.alice.delete(nobody)).await?;
    world.alice.delete(&path).await?.good()?;
    // an account goes with what it bound itself and its keys by
    let (key, _) = world.key("robot").await?;
    let reads = json!({"name": "reads", "effect": "ALLOW", "actions": ["*:Get*"], "apiKeyUuid": key});
    world.alice.make("/v1/policies", reads).await?;
    world.admin.done(Method::DELETE, &format!("/v1/accounts/{}?cascade=true", world.account), None).await?;
    let left = world.admin.get("/v1/policies").await?.good()?;
    assert!(left["policies"].is_null(), "{left}");
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_does_what_its_policies_allow_and_does_not_free_itself() -> Result<()> {
    let world = World::new().await?;
    let (key, robot) = world.key("robot").await?;
    let (_, other) = world.key("other").await?;
    let reads = json!({
        "name": "reads", "effect": "ALLOW", "actions": ["*:Get*", "*:List*", "identity:*"], "apiKeyUuid": key
    });
    let policy = world.alice.make("/v1/policies", reads).await?;
    let zone = json!({"name": "bound"});
    until("POLICY_DENIED", || robot.post("/v1/tags", json!({}))).await?;
    assert_eq!(robot.post("/v1/zones", zone).await?.reason(), "ADMIN_ONLY");
    robot.get("/v1/vms").await?.good()?;
    assert_eq!(robot.post("/v1/query", json!({"kind": "vm"})).await?.reason(), "POLICY_DENIED");
    // "identity:*" does not help it out
    for refused in [
        robot.post("/v1/api-keys", json!({"name": "free"})).await?,
        robot.delete(&format!("/v1/policies/{policy}")).await?,
        robot.patch(&format!("/v1/policies/{policy}"), json!({"actions": ["*"]})).await?,
        robot.post("/v1/policies", json!({"name": "a", "effect": "ALLOW", "actions": ["*"]})).await?,
        robot.patch(&format!("/v1/accounts/{}", world.account), json!({"password": "another-long-one"})).await?,
    ] {
        assert_eq!((refused.status, refused.reason()), (StatusCode::FORBIDDEN, "POLICY_DENIED"), "{}", refused.body);
    }
    // nor does a key that is good for an administrator's account
    let root = world.admin.post("/v1/api-keys", json!({"name": "root"})).await?.good()?;
    let text = |field: &str| root[field].as_str().unwrap_or_default().to_owned();
    let bound = json!({"name": "b", "effect": "DENY", "actions": ["vm:Delete*"], "apiKeyUuid": text("uuid")});
    world.admin.make("/v1/policies", bound).await?;
    let root = Front::new(&world.node.endpoint(), &text("secret"));
    let evil = json!({"name": "evil", "type": "ACCOUNT_TYPE_ADMIN", "password": "Trubador-and-3-onions"});
    until("POLICY_DENIED", || root.delete("/v1/vms/0193f3a0-1111-4222-8333-444455556666")).await?;
    assert_eq!(root.post("/v1/accounts", evil).await?.reason(), "POLICY_DENIED");
    assert_eq!(root.delete(&format!("/v1/accounts/{}?cascade=true", world.account)).await?.reason(), "POLICY_DENIED");
    root.get("/v1/accounts").await?.good()?;
    // nobody else is bound by it
    other.make("/v1/api-keys", json!({"name": "more"})).await?;
    world.alice.post("/v1/query", json!({"kind": "vm"})).await?.good()?;
    // wider, by who may
    let wider = json!({"actions": ["*:Get*", "*:List*", "common:Query"]});
    world.alice.patch(&format!("/v1/policies/{policy}"), wider).await?.good()?;
    until("", || robot.post("/v1/query", json!({"kind": "vm"}))).await?;
    // the key goes, and its policies with it
    world.alice.call(Method::DELETE, &format!("/v1/api-keys/{key}"), None).await?.good()?;
    let began = Instant::now();
    while world.alice.get(&format!("/v1/policies/{policy}")).await?.status != StatusCode::NOT_FOUND {
        ensure!(began.elapsed() < BELIEVED, "the policy outlives its key");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_say_what_a_policy_is_about() -> Result<()> {
    let world = World::new().await?;
    let kept = world.machine("kept", json!(["env=prod"])).await?;
    let free = world.machine("free", json!(["env=dev"])).await?;
    let policy = json!({
        "name": "production", "effect": "DENY", "actions": ["vm:Stop*", "vm:Update*"], "resourceKind": "vm",
        "filter": "tags:\"env=prod\""
    });
    world.alice.make("/v1/policies", policy).await?;
    let seen = json!({"description": "seen"});
    let rename = async |uuid: &str| world.alice.patch(&format!("/v1/vms/{uuid}"), seen.clone()).await;
    until("POLICY_DENIED", || rename(&kept)).await?;
    assert_eq!(rename(&free).await?.status, StatusCode::OK);
    let stop = async |uuid: &str| world.alice.post(&format!("/v1/vms/{uuid}:stop"), json!({})).await;
    assert_eq!(stop(&kept).await?.reason(), "POLICY_DENIED");
    // a machine that is not there, or not to be seen, is none of them
    assert_eq!(stop("0193f3a0-1111-4222-8333-444455556666").await?.status, StatusCode::NOT_FOUND);
    // lists and other calls are as they were
    world.alice.get(&format!("/v1/vms/{kept}")).await?.good()?;
    let listed = world.alice.get("/v1/vms").await?.good()?;
    assert_eq!(listed["vms"].as_array().map(Vec::len), Some(2));
    // over gRPC, too
    let channel = tonic::transport::Endpoint::from_shared(world.node.endpoint())?.connect().await?;
    let mut client = VmServiceClient::new(channel);
    let request = |uuid: &str| -> Result<tonic::Request<StopVmRequest>> {
        let mut request = tonic::Request::new(StopVmRequest { uuid: uuid.to_owned(), ..StopVmRequest::default() });
        request.metadata_mut().insert("authorization", format!("Bearer {}", world.alice.token()).parse()?);
        Ok(request)
    };
    let status = client.stop_vm(request(&kept)?).await.expect_err("it is denied");
    assert_eq!(status.code(), tonic::Code::PermissionDenied, "{status}");
    client.stop_vm(request(&free)?).await?;
    // what is tagged otherwise is free from the next call on
    let untagged = json!({"tags": []});
    assert_eq!(world.alice.patch(&format!("/v1/vms/{kept}"), untagged.clone()).await?.reason(), "POLICY_DENIED");
    world.admin.patch(&format!("/v1/vms/{kept}"), untagged).await?.good()?;
    stop(&kept).await?.good()?;
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_about_its_image_over_either_transport() -> Result<()> {
    let world = World::new().await?;
    let image = async |name: &str, tags: Value| {
        let image = json!({"name": name, "url": "upload", "format": "IMAGE_FORMAT_RAW", "tags": tags});
        world.alice.done(Method::POST, "/v1/images", Some(image)).await
    };
    let (kept, free) = (image("kept", json!(["keep"])).await?, image("free", json!([])).await?);
    let policy = json!({
        "name": "keep", "effect": "DENY", "actions": ["storage:U*"], "resourceKind": "image", "filter": "tags:keep"
    });
    world.alice.make("/v1/policies", policy).await?;
    let path = format!("/v1/images/{kept}");
    until("POLICY_DENIED", || world.alice.patch(&path, json!({"description": "x"}))).await?;
    let upload = async |uuid: &str| {
        let request = http::Request::post(format!("{}/v1/images/{uuid}:upload", world.alice.endpoint()))
            .header("content-type", "application/octet-stream");
        world.alice.send(request, vec![0u8; 1 << 16]).await
    };
    assert_eq!(upload(&kept).await?.reason(), "POLICY_DENIED");
    let channel = tonic::transport::Endpoint::from_shared(world.node.endpoint())?.connect().await?;
    let mut client = ImageServiceClient::new(channel);
    let stream = |uuid: &str| -> Result<_> {
        let pieces = [uuid, ""].map(|uuid| UploadImageRequest { uuid: uuid.to_owned(), data: vec![1; 1 << 16].into() });
        let mut request = tonic::Request::new(tokio_stream::iter(pieces));
        request.metadata_mut().insert("authorization", format!("Bearer {}", world.alice.token()).parse()?);
        Ok(request)
    };
    let status = client.upload_image(stream(&kept)?).await.expect_err("it is denied");
    assert_eq!(status.code(), tonic::Code::PermissionDenied, "{status}");
    // the stream that was looked into arrives whole
    let operation = client.upload_image(stream(&free)?).await?.into_inner();
    let began = Instant::now();
    let size = loop {
        let image = world.alice.get(&format!("/v1/images/{free}")).await?.good()?;
        if image["state"] == "IMAGE_STATE_READY" {
            break image["sizeBytes"].clone();
        }
        ensure!(began.elapsed() < BELIEVED, "{operation:?} does not end: {image}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(size, json!((2 << 16).to_string()));
    // and an ALLOW lets in what it is about
    let policy = json!({
        "name": "only", "effect": "ALLOW", "actions": ["storage:Upload*", "storage:Get*"], "resourceKind": "image",
        "filter": "NOT name = other"
    });
    let other = image("other", json!([])).await?;
    let more = image("more", json!([])).await?;
    world.alice.make("/v1/policies", policy).await?;
    let path = format!("/v1/images/{other}");
    until("POLICY_DENIED", || world.alice.get(&path)).await?;
    assert_eq!(upload(&other).await?.reason(), "POLICY_DENIED");
    assert!(upload(&more).await?.status.is_success());
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrators_filter_sees_what_the_subject_does_not() -> Result<()> {
    let world = World::new().await?;
    let vm = world.machine("web", json!([])).await?;
    let policy = json!({
        "name": "foreign", "effect": "DENY", "actions": ["vm:RebootVm"], "resourceKind": "vm",
        "filter": "image.account.name = admin", "subjectUuid": world.account
    });
    world.admin.make("/v1/policies", policy).await?;
    let path = format!("/v1/vms/{vm}:reboot");
    until("POLICY_DENIED", || world.alice.post(&path, json!({}))).await?;
    // a machine of others is not there for alice, whatever a policy would say of it
    let foreign = Front::vm(&world.site, &world.image, "foreign");
    let foreign = world.admin.done(Method::POST, "/v1/vms", Some(foreign)).await?;
    let answer = world.alice.post(&format!("/v1/vms/{foreign}:reboot"), json!({})).await?;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.body);
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_nothing_is_refused() -> Result<()> {
    let world = World::new().await?;
    let (alice, admin) = (&world.alice, &world.admin);
    let foreign = admin.make("/v1/api-keys", json!({"name": "foreign"})).await?;
    let root = admin.get("/v1/accounts?filter=name%3Dadmin").await?.good()?["accounts"][0]["uuid"].clone();
    let base = json!({"name": "p", "effect": "DENY", "actions": ["vm:StopVm"]});
    let with = |changes: Value| {
        let mut policy = base.clone();
        for (name, value) in changes.as_object().unwrap() {
            policy[name] = value.clone();
        }
        policy
    };
    // as dear as a filter may be, without the UUID that it is asked with
    let dear = format!("cpu_count IN ({})", (0..200).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
    for (front, policy, field, says) in [
        (alice, with(json!({"actions": []})), "policy.actions", "must be given"),
        (alice, with(json!({"actions": ["vm:StopVm", "vm:Halt"]})), "policy.actions[1]", "vm:StopVm"),
        (alice, with(json!({"actions": ["machine:*"]})), "policy.actions[0]", "machine:*"),
        (alice, with(json!({"filter": "name = a"})), "policy.resource_kind", "vm"),
        (alice, with(json!({"actions": ["identity:CreateSession"]})), "policy.actions[0]", "sign-in"),
        (alice, with(json!({"resourceKind": "vm"})), "policy.filter", "resource_kind"),
        (alice, with(json!({"resourceKind": "vm", "filter": "  "})), "policy.filter", "resource_kind"),
        (alice, with(json!({"resourceKind": "vm", "filter": dear})), "policy.filter", "shorter"),
        (alice, with(json!({"resourceKind": "car", "filter": "name = a"})), "policy.resource_kind", "car"),
        (alice, with(json!({"resourceKind": "vm", "filter": "nmae = a"})), "policy.filter", "name"),
        (alice, with(json!({"resourceKind": "zone", "filter": "name = a"})), "policy.actions[0]", "zone"),
        (alice, with(json!({"subjectUuid": root})), "policy.subject_uuid", "administrators"),
        (admin, base.clone(), "policy.api_key_uuid", "administrator"),
        (admin, with(json!({"subjectUuid": world.account, "apiKeyUuid": foreign})), "policy.api_key_uuid", "key of"),
    ] {
        let answer = front.post("/v1/policies", policy.clone()).await?;
        let text = answer.body.to_string();
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{policy} {text}");
        assert!(text.contains(&format!("\"{field}\"")) && text.contains(says), "{policy} {text}");
    }
    // a key that is not to be seen is not there
    assert_eq!(alice.post("/v1/policies", with(json!({"apiKeyUuid": foreign}))).await?.status, StatusCode::NOT_FOUND);
    assert!(alice.get("/v1/policies").await?.good()?["policies"].is_null());
    // an account does not keep administrators from binding it
    for at in 0..=20 {
        let answer = alice.post("/v1/policies", with(json!({"name": format!("p{at}")}))).await?;
        let reason = if at < 20 { "" } else { "TOO_MANY_POLICIES" };
        assert_eq!(answer.reason(), reason, "{at}");
    }
    admin.make("/v1/policies", with(json!({"subjectUuid": world.account}))).await?;
    world.node.shutdown().await;
    Ok(())
}
