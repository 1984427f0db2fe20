//! One account floods the front door while another makes one call at a time: what the quiet one notices, and what becomes of the
//! throughput under ten times the load that can be borne.
//!
//! The load that can be borne is looked for first: the number of callers with the best rate. Who floods and who is quiet have threads of
//! their own, so that their calls do not wait for one another before they are made; the processors they share with the node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use gyre_node::NodeConfig;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Request, StatusCode};
use serde::Serialize;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::args::Target;
use super::stats::Latencies;
use crate::front::{Front, Site};

/// What both accounts ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Their own machine, by UUID.
    Reads,
    /// A page of the machines that they see.
    Queries,
    /// A new machine; answered when it runs.
    Creates,
}

/// How a flood is asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// Where.
    #[command(flatten)]
    pub target: Target,
    /// What both accounts ask for.
    #[arg(long, value_enum, default_value = "reads")]
    what: What,
    /// Numbers of callers among which the best load is looked for.
    #[arg(long, value_delimiter = ',', default_value = "8,32,128")]
    callers: Vec<usize>,
    /// How many times as many flood.
    #[arg(long, default_value_t = 10)]
    times: usize,
    /// Seconds of each load.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Places for calls that read, of an embedded node's gateway.
    #[arg(long)]
    reads: Option<usize>,
    /// Places for calls that change something.
    #[arg(long)]
    changes: Option<usize>,
    /// Those who are refused come again at once, and not when they are told to.
    #[arg(long)]
    impatient: bool,
}

impl Options {
    /// Gives an embedded node's gateway the places that are asked for.
    pub fn places(&self, config: &mut NodeConfig) {
        let limits = &mut config.api.limits;
        limits.reads = self.reads.or(limits.reads);
        limits.changes = self.changes.unwrap_or(limits.changes);
    }

    /// What is measured.
    pub fn settings(&self) -> Settings {
        let (what, callers, times, impatient) = (self.what, self.callers.clone(), self.times, self.impatient);
        Settings { what, callers, times, time: Duration::from_secs(self.seconds), impatient }
    }
}

/// What is measured.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What both accounts ask for.
    pub what: What,
    /// Numbers of callers among which the best load is looked for.
    pub callers: Vec<usize>,
    /// How many times as many flood.
    pub times: usize,
    /// How long each load lasts.
    pub time: Duration,
    /// Whether those who are refused come again at once, and not when they are told to.
    pub impatient: bool,
}

/// The figures.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    scenario: &'static str,
    what: What,
    impatient: bool,
    /// The quiet account's calls, alone.
    quiet_alone: Latencies,
    /// The same beside the flood.
    quiet_beside: Latencies,
    /// How many times as long its p99 is.
    p99_ratio: f64,
    /// Callers of the best load.
    best_callers: usize,
    /// Its calls a second.
    best_rate_per_s: f64,
    /// Callers of the flood.
    flood_callers: usize,
    /// Its calls a second, the quiet account's with them.
    flood_rate_per_s: f64,
    /// What part of the best that is.
    throughput_ratio: f64,
    /// Calls of the flood that were refused and said when to come again.
    flood_refused: usize,
    /// Calls that failed otherwise, of whomever.
    failed: usize,
    /// What was wrong with the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// What became of a load.
#[derive(Debug, Default)]
struct Load {
    well: Vec<Duration>,
    refused: usize,
    problems: Vec<String>,
    wall: Duration,
}

impl Load {
    fn rate(&self) -> f64 {
        self.well.len() as f64 / self.wall.as_secs_f64().max(1e-9)
    }
}

/// What came of one call.
enum Outcome {
    Well,
    Refused(Duration),
    Failed(String),
}

/// Who calls, and for what.
#[derive(Clone)]
struct Who {
    endpoint: String,
    token: String,
    what: What,
    /// Its machine, and the draft of others.
    vm: String,
    draft: String,
    impatient: bool,
}

impl Who {
    async fn call(&self, front: &Front) -> Result<Outcome> {
        let at = |path: &str| format!("{}{path}", self.endpoint);
        let (request, body) = match self.what {
            What::Reads => (Request::get(at(&format!("/v1/vms/{}", self.vm))), String::new()),
            What::Queries => (Request::get(at("/v1/vms?pageSize=100&orderBy=name")), String::new()),
            What::Creates => {
                let request = Request::post(at("/v1/vms")).header("prefer", "wait=120");
                (request.header(CONTENT_TYPE, "application/json"), self.draft.clone())
            }
        };
        let answer = front.send(request, body).await?;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            let after = answer.headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
            return Ok(match after {
                Some(after) => Outcome::Refused(Duration::from_secs(after)),
                None => Outcome::Failed(format!("refused without a time to come again: {}", answer.body)),
            });
        }
        let done = self.what != What::Creates || answer.body["state"] == "OPERATION_STATE_SUCCEEDED";
        Ok(if answer.status.is_success() && done {
            Outcome::Well
        } else {
            Outcome::Failed(format!("{}: {}", answer.status, answer.body))
        })
    }

    /// Calls with so many callers until told to stop.
    async fn load(self, callers: usize, stop: Arc<AtomicBool>) -> Result<Load> {
        let front = Front::new(&self.endpoint, &self.token);
        let begun = Instant::now();
        let mut set = JoinSet::new();
        for _ in 0..callers {
            let (who, front, stop) = (self.clone(), front.clone(), stop.clone());
            set.spawn(async move {
                let mut load = Load::default();
                while !stop.load(Ordering::Relaxed) {
                    let called = Instant::now();
                    match who.call(&front).await {
                        Ok(Outcome::Well) => load.well.push(called.elapsed()),
                        Ok(Outcome::Refused(after)) => {
                            load.refused += 1;
                            let until = Instant::now() + if who.impatient { Duration::ZERO } else { after };
                            while Instant::now() < until && !stop.load(Ordering::Relaxed) {
                                tokio::time::sleep(Duration::from_millis(20)).await;
                            }
                        }
                        Ok(Outcome::Failed(problem)) => load.problems.push(problem),
                        Err(error) => load.problems.push(format!("{error:#}")),
                    }
                }
                load
            });
        }
        let mut all = Load::default();
        while let Some(load) = set.join_next().await {
            let load = load?;
            all.well.extend(load.well);
            all.refused += load.refused;
            all.problems.extend(load.problems);
        }
        all.wall = begun.elapsed();
        Ok(all)
    }

    /// The same for so long, on a thread of its own.
    async fn apart(self, callers: usize, stop: Arc<AtomicBool>) -> Result<Load> {
        let (done, ended) = oneshot::channel();
        std::thread::Builder::new().name("flood".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let outcome = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(self.load(callers, stop)));
            // who asked may have gone
            let _ = done.send(outcome);
        })?;
        ended.await.context("a thread of the driver ended")?
    }

    /// The same for so long.
    async fn timed(self, callers: usize, time: Duration) -> Result<Load> {
        let stop = Arc::new(AtomicBool::new(false));
        let load = self.apart(callers, stop.clone());
        let timer = async {
            tokio::time::sleep(time).await;
            stop.store(true, Ordering::Relaxed);
        };
        tokio::join!(load, timer).0
    }
}

/// An account that signed in, with a machine.
async fn account(front: &Front, site: &Site, image: &str, name: &str, settings: &Settings) -> Result<(String, Who)> {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let unique = format!("{name}-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    let password = "a-long-enough-password-of-the-bench";
    let account = front.make("/v1/accounts", json!({"name": unique, "password": password})).await?;
    let own = Front::sign_in(front.endpoint(), &unique, password).await?;
    let draft = Front::vm(site, image, &unique);
    let vm = own.done(http::Method::POST, "/v1/vms", Some(draft.clone())).await?;
    let who = Who {
        endpoint: own.endpoint().to_owned(),
        token: own.token().to_owned(),
        what: settings.what,
        vm,
        draft: draft.to_string(),
        impatient: settings.impatient,
    };
    Ok((account, who))
}

/// Measures. `front` is an administrator's; what was made is deleted with its accounts.
///
/// # Errors
/// When a call cannot be made at all, or nothing is answered well.
pub async fn run(front: &Front, site: &Site, image: &str, settings: &Settings) -> Result<Figures> {
    let (quiet_account, quiet) = account(front, site, image, "quiet", settings).await?;
    let (flood_account, flood) = account(front, site, image, "flood", settings).await?;
    // what is only paid once, on either side
    quiet.clone().timed(1, settings.time / 5).await?;
    let alone = quiet.clone().timed(1, settings.time).await?;
    ensure!(!alone.well.is_empty(), "nothing is answered: {:?}", alone.problems.first());

    let (mut best, mut best_callers) = (0.0, 0);
    for callers in &settings.callers {
        let load = flood.clone().timed(*callers, settings.time).await?;
        if load.rate() > best {
            (best, best_callers) = (load.rate(), *callers);
        }
    }
    ensure!(best_callers > 0, "no load was borne");

    let stop = Arc::new(AtomicBool::new(false));
    let flood_callers = best_callers * settings.times;
    let beside = async {
        // until all of the flood are there
        tokio::time::sleep(settings.time / 5).await;
        let beside = quiet.timed(1, settings.time).await;
        stop.store(true, Ordering::Relaxed);
        beside
    };
    let (flooded, beside) = tokio::join!(flood.apart(flood_callers, stop.clone()), beside);
    let (flooded, beside) = (flooded?, beside?);
    let rate = flooded.rate() + beside.rate();
    let problems = [&alone.problems, &beside.problems, &flooded.problems].into_iter().flatten();
    let (failed, problem) = (problems.clone().count(), problems.clone().next().cloned());

    for account in [quiet_account, flood_account] {
        front.done(http::Method::DELETE, &format!("/v1/accounts/{account}?cascade=true"), None).await?;
    }
    let (quiet_alone, quiet_beside) = (Latencies::of(alone.well), Latencies::of(beside.well));
    Ok(Figures {
        scenario: "flood",
        what: settings.what,
        impatient: settings.impatient,
        p99_ratio: quiet_beside.p99_ms / quiet_alone.p99_ms,
        quiet_alone,
        quiet_beside,
        best_callers,
        best_rate_per_s: best,
        flood_callers,
        flood_rate_per_s: rate,
        throughput_ratio: rate / best,
        flood_refused: flooded.refused,
        failed,
        problem,
    })
}
