//! A day of a busy cloud in a minute: machines are made, stopped, started and deleted, read, listed and asked about, all at once,
//! while others watch. At the end everything must add up, and after all machines were deleted nothing may be left.
//!
//! A machine is at one caller at a time: whoever changes it takes it out of the pool and puts it back, so that the driver knows what
//! each should be. Readers take any that is there, and may find that it has just gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use gyre_proto::common::v1::watch_service_client::WatchServiceClient;
use gyre_proto::common::v1::{WatchEventType, WatchRequest};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::transport::Endpoint;

use super::args::Load;
use super::calls::{Extent, Outcome, timed};
use super::figures::{Answers, Figures};
use super::opened::Opened;
use super::query::mixed as scrambled;
use super::sums::{self, Expected};
use super::vms::{HOSTS, create, expunge};
use crate::front::{Front, Site};

/// Calls at a time.
const CONCURRENCY: usize = 64;
/// Machines that are there when it begins.
const WARM_UP: usize = 500;
/// Watchers that share a connection.
const STREAMS: usize = 100;

/// What a caller does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Create,
    Power,
    Delete,
    Read,
    List,
    Query,
}

/// How often each is done, of a hundred.
const SHARES: [(Act, u64); 6] =
    [(Act::Create, 10), (Act::Power, 15), (Act::Delete, 10), (Act::Read, 40), (Act::List, 15), (Act::Query, 10)];

impl Act {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Power => "stop or start",
            Self::Delete => "delete",
            Self::Read => "read",
            Self::List => "list",
            Self::Query => "query",
        }
    }

    fn drawn(number: u64) -> Self {
        let mut left = number % 100;
        for (act, share) in SHARES {
            if left < share {
                return act;
            }
            left -= share;
        }
        Self::Read
    }
}

#[derive(Debug, Clone)]
struct Machine {
    uuid: String,
    running: bool,
}

/// What all callers share.
struct Cloud {
    front: Front,
    site: Site,
    image: String,
    name: String,
    seed: u64,
    pool: Mutex<Vec<Machine>>,
    answers: Mutex<BTreeMap<Act, Answers>>,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How calls are made. Its count is the most of them.
    pub load: Load,
    /// For how long.
    pub time: Duration,
    /// Watchers, each of a tenth of the machines.
    pub watchers: usize,
}

/// Does all of that.
///
/// # Errors
/// When something does not add up, a watcher's stream ends, or something is left.
pub async fn run(settings: &Settings) -> Result<Figures> {
    let Settings { load, time, watchers } = settings;
    let warm_up = load.warm_up.unwrap_or(WARM_UP);
    // each call may make one, and a minute has not more than this
    let opened = Opened::of(load, warm_up + 100_000, HOSTS, CONCURRENCY).await?;
    let made = create(&opened, "first", warm_up).await?.made;
    let pool = made.into_iter().map(|uuid| Machine { uuid, running: true }).collect();
    let cloud = Arc::new(Cloud {
        front: opened.node.front.clone(),
        site: opened.site.clone(),
        image: opened.image.clone(),
        name: opened.name.clone(),
        seed: opened.node.seed,
        pool: Mutex::new(pool),
        answers: Mutex::default(),
    });
    let heard = Arc::new(AtomicUsize::new(0));
    let mut watching = watch(&cloud, *watchers, &heard).await?;
    let callers = Arc::clone(&cloud);
    let extent = Extent { count: load.count.unwrap_or(usize::MAX), longest: *time, machines: warm_up as u64 };
    let call = move |at: usize| Arc::clone(&callers).act(at);
    let ran = opened.node.runner.run("mixed", extent, call).await?;
    if let Some(ended) = watching.try_join_next() {
        ended??;
        bail!("a watcher's stream has ended");
    }
    watching.shutdown().await;
    let left = std::mem::take(&mut *cloud.pool.lock());
    let running = left.iter().filter(|machine| machine.running).count();
    sums::verify(&opened, Expected { machines: left.len(), running }).await?;
    let by_act = cloud.told();
    let figures = ran
        .figures
        .with("hosts", opened.site.hosts.len())
        .with("seed", cloud.seed)
        .with("watchers", *watchers)
        .with("events", heard.load(Ordering::Relaxed))
        .with("machines_at_the_end", left.len())
        .with("by_act", by_act);
    let deleted = expunge(&opened, left.into_iter().map(|machine| machine.uuid).collect()).await?;
    ensure!(deleted.figures.failed == 0 || load.cloud.fail_rate.is_some(), "{:?}", deleted.figures.problem);
    opened.close().await;
    Ok(figures)
}

impl Cloud {
    async fn act(self: Arc<Self>, at: usize) -> Outcome<()> {
        let number = scrambled(self.seed ^ at as u64);
        let act = Act::drawn(number);
        let outcome = timed(self.does(act, at, number / 100)).await;
        let mut answers = self.answers.lock();
        let its = answers.entry(act).or_default();
        match &outcome.result {
            Ok(()) => its.well.push(outcome.took),
            Err(_) => its.failed += 1,
        }
        outcome
    }

    async fn does(&self, act: Act, at: usize, number: u64) -> Result<()> {
        match act {
            Act::Create => self.make(at).await,
            Act::Power => match self.take(number) {
                Some(machine) => {
                    self.change(machine, |machine| {
                        let verb = if machine.running { "stop" } else { "start" };
                        machine.running = !machine.running;
                        (Method::POST, format!("/v1/vms/{}:{verb}", machine.uuid), true)
                    })
                    .await
                }
                None => self.make(at).await,
            },
            Act::Delete => match self.take(number) {
                Some(machine) => {
                    let path = format!("/v1/vms/{}?expunge=true", machine.uuid);
                    self.change(machine, |_| (Method::DELETE, path, false)).await
                }
                None => self.make(at).await,
            },
            Act::Read => {
                let Some(uuid) = self.any(number) else { return Ok(()) };
                let (status, body) = self.front.fetch(&format!("/v1/vms/{uuid}")).await?;
                // somebody may have deleted it meanwhile
                ensure!(status.is_success() || status == StatusCode::NOT_FOUND, "{}", String::from_utf8_lossy(&body));
                Ok(())
            }
            Act::List => {
                let (status, body) = self.front.fetch("/v1/vms?pageSize=100&orderBy=name").await?;
                ensure!(status.is_success(), "{}", String::from_utf8_lossy(&body));
                Ok(())
            }
            Act::Query => {
                let filter = format!("image_uuid = \"{}\"", self.image);
                let body = json!({"kind": "vm", "filter": filter, "groupBy": ["state"], "sum": ["memory_bytes"]});
                self.front.post("/v1/query", body).await?.good()?;
                Ok(())
            }
        }
    }

    async fn make(&self, at: usize) -> Result<()> {
        let vm = Front::vm(&self.site, &self.image, &format!("{}-{}-{at}", self.name, at % 10));
        let uuid = self.front.done(Method::POST, "/v1/vms", Some(vm)).await?;
        self.pool.lock().push(Machine { uuid, running: true });
        Ok(())
    }

    /// Takes a machine out of the pool.
    fn take(&self, number: u64) -> Option<Machine> {
        let mut pool = self.pool.lock();
        let place = usize::try_from(number.checked_rem(pool.len() as u64)?).ok()?;
        Some(pool.swap_remove(place))
    }

    /// The UUID of a machine that stays there.
    fn any(&self, number: u64) -> Option<String> {
        let pool = self.pool.lock();
        let place = usize::try_from(number.checked_rem(pool.len() as u64)?).ok()?;
        Some(pool[place].uuid.clone())
    }

    /// Changes a machine and puts it back; as it is where the change failed.
    async fn change(
        &self,
        mut machine: Machine,
        change: impl FnOnce(&mut Machine) -> (Method, String, bool),
    ) -> Result<()> {
        let uuid = machine.uuid.clone();
        let (method, path, stays) = change(&mut machine);
        let body = (method == Method::POST).then(|| json!({}));
        let done = self.front.done(method, &path, body).await;
        let now = match &done {
            Ok(_) => stays.then_some(machine),
            Err(_) => self.as_it_is(uuid).await?,
        };
        self.pool.lock().extend(now);
        done.map(drop)
    }

    async fn as_it_is(&self, uuid: String) -> Result<Option<Machine>> {
        let answer = self.front.get(&format!("/v1/vms/{uuid}")).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let state = answer.good()?["state"].clone();
        Ok(Some(Machine { uuid, running: state == "VM_STATE_RUNNING" }))
    }

    /// How long each kind of call took.
    fn told(&self) -> Value {
        let answers = std::mem::take(&mut *self.answers.lock());
        let told = answers.into_iter().map(|(act, Answers { well, failed, .. })| {
            let latencies = well.latencies();
            let figures = json!({
                "count": latencies.count + failed, "failed": failed, "p50_ms": latencies.p50_ms,
                "p90_ms": latencies.p90_ms, "p99_ms": latencies.p99_ms, "max_ms": latencies.max_ms
            });
            (act.name().to_owned(), figures)
        });
        Value::Object(told.collect())
    }
}

/// Watches machines by the digit in their names. Each watcher is heard of once before this ends.
async fn watch(cloud: &Cloud, watchers: usize, heard: &Arc<AtomicUsize>) -> Result<JoinSet<Result<()>>> {
    let mut watching = JoinSet::new();
    let (synced, mut hearing) = tokio::sync::mpsc::channel::<()>(watchers.max(1));
    let mut channel = None;
    for number in 0..watchers {
        if number % STREAMS == 0 {
            let endpoint = Endpoint::from_shared(cloud.front.endpoint().to_owned())?.tcp_nodelay(true);
            channel = Some(endpoint.connect().await?);
        }
        let filter = format!("name = \"{}-{}-*\"", cloud.name, number % 10);
        let request = WatchRequest { kind: "vms".into(), filter, position: String::new() };
        let mut request = tonic::Request::new(request);
        request.metadata_mut().insert("authorization", format!("Bearer {}", cloud.front.token()).parse()?);
        let mut client = WatchServiceClient::new(channel.clone().context("no connection")?);
        let (heard, synced) = (Arc::clone(heard), synced.clone());
        watching.spawn(async move {
            let mut stream = client.watch(request).await?.into_inner();
            while let Some(event) = stream.message().await? {
                match event.r#type() {
                    WatchEventType::Synced => synced.send(()).await?,
                    WatchEventType::Snapshot | WatchEventType::Progress => {}
                    _ => {
                        heard.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            Ok(())
        });
    }
    drop(synced);
    for _ in 0..watchers {
        let told = tokio::time::timeout(Duration::from_secs(60), hearing.recv()).await;
        told.context("not all watchers were heard of within 60 s")?.context("a watcher's stream has ended")?;
    }
    Ok(watching)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_a_hundred() {
        assert_eq!(SHARES.iter().map(|(_, share)| share).sum::<u64>(), 100);
        let mut counts = BTreeMap::<_, u64>::new();
        (0..1000).for_each(|number| *counts.entry(Act::drawn(number)).or_default() += 1);
        assert!(SHARES.iter().all(|(act, share)| counts[act] == share * 10), "{counts:?}");
    }
}
