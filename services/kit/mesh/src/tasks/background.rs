//! Background tasks: reconcilers that make true what should be true.
//!
//! 1. An activation is a function from the world as stored to effects. It takes no input and is idempotent; another process may
//!    do the same at the same time.
//! 2. It is woken by its period or by an [`Activator`]; it does not retry inside, the next activation is the retry.
//! 3. It answers counts. A panic is logged, counts as an error, and the next activation comes with the period.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use tokio::sync::{Notify, watch};
use tokio::time::MissedTickBehavior;
use tracing::Instrument as _;

use super::{Tasks, panic_text};
use crate::telemetry::metrics;

/// An activation that runs longer than this is reported, once.
const LONG: Duration = Duration::from_secs(60);

/// Wakes a background task. A wake that comes while it runs is kept.
#[derive(Debug, Clone, Default)]
pub struct Activator(Arc<Notify>);

impl Activator {
    /// Wakes it.
    pub fn activate(&self) {
        self.0.notify_one();
    }
}

/// What an activation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// Things that it looked at.
    pub found: u64,
    /// Things that it changed.
    pub changed: u64,
    /// Things that somebody else had changed meanwhile.
    pub already_ok: u64,
    /// Things that failed; the rest went on.
    pub errors: u64,
}

/// What a background task did so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    /// How often it ran.
    pub activations: u64,
    /// What it did last.
    pub last: Status,
}

/// A background task.
pub trait Background: Send + 'static {
    /// Looks at the world and makes it right.
    fn activate(&mut self) -> impl Future<Output = Status> + Send;
}

impl Tasks {
    /// Runs a task now, then at each period and whenever it is woken, until the process stops. An activation that runs is
    /// finished first.
    pub fn background(
        &self,
        name: &'static str,
        period: Duration,
        activator: Activator,
        mut task: impl Background,
    ) -> watch::Receiver<Report> {
        let (reports, receiver) = watch::channel(Report::default());
        let stop = self.stopping();
        self.spawn(name, async move {
            let mut tick = tokio::time::interval(period);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for activation in 1u64.. {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = activator.0.notified() => {}
                    _ = tick.tick() => {}
                }
                let span = tracing::info_span!("task", name, activation);
                let last = run(name, &mut task).instrument(span).await;
                reports.send_modify(|report| {
                    report.activations = activation;
                    report.last = last;
                });
            }
        });
        receiver
    }
}

async fn run(name: &'static str, task: &mut impl Background) -> Status {
    let started = Instant::now();
    let mut activation = std::pin::pin!(AssertUnwindSafe(task.activate()).catch_unwind());
    let ended = match tokio::time::timeout(LONG, &mut activation).await {
        Ok(ended) => ended,
        Err(_) => {
            tracing::warn!(seconds = LONG.as_secs(), "background task is still running");
            activation.await
        }
    };
    let status = ended.unwrap_or_else(|panic| {
        metrics::panicked();
        tracing::error!(panic = panic_text(&*panic), "background task panicked");
        Status { errors: 1, ..Status::default() }
    });
    metrics::task_activated(name, started.elapsed(), status.errors);
    tracing::debug!(?status, "background task ran");
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fragile(u64);

    impl Background for Fragile {
        async fn activate(&mut self) -> Status {
            self.0 += 1;
            assert!(self.0 != 2, "the second time, on purpose");
            Status { found: self.0, ..Status::default() }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_runs_by_period_and_by_wake_and_survives_a_panic() {
        let tasks = Tasks::new();
        let activator = Activator::default();
        let mut reports = tasks.background("fragile", Duration::from_secs(3600), activator.clone(), Fragile(0));
        let first = *reports.wait_for(|report| report.activations >= 1).await.unwrap();
        assert_eq!(first.last.found, 1);
        activator.activate();
        let second = *reports.wait_for(|report| report.activations >= 2).await.unwrap();
        assert_eq!(second.last.errors, 1);
        tokio::time::advance(Duration::from_secs(3601)).await;
        let third = *reports.wait_for(|report| report.activations >= 3).await.unwrap();
        assert_eq!(third.last.found, 3);
        assert!(tasks.shutdown(Duration::from_secs(1)).await);
    }
}
