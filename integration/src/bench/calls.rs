//! Makes many calls, so many at a time, and tells what they took and cost. All scenarios of calls go through here, so that their
//! figures mean the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use super::counters::Counters;
use super::figures::{Against, Answers, Figures};
use super::processes::Processes;

/// Parts of a run of which each is told how fast it went.
const PARTS: usize = 10;

/// How calls are made, and where it is looked what they cost.
#[derive(Debug, Clone)]
pub struct Runner {
    /// Calls at a time.
    pub concurrency: usize,
    /// Where statements, commits and tasks are counted.
    pub counters: Counters,
    /// Processes whose time and memory count.
    pub processes: Processes,
    /// `sqlite` or `postgresql`.
    pub database: &'static str,
}

/// What came of a call.
pub struct Outcome<T> {
    /// How long it took.
    pub took: Duration,
    /// What came back, or what was wrong with it.
    pub result: Result<T>,
}

/// A call whose time is all that it takes.
pub async fn timed<T>(call: impl Future<Output = Result<T>>) -> Outcome<T> {
    let begun = Instant::now();
    let result = call.await;
    Outcome { took: begun.elapsed(), result }
}

/// How many calls there are, and until when.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// At most.
    pub count: usize,
    /// No call begins later than this; fewer are made then.
    pub longest: Duration,
    /// Machines that are there when it begins.
    pub machines: u64,
}

impl Extent {
    /// So many calls, however long they take.
    pub fn of(count: usize) -> Self {
        Self { count, longest: Duration::MAX, machines: 0 }
    }
}

/// When each part of the calls was done, in microseconds since the begin.
struct Marks {
    each: usize,
    done: AtomicUsize,
    at: [AtomicU64; PARTS],
}

impl Marks {
    fn of(count: usize) -> Self {
        Self { each: count / PARTS, done: AtomicUsize::new(0), at: Default::default() }
    }

    fn one_more(&self, begun: Instant) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if self.each > 0
            && done.is_multiple_of(self.each)
            && let Some(mark) = self.at.get(done / self.each - 1)
        {
            mark.store(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Calls a second in each part; nothing where there were too few, or not all of them.
    fn rates(&self) -> Option<Vec<f64>> {
        let mut before = 0;
        let rates: Vec<f64> = self
            .at
            .iter()
            .map_while(|mark| {
                let at = mark.load(Ordering::Relaxed);
                let took = at.saturating_sub(std::mem::replace(&mut before, at));
                (at > 0).then(|| self.each as f64 * 1e6 / took.max(1) as f64)
            })
            .collect();
        (rates.len() == PARTS).then_some(rates)
    }
}

/// A run.
pub struct Ran<T> {
    /// What it measured.
    pub figures: Figures,
    /// What came back of the calls that were answered well.
    pub made: Vec<T>,
    /// Calls a second in each tenth of them.
    pub rates: Option<Vec<f64>>,
}

impl Runner {
    /// Makes calls: the n-th is what `call` makes of n.
    ///
    /// # Errors
    /// When it cannot be counted what they cost. A call that fails is a figure.
    pub async fn run<T, F, Made>(&self, scenario: &str, extent: Extent, call: F) -> Result<Ran<T>>
    where
        F: Fn(usize) -> Made + Send + Sync + 'static,
        Made: Future<Output = Outcome<T>> + Send,
        T: Send + 'static,
    {
        let Extent { count, longest, machines } = extent;
        let (call, next, marks) = (Arc::new(call), Arc::new(AtomicUsize::new(0)), Arc::new(Marks::of(count)));
        let before = self.counters.read().await?;
        let clock = self.processes.clock();
        let begun = Instant::now();
        let mut set = JoinSet::new();
        for _ in 0..self.concurrency.clamp(1, count.max(1)) {
            let (call, next, marks) = (Arc::clone(&call), Arc::clone(&next), Arc::clone(&marks));
            set.spawn(async move {
                let (mut answers, mut made) = (Answers::default(), Vec::new());
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count || begun.elapsed() > longest {
                        return (answers, made);
                    }
                    let Outcome { took, result } = call(at).await;
                    match result {
                        Ok(one) => {
                            answers.well.push(took);
                            made.push(one);
                        }
                        Err(problem) => {
                            answers.failed += 1;
                            answers.problem.get_or_insert_with(|| format!("{problem:#}"));
                        }
                    }
                    marks.one_more(begun);
                }
            });
        }
        let (mut answers, mut made) = (Answers::default(), Vec::new());
        while let Some(done) = set.join_next().await {
            let (its, theirs) = done?;
            answers.add(its);
            made.extend(theirs);
        }
        let spent = clock.spent();
        let after = self.counters.read().await?;
        let figures = Figures::of(scenario, self.against(machines), answers, &spent, &self.processes);
        let each = after.each(&before, figures.count);
        Ok(Ran { figures: figures.with_each(each), made, rates: marks.rates() })
    }

    /// What stands there.
    pub fn against(&self, machines: u64) -> Against {
        Against { database: self.database, machines, concurrency: self.concurrency }
    }
}
