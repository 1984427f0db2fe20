//! Tasks that a process knows of. Nothing is spawned past here, so that shutdown can tell every task to end and wait for it, and
//! a panic is an ERROR in the log instead of silence.
//!
//! Two meanings of ending, chosen where a task is spawned:
//! - [`Tasks::spawn`]: the task ends by itself; it watches [`Tasks::stopping`] where it loops.
//! - [`Tasks::spawn_until_stop`]: it may be dropped at any await once the process stops.

mod background;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::telemetry::metrics;

pub use background::{Activator, Background, Report, Status};

/// The tasks of a process, or of a part of it that ends on its own.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

/// Keeps count of a task by name, also when it is dropped.
struct Running(Arc<Mutex<BTreeMap<&'static str, usize>>>, &'static str);

impl Drop for Running {
    fn drop(&mut self) {
        let mut all = self.0.lock();
        if let Some(count) = all.get_mut(self.1) {
            *count -= 1;
            if *count == 0 {
                all.remove(self.1);
            }
        }
    }
}

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells when tasks should end.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Spawns a task that ends by itself, soon after [`Tasks::stopping`] says so.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        *self.running.lock().entry(name).or_default() += 1;
        let running = Running(self.running.clone(), name);
        // an async block would keep room for the future twice
        self.tracker.spawn(AssertUnwindSafe(future).catch_unwind().map(move |ended| {
            let _running = running;
            if let Err(panic) = ended {
                metrics::panicked();
                tracing::error!(task = name, panic = panic_text(&*panic), "task panicked");
            }
        }));
    }

    /// Spawns a task that is dropped where it stands when the process stops.
    pub fn spawn_until_stop(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.spawn(name, async move {
            stop.run_until_cancelled_owned(future).await;
        });
    }

    /// The names of the tasks that run, and how many of each.
    pub fn running(&self) -> BTreeMap<&'static str, usize> {
        self.running.lock().clone()
    }

    /// Tells all tasks to end and waits for them, for so long at most. Answers whether all ended; those that did not are logged.
    pub async fn shutdown(&self, limit: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        let ended = tokio::time::timeout(limit, self.tracker.wait()).await.is_ok();
        if !ended {
            tracing::warn!(running = ?self.running(), "tasks did not end in time");
        }
        ended
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shutdown_waits_for_tasks_and_drops_those_that_allow_it() {
        let tasks = Tasks::new();
        let stop = tasks.stopping();
        let (tx, rx) = tokio::sync::oneshot::channel();
        tasks.spawn("ends-itself", async move {
            stop.cancelled().await;
            let _ = tx.send("ended");
        });
        tasks.spawn_until_stop("dropped", std::future::pending());
        tasks.spawn("panics", async { panic!("on purpose") });
        assert!(tasks.shutdown(Duration::from_secs(5)).await);
        assert_eq!(rx.await, Ok("ended"));
        assert!(tasks.running().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_named() {
        let tasks = Tasks::new();
        tasks.spawn("stuck", std::future::pending());
        assert!(!tasks.shutdown(Duration::from_secs(5)).await);
        assert_eq!(tasks.running().into_iter().collect::<Vec<_>>(), [("stuck", 1)]);
    }
}
