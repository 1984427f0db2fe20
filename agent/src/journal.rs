//! The journal: what the agent was asked to do and how it ended, kept until the controller has it; who may command it; and, for
//! simulated hosts, what would be on their disks.
//!
//! Theory.
//! 1. A task is durable before its work begins, an outcome before the controller hears of it. An acknowledgement need not be: if it
//!    is lost, the outcome is sent once more.
//! 2. Whoever dies between the two, the next start finds the task without an outcome and runs it again; all work is idempotent.
//! 3. The file is lines of JSON, each with a checksum before it. A line that does not fit its checksum (a torn tail, a bad sector)
//!    is skipped with a warning: losing any single line of a task is harmless by 1 and 2, since the controller asks again for what it
//!    misses.
//! 4. One thread writes; what many callers ask for meanwhile is written together, in the order in which they asked, and flushed to the
//!    disk once.
//! 5. So what a simulated machine or volume became needs no flush of its own: its line stands between its task's two, and is durable
//!    when the outcome is. If it is lost, the outcome is too, and the task runs again by 2.
//! 6. What an operation last said (its fence, and whether it is being undone) is written with the task that said it, and kept for an
//!    hour after the operation's last task.
//! 7. The file holds what is alive and what is dead; when most of it is dead it is written anew. Memory holds the lines that live.
//!
//! A real agent's journal is of its one host, a simulator's of all its hosts. A simulator without a state folder has
//! [`Journal::none`]: everything lives as long as its process.

mod file;
pub(crate) mod id;

use std::collections::HashMap;
use std::path::Path;

use gyre_model::{Error, Result, Uuid};
use gyre_proto::agent::v1::{Task, TaskOutcome};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

pub(crate) use self::file::replace;
use self::file::{Effect, File, Line, Record, What};

/// A task that the journal knows.
#[derive(Debug, Clone)]
pub struct KeptTask {
    /// The task.
    pub task: Task,
    /// How it ended, if it did.
    pub outcome: Option<TaskOutcome>,
}

/// The last word of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The operation.
    #[serde(with = "id")]
    pub operation: Uuid,
    /// Its fence.
    pub fence: i64,
    /// Whether it is being undone.
    pub undo: bool,
    /// When it said so, in microseconds.
    pub time: i64,
}

/// A thing on a simulated host's disk. What its value means is the simulator's affair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thing {
    /// Such as "machine".
    pub kind: String,
    /// Which one.
    pub id: String,
    /// What it is like.
    pub value: serde_json::Value,
}

/// What the journal holds of a host.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Tasks, oldest first.
    pub tasks: Vec<KeptTask>,
    /// Last words of operations.
    pub said: Vec<Said>,
    /// The highest fence of a session, where it is kept here.
    pub bound: Option<i64>,
    /// What is on a simulated host's disk.
    pub things: Vec<Thing>,
}

struct Entry {
    records: Vec<Record>,
    done: Option<oneshot::Sender<Result<()>>>,
}

/// Writes the journal. Clones share it.
#[derive(Clone)]
pub struct Journal {
    sender: Option<std::sync::mpsc::Sender<Entry>>,
    host: Option<Uuid>,
}

impl Journal {
    /// Keeps nothing.
    pub fn none() -> Self {
        Self { sender: None, host: None }
    }

    /// Opens the journal in a file, and says what it holds of each host; a real agent's host has no name in it.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(path: &Path) -> Result<(Self, HashMap<Option<Uuid>, Kept>)> {
        let (mut file, kept) = File::open(path)?;
        let (sender, receiver) = std::sync::mpsc::channel::<Entry>();
        let thread = std::thread::Builder::new().name("gyre-journal".into()).spawn(move || {
            while let Ok(first) = receiver.recv() {
                let mut batch = vec![first];
                batch.extend(receiver.try_iter());
                let durable = batch.iter().any(|entry| entry.done.is_some());
                let (records, waiting): (Vec<_>, Vec<_>) =
                    batch.into_iter().map(|entry| (entry.records, entry.done)).unzip();
                let result = file.append(records.into_iter().flatten().collect(), durable);
                if let Err(error) = &result {
                    tracing::error!(%error, "the task journal cannot be written");
                }
                for done in waiting.into_iter().flatten() {
                    let _ = done.send(result.clone());
                }
            }
        });
        thread.map_err(|error| crate::failure::io("start the thread of the journal", path, &error))?;
        Ok((Self { sender: Some(sender), host: None }, kept))
    }

    /// The part of the journal that is about one of many hosts.
    #[must_use]
    pub fn of(&self, host: Uuid) -> Self {
        Self { sender: self.sender.clone(), host: Some(host) }
    }

    /// Whether anything is kept at all.
    pub fn keeps(&self) -> bool {
        self.sender.is_some()
    }

    /// Keeps a task, and what it says of its operation.
    ///
    /// # Errors
    /// It cannot be kept, and must not be begun.
    pub async fn accepted(&self, task: &Task, said: Option<Said>) -> Result<()> {
        self.durable(|| {
            let accepted =
                self.record(Effect::Put(What::Task(task.id.clone())), Line::Accepted(Box::new(task.clone())));
            Ok([accepted?].into_iter().chain(said.map(|said| self.word(said)).transpose()?).collect())
        })
        .await
    }

    /// Keeps an outcome.
    ///
    /// # Errors
    /// It cannot be kept; after a crash the task will run again.
    pub async fn finished(&self, outcome: &TaskOutcome) -> Result<()> {
        let effect = Effect::Put(What::Outcome(outcome.task_id.clone()));
        self.durable(|| Ok(vec![self.record(effect, Line::Finished(Box::new(outcome.clone())))?])).await
    }

    /// Keeps what an operation said with a task that is known already. It survives the agent's death at once, and that of the host with
    /// the next flush.
    pub fn said(&self, said: Said) {
        self.soon(|| self.word(said));
    }

    /// Forgets tasks, some time soon.
    pub fn forget(&self, task_ids: Vec<String>) {
        self.soon(|| self.forgetting(task_ids));
    }

    /// Forgets tasks, surely.
    ///
    /// # Errors
    /// They cannot be forgotten; the next start would know them.
    pub async fn forgotten(&self, task_ids: Vec<String>) -> Result<()> {
        self.durable(|| Ok(vec![self.forgetting(task_ids)?])).await
    }

    /// Keeps the highest fence of a session.
    ///
    /// # Errors
    /// It cannot be kept, and nobody may act under it.
    pub async fn bound(&self, fence: i64) -> Result<()> {
        self.durable(|| Ok(vec![self.record(Effect::Put(What::Bound), Line::Bound(fence))?])).await
    }

    /// Forgets all of a host.
    ///
    /// # Errors
    /// It cannot be forgotten; the next start would know it.
    pub async fn released(&self) -> Result<()> {
        self.durable(|| Ok(vec![self.record(Effect::DropAll, Line::Released)?])).await
    }

    /// Keeps a thing of a simulated host, durable with the next outcome.
    pub fn keep(&self, kind: &str, id: String, value: impl Serialize) {
        self.soon(|| {
            let value = serde_json::to_value(value).map_err(Error::internal)?;
            let effect = Effect::Put(What::Thing(kind.to_owned(), id.clone()));
            self.record(effect, Line::Keep(Thing { kind: kind.to_owned(), id, value }))
        });
    }

    /// Forgets a thing of a simulated host.
    pub fn discard(&self, kind: &str, id: String) {
        self.soon(|| {
            let effect = Effect::Drop(vec![What::Thing(kind.to_owned(), id.clone())]);
            self.record(effect, Line::Discard(kind.to_owned(), id))
        });
    }

    fn record(&self, effect: Effect, line: Line) -> Result<Record> {
        Record::new(self.host, effect, line)
    }

    fn word(&self, said: Said) -> Result<Record> {
        self.record(Effect::Put(What::Said(said)), Line::Said(said))
    }

    fn forgetting(&self, task_ids: Vec<String>) -> Result<Record> {
        let gone = task_ids.iter().flat_map(|id| [What::Task(id.clone()), What::Outcome(id.clone())]).collect();
        self.record(Effect::Drop(gone), Line::Forgotten(task_ids))
    }

    fn soon(&self, record: impl FnOnce() -> Result<Record>) {
        let Some(sender) = &self.sender else { return };
        match record() {
            // the thread is gone only with the process
            Ok(record) => drop(sender.send(Entry { records: vec![record], done: None })),
            Err(error) => tracing::error!(%error, "a line of the journal cannot be made"),
        }
    }

    async fn durable(&self, records: impl FnOnce() -> Result<Vec<Record>>) -> Result<()> {
        let Some(sender) = &self.sender else { return Ok(()) };
        let (done, wait) = oneshot::channel();
        let gone = || Error::internal("the thread of the task journal is gone");
        sender.send(Entry { records: records()?, done: Some(done) }).map_err(|_| gone())?;
        wait.await.map_err(|_| gone())?
    }
}

#[cfg(test)]
mod tests;
