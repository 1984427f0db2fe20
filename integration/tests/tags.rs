//! Tags through the front door: with the resource, one by one, and who may.

use anyhow::{Context as _, Result};
use gyre_agent::Simulation;
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode};
use gyre_model::parse_uuid;
use gyre_store::Sql;
use http::{Method, StatusCode};
use serde_json::{Value, json};

async fn node(folder: &tempfile::TempDir) -> Result<TestNode> {
    TestNode::start(folder.path(), Hosts::Simulated(Simulation::default())).await
}

/// Another account, signed in.
async fn account(node: &TestNode, admin: &Front, name: &str) -> Result<Front> {
    admin.make("/v1/accounts", json!({"name": name, "password": "correct horse"})).await?;
    Front::sign_in(&node.endpoint(), name, "correct horse").await
}

fn tags(resource: &Value) -> Vec<&str> {
    resource["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn generation(resource: &Value) -> i64 {
    resource["generation"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The tags of a resource before and after each of its changes, as the change log has them.
async fn log(node: &TestNode, uuid: &str) -> Result<Vec<(Vec<String>, Vec<String>)>> {
    let uuid = parse_uuid(uuid).context("a UUID")?;
    let rows = node.node().store().read("test-log", move |conn| {
        let sql = Sql::new(
            "SELECT before, after FROM change_log WHERE action IN ('CREATE', 'UPDATE', 'DELETE') AND resource_uuid = ",
        )
        .bind(uuid);
        let rows = conn.query(sql.sql(" ORDER BY position"))?;
        let texts =
            rows.iter().map(|row| Ok((row.opt_text(0)?.map(str::to_owned), row.opt_text(1)?.map(str::to_owned))));
        texts.collect::<gyre_model::Result<Vec<_>>>()
    });
    let read = |text: Option<String>| -> Result<Vec<String>> {
        let value: Value = serde_json::from_str(text.as_deref().unwrap_or("{}"))?;
        Ok(tags(&value).into_iter().map(str::to_owned).collect())
    };
    rows.await?.into_iter().map(|(before, after)| Ok((read(before)?, read(after)?))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_made_read_changed_and_deleted_with_its_tags() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(&folder).await?;
    let front = node.front().await?;
    let zone = front.make("/v1/zones", json!({"name": "east", "tags": ["env=prod", "canary"]})).await?;
    let path = format!("/v1/zones/{zone}");
    let made = front.get(&path).await?.good()?;
    assert_eq!((tags(&made), generation(&made)), (vec!["canary", "env=prod"], 1));
    let listed = front.get("/v1/zones").await?.good()?;
    assert_eq!(tags(&listed["zones"][0]), ["canary", "env=prod"]);

    // one by one
    let tag =
        json!({"resourceKind": "zone", "resourceUuid": zone, "text": "rack=7=b", "description": "where it stands"});
    let tag = front.post("/v1/tags", tag).await?.good()?;
    assert_eq!((&tag["key"], &tag["value"], &tag["type"]), (&json!("rack"), &json!("7=b"), &json!("TAG_TYPE_USER")));
    assert_eq!((&tag["shared"], &tag["description"]), (&json!(true), &json!("where it stands")));
    let uuid = tag["uuid"].as_str().context("a tag's UUID")?;
    assert_eq!(front.get(&format!("/v1/tags/{uuid}")).await?.good()?, tag);
    let now = front.get(&path).await?.good()?;
    assert_eq!((tags(&now), generation(&now)), (vec!["canary", "env=prod", "rack=7=b"], 2));
    let of_zone = front.get(&format!("/v1/tags?filter=resource_uuid%20=%20{zone}&orderBy=text")).await?.good()?;
    let texts: Vec<_> =
        of_zone["tags"].as_array().into_iter().flatten().filter_map(|tag| tag["text"].as_str()).collect();
    assert_eq!(texts, ["canary", "env=prod", "rack=7=b"]);

    // an update that does not name them leaves them, one that does puts others in their place
    let named = front.call(Method::PATCH, &path, Some(json!({"description": "d"}))).await?.good()?;
    assert_eq!((tags(&named), generation(&named)), (vec!["canary", "env=prod", "rack=7=b"], 3));
    let fewer = front.call(Method::PATCH, &path, Some(json!({"tags": ["new", "canary"]}))).await?.good()?;
    assert_eq!((tags(&fewer), generation(&fewer)), (vec!["canary", "new"], 4));
    assert_eq!(front.get(&format!("/v1/tags/{uuid}")).await?.status, StatusCode::NOT_FOUND);
    let stale = json!({"tags": [], "generation": "3"});
    assert_eq!(front.call(Method::PATCH, &path, Some(stale)).await?.reason(), "STALE_GENERATION");

    let left = front.get("/v1/tags?filter=text%20=%20canary").await?.good()?;
    let uuid = left["tags"][0]["uuid"].as_str().context("the tag that is left")?;
    front.call(Method::DELETE, &format!("/v1/tags/{uuid}"), None).await?.good()?;
    assert_eq!(front.call(Method::DELETE, &format!("/v1/tags/{uuid}"), None).await?.status, StatusCode::NOT_FOUND);
    let now = front.get(&path).await?.good()?;
    assert_eq!((tags(&now), generation(&now)), (vec!["new"], 5));
    let none = front.call(Method::PATCH, &path, Some(json!({"tags": []}))).await?.good()?;
    assert_eq!((tags(&none), generation(&none)), (Vec::new(), 6));

    // gone with the resource, and all of it in the log
    front.call(Method::PATCH, &path, Some(json!({"tags": ["last"]}))).await?.good()?;
    front.done(Method::DELETE, &path, None).await?;
    assert!(tags(&front.get("/v1/tags").await?.good()?).is_empty());
    let told = log(&node, &zone).await?;
    let after: Vec<Vec<&str>> = told.iter().map(|(_, after)| after.iter().map(String::as_str).collect()).collect();
    let all = vec!["canary", "env=prod", "rack=7=b"];
    let changes: [Vec<&str>; 8] = [
        vec!["canary", "env=prod"],
        all.clone(),
        all,
        vec!["canary", "new"],
        vec!["new"],
        vec![],
        vec!["last"],
        vec![],
    ];
    assert_eq!(after, changes);
    assert!(told.windows(2).all(|pair| pair[0].1 == pair[1].0), "{told:?}");
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_tag_may_be_is_refused_and_told() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(&folder).await?;
    let front = node.front().await?;
    let zone = front.make("/v1/zones", json!({"name": "east", "tags": ["a"]})).await?;
    let put = |text: &str| json!({"resourceKind": "zone", "resourceUuid": zone, "text": text});
    for (text, reason) in [
        ("a", "TAG_EXISTS"),
        ("=x", "INVALID_FIELD"),
        (" x", "INVALID_FIELD"),
        ("a\u{7}b", "INVALID_FIELD"),
        (&"x".repeat(256), "INVALID_FIELD"),
        ("gyre:colour=red", "UNKNOWN_SYSTEM_TAG"),
    ] {
        assert_eq!(front.post("/v1/tags", put(text)).await?.reason(), reason, "{text:?}");
    }
    let kinds = front.post("/v1/tags", json!({"resourceKind": "operation", "resourceUuid": zone, "text": "x"})).await?;
    assert_eq!(kinds.status, StatusCode::BAD_REQUEST);
    assert!(kinds.body["detail"].as_str().is_some_and(|text| text.contains("l3-network")), "{}", kinds.body);
    let nowhere = json!({"resourceKind": "vm", "resourceUuid": zone, "text": "x"});
    assert_eq!(front.post("/v1/tags", nowhere).await?.status, StatusCode::NOT_FOUND);

    let twice = front.post("/v1/zones", json!({"name": "west", "tags": ["a", "a"]})).await?;
    assert_eq!(twice.reason(), "INVALID_FIELD");
    let many: Vec<_> = (0..51).map(|at| format!("t{at}")).collect();
    assert_eq!(front.post("/v1/zones", json!({"name": "west", "tags": many})).await?.reason(), "INVALID_FIELD");
    let full = front.make("/v1/zones", json!({"name": "west", "tags": many[..50]})).await?;
    let more = json!({"resourceKind": "zone", "resourceUuid": full, "text": "more"});
    assert_eq!(front.post("/v1/tags", more).await?.reason(), "TOO_MANY_TAGS");
    assert_eq!(tags(&front.get(&format!("/v1/zones/{full}")).await?.good()?).len(), 50);
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_change_a_resource_may_tag_it_and_who_sees_it_sees_its_tags() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(&folder).await?;
    let admin = node.front().await?;
    let site = admin.site("tags", &["local"], "/var/lib/gyre").await?;
    let image = admin.upload(&site, "empty", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
    let (ann, bob) = (account(&node, &admin, "ann").await?, account(&node, &admin, "bob").await?);

    let mut body = Front::vm(&site, &image, "web-1");
    body["tags"] = json!(["env=prod"]);
    let vm = ann.done(Method::POST, "/v1/vms", Some(body)).await?;
    let put = |kind: &str, uuid: &str, text: &str| json!({"resourceKind": kind, "resourceUuid": uuid, "text": text});
    ann.post("/v1/tags", put("vm", &vm, "mine")).await?.good()?;
    admin.post("/v1/tags", put("vm", &vm, "watched")).await?.good()?;
    let seen = ann.get(&format!("/v1/vms/{vm}")).await?.good()?;
    assert_eq!(tags(&seen), ["env=prod", "mine", "watched"]);
    // for others it does not exist
    assert_eq!(bob.post("/v1/tags", put("vm", &vm, "x")).await?.status, StatusCode::NOT_FOUND);
    assert!(bob.get("/v1/tags").await?.good()?["tags"].is_null());
    let owned = ann.get("/v1/tags").await?.good()?;
    let uuid = owned["tags"][0]["uuid"].as_str().context("a tag")?;
    assert_eq!(owned["tags"].as_array().map(Vec::len), Some(3));
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(bob.call(method, &format!("/v1/tags/{uuid}"), None).await?.status, StatusCode::NOT_FOUND);
    }

    // what everybody sees is the administrators' to tag, or its owner's
    for (kind, uuid) in [("zone", &site.zone), ("l3-network", &site.network), ("image", &image)] {
        assert_eq!(bob.post("/v1/tags", put(kind, uuid, "x")).await?.reason(), "NOT_YOURS_TO_TAG", "{kind}");
        admin.post("/v1/tags", put(kind, uuid, &format!("of={kind}"))).await?.good()?;
    }
    let seen = bob.get("/v1/tags?orderBy=text").await?.good()?;
    let texts: Vec<_> = seen["tags"].as_array().into_iter().flatten().filter_map(|tag| tag["text"].as_str()).collect();
    assert_eq!(texts, ["of=image", "of=l3-network", "of=zone"]);
    let of_zone = seen["tags"][2]["uuid"].as_str().context("a tag")?;
    let taken = bob.call(Method::DELETE, &format!("/v1/tags/{of_zone}"), None).await?;
    assert_eq!((taken.status, taken.reason()), (StatusCode::FORBIDDEN, "NOT_YOURS_TO_TAG"));

    // what is not shared any more takes its tags along
    admin
        .call(Method::PATCH, &format!("/v1/l3-networks/{}", site.network), Some(json!({"shared": false})))
        .await?
        .good()?;
    let seen = bob.get("/v1/tags?orderBy=text").await?.good()?;
    assert_eq!(seen["tags"].as_array().map(Vec::len), Some(2));

    ann.done(Method::DELETE, &format!("/v1/vms/{vm}"), None).await?;
    ann.done(Method::POST, &format!("/v1/vms/{vm}:expunge"), Some(json!({}))).await?;
    let kinds = ann.get("/v1/tags?filter=resource_kind%20=%20vm").await?.good()?;
    assert!(kinds["tags"].is_null(), "{kinds}");
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_wish_is_one_tag_and_tags_at_once_are_all_there() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(&folder).await?;
    let front = node.front().await?;
    let zone = front.make("/v1/zones", json!({"name": "east"})).await?;
    let body = json!({"resourceKind": "zone", "resourceUuid": zone, "text": "once"});
    let first = front.post("/v1/tags?requestId=wish", body.clone()).await?.good()?;
    assert_eq!(front.post("/v1/tags?requestId=wish", body).await?.good()?, first);

    let mut calls = Vec::new();
    for at in 0..20 {
        let (front, zone) = (front.clone(), zone.clone());
        calls.push(tokio::spawn(async move {
            let body = json!({"resourceKind": "zone", "resourceUuid": zone, "text": format!("at={at}")});
            front.post("/v1/tags", body).await?.good()
        }));
    }
    for call in calls {
        call.await??;
    }
    let now = front.get(&format!("/v1/zones/{zone}")).await?.good()?;
    assert_eq!((tags(&now).len(), generation(&now)), (21, 22));
    node.shutdown().await;
    Ok(())
}

/// What a resource of a kind is made from, beside its name.
fn body(kind: &str, site: &gyre_integration::front::Site, image: &str, l2: &str, key: &str) -> Option<Value> {
    Some(match kind {
        "zone" => json!({}),
        "cluster" => json!({"zoneUuid": site.zone}),
        "host" => json!({"clusterUuid": site.cluster, "address": "local"}),
        "primary-storage" => {
            json!({"type": "PRIMARY_STORAGE_TYPE_LOCAL", "clusterUuid": site.cluster, "path": "/var/lib/tagged/primary"})
        }
        "image-server" => json!({"hostUuid": site.hosts[0], "path": "/var/lib/tagged/images"}),
        "l2-network" => json!({"type": "L2_NETWORK_TYPE_BRIDGE", "clusterUuid": site.cluster, "bridge": "tagged"}),
        "l3-network" => json!({"l2NetworkUuid": l2}),
        "ip-range" => json!({
            "l3NetworkUuid": site.network, "startAddress": "10.80.0.2", "endAddress": "10.80.0.9", "gateway": "10.80.0.1",
            "prefixLength": 16
        }),
        "instance-offering" => json!({"cpuCount": 1, "memoryBytes": "67108864"}),
        "image" => json!({"url": "upload", "format": "IMAGE_FORMAT_RAW", "imageServerUuid": site.image_server}),
        "volume" => json!({"hostUuid": site.hosts[0], "sizeBytes": "1048576"}),
        "vm" => json!({"instanceOfferingUuid": site.offering, "imageUuid": image, "l3NetworkUuids": [site.network]}),
        "account" => json!({"password": "correct horse"}),
        "api-key" => json!({}),
        "policy" => json!({"effect": "DENY", "actions": ["vm:Delete*"], "apiKeyUuid": key}),
        // nothing is sent there
        "webhook" => json!({"url": "http://127.0.0.1:9/", "disabled": true}),
        _ => return None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_resource_has_tags() -> Result<()> {
    /// Kinds that tell of work, changes and marks, and have no life of their own.
    const WITHOUT: [&str; 6] = ["operation", "debt", "change", "tag", "setting", "dead-letter"];
    /// Kinds that are not made by a call of their own.
    const COMES_WITH_ANOTHER: [&str; 1] = ["nic"];
    let folder = tempfile::tempdir()?;
    let node = node(&folder).await?;
    let rule = "127.0.0.1:9".parse().map_err(anyhow::Error::msg)?;
    node.node().mesh().allow_callbacks(gyre_mesh::egress::Allow::new([rule]));
    let front = node.front().await?;
    let site = front.site("kinds", &["local"], "/var/lib/gyre").await?;
    let image = front.upload(&site, "empty", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
    front.done(Method::POST, "/v1/vms", Some(Front::vm(&site, &image, "with-a-nic"))).await?;
    let l2 =
        front.get("/v1/l2-networks").await?.good()?["l2Networks"][0]["uuid"].as_str().unwrap_or_default().to_owned();
    let key = front.make("/v1/api-keys", json!({"name": "bound"})).await?;
    for kind in gyre_model::catalog().kinds() {
        let tagged = gyre_model::catalog().message(kind.message).is_some_and(|message| message.field("tags").is_some());
        if WITHOUT.contains(&kind.kind) {
            assert!(!tagged, "{}", kind.kind);
            continue;
        }
        assert!(tagged, "{} has no field tags (docs/tags.md), and is not among those without", kind.kind);
        let path = format!("/v1/{}", kind.plural);
        let made = if COMES_WITH_ANOTHER.contains(&kind.kind) {
            let one = front.get(&path).await?.good()?["nics"][0]["uuid"].as_str().context("a nic")?.to_owned();
            front.call(Method::PATCH, &format!("{path}/{one}"), Some(json!({"tags": ["made=here"]}))).await?.good()?;
            one
        } else {
            let mut body = body(kind.kind, &site, &image, &l2, &key)
                .with_context(|| format!("say how a {} is made", kind.kind))?;
            body["name"] = json!("tagged");
            body["tags"] = json!(["made=here"]);
            front.operation_or_resource(&path, body).await.with_context(|| kind.kind.to_owned())?
        };
        let one = format!("{path}/{made}");
        let seen = front.get(&one).await?.good()?;
        assert_eq!(tags(&seen), ["made=here"], "{}", kind.kind);
        let put = json!({"resourceKind": kind.kind, "resourceUuid": made, "text": "later"});
        front.post("/v1/tags", put).await?.good().with_context(|| kind.kind.to_owned())?;
        let now = front.get(&one).await?.good()?;
        assert_eq!(tags(&now), ["later", "made=here"], "{}", kind.kind);
        assert!(generation(&now) > generation(&seen), "{}", kind.kind);
    }
    node.shutdown().await;
    Ok(())
}
