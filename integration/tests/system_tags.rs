//! Tags to which Gyre gives a meaning, through the front door: what they do, and what is refused.

use anyhow::{Context as _, Result};
use gyre_agent::Simulation;
use gyre_integration::front::Site;
use gyre_integration::node::Hosts;
use gyre_integration::{Front, TestNode};
use http::{Method, StatusCode};
use serde_json::{Value, json};

struct World {
    node: TestNode,
    front: Front,
    site: Site,
    image: String,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new(hosts: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let node = TestNode::start(folder.path(), Hosts::Simulated(Simulation::default())).await?;
        let front = node.front().await?;
        let site = front.site("system", &vec!["local"; hosts], "/var/lib/gyre").await?;
        let image = front.upload(&site, "empty", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
        Ok(Self { node, front, site, image, _folder: folder })
    }

    fn body(&self, name: &str, tags: &[&str]) -> Value {
        let mut body = Front::vm(&self.site, &self.image, name);
        body["tags"] = json!(tags);
        body
    }

    /// Makes a machine with tags; answers it.
    async fn vm(&self, name: &str, tags: &[&str]) -> Result<Value> {
        let uuid = self.front.done(Method::POST, "/v1/vms", Some(self.body(name, tags))).await?;
        self.front.get(&format!("/v1/vms/{uuid}")).await?.good()
    }

    /// Why a machine with tags is refused.
    async fn refused(&self, tags: &[&str]) -> Result<(String, String)> {
        let answer = self.front.post("/v1/vms", self.body("refused", tags)).await?;
        assert!(answer.status.is_client_error(), "{tags:?}: {} {}", answer.status, answer.body);
        let text = |name: &str| answer.body[name].as_str().unwrap_or_default().to_owned();
        Ok((text("reason"), text("detail")))
    }

    async fn put(&self, uuid: &str, text: &str) -> Result<gyre_integration::front::Answer> {
        self.front.post("/v1/tags", json!({"resourceKind": "vm", "resourceUuid": uuid, "text": text})).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unknown_or_breaks_its_rule_is_refused_with_tag_value_and_remedy() -> Result<()> {
    let world = World::new(1).await?;
    for (tag, reason, told) in [
        ("gyre:colour=red", "UNKNOWN_SYSTEM_TAG", "gyre:hostname={name}"),
        ("gyre:hostname", "UNKNOWN_SYSTEM_TAG", "gyre:hostname={name}"),
        ("gyre:hostname=", "INVALID_SYSTEM_TAG", "must not be empty"),
        ("gyre:hostname=Web_1", "INVALID_SYSTEM_TAG", "got \"Web_1\""),
        ("gyre:static-ip=300.0.0.1", "INVALID_SYSTEM_TAG", "must be an IPv4 address"),
        ("gyre:static-ip=192.0.2.1", "INVALID_SYSTEM_TAG", "there are 10.80.0.10 to 10.80.255.250"),
        ("gyre:place-on-cluster=nowhere", "INVALID_SYSTEM_TAG", "must be the name or UUID of a cluster"),
        ("gyre:avoid-host=nobody", "INVALID_SYSTEM_TAG", "must be the name or UUID of a host"),
        ("gyre:apart=", "INVALID_SYSTEM_TAG", "must not be empty"),
    ] {
        let (found, detail) = world.refused(&[tag]).await?;
        assert!(found == reason && detail.contains(told), "{tag}: {found}: {detail}");
    }
    let twice = world.refused(&["gyre:hostname=a", "gyre:hostname=b"]).await?;
    assert_eq!(twice.0, "SYSTEM_TAG_TWICE");
    assert!(world.front.get("/v1/vms").await?.good()?["vms"].is_null(), "nothing was made");
    let zone = json!({"name": "z", "tags": ["gyre:hostname=a"]});
    assert_eq!(world.front.post("/v1/zones", zone).await?.reason(), "UNKNOWN_SYSTEM_TAG");

    let vm = world.vm("web-1", &["plain", "gyre:hostname=web-1"]).await?;
    let uuid = vm["uuid"].as_str().context("a UUID")?;
    assert_eq!(vm["tags"], json!(["gyre:hostname=web-1", "plain"]));
    assert_eq!(world.put(uuid, "gyre:hostname=web-2").await?.reason(), "SYSTEM_TAG_TWICE");
    assert_eq!(world.put(uuid, "gyre:apart=x").await?.reason(), "SYSTEM_TAG_AT_CREATION_ONLY");
    let types = world.front.get("/v1/tags?filter=type%20=%20SYSTEM").await?.good()?;
    assert_eq!(types["tags"].as_array().map(Vec::len), Some(1));
    let body = json!({"tags": ["gyre:hostname=web-2"]});
    let renamed = world.front.call(Method::PATCH, &format!("/v1/vms/{uuid}"), Some(body)).await?.good()?;
    assert_eq!(renamed["tags"], json!(["gyre:hostname=web-2"]));
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_the_one_that_the_tag_says() -> Result<()> {
    let world = World::new(1).await?;
    let vm = world.vm("web-1", &["gyre:static-ip=10.80.7.7"]).await?;
    assert_eq!(vm["addresses"], json!(["10.80.7.7"]));
    let (reason, detail) = world.refused(&["gyre:static-ip=10.80.7.7"]).await?;
    assert!(reason == "INVALID_SYSTEM_TAG" && detail.contains("must be free"), "{detail}");
    // one for each interface, and by the network's UUID
    let (reason, _) = world.refused(&["gyre:static-ip=10.80.7.8", "gyre:static-ip=10.80.7.9"]).await?;
    assert_eq!(reason, "INVALID_SYSTEM_TAG");
    let named = format!("gyre:static-ip={}/10.80.7.8", world.site.network);
    let mut body = world.body("web-2", &["gyre:static-ip=10.80.7.9", &named]);
    body["l3NetworkUuids"] = json!([world.site.network, world.site.network]);
    let uuid = world.front.done(Method::POST, "/v1/vms", Some(body)).await?;
    let vm = world.front.get(&format!("/v1/vms/{uuid}")).await?.good()?;
    let mut addresses: Vec<_> = vm["addresses"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    addresses.sort_unstable();
    assert_eq!(addresses, ["10.80.7.8", "10.80.7.9"]);
    // it stays the machine's over a stop, and is free after its end
    for action in ["stop", "start"] {
        world.front.done(Method::POST, &format!("/v1/vms/{uuid}:{action}"), Some(json!({}))).await?;
    }
    assert_eq!(world.front.get(&format!("/v1/vms/{uuid}")).await?.good()?["addresses"], vm["addresses"]);
    world.front.done(Method::DELETE, &format!("/v1/vms/{uuid}"), None).await?;
    world.front.done(Method::POST, &format!("/v1/vms/{uuid}:expunge"), Some(json!({}))).await?;
    let again = world.vm("web-3", &["gyre:static-ip=10.80.7.9"]).await?;
    assert_eq!(again["addresses"], json!(["10.80.7.9"]));
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_are_placed_as_their_tags_say() -> Result<()> {
    let world = World::new(3).await?;
    let host = |vm: &Value| vm["hostUuid"].as_str().unwrap_or_default().to_owned();
    let avoid = [format!("gyre:avoid-host={}", world.site.hosts[0]), "gyre:avoid-host=system-1".to_owned()];
    for at in 0..3 {
        let vm = world.vm(&format!("avoids-{at}"), &[&avoid[0], &avoid[1]]).await?;
        assert_eq!(host(&vm), world.site.hosts[2]);
    }
    world.vm("in-cluster", &["gyre:place-on-cluster=system"]).await?;
    let other = world.front.make("/v1/clusters", json!({"name": "other", "zoneUuid": world.site.zone})).await?;
    let elsewhere = world.body("elsewhere", &[&format!("gyre:place-on-cluster={other}")]);
    let ended = world.front.operation(Method::POST, "/v1/vms", Some(elsewhere)).await?;
    assert_eq!(ended["error"]["reason"], "NO_HOST_WITH_ROOM", "{ended}");

    // at once: each on a host of its own, and a fourth finds none
    let mut made = Vec::new();
    for at in 0..3 {
        let (front, body) = (world.front.clone(), world.body(&format!("apart-{at}"), &["gyre:apart=web"]));
        made.push(tokio::spawn(async move { front.done(Method::POST, "/v1/vms", Some(body)).await }));
    }
    let mut hosts = Vec::new();
    for one in made {
        let uuid = one.await??;
        hosts.push(host(&world.front.get(&format!("/v1/vms/{uuid}")).await?.good()?));
    }
    hosts.sort();
    let mut all = world.site.hosts.clone();
    all.sort();
    assert_eq!(hosts, all);
    let fourth = world.body("apart-3", &["gyre:apart=web"]);
    let ended = world.front.operation(Method::POST, "/v1/vms", Some(fourth)).await?;
    assert_eq!(ended["state"], "OPERATION_STATE_FAILED");
    let error = ended["error"].to_string();
    assert!(
        error.contains("NO_HOST_WITH_ROOM") && error.contains("has a machine with the tag gyre:apart=web"),
        "{error}"
    );
    world.vm("apart-from-others", &["gyre:apart=db"]).await?;
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_declared_rule_is_registered() -> Result<()> {
    let world = World::new(1).await?;
    for kind in gyre_model::catalog().kinds() {
        for tag in &kind.system_tags {
            assert!(tag.rule.is_empty() || gyre_query::tags::is_registered(&tag.rule), "{} of {}", tag.rule, kind.kind);
            assert!(!tag.help.is_empty() && tag.pattern.contains('='), "{} of {}", tag.pattern, kind.kind);
        }
    }
    assert_eq!(world.front.get("/v1/tags/none").await?.status, StatusCode::BAD_REQUEST);
    world.node.shutdown().await;
    Ok(())
}
