//! Deleting what others depend on, through the front door: the dry run that shows the tree, the refusals, the cascade through all
//! services, and a process that is killed in the middle of one. See docs/deletion.md.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests too")]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gyre_integration::front::Site;
use gyre_integration::{Front, Killable, TestNode, killable};
use gyre_mesh::egress::Allow;
use gyre_model::catalog;
use gyre_model::catalog::HostedBy;
use gyre_store::{Sql, Store};
use http::Method;
use serde_json::{Value, json};

/// How long a node may take to answer, and a cascade to end.
const SOON: Duration = Duration::from_secs(60);

struct World {
    node: TestNode,
    front: Front,
    site: Site,
    image: String,
}

impl World {
    async fn new(folder: &Path) -> Result<Self> {
        let node = killable::node(folder, |_| ()).await?;
        let front = node.front().await?;
        let site = front.site("east", &["local", "local"], "/var/lib/gyre").await?;
        let image = front.upload(&site, "empty", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
        Ok(Self { node, front, site, image })
    }

    async fn vm(&self, front: &Front, name: &str) -> Result<String> {
        front.done(Method::POST, "/v1/vms", Some(Front::vm(&self.site, &self.image, name))).await
    }

    /// What deleting something would do.
    async fn plan(&self, front: &Front, path: &str) -> Result<Value> {
        let answer = front.delete(&format!("{path}?validateOnly=true")).await?;
        ensure!(!answer.status.is_success() || answer.status.as_u16() == 200, "nothing has begun: {answer:?}");
        let answer = answer.good()?;
        ensure!(answer["uuid"].is_null(), "a dry run is no operation: {answer}");
        Ok(answer["deletion"].clone())
    }

    async fn delete(&self, path: &str) -> Result<String> {
        self.front.done(Method::DELETE, path, None).await
    }

    /// The rows of all kinds that hang on others.
    async fn left(&self) -> Result<Vec<String>> {
        left(self.node.node().store()).await
    }

    /// An account, and a client that is signed in to it.
    async fn account(&self, name: &str) -> Result<(String, Front)> {
        let password = "Trubador-and-3-onions";
        let account = self.front.make("/v1/accounts", json!({"name": name, "password": password})).await?;
        Ok((account, Front::sign_in(&self.node.endpoint(), name, password).await?))
    }
}

/// What there is, but accounts, offerings and what tells of calls.
async fn left(store: &Store) -> Result<Vec<String>> {
    let tables: Vec<_> = catalog()
        .kinds()
        .filter(|kind| kind.service != "common" && !matches!(kind.kind, "account" | "instance-offering"))
        .map(|kind| kind.table)
        .chain(["ip_address", "host_placement", "primary_storage_host", "debt"])
        .collect();
    let read = store.read("left", move |conn| {
        let mut left = Vec::new();
        for table in tables {
            let count = conn.query(Sql::new(format!("SELECT COUNT(*) FROM {table}")))?[0].int(0)?;
            if count > 0 {
                left.push(format!("{count} of {table}"));
            }
        }
        let open = "SELECT COUNT(*) FROM operation WHERE state IN ('QUEUED', 'RUNNING', 'UNDOING', 'STUCK')";
        let open = conn.query(Sql::new(open))?[0].int(0)?;
        if open > 0 {
            left.push(format!("{open} operations under way"));
        }
        Ok(left)
    });
    Ok(read.await?)
}

/// How many of a kind a plan has with an effect.
fn count(plan: &Value, kind: &str, effect: &str) -> i64 {
    let nodes = plan["nodes"].as_array().into_iter().flatten();
    nodes
        .filter(|node| node["kind"] == kind && node["effect"] == format!("DELETION_EFFECT_{effect}"))
        .map(|node| node["count"].as_str().and_then(|count| count.parse::<i64>().ok()).unwrap_or(0))
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_goes_with_all_that_is_in_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::new(folder.path()).await?;
    let running = world.vm(&world.front, "web-1").await?;
    let binned = world.vm(&world.front, "web-2").await?;
    world.delete(&format!("/v1/vms/{binned}")).await?;
    let volume = json!({"name": "data", "hostUuid": world.site.hosts[0], "sizeBytes": (1 << 20).to_string()});
    world.front.done(Method::POST, "/v1/volumes", Some(volume.clone())).await?;
    // what is in a bin goes, too
    let old = world.front.done(Method::POST, "/v1/volumes", Some(volume)).await?;
    world.delete(&format!("/v1/volumes/{old}")).await?;
    let image = world.front.upload(&world.site, "old", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
    world.delete(&format!("/v1/images/{image}")).await?;
    let zone = format!("/v1/zones/{}", world.site.zone);

    let plan = world.plan(&world.front, &zone).await?;
    let expected = [
        ("zone", "DELETE", 1),
        ("cluster", "DELETE", 1),
        ("host", "DELETE", 2),
        ("primary-storage", "DELETE", 1),
        ("l2-network", "DELETE", 1),
        ("l3-network", "DELETE", 1),
        ("ip-range", "PART", 1),
        ("image-server", "DELETE", 1),
        ("image", "DELETE", 2),
        ("vm", "DELETE", 2),
        ("volume", "PART", 2),
        ("volume", "DELETE", 2),
    ];
    for (kind, effect, wanted) in expected {
        ensure!(count(&plan, kind, effect) == wanted, "{kind} {effect}: not {wanted}: {plan:#}");
    }
    ensure!(plan["allowed"].is_null(), "{plan}");
    let refused = world.front.delete(&zone).await?;
    ensure!((refused.status.as_u16(), refused.reason()) == (400, "NEEDS_CASCADE"), "{refused:?}");
    ensure!(refused.body["metadata"]["vms"] == "2", "{refused:?}");
    ensure!(world.front.get(&format!("/v1/vms/{running}")).await?.status.is_success());

    let ended = world.front.operation(Method::DELETE, &format!("{zone}?cascade=true"), None).await?;
    ensure!(ended["state"] == "OPERATION_STATE_SUCCEEDED", "{ended:#}");
    ensure!(ended["steps"][0]["message"] == "deleted 13 of 13", "{ended:#}");
    let left = world.left().await?;
    ensure!(left.is_empty(), "{left:?}");
    let inventory = world.node.node().agent().context("no agent")?.inventory();
    ensure!(inventory.values().all(|host| host.machines.is_empty() && host.files.is_empty()), "{inventory:?}");
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_goes_with_what_it_owns_and_nothing_else() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::new(folder.path()).await?;
    let (ann, front) = world.account("ann").await?;
    let (_, bob) = world.account("bob").await?;
    front.make("/v1/api-keys", json!({"name": "ci"})).await?;
    for name in ["a-1", "a-2", "a-3"] {
        world.vm(&front, name).await?;
    }
    let others = world.vm(&bob, "b-1").await?;
    let path = format!("/v1/accounts/{ann}");
    let plan = world.plan(&world.front, &path).await?;
    let counts = [("vm", "DELETE"), ("volume", "PART"), ("api-key", "PART"), ("volume", "DELETE")];
    ensure!(counts.map(|(kind, effect)| count(&plan, kind, effect)) == [3, 3, 1, 0], "{plan:#}");
    // it is not for everybody to look
    ensure!(bob.delete(&format!("{path}?validateOnly=true")).await?.status.as_u16() == 403);

    world.delete(&format!("{path}?cascade=true")).await?;
    ensure!(world.front.get(&path).await?.status.as_u16() == 404);
    let vms = world.front.get("/v1/vms").await?.good()?;
    let vms = vms["vms"].as_array().context("machines")?;
    ensure!(vms.len() == 1 && vms[0]["uuid"] == others.as_str(), "{vms:?}");
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_used_is_refused_and_what_is_loose_is_detached() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::new(folder.path()).await?;
    let (_, front) = world.account("ann").await?;
    let vm = world.vm(&front, "web").await?;
    let network = format!("/v1/l3-networks/{}?cascade=true", world.site.network);
    let refused = world.front.delete(&network).await?;
    ensure!(refused.status.as_u16() == 400, "{refused:?}");
    let plan = world.plan(&world.front, &format!("/v1/l3-networks/{}", world.site.network)).await?;
    ensure!(count(&plan, "vm", "FORBID") == 1, "{plan:#}");

    // machines forget the offering and the image that they were made from, whose ever they are
    let offering = format!("/v1/instance-offerings/{}", world.site.offering);
    let plan = world.plan(&world.front, &offering).await?;
    ensure!(plan["allowed"] == true && count(&plan, "vm", "DETACH") == 1, "{plan:#}");
    world.delete(&offering).await?;
    world.delete(&format!("/v1/images/{}?expunge=true", world.image)).await?;
    let row = front.get(&format!("/v1/vms/{vm}")).await?.good()?;
    ensure!(row["instanceOfferingUuid"].is_null() && row["imageUuid"].is_null(), "{row}");
    ensure!(row["state"] == "VM_STATE_RUNNING", "{row}");

    // others' machines are not told of
    let image = json!({"name": "mine", "url": "upload", "format": "IMAGE_FORMAT_RAW"});
    let image = front.done(Method::POST, "/v1/images", Some(image)).await?;
    let plan = world.plan(&front, &format!("/v1/images/{image}")).await?;
    ensure!(plan["allowed"] == true && plan["nodes"].as_array().map(Vec::len) == Some(1), "{plan:#}");
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_that_can_be_deleted_tells_what_that_would_do() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::new(folder.path()).await?;
    world.vm(&world.front, "web").await?;
    let volume = json!({"name": "data", "hostUuid": world.site.hosts[0], "sizeBytes": (1 << 20).to_string()});
    world.front.done(Method::POST, "/v1/volumes", Some(volume)).await?;
    let key = world.front.make("/v1/api-keys", json!({"name": "ci"})).await?;
    let policy = json!({"name": "ci", "effect": "DENY", "actions": ["vm:Delete*"], "apiKeyUuid": key});
    world.front.make("/v1/policies", policy).await?;
    world.node.node().mesh().allow_callbacks(Allow::new(["127.0.0.1:9".parse().map_err(anyhow::Error::msg)?]));
    world.front.dead_letter().await?;
    let mut seen = 0;
    for method in catalog().methods().filter(|method| matches!(method.host, HostedBy::Service(_))) {
        let (true, Some(input)) = (method.name.starts_with("Delete"), catalog().message(method.input)) else {
            continue;
        };
        let refers = input.field("uuid").map(|field| field.rule.refers_to.as_str()).unwrap_or_default();
        let Some(kind) = catalog().kind(refers) else { continue };
        let table = kind.table;
        let found = world.node.node().store().read("one", move |conn| {
            let sql = Sql::new(format!("SELECT uuid FROM {table} ORDER BY create_time DESC LIMIT 1"));
            conn.query_one(sql)?.map(|row| row.id(0)).transpose()
        });
        let uuid = found.await?.with_context(|| format!("the test makes no {}", kind.kind))?;
        let plan = world.plan(&world.front, &format!("/v1/{}/{uuid}", kind.plural)).await?;
        ensure!(plan["nodes"][0]["kind"] == kind.kind, "{}: {plan}", kind.kind);
        ensure!(plan["nodes"][0]["items"][0]["uuid"] == uuid.to_string(), "{}: {plan}", kind.kind);
        seen += 1;
    }
    ensure!(seen >= 14, "only {seen} kinds");
    world.node.shutdown().await;
    Ok(())
}

/// The node of [`a_cascade_goes_on_after_its_process_was_killed`]: this test as a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_process() -> Result<()> {
    killable::serve(|_| ()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cascade_goes_on_after_its_process_was_killed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (process, front) = Killable::start(folder.path()).await?;
    let site = front.site("east", &["local"], "/var/lib/gyre").await?;
    let image = front.upload(&site, "empty", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
    for at in 0..60 {
        front.post("/v1/vms", Front::vm(&site, &image, &format!("web-{at}"))).await?.good()?;
    }
    let count = async |front: &Front, filter: &str| -> Result<usize> {
        let page = front.get(&format!("/v1/vms?pageSize=1000&filter={filter}")).await?.good()?;
        Ok(page["vms"].as_array().map_or(0, Vec::len))
    };
    let began = Instant::now();
    while count(&front, "state=RUNNING").await? < 60 {
        ensure!(began.elapsed() < SOON, "the machines do not run");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let asked = front.delete(&format!("/v1/zones/{}?cascade=true", site.zone)).await?.good()?;
    let operation = format!("/v1/operations/{}", asked["uuid"].as_str().context("no operation")?);
    while count(&front, "").await? > 40 {
        ensure!(began.elapsed() < SOON, "no machine goes");
    }
    drop(process);

    let (process, front) = Killable::start(folder.path()).await?;
    let began = Instant::now();
    let ended = loop {
        let now = front.get(&operation).await?.good()?;
        if !now["endTime"].is_null() {
            break now;
        }
        ensure!(began.elapsed() < SOON, "the cascade does not go on: {now:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    ensure!(ended["state"] == "OPERATION_STATE_SUCCEEDED" && ended["fence"] != "1", "{ended:#}");
    let machines = "/v1/operations?pageSize=1000&filter=workflow=\"delete-vm\"".replace('"', "%22");
    let all = front.get(&machines).await?.good()?;
    let all = all["operations"].as_array().context("operations")?;
    ensure!(all.len() == 60, "each machine is deleted by one operation, not {}", all.len());
    drop(process);

    let node = killable::node(folder.path(), |_| ()).await?;
    let left = left(node.node().store()).await?;
    ensure!(left.is_empty(), "{left:?}");
    let inventory = node.node().agent().context("no agent")?.inventory();
    ensure!(inventory.values().all(|host| host.machines.is_empty() && host.files.is_empty()), "{inventory:?}");
    node.shutdown().await;
    Ok(())
}
