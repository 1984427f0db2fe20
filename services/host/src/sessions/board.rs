//! The board of a host: tasks that somebody waits for, how far they are, and outcomes that are kept for a while.
//!
//! # Theory
//! 1. Who waits for a task holds a receiver of its [`News`]: levels, not a history, so that a slow reader holds up nobody.
//! 2. Each kind of work has a lane: so many run, the others wait, in turns between the accounts for which they are and of each in
//!    order, so that nobody waits behind all machines of another. What nobody waits for any longer is not started.
//! 3. A task that runs belongs to no session. With each new session it is sent again, and the agent joins it by its id; unless
//!    nobody waits for it any longer, or its operation has ended, turned back or has another owner by now: then a repeat could do
//!    what was long undone. Who waits may be cut off and not know it, so the database is asked ([`Board::unfinished`]).
//! 4. An outcome is acknowledged once it was handed to somebody who waited. One that came before its caller (after a takeover,
//!    or when the caller's stream broke) is kept; after `outcome_keep` it is known to be stale, and acknowledged too.
//! 5. A failure is told once and not kept: the same id again is another try.
//! 6. A task that is cancelled before it was sent ends here. For one that was sent, the agent is told, in each new session again,
//!    until the outcome comes or is not to be expected any more. The task itself is not sent again: that could begin it anew. So
//!    with a new session nobody waits for it here any longer. Who puts the same id up once more wants it, and takes the cancel back.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use gyre_model::fair::Turns;
use gyre_model::{Acting, Error, Kind, Uuid, behalf, parse_uuid};
use gyre_proto::agent::v1::session_request::Message;
use gyre_proto::agent::v1::{
    AcknowledgeOutcomes, CancelTask, SessionRequest, Task, TaskBatch, TaskOutcome, TaskProgress,
};
use gyre_proto::common::v1 as proto;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::config::Widths;
use crate::metrics::{self, Counted};
use crate::work::WorkKind;

/// Most tasks in one message.
const BATCH: usize = 256;
/// Most outcomes kept for one host.
const MOST_KEPT: usize = 10_000;

/// Reasons of outcomes that say that the agent did not take the task: the next session brings it again.
const NOT_TAKEN: [&str; 2] = ["FENCED", "AGENT_STOPPING"];

/// What became of a task so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct News {
    /// The latest progress.
    pub progress: Option<TaskProgress>,
    /// How it ended: with an outcome of the agent's, or because nothing more will be heard of it here.
    pub end: Option<Result<TaskOutcome, Error>>,
}

/// The tasks of one host.
pub(crate) struct Board {
    widths: Widths,
    outcome_keep: Duration,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    entries: HashMap<String, Entry>,
    lanes: HashMap<WorkKind, Lane>,
    /// To be sent to the agent, in order.
    send: VecDeque<String>,
    /// To be acknowledged to the agent.
    acknowledge: Vec<String>,
    /// Tasks to be stopped, until their outcomes come.
    cancels: HashMap<String, Cancel>,
    /// Those of them that are to be sent.
    cancel: VecDeque<String>,
    /// Outcomes by the time they came.
    done: VecDeque<(Instant, String)>,
    /// Since when there is no session.
    down: Option<Instant>,
    serial: u64,
}

#[derive(Default)]
struct Lane {
    running: usize,
    waiting: Turns<Uuid, String>,
}

struct Entry {
    stage: Stage,
    news: watch::Sender<News>,
}

/// A task that the agent is to stop.
#[derive(Default)]
struct Cancel {
    /// When it was said last.
    said: Option<Instant>,
}

enum Stage {
    Waiting(Work),
    Running(Work),
    Done { handed: bool },
}

/// A task on its way.
struct Work {
    task: Task,
    kind: WorkKind,
    /// The account for which it is.
    account: Uuid,
    serial: u64,
    began: Instant,
    /// Whether the agent may have it.
    sent: bool,
    _counted: Counted,
}

impl Board {
    pub fn new(widths: Widths, outcome_keep: Duration, now: Instant) -> Self {
        let state = State { down: Some(now), ..State::default() };
        Self { widths, outcome_keep, state: Mutex::new(state), changed: Notify::new() }
    }

    /// There is something to be sent that is no task.
    pub fn poke(&self) {
        self.changed.notify_one();
    }

    /// Waits until there may be something to send.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Puts a task up, or joins the one with this id.
    pub fn join(&self, task: Task, kind: WorkKind) -> watch::Receiver<News> {
        let mut state = self.state.lock();
        let state = &mut *state;
        if let Some(entry) = state.entries.get_mut(&task.id) {
            let news = entry.news.subscribe();
            // who has its operation by a higher fence says so to the agent too, which joins the task
            if let Stage::Running(work) | Stage::Waiting(work) = &mut entry.stage
                && task.operation_fence > work.task.operation_fence
            {
                work.task.operation_fence = task.operation_fence;
                if matches!(entry.stage, Stage::Running(_)) {
                    state.send.push_back(task.id.clone());
                    self.changed.notify_one();
                }
            }
            if let Stage::Done { handed: handed @ false } = &mut entry.stage {
                *handed = true;
                let failed = entry.failed();
                state.acknowledge.push(task.id.clone());
                if failed {
                    state.entries.remove(&task.id);
                }
                self.changed.notify_one();
            }
            return news;
        }
        let (sender, news) = watch::channel(News::default());
        state.serial += 1;
        let (id, account) = (task.id.clone(), behalf::current().account);
        state.cancels.remove(&id);
        let work = Work {
            task,
            kind,
            account,
            serial: state.serial,
            began: Instant::now(),
            sent: false,
            _counted: metrics::task_waiting(kind),
        };
        state.entries.insert(id.clone(), Entry { stage: Stage::Waiting(work), news: sender });
        state.lanes.entry(kind).or_default().waiting.push(account, id, true);
        state.admit(kind, &self.widths);
        self.changed.notify_one();
        news
    }

    /// Stops a task, unless it is wanted by a higher fence of its operation.
    pub fn cancel(&self, id: &str, fence: i64) {
        let mut state = self.state.lock();
        let state = &mut *state;
        match state.entries.get(id).map(|entry| &entry.stage) {
            Some(Stage::Done { .. }) => return,
            Some(Stage::Waiting(work) | Stage::Running(work)) if work.task.operation_fence > fence => return,
            Some(Stage::Waiting(work) | Stage::Running(work)) if !work.sent => {
                state.send.retain(|waiting| waiting != id);
                state.end_cancelled(id, &self.widths);
            }
            // one that is not known here may have been sent by the host's owner before
            Some(Stage::Waiting(_) | Stage::Running(_)) | None => {
                if state.cancels.insert(id.to_owned(), Cancel::default()).is_none() {
                    state.cancel.push_back(id.to_owned());
                }
            }
        }
        self.changed.notify_one();
    }

    /// Notes how far a task is.
    pub fn progress(&self, progress: TaskProgress) {
        let state = self.state.lock();
        if let Some(entry) = state.entries.get(&progress.task_id)
            && !matches!(entry.stage, Stage::Done { .. })
        {
            entry.news.send_modify(|news| news.progress = Some(progress));
        }
    }

    /// Notes how a task ended.
    pub fn outcome(&self, outcome: TaskOutcome, now: Instant) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let id = outcome.task_id.clone();
        let cancelled = state.cancels.contains_key(&id);
        let not_taken = outcome.error.as_ref().is_some_and(|error| {
            // one that was refused for its operation's sake would be refused again
            NOT_TAKEN.contains(&error.reason.as_str()) && !error.metadata.contains_key("operation_uuid")
        });
        if !not_taken {
            state.cancels.remove(&id);
        }
        match state.entries.get_mut(&id) {
            Some(Entry { stage: Stage::Done { handed }, .. }) => {
                if *handed {
                    state.acknowledge.push(id);
                }
            }
            _ if not_taken => return,
            Some(entry) => {
                // whoever cancelled it does not come back for the outcome
                let handed = cancelled || entry.news.receiver_count() > 0;
                let failed = outcome.error.is_some();
                let stage = std::mem::replace(&mut entry.stage, Stage::Done { handed });
                entry.news.send_modify(|news| news.end = Some(Ok(outcome)));
                if handed && failed {
                    state.entries.remove(&id);
                } else {
                    state.done.push_back((now, id.clone()));
                }
                if handed {
                    state.acknowledge.push(id.clone());
                }
                state.leave(&id, &stage, &self.widths);
            }
            None if cancelled => state.acknowledge.push(id),
            None => {
                let news = watch::channel(News { progress: None, end: Some(Ok(outcome)) }).0;
                state.entries.insert(id.clone(), Entry { stage: Stage::Done { handed: false }, news });
                state.done.push_back((now, id));
            }
        }
        self.changed.notify_one();
    }

    /// The tasks that have not ended, each with what its operation let it do when it was put up.
    pub fn unfinished(&self) -> Vec<(String, Acting)> {
        let state = self.state.lock();
        let acting = |task: &Task| {
            let operation = parse_uuid(&task.operation_uuid)?;
            Some(Acting { operation, fence: task.operation_fence, undoing: task.undo })
        };
        let unfinished = state.entries.iter().filter_map(|(id, entry)| match &entry.stage {
            Stage::Waiting(work) | Stage::Running(work) => Some((id.clone(), acting(&work.task)?)),
            Stage::Done { .. } => None,
        });
        unfinished.collect()
    }

    /// Ends tasks whose operations want them no more; whoever waits hears why.
    pub fn give_up(&self, ids: &[String], why: &Error) {
        let mut state = self.state.lock();
        let state = &mut *state;
        for id in ids {
            let unfinished = state.entries.get(id).is_some_and(|entry| !matches!(entry.stage, Stage::Done { .. }));
            if unfinished && let Some(entry) = state.entries.remove(id) {
                state.send.retain(|waiting| waiting != id);
                entry.news.send_modify(|news| news.end = Some(Err(why.clone())));
                state.leave(id, &entry.stage, &self.widths);
            }
        }
        self.changed.notify_one();
    }

    /// A session is open: what runs is sent again, in the order in which it came.
    pub fn session_up(&self) {
        let mut state = self.state.lock();
        let state = &mut *state;
        state.down = None;
        state.send.clear();
        let mut again: Vec<(u64, String, bool)> = state
            .entries
            .iter()
            .filter_map(|(id, entry)| match &entry.stage {
                Stage::Running(work) => Some((work.serial, id.clone(), entry.news.receiver_count() > 0)),
                Stage::Waiting(_) | Stage::Done { .. } => None,
            })
            .collect();
        again.sort_unstable();
        state.cancel = state.cancels.keys().cloned().collect();
        for (_, id, wanted) in again {
            if state.cancels.contains_key(&id) {
                state.end_cancelled(&id, &self.widths);
            } else if wanted {
                state.send.push_back(id);
            } else if let Some(entry) = state.entries.remove(&id) {
                state.leave(&id, &entry.stage, &self.widths);
            }
        }
        self.changed.notify_one();
    }

    /// The session is over. Those who wait go on waiting.
    pub fn session_down(&self, now: Instant) {
        self.state.lock().down.get_or_insert(now);
    }

    /// What is to be sent next: acknowledgements before tasks, since a task that is tried again has the id of one that failed.
    pub fn next_message(&self, host: Uuid, fence: i64) -> Option<SessionRequest> {
        let mut state = self.state.lock();
        let state = &mut *state;
        if !state.acknowledge.is_empty() {
            let task_ids = std::mem::take(&mut state.acknowledge);
            let message = Message::Acknowledge(AcknowledgeOutcomes { task_ids });
            return Some(SessionRequest { message: Some(message) });
        }
        while let Some(task_id) = state.cancel.pop_front() {
            if let Some(cancel) = state.cancels.get_mut(&task_id) {
                cancel.said = Some(Instant::now());
                return Some(SessionRequest { message: Some(Message::Cancel(CancelTask { task_id })) });
            }
        }
        let mut tasks = Vec::new();
        while tasks.len() < BATCH
            && let Some(id) = state.send.pop_front()
        {
            if let Some(Entry { stage: Stage::Running(work), .. }) = state.entries.get_mut(&id) {
                work.sent = true;
                tasks.push(Task { host_uuid: host.to_string(), fence, ..work.task.clone() });
            }
        }
        (!tasks.is_empty()).then_some(SessionRequest { message: Some(Message::Tasks(TaskBatch { tasks })) })
    }

    /// Forgets outcomes that are old, and those beyond the most that are kept. The agent keeps what was not acknowledged.
    pub fn sweep(&self, now: Instant) {
        let mut state = self.state.lock();
        let state = &mut *state;
        while let Some((since, id)) = state.done.front() {
            let stale = now.saturating_duration_since(*since) >= self.outcome_keep;
            if !stale && state.done.len() <= MOST_KEPT {
                break;
            }
            // an id may stand here twice; the entry is that of its last outcome
            if let Some(Entry { stage: Stage::Done { handed }, .. }) = state.entries.get(id) {
                if stale && !handed {
                    state.acknowledge.push(id.clone());
                    self.changed.notify_one();
                }
                state.entries.remove(id);
            }
            state.done.pop_front();
        }
        // the agent does not know the task, or knew it no more
        let stale = |said: Instant| now.saturating_duration_since(said) >= self.outcome_keep;
        state.cancels.retain(|_, cancel| !cancel.said.is_some_and(stale));
    }

    /// Since when there is no session.
    pub fn down_since(&self) -> Option<Instant> {
        self.state.lock().down
    }

    /// Tells everybody who waits that nothing more will be heard here, and forgets what they waited for.
    pub fn fail_all(&self, error: &Error) {
        let mut state = self.state.lock();
        let state = &mut *state;
        state.lanes.clear();
        state.send.clear();
        state.entries.retain(|_, entry| {
            let done = matches!(entry.stage, Stage::Done { .. });
            if !done {
                entry.news.send_modify(|news| news.end = Some(Err(error.clone())));
            }
            done
        });
    }

    /// The lanes with work, one for each kind.
    pub fn lanes(&self, host: Uuid) -> Vec<proto::Lane> {
        let state = self.state.lock();
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let lane = |kind: WorkKind, lane: &Lane| {
            let running = state.entries.iter().filter_map(|(id, entry)| match &entry.stage {
                Stage::Running(work) if work.kind == kind => Some((work.serial, id)),
                Stage::Running(_) | Stage::Waiting(_) | Stage::Done { .. } => None,
            });
            let head = running.min().map(|(_, id)| id).or(lane.waiting.next());
            let waited = |id: &String| match &state.entries.get(id)?.stage {
                Stage::Waiting(work) => Some(work.began.elapsed()),
                Stage::Running(_) | Stage::Done { .. } => None,
            };
            let oldest = lane.waiting.fronts().filter_map(waited).max();
            proto::Lane {
                kind: proto::LaneKind::HostWork.into(),
                key_uuid: host.to_string(),
                work: kind.name().to_owned(),
                width: number(self.widths.of(kind)),
                running: number(lane.running),
                waiting: number(lane.waiting.len()),
                head: head.cloned().unwrap_or_default(),
                oldest_wait: oldest.map(|time| gyre_proto::Duration {
                    seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
                    nanos: i32::try_from(time.subsec_nanos()).unwrap_or(0),
                }),
                ..proto::Lane::default()
            }
        };
        state.lanes.iter().map(|(kind, work)| lane(*kind, work)).collect()
    }

    /// How many tasks wait and how many run.
    #[cfg(test)]
    fn load(&self) -> (usize, usize) {
        let state = self.state.lock();
        let count = |running: bool| {
            let stages = state.entries.values().map(|entry| &entry.stage);
            stages
                .filter(|stage| matches!((stage, running), (Stage::Waiting(_), false) | (Stage::Running(_), true)))
                .count()
        };
        (count(false), count(true))
    }
}

impl Entry {
    fn failed(&self) -> bool {
        matches!(&self.news.borrow().end, Some(Ok(outcome)) if outcome.error.is_some())
    }
}

impl State {
    /// Lets tasks of a kind run as far as the lane is wide.
    fn admit(&mut self, kind: WorkKind, widths: &Widths) {
        let Some(lane) = self.lanes.get_mut(&kind) else { return };
        while lane.running < widths.of(kind)
            && let Some(id) = lane.waiting.pop()
        {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            if entry.news.receiver_count() == 0 {
                self.entries.remove(&id);
                continue;
            }
            let stage = std::mem::replace(&mut entry.stage, Stage::Done { handed: false });
            entry.stage = match stage {
                Stage::Waiting(work) => {
                    lane.running += 1;
                    self.send.push_back(id);
                    Stage::Running(Work { _counted: metrics::task_running(kind), ..work })
                }
                other => other,
            };
        }
        if lane.running == 0 && lane.waiting.is_empty() {
            self.lanes.remove(&kind);
        }
    }

    /// Tells those who wait for a task that it was cancelled, and forgets it.
    fn end_cancelled(&mut self, id: &str, widths: &Widths) {
        let Some(entry) = self.entries.remove(id) else { return };
        let error = Error::new(Kind::Cancelled, "TASK_CANCELLED", "the task was cancelled");
        let outcome = TaskOutcome { task_id: id.to_owned(), error: Some((&error).into()), result: None };
        entry.news.send_modify(|news| news.end = Some(Ok(outcome)));
        self.leave(id, &entry.stage, widths);
    }

    /// Takes a task out of its lane.
    fn leave(&mut self, id: &str, stage: &Stage, widths: &Widths) {
        let kind = match stage {
            Stage::Done { .. } => return,
            Stage::Running(work) => {
                metrics::task_ended(work.kind, work.began.elapsed());
                if let Some(lane) = self.lanes.get_mut(&work.kind) {
                    lane.running = lane.running.saturating_sub(1);
                }
                work.kind
            }
            Stage::Waiting(work) => {
                if let Some(lane) = self.lanes.get_mut(&work.kind) {
                    lane.waiting.extract(&work.account, |waiting| waiting == id);
                }
                work.kind
            }
        };
        self.admit(kind, widths);
    }
}

#[cfg(test)]
mod tests;
