//! The task journal: what the agent was asked to do and how it ended, kept until the controller has it.
//!
//! Theory.
//! 1. A task is durable before its work begins, an outcome before the controller hears of it. An acknowledgement need not be: if it
//!    is lost, the outcome is sent once more.
//! 2. Whoever dies between the two, the next start finds the task without an outcome and runs it again; all work is idempotent.
//! 3. The file is lines of JSON, each with a checksum before it. A line that does not fit its checksum (a torn tail, a bad sector)
//!    is skipped with a warning: losing any single line is harmless by 1 and 2, since the controller asks again for what it misses.
//! 4. One thread writes; what many callers ask for meanwhile is written together and flushed to the disk once.
//!
//! The simulator's journal is [`Journal::none`]: its tasks live as long as its process.

mod file;

use std::path::Path;

use gyre_model::{Error, Result};
use gyre_proto::agent::v1::{Task, TaskOutcome};
use tokio::sync::oneshot;

use self::file::File;
pub(crate) use self::file::replace;

/// A task that the journal knows.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The task.
    pub task: Task,
    /// How it ended, if it did.
    pub outcome: Option<TaskOutcome>,
}

enum Record {
    Accepted(Box<Task>),
    Finished(Box<TaskOutcome>),
    Forgotten(Vec<String>),
}

struct Entry {
    record: Record,
    done: Option<oneshot::Sender<Result<()>>>,
}

/// Writes the journal. Clones share it.
#[derive(Clone)]
pub struct Journal(Option<std::sync::mpsc::Sender<Entry>>);

impl Journal {
    /// Keeps nothing.
    pub fn none() -> Self {
        Self(None)
    }

    /// Opens the journal in a file, and says what it holds, oldest first.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(path: &Path) -> Result<(Self, Vec<Kept>)> {
        let (mut file, kept) = File::open(path)?;
        let (sender, receiver) = std::sync::mpsc::channel::<Entry>();
        let thread = std::thread::Builder::new().name("gyre-journal".into()).spawn(move || {
            while let Ok(first) = receiver.recv() {
                let mut batch = vec![first];
                batch.extend(receiver.try_iter());
                let durable = batch.iter().any(|entry| entry.done.is_some());
                let result = file.append(batch.iter().map(|entry| &entry.record), durable);
                if let Err(error) = &result {
                    tracing::error!(%error, records = batch.len(), "the task journal cannot be written");
                }
                for done in batch.into_iter().filter_map(|entry| entry.done) {
                    let _ = done.send(result.clone());
                }
            }
        });
        thread.map_err(|error| crate::failure::io("start the thread of the journal", path, &error))?;
        Ok((Self(Some(sender)), kept))
    }

    /// Keeps a task.
    ///
    /// # Errors
    /// It cannot be kept, and must not be begun.
    pub async fn accepted(&self, task: &Task) -> Result<()> {
        self.durable(|| Record::Accepted(Box::new(task.clone()))).await
    }

    /// Keeps an outcome.
    ///
    /// # Errors
    /// It cannot be kept; after a crash the task will run again.
    pub async fn finished(&self, outcome: &TaskOutcome) -> Result<()> {
        self.durable(|| Record::Finished(Box::new(outcome.clone()))).await
    }

    /// Forgets tasks, some time soon.
    pub fn forget(&self, task_ids: Vec<String>) {
        if let Some(sender) = &self.0 {
            let _ = sender.send(Entry { record: Record::Forgotten(task_ids), done: None });
        }
    }

    /// Forgets tasks, surely.
    ///
    /// # Errors
    /// They cannot be forgotten; the next start would know them.
    pub async fn forgotten(&self, task_ids: Vec<String>) -> Result<()> {
        self.durable(|| Record::Forgotten(task_ids)).await
    }

    async fn durable(&self, record: impl FnOnce() -> Record) -> Result<()> {
        let Some(sender) = &self.0 else { return Ok(()) };
        let (done, wait) = oneshot::channel();
        let gone = || Error::internal("the thread of the task journal is gone");
        sender.send(Entry { record: record(), done: Some(done) }).map_err(|_| gone())?;
        wait.await.map_err(|_| gone())?
    }
}

#[cfg(test)]
mod tests;
