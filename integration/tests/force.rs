//! Deleting where hosts are away, and breaking a cascade off: what goes at once, what is owed, what is given up, and what stays. See
//! docs/deletion.md, "Hosts that are away".

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gyre_agent::{Delay, Faults, Inventory};
use gyre_integration::front::Site;
use gyre_integration::{Front, TestNode, killable};
use gyre_model::Uuid;
use gyre_proto::agent::v1::MachineState;
use http::Method;
use serde_json::{Value, json};

/// How long something may take that happens by itself.
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

    fn faults(&self) -> Result<&Faults> {
        self.node.node().agent().and_then(|agent| agent.faults()).context("no simulated hosts")
    }

    fn on_hosts(&self) -> Vec<Inventory> {
        self.node.node().agent().map(|agent| agent.inventory().into_values().collect()).unwrap_or_default()
    }

    fn is_on_a_host(&self, uuid: &str) -> bool {
        self.on_hosts().iter().any(|host| {
            host.files.iter().any(|file| file.display().to_string().contains(uuid))
                || host.machines.iter().any(|(vm, state)| vm.to_string() == uuid && *state == MachineState::Running)
        })
    }

    /// Waits until something is so.
    async fn until(&self, what: &str, holds: impl AsyncFn() -> Result<bool>) -> Result<()> {
        let began = Instant::now();
        while !holds().await? {
            ensure!(began.elapsed() < SOON, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// The node ends and starts again; with `away` without the agent of its hosts, which keep what they have.
    async fn again(self, folder: &Path, away: bool) -> Result<Self> {
        self.node.shutdown().await;
        let node = killable::node(folder, |config| {
            if away {
                config.agent = None;
            }
        });
        let node = node.await?;
        let front = node.front().await?;
        let world = Self { node, front, ..self };
        let wanted = if away { "HOST_STATUS_DISCONNECTED" } else { "HOST_STATUS_CONNECTED" };
        world
            .until(wanted, async || {
                let hosts = world.front.get("/v1/hosts").await?.good()?;
                Ok(hosts["hosts"].as_array().is_some_and(|hosts| hosts.iter().all(|host| host["status"] == wanted)))
            })
            .await?;
        Ok(world)
    }

    async fn vm(&self, front: &Front, name: &str) -> Result<Value> {
        let vm = front.done(Method::POST, "/v1/vms", Some(Front::vm(&self.site, &self.image, name))).await?;
        front.get(&format!("/v1/vms/{vm}")).await?.good()
    }

    async fn account(&self, name: &str) -> Result<(String, Front)> {
        let password = "Trubador-and-3-onions";
        let account = self.front.make("/v1/accounts", json!({"name": name, "password": password})).await?;
        Ok((account, Front::sign_in(&self.node.endpoint(), name, password).await?))
    }

    async fn debts(&self) -> Result<Vec<String>> {
        let debts = self.front.get("/v1/debts").await?.good()?;
        let debts = debts["debts"].as_array().cloned().unwrap_or_default();
        Ok(debts.iter().filter_map(|debt| debt["workflow"].as_str().map(str::to_owned)).collect())
    }

    async fn is_gone(&self, path: &str) -> Result<bool> {
        Ok(self.front.get(path).await?.status.as_u16() == 404)
    }

    async fn operation(&self, uuid: &str) -> Result<Value> {
        self.front.get(&format!("/v1/operations/{uuid}")).await?.good()
    }

    /// Begins an operation, and waits until it rests as stuck.
    async fn stuck(&self, operation: &Value) -> Result<String> {
        let uuid = operation["uuid"].as_str().context("no operation")?.to_owned();
        self.until("stuck", async || Ok(self.operation(&uuid).await?["state"] == "OPERATION_STATE_STUCK")).await?;
        Ok(uuid)
    }

    async fn sum(&self, sql: &'static str) -> Result<i64> {
        let read = self.node.node().store().read("sum", move |conn| {
            let row = conn.query_one(gyre_store::Sql::new(format!("SELECT CAST(({sql}) AS BIGINT)")))?;
            row.map_or(Ok(0), |row| row.int(0))
        });
        Ok(read.await?)
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_and_images_go_by_force_and_their_hosts_owe_the_rest() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::new(folder.path()).await?;
    let (binned, erased) = (world.vm(&world.front, "binned").await?, world.vm(&world.front, "erased").await?);
    let image = world.front.upload(&world.site, "old", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
    let world = world.again(folder.path(), true).await?;

    let path = |vm: &Value| format!("/v1/vms/{}", text(vm, "uuid"));
    let ended = world.front.operation(Method::DELETE, &path(&binned), None).await?;
    ensure!(ended["error"]["reason"] == "HOST_NOT_CONNECTED", "{ended:#}");
    // into the bin: it is off there as soon as its host is back
    world.front.done(Method::DELETE, &format!("{}?force=true", path(&binned)), None).await?;
    let row = world.front.get(&path(&binned)).await?.good()?;
    ensure!(row["state"] == "VM_STATE_DESTROYED", "{row}");
    world.front.done(Method::DELETE, &format!("{}?force=true&expunge=true", path(&erased)), None).await?;
    ensure!(world.is_gone(&path(&erased)).await?, "the machine is there");
    ensure!(world.is_gone(&format!("/v1/volumes/{}", text(&erased, "rootVolumeUuid"))).await?, "its volume is there");
    let path = format!("/v1/images/{image}");
    let ended = world.front.operation(Method::DELETE, &format!("{path}?expunge=true"), None).await?;
    ensure!(ended["error"]["reason"] == "HOST_NOT_CONNECTED", "{ended:#}");
    world.front.done(Method::DELETE, &format!("{path}?expunge=true&force=true"), None).await?;
    ensure!(world.is_gone(&path).await?, "the image is there");
    ensure!(world.sum("SELECT SUM(cpu_used) FROM host").await? == 0, "room of machines that are off or gone");

    world
        .until("the debts", async || {
            let debts = world.debts().await?;
            Ok(debts.len() == 2
                && ["sweep-volume", "sweep-image"].iter().all(|owed| debts.iter().any(|debt| debt == owed)))
        })
        .await?;
    let world = world.again(folder.path(), false).await?;
    world.until("the debts are paid", async || Ok(world.debts().await?.is_empty())).await?;
    for uuid in [text(&erased, "uuid"), text(&erased, "rootVolumeUuid"), image.as_str(), text(&binned, "uuid")] {
        world.until(uuid, async || Ok(!world.is_on_a_host(uuid))).await?;
    }
    ensure!(world.is_on_a_host(text(&binned, "rootVolumeUuid")), "what is in the bin keeps its disk");
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cascade_does_not_wait_behind_what_is_stuck_and_by_force_gives_it_up() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::new(folder.path()).await?;
    let (account, front) = world.account("ann").await?;
    let (stuck, other) = (world.vm(&front, "stuck").await?, world.vm(&front, "other").await?);
    let world = world.again(folder.path(), true).await?;
    let path = format!("/v1/vms/{}?expunge=true", text(&stuck, "uuid"));
    let first = world.stuck(&world.front.delete(&path).await?.good()?).await?;

    let cascade = format!("/v1/accounts/{account}?cascade=true");
    let ended = world.front.operation(Method::DELETE, &cascade, None).await?;
    ensure!(ended["error"]["reason"] == "DEPENDENTS_LEFT", "{ended:#}");
    let said = text(&ended["error"], "message");
    ensure!(said.contains(&first) || said.contains("is stuck"), "{said}");
    // it left the other one stuck, too: nothing is undone past its point of no return
    world
        .until("both are stuck", async || {
            let debts = world.debts().await?;
            Ok(debts.len() == 2 && debts.iter().all(|debt| debt == "delete-vm"))
        })
        .await?;

    let ended = world.front.operation(Method::DELETE, &format!("{cascade}&force=true"), None).await?;
    ensure!(ended["state"] == "OPERATION_STATE_SUCCEEDED", "{ended:#}");
    let given_up = world.operation(&first).await?;
    ensure!(
        given_up["state"] == "OPERATION_STATE_FAILED" && given_up["error"]["reason"] == "SUPERSEDED",
        "{given_up:#}"
    );
    ensure!(world.is_gone(&format!("/v1/accounts/{account}")).await?, "the account is there");
    world
        .until("only files are owed", async || {
            let debts = world.debts().await?;
            Ok(debts.len() == 2 && debts.iter().all(|debt| debt == "sweep-volume"))
        })
        .await?;
    for sum in [
        "SELECT SUM(cpu_used) FROM host",
        "SELECT SUM(used_bytes) FROM primary_storage",
        "SELECT COUNT(*) FROM ip_address",
    ] {
        ensure!(world.sum(sum).await? == 0, "{sum}");
    }
    let world = world.again(folder.path(), false).await?;
    for vm in [&stuck, &other] {
        for uuid in [text(vm, "uuid"), text(vm, "rootVolumeUuid")] {
            world.until(uuid, async || Ok(!world.is_on_a_host(uuid))).await?;
        }
    }
    world.until("nothing is owed", async || Ok(world.debts().await?.is_empty())).await?;
    world.node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cascade_that_is_cancelled_begins_no_more_children() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::new(folder.path()).await?;
    let (account, front) = world.account("ann").await?;
    let vm = world.vm(&front, "web").await?;
    let volume = json!({"name": "data", "hostUuid": world.site.hosts[0], "sizeBytes": (1 << 20).to_string()});
    let volume = front.done(Method::POST, "/v1/volumes", Some(volume)).await?;
    // machines go before volumes: while this one goes, the volume's turn has not come
    world.faults()?.delay(Delay::of(Duration::from_millis(700)));
    let cascade = format!("/v1/accounts/{account}?cascade=true");
    let asked = world.front.delete(&cascade).await?.good()?;
    let operation = text(&asked, "uuid").to_owned();
    let vm = format!("/v1/vms/{}", text(&vm, "uuid"));
    world
        .until("the machine goes", async || Ok(world.front.get(&vm).await?.good()?["state"] == "VM_STATE_EXPUNGING"))
        .await?;
    world.front.post(&format!("/v1/operations/{operation}:cancel"), json!({})).await?.good()?;
    world
        .until("cancelled", async || Ok(world.operation(&operation).await?["state"] == "OPERATION_STATE_CANCELLED"))
        .await?;
    // what was under way ends by itself; the account is as it was
    world.until("the machine is gone", async || world.is_gone(&vm).await).await?;
    let row = front.get(&format!("/v1/volumes/{volume}")).await?.good()?;
    ensure!(row["state"] == "VOLUME_STATE_READY", "{row}");
    let row = world.front.get(&format!("/v1/accounts/{account}")).await?.good()?;
    ensure!(row["state"] == "ACCOUNT_STATE_ENABLED", "{row}");

    world.faults()?.clear();
    world.front.done(Method::DELETE, &cascade, None).await?;
    ensure!(world.is_gone(&format!("/v1/volumes/{volume}")).await?, "the volume is there");
    let left: Vec<Uuid> = world.on_hosts().iter().flat_map(|host| host.machines.keys().copied()).collect();
    ensure!(left.is_empty(), "{left:?}");
    world.node.shutdown().await;
    Ok(())
}
