//! A model of a host's agent: admits sessions and commands by their fences, joins tasks that it knows, and remembers all of that
//! through its own restart. What it does to the host is a set of things that are there.

use std::collections::{BTreeMap, BTreeSet};

use gyre_model::Uuid;

use super::world::{Life, Time};

/// A command: a step of an operation, forward or undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TaskId {
    pub operation: Uuid,
    pub step: usize,
    pub undo: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Task {
    pub id: TaskId,
    pub fence: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Fenced,
    /// The call did not get through; it may be made again.
    Away,
}

#[derive(Default)]
pub(super) struct Agent {
    /// The highest fence of a session.
    fence: i64,
    pub session: Option<Life>,
    /// The last word of each operation.
    said: BTreeMap<Uuid, (i64, bool)>,
    /// What it was asked to do: under which session, whether it is done, and in which order they came.
    pub tasks: BTreeMap<TaskId, (Task, i64, bool, u64)>,
    accepted: u64,
    /// When the last accepted task will have run: one after the other.
    pub free: Time,
    /// Which steps' doings are on the host.
    pub things: BTreeSet<(Uuid, usize)>,
    /// What ran: the highest of each, for the checks.
    ran_session: i64,
    ran: BTreeMap<Uuid, (i64, bool)>,
    /// Counts its lives.
    pub life: u32,
    /// Deliberately broken: it does not look at fences.
    forgets: bool,
}

/// What becomes of a command that comes in.
pub(super) enum Taken {
    Begin,
    Join,
    Answer(Outcome),
}

impl Agent {
    pub fn new(forgets: bool) -> Self {
        Self { forgets, ..Self::default() }
    }

    pub fn admit(&mut self, fence: i64, who: Life) -> bool {
        let admitted = fence >= self.fence || self.forgets;
        if admitted {
            self.fence = fence;
            self.session = Some(who);
        }
        admitted
    }

    pub fn take(&mut self, session: i64, task: Task) -> Taken {
        let says = (task.fence, task.id.undo);
        let last = self.said.get(&task.id.operation).copied();
        if !self.forgets && (session < self.fence || last.is_some_and(|last| says < last)) {
            return Taken::Answer(Outcome::Fenced);
        }
        self.said.insert(task.id.operation, says);
        match self.tasks.get(&task.id) {
            Some((_, _, true, _)) => Taken::Answer(Outcome::Done),
            Some((_, _, false, _)) => Taken::Join,
            None => {
                self.accepted += 1;
                self.tasks.insert(task.id, (task, session, false, self.accepted));
                Taken::Begin
            }
        }
    }

    /// Does it. Says what is wrong with that.
    pub fn run(&mut self, id: TaskId) -> Result<bool, String> {
        let Some((task, session, done, _)) = self.tasks.get_mut(&id) else { return Ok(false) };
        if std::mem::replace(done, true) {
            return Ok(false);
        }
        let (says, session) = ((task.fence, id.undo), *session);
        if session < self.ran_session {
            return Err(format!("a command of session {session} ran after one of session {}", self.ran_session));
        }
        self.ran_session = session;
        let last = self.ran.entry(id.operation).or_insert(says);
        if says < *last {
            return Err(format!("{id:?} ran with (fence, undo) {says:?} after {last:?}"));
        }
        *last = says;
        if id.undo {
            self.things.remove(&(id.operation, id.step));
        } else {
            self.things.insert((id.operation, id.step));
        }
        Ok(true)
    }
}
