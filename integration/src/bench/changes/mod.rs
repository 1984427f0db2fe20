//! How soon watchers of lists hear of changes, and what that costs: a node inside the driver, watchers over its gateway, and
//! a steady rate of changes, of which each watcher must hear its own exactly once. First the same changes without anybody who
//! watches: what the processor does more with them is what watching costs. The watchers run on threads of their own, whose time
//! is told apart, since in a cloud they are elsewhere.

mod hearing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gyre_model::{Caller, Uuid};
use gyre_proto::storage::v1::Image;
use gyre_query::Change;
use gyre_store::{Conn, Store};
use serde::Serialize;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use hearing::{Connection, Count, Heard, Watching};

use super::stats::Latencies;
use super::watch::Way;
use crate::Front;
use crate::node::{Hosts, TestNode};

/// Streams that share a connection.
const STREAMS: usize = 100;
/// How often changes are begun.
const TICK: Duration = Duration::from_millis(10);
/// What the watchers' threads are called; the kernel keeps 15 letters.
const CLIENTS: &str = "bench-watchers";
const PASSWORD: &str = "several words";

/// What the watchers watch. There are as many images as watchers, and changes go round among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
pub enum Spread {
    /// Half as `accounts`, half as `filters`.
    Mixed,
    /// Each signs in as an account of its own, which has one image, and watches all that it sees.
    Accounts,
    /// Each is the administrator, and watches one image by a filter.
    Filters,
    /// Each is the administrator, and watches all images: it hears of every change.
    All,
}

/// What is measured.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Watchers.
    pub watchers: usize,
    /// Changes a second.
    pub changes: usize,
    /// For how long.
    pub seconds: u64,
    /// What they watch.
    pub spread: Spread,
    /// How they watch.
    pub way: Way,
    /// A PostgreSQL database without tables, instead of SQLite.
    pub database: Option<String>,
}

/// The figures.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// `sqlite` or `postgresql`.
    pub database: &'static str,
    /// Watchers.
    pub watchers: usize,
    /// What they watched.
    pub spread: Spread,
    /// How.
    pub way: Way,
    /// Changes a second that were made.
    pub changes_per_s: f64,
    /// Events that were heard; each that should be, once.
    pub events: usize,
    /// From the moment in which the change is written (inside of its transaction, before its commit) until a watcher has it.
    pub delay: Latencies,
    /// Processor time a second of the node without watchers, in cores.
    pub node_alone_cores: f64,
    /// With them.
    pub node_cores: f64,
    /// What watching costs the node: the difference.
    pub watching_cores: f64,
    /// Processor time a second of the watchers themselves, in cores.
    pub watchers_cores: f64,
}

/// Processor seconds so far: of the watchers' threads, and of all others.
fn spent() -> Result<(f64, f64)> {
    let (mut watchers, mut rest) = (0.0, 0.0);
    for task in std::fs::read_dir("/proc/self/task")? {
        // a thread that has just ended counts as nothing
        let Ok(stat) = std::fs::read_to_string(task?.path().join("stat")) else { continue };
        let Some((head, tail)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<&str> = tail.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        let seconds = (ticks(11) + ticks(12)) / 100.0;
        if head.ends_with(&format!("({CLIENTS}")) { watchers += seconds } else { rest += seconds }
    }
    Ok((watchers, rest))
}

/// Threads for the watchers alone.
struct Clients(Option<Runtime>);

impl Clients {
    fn start() -> Result<Self> {
        let built = Builder::new_multi_thread().worker_threads(2).thread_name(CLIENTS).enable_all().build();
        Ok(Self(Some(built?)))
    }

    fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        match &self.0 {
            Some(runtime) => runtime.spawn(future),
            None => tokio::spawn(future),
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        // a runtime that waits for its tasks must not be dropped among those of another
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Watches, and measures.
///
/// # Errors
/// When a watcher hears something twice or not at all, or a call is refused.
pub async fn run(settings: Settings) -> Result<Figures> {
    let folder = tempfile::tempdir()?;
    let database = settings.database.clone();
    let cheap = gyre_identity::PasswordCost { memory_kib: 64, passes: 1 };
    let node = TestNode::start_with(folder.path(), Hosts::Simulated(gyre_agent::Simulation::default()), |config| {
        config.services.identity.password_cost = cheap;
        if database.is_some() {
            config.process.database = database;
        }
    });
    let node = node.await?;
    let front = node.front().await?;
    let store = node.node().store().clone();
    let (images, fronts) = world(&settings, &front, &store).await?;

    let began = spent()?;
    let alone = change(&store, &images, &settings).await?;
    let after = spent()?;
    let node_alone_cores = (after.1 - began.1) / alone.as_secs_f64();

    let clients = Clients::start()?;
    let (heard, mut hearing) = mpsc::unbounded_channel();
    for (at, watching) in fronts.chunks(STREAMS).enumerate() {
        let connection = {
            let (endpoint, way) = (front.endpoint().to_owned(), settings.way);
            clients.spawn(async move { Connection::open(&endpoint, way).await }).await??
        };
        for (place, (front, filter)) in watching.iter().enumerate() {
            let watcher = Watching { number: at * STREAMS + place, filter: filter.clone(), heard: heard.clone() };
            let (connection, front) = (connection.clone(), front.clone());
            clients.spawn(async move {
                let (number, heard) = (watcher.number, watcher.heard.clone());
                let ended = connection.watch(front, watcher).await;
                let why = ended.err().map_or_else(|| "the stream ended".to_owned(), |error| format!("{error:#}"));
                // whoever counts may have enough
                let _ = heard.send((number, Heard::Ended(why)));
            });
        }
    }
    drop(heard);
    let mut count = Count::new(&settings, &images, &store).await?;
    count.until(&mut hearing, |count| count.synced == settings.watchers).await?;

    let began = spent()?;
    let started = Instant::now();
    let (all, how) = (images.clone(), settings.clone());
    let changing = tokio::spawn(async move { change(&store, &all, &how).await });
    let made = settings.changes * usize::try_from(settings.seconds)?;
    let expected = if settings.spread == Spread::All { made * settings.watchers } else { made };
    count.until(&mut hearing, |count| count.delays.len() >= expected).await?;
    let wall = started.elapsed();
    let changed = changing.await??;
    let after = spent()?;
    // what comes twice comes soon
    count.nothing_more(&mut hearing).await?;
    drop(clients);
    node.shutdown().await;

    let node_cores = (after.1 - began.1) / wall.as_secs_f64();
    Ok(Figures {
        database: if settings.database.is_some() { "postgresql" } else { "sqlite" },
        watchers: settings.watchers,
        spread: settings.spread,
        way: settings.way,
        changes_per_s: made as f64 / changed.as_secs_f64(),
        events: count.delays.len(),
        delay: Latencies::of(count.delays),
        node_alone_cores,
        node_cores,
        watching_cores: node_cores - node_alone_cores,
        watchers_cores: (after.0 - began.0) / wall.as_secs_f64(),
    })
}

/// As many images as watchers, and for each watcher a client and its filter.
async fn world(settings: &Settings, admin: &Front, store: &Store) -> Result<(Arc<[Uuid]>, Vec<(Front, String)>)> {
    let images: Arc<[Uuid]> = (0..settings.watchers.max(1)).map(|_| Uuid::new_v4()).collect();
    // there is nobody else yet
    let accounts = admin.get("/v1/accounts").await?.good()?;
    let root = accounts["accounts"][0]["uuid"].as_str().context("no account")?.to_owned();
    let mut fronts = Vec::with_capacity(settings.watchers);
    let mut owners = Vec::with_capacity(images.len());
    for at in 0..settings.watchers {
        let own = match settings.spread {
            Spread::Mixed => at % 2 == 0,
            Spread::Accounts => true,
            Spread::Filters | Spread::All => false,
        };
        let filter = match settings.spread {
            Spread::All => String::new(),
            _ => format!("uuid = \"{}\"", images[at]),
        };
        if own {
            let name = format!("watcher-{at}");
            let account = admin.make("/v1/accounts", json!({"name": name, "password": PASSWORD})).await?;
            owners.push(account);
            fronts.push((Front::sign_in(admin.endpoint(), &name, PASSWORD).await?, String::new()));
        } else {
            owners.push(String::new());
            fronts.push((admin.clone(), filter));
        }
    }
    let all = Arc::clone(&images);
    let insert = move |conn: &mut Conn| {
        for (at, uuid) in all.iter().enumerate() {
            let owner = owners.get(at).filter(|owner| !owner.is_empty()).unwrap_or(&root);
            let image = Image {
                uuid: uuid.to_string(),
                name: format!("image-{at}"),
                account_uuid: owner.clone(),
                size_bytes: 5 << 20,
                url: "https://images.example.com/debian.qcow2".into(),
                ..Image::default()
            };
            gyre_query::insert(conn, &Change::by(Caller::system()), &image)?;
        }
        Ok(())
    };
    store.write("bench-images", insert).await?;
    Ok((images, fronts))
}

/// Makes the changes, each in a transaction of its own. Answers how long that took.
async fn change(store: &Store, images: &Arc<[Uuid]>, settings: &Settings) -> Result<Duration> {
    let ticks = settings.seconds * 100;
    let batch = settings.changes.div_ceil(100);
    let mut left = settings.changes * usize::try_from(settings.seconds)?;
    let (started, mut turn) = (Instant::now(), 0);
    for tick in 0..ticks {
        // what is late is made up for
        let writes = (0..batch.min(left)).map(|_| {
            let uuid = images[turn % images.len()];
            turn += 1;
            let write = move |conn: &mut Conn| {
                let mut image: Image = gyre_query::get(conn, &Caller::system(), uuid)?;
                image.description = format!("change {}", image.generation);
                gyre_query::update(conn, &Change::by(Caller::system()), &image).map(drop)
            };
            store.write("bench-change", write)
        });
        let writes: Vec<_> = writes.collect();
        left -= writes.len();
        for write in writes {
            write.await?;
        }
        tokio::time::sleep_until((started + TICK * u32::try_from(tick + 1)?).into()).await;
    }
    ensure!(left == 0, "{left} changes were not made");
    Ok(started.elapsed())
}
