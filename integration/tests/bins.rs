//! Bins, through the front door: of every kind that has one, what is deleted lies there, comes back as it was, or goes for good; also
//! over the death of the process. See docs/deletion.md.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use gyre_integration::front::Site;
use gyre_integration::{Front, Killable, killable};
use gyre_model::catalog;
use gyre_model::catalog::KindInfo;
use http::Method;
use serde_json::{Value, json};

/// How long something may take that happens by itself.
const SOON: Duration = Duration::from_secs(60);

/// What is made things of.
struct World {
    front: Front,
    site: Site,
    image: String,
}

/// Bins are looked through all the time.
fn often(config: &mut gyre_node::NodeConfig) {
    config.services.vm.reconcile_period = Duration::from_millis(100);
    config.services.storage.bin_period = Duration::from_millis(100);
}

fn kinds() -> Vec<&'static KindInfo> {
    let mut kinds: Vec<_> = catalog().kinds().filter(|kind| kind.bin.is_some()).collect();
    kinds.sort_by_key(|kind| kind.kind);
    kinds
}

impl World {
    async fn new(front: Front) -> Result<Self> {
        let site = front.site("east", &["local"], "/var/lib/gyre").await?;
        let image = front.upload(&site, "empty", "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
        Ok(Self { front, site, image })
    }

    /// Makes one of a kind, and says in which state it is when it comes out of the bin.
    async fn make(&self, kind: &KindInfo, name: &str) -> Result<(String, &'static str)> {
        let (body, state) = match kind.kind {
            "vm" => (Front::vm(&self.site, &self.image, name), "VM_STATE_STOPPED"),
            "volume" => {
                let body = json!({"name": name, "hostUuid": self.site.hosts[0], "sizeBytes": (1 << 20).to_string()});
                (body, "VOLUME_STATE_READY")
            }
            "image" => {
                let uploaded = self.front.upload(&self.site, name, "IMAGE_FORMAT_RAW", vec![0u8; 1 << 20]).await?;
                return Ok((format!("/v1/images/{uploaded}"), "IMAGE_STATE_READY"));
            }
            other => bail!("the test makes no {other}"),
        };
        let uuid = self.front.done(Method::POST, &format!("/v1/{}", kind.plural), Some(body)).await?;
        Ok((format!("/v1/{}/{uuid}", kind.plural), state))
    }

    async fn state(&self, path: &str) -> Result<Option<String>> {
        let answer = self.front.get(path).await?;
        if answer.status.as_u16() == 404 {
            return Ok(None);
        }
        Ok(answer.good()?["state"].as_str().map(str::to_owned))
    }

    async fn is_in_bin(&self, path: &str) -> Result<bool> {
        Ok(self.state(path).await?.is_some_and(|state| state.ends_with("_STATE_DESTROYED")))
    }

    /// Waits until something is gone.
    async fn gone(&self, path: &str) -> Result<()> {
        let began = Instant::now();
        while let Some(state) = self.state(path).await? {
            ensure!(began.elapsed() < SOON, "{path} stays {state}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn refused(&self, method: Method, path: &str) -> Result<Value> {
        let body = (method == Method::POST).then(|| json!({}));
        let answer = self.front.call(method, path, body).await?;
        ensure!((answer.status.as_u16(), answer.reason()) == (400, "WRONG_STATE"), "{path}: {answer:?}");
        Ok(answer.body)
    }

    async fn set(&self, kind: &KindInfo, value: &str, path: Option<&str>) -> Result<()> {
        let bin = kind.bin.context("a kind with a bin")?;
        let body = match path.and_then(|path| path.rsplit('/').next()) {
            Some(uuid) => json!({"name": bin.delay, "value": value, "resourceKind": kind.kind, "resourceUuid": uuid}),
            None => json!({"name": bin.delay, "value": value}),
        };
        self.front.post("/v1/settings", body).await?.good().map(drop)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_every_kind_has_in_its_bin_comes_back_or_goes_for_good() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = killable::node(folder.path(), |_| ()).await?;
    let world = World::new(node.front().await?).await?;
    for kind in kinds() {
        let (path, back) = world.make(kind, "one").await?;
        for call in ["recover", "expunge"] {
            world.refused(Method::POST, &format!("{path}:{call}")).await?;
        }
        let plan = world.front.delete(&format!("{path}?validateOnly=true")).await?.good()?;
        ensure!(plan["deletion"]["nodes"].as_array().map(Vec::len) == Some(1), "only it: {plan:#}");
        ensure!(plan["deletion"]["nodes"][0]["effect"] == "DELETION_EFFECT_BIN", "there only: {plan:#}");
        world.front.done(Method::DELETE, &path, None).await?;
        let row = world.front.get(&path).await?.good()?;
        ensure!(world.is_in_bin(&path).await? && !row["destroyTime"].is_null(), "{row}");
        let listed = world.front.get(&format!("/v1/{}?filter=state=DESTROYED", kind.plural)).await?.good()?;
        let rows = listed.as_object().into_iter().flatten().find_map(|(_, rows)| rows.as_array());
        ensure!(rows.is_some_and(|rows| rows.len() == 1 && rows[0]["uuid"] == row["uuid"]), "{listed}");
        world.refused(Method::DELETE, &path).await?;

        world.front.done(Method::POST, &format!("{path}:recover"), Some(json!({}))).await?;
        let row = world.front.get(&path).await?.good()?;
        ensure!(row["state"] == back && row["destroyTime"].is_null(), "{row}");
        world.front.done(Method::DELETE, &path, None).await?;
        world.front.done(Method::POST, &format!("{path}:expunge"), Some(json!({}))).await?;
        ensure!(world.state(&path).await?.is_none(), "{path} is there");
        // past the bin
        let (path, _) = world.make(kind, "two").await?;
        world.front.done(Method::DELETE, &format!("{path}?expunge=true"), None).await?;
        ensure!(world.state(&path).await?.is_none(), "{path} is there");
    }
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_a_bin_goes_when_its_time_is_up() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = killable::node(folder.path(), often).await?;
    let world = World::new(node.front().await?).await?;
    for kind in kinds() {
        let mut paths = Vec::new();
        for name in ["stays", "goes", "never-there"] {
            paths.push(world.make(kind, name).await?.0);
        }
        world.set(kind, "30d", Some(&paths[0])).await?;
        for path in &paths[..2] {
            world.front.done(Method::DELETE, path, None).await?;
            ensure!(world.is_in_bin(path).await?, "{path}");
        }
        world.set(kind, "1s", None).await?;
        world.gone(&paths[1]).await?;
        ensure!(world.is_in_bin(&paths[0]).await?, "the nearest setting wins");
        // a delay of nothing is no bin
        world.set(kind, "0s", None).await?;
        let ended = world.front.operation(Method::DELETE, &paths[2], None).await?;
        let name = format!("delete-{}", kind.kind);
        ensure!(ended["workflow"] == name.as_str() && ended["state"] == "OPERATION_STATE_SUCCEEDED", "{ended:#}");
        ensure!(world.state(&paths[2]).await?.is_none(), "{}", paths[2]);
    }
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_run_on_when_their_image_is_in_the_bin_and_no_new_one_starts_from_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = killable::node(folder.path(), |_| ()).await?;
    let world = World::new(node.front().await?).await?;
    let vm = world.front.done(Method::POST, "/v1/vms", Some(Front::vm(&world.site, &world.image, "web"))).await?;
    let image = format!("/v1/images/{}", world.image);
    world.front.done(Method::DELETE, &image, None).await?;
    let row = world.front.get(&format!("/v1/vms/{vm}")).await?.good()?;
    ensure!(row["state"] == "VM_STATE_RUNNING" && row["imageUuid"] == world.image.as_str(), "{row}");
    for call in ["stop", "start"] {
        world.front.done(Method::POST, &format!("/v1/vms/{vm}:{call}"), Some(json!({}))).await?;
    }
    let refused = world.front.post("/v1/vms", Front::vm(&world.site, &world.image, "late")).await?;
    ensure!((refused.status.as_u16(), refused.reason()) == (400, "IN_BIN"), "{refused:?}");
    ensure!(refused.body["detail"].as_str().is_some_and(|text| text.contains("recover it first")), "{refused:?}");
    world.front.done(Method::POST, &format!("{image}:recover"), Some(json!({}))).await?;
    world.front.done(Method::POST, "/v1/vms", Some(Front::vm(&world.site, &world.image, "late"))).await?;
    node.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_of_what_is_in_the_bin_stays_taken() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = killable::node(folder.path(), |_| ()).await?;
    let world = World::new(node.front().await?).await?;
    let storage = format!("/v1/primary-storages/{}", world.site.primary_storage);
    let used = async || -> Result<i64> {
        Ok(world.front.get(&storage).await?.good()?["usedBytes"].as_str().map_or(Ok(0), str::parse)?)
    };
    let before = used().await?;
    let volume = catalog().kind("volume").context("volumes")?;
    let (path, _) = world.make(volume, "data").await?;
    world.front.done(Method::DELETE, &path, None).await?;
    ensure!(used().await? == before + (1 << 20), "{}", used().await?);
    world.front.done(Method::POST, &format!("{path}:expunge"), Some(json!({}))).await?;
    ensure!(used().await? == before, "{}", used().await?);
    node.shutdown().await;
    Ok(())
}

/// The node of [`bins_outlive_the_process`]: this test as a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_process() -> Result<()> {
    killable::serve(often).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bins_outlive_the_process() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (process, front) = Killable::start(folder.path()).await?;
    let mut world = World::new(front).await?;
    let mut made = Vec::new();
    for kind in kinds() {
        for name in ["recovered", "expunged", "due"] {
            let (path, back) = world.make(kind, name).await?;
            world.front.done(Method::DELETE, &path, None).await?;
            made.push((kind, name, path, back));
        }
    }
    drop(process);

    let (process, front) = Killable::start(folder.path()).await?;
    world.front = front;
    for (_, name, path, _) in &made {
        ensure!(world.is_in_bin(path).await?, "{path}");
        // asked for, and killed before anybody waited for it
        match *name {
            "recovered" => drop(world.front.post(&format!("{path}:recover"), json!({})).await?.good()?),
            "expunged" => drop(world.front.post(&format!("{path}:expunge"), json!({})).await?.good()?),
            _ => {}
        }
    }
    drop(process);

    let (process, front) = Killable::start(folder.path()).await?;
    world.front = front;
    for (kind, name, path, back) in &made {
        match *name {
            "recovered" => {
                let began = Instant::now();
                while world.state(path).await?.as_deref() != Some(back) {
                    ensure!(began.elapsed() < SOON, "{path} is {:?}", world.state(path).await?);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            "expunged" => world.gone(path).await?,
            _ => {
                ensure!(world.is_in_bin(path).await?, "{path}");
                world.set(kind, "1s", None).await?;
                world.gone(path).await?;
            }
        }
    }
    drop(process);

    let node = killable::node(folder.path(), |_| ()).await?;
    let inventory = node.node().agent().context("no agent")?.inventory();
    // what was recovered, the image that the world has, and the root volume of the machine
    let files: usize = inventory.values().map(|host| host.files.len()).sum();
    ensure!(files >= 4, "{inventory:?}");
    for (_, name, path, _) in &made {
        let uuid = path.rsplit('/').next().unwrap_or_default();
        let there =
            inventory.values().any(|host| host.files.iter().any(|file| file.display().to_string().contains(uuid)));
        ensure!(*name == "recovered" || !there, "the file of {path}, which is gone, is there");
    }
    node.shutdown().await;
    Ok(())
}
