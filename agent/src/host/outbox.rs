//! What a session has to tell, and the stream that tells it.
//!
//! The outbox holds levels, not a history: the latest progress of each task, the latest state of each machine, each outcome once.
//! So it stays small however slowly the controller reads, and what matters is never dropped. Progress of a task never comes after
//! its outcome.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use futures::stream::{BoxStream, StreamExt};
use gyre_model::{Error, Kind, Uuid};
use gyre_proto::agent::v1::session_response::Message;
use gyre_proto::agent::v1::{
    AgentHello, Heartbeat, MachineFacts, MachineReport, SessionRequest, SessionResponse, TaskOutcome, TaskProgress,
};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::Host;

const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(5);

/// The refusal of a fence that is too low.
pub(super) fn fenced(fence: i64, seen: i64) -> Error {
    Error::new(
        Kind::Aborted,
        "FENCED",
        format!("the fence {fence} is lower than {seen}, which another controller holds; read the host's owner again"),
    )
    .with("fence", fence.to_string())
    .with("seen", seen.to_string())
}

/// What a session has to tell.
pub(super) struct Outbox {
    host: Uuid,
    fence: i64,
    ready: Notify,
    over: CancellationToken,
    letters: Mutex<Letters>,
}

#[derive(Default)]
struct Letters {
    hello: Option<AgentHello>,
    outcomes: VecDeque<TaskOutcome>,
    progress: HashMap<String, TaskProgress>,
    machines: HashMap<String, MachineFacts>,
    /// Answers, in order.
    reports: VecDeque<MachineReport>,
    /// `Some` when the session is over; an error says why.
    closed: Option<Option<Error>>,
}

impl Outbox {
    pub(super) fn new(host: Uuid, fence: i64) -> Self {
        Self { host, fence, ready: Notify::new(), over: CancellationToken::new(), letters: Mutex::default() }
    }

    /// The host that the session is for.
    pub(super) fn host(&self) -> Uuid {
        self.host
    }

    pub(super) fn fence(&self) -> i64 {
        self.fence
    }

    /// Whether the session was ended.
    pub(super) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    fn put(&self, put: impl FnOnce(&mut Letters)) {
        put(&mut self.letters.lock());
        self.ready.notify_one();
    }

    pub(super) fn hello(&self, hello: AgentHello) {
        self.put(|letters| letters.hello = Some(hello));
    }

    pub(super) fn outcome(&self, outcome: TaskOutcome) {
        self.put(|letters| {
            letters.progress.remove(&outcome.task_id);
            letters.outcomes.push_back(outcome);
        });
    }

    pub(super) fn progress(&self, progress: TaskProgress) {
        self.put(|letters| drop(letters.progress.insert(progress.task_id.clone(), progress)));
    }

    pub(super) fn machine(&self, facts: MachineFacts) {
        self.put(|letters| drop(letters.machines.insert(facts.vm_uuid.clone(), facts)));
    }

    /// A part of an answer.
    pub(super) fn report(&self, report: MachineReport) {
        self.put(|letters| letters.reports.push_back(report));
    }

    /// Ends the session. The first reason stands.
    pub(super) fn close(&self, reason: Option<Error>) {
        self.put(|letters| {
            letters.closed.get_or_insert(reason);
        });
        self.over.cancel();
    }

    fn next(&self) -> Next {
        let mut letters = self.letters.lock();
        let message = if let Some(reason) = &letters.closed {
            return Next::Over(reason.clone());
        } else if let Some(hello) = letters.hello.take() {
            Message::Hello(hello)
        } else if let Some(outcome) = letters.outcomes.pop_front() {
            Message::Outcome(outcome)
        } else if let Some(vm) = letters.machines.keys().next().cloned() {
            let Some(facts) = letters.machines.remove(&vm) else { return Next::Nothing };
            Message::Machine(facts)
        } else if let Some(report) = letters.reports.pop_front() {
            Message::Report(report)
        } else if let Some(task) = letters.progress.keys().next().cloned() {
            let Some(progress) = letters.progress.remove(&task) else { return Next::Nothing };
            Message::Progress(progress)
        } else {
            return Next::Nothing;
        };
        Next::Letter(Box::new(SessionResponse { message: Some(message) }))
    }
}

enum Next {
    Letter(Box<SessionResponse>),
    Nothing,
    Over(Option<Error>),
}

/// An open session. Dropping it ends it.
pub struct Session {
    host: Host,
    outbox: Arc<Outbox>,
    heartbeat: Duration,
}

impl Session {
    pub(super) fn new(host: Host, outbox: Arc<Outbox>, heartbeat_ms: i32) -> Self {
        let heartbeat = u64::try_from(heartbeat_ms).ok().filter(|ms| *ms > 0).map_or(DEFAULT_HEARTBEAT, |ms| {
            Duration::from_millis(ms).clamp(Duration::from_millis(50), Duration::from_secs(60))
        });
        Self { host, outbox, heartbeat }
    }

    /// Runs the session: takes what the controller sends until it stops sending, and gives the stream of what it is told.
    pub fn run(
        self,
        mut requests: impl Stream<Item = Result<SessionRequest, Status>> + Unpin + Send + 'static,
    ) -> BoxStream<'static, Result<SessionResponse, Status>> {
        let (host, outbox) = (self.host.clone(), self.outbox.clone());
        let stop = host.0.stop.clone();
        self.host.0.tracker.spawn(async move {
            let reason = loop {
                let request = tokio::select! {
                    biased;
                    () = stop.cancelled() => break Some(stopping()),
                    () = outbox.over.cancelled() => return,
                    request = requests.next() => request,
                };
                match request {
                    Some(Ok(request)) => {
                        if let Err(error) = host.take(&outbox, request).await {
                            break Some(error);
                        }
                    }
                    Some(Err(_)) | None => break None,
                }
            };
            outbox.close(reason);
        });
        let mut ticks = interval_at(Instant::now() + self.heartbeat, self.heartbeat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let told = futures::stream::unfold((self, ticks, false), |(session, mut ticks, over)| async move {
            if over {
                return None;
            }
            loop {
                match session.outbox.next() {
                    Next::Letter(letter) => return Some((Ok(*letter), (session, ticks, false))),
                    Next::Over(None) => return None,
                    Next::Over(Some(error)) => return Some((Err(Status::from(error)), (session, ticks, true))),
                    Next::Nothing => {}
                }
                tokio::select! {
                    biased;
                    () = session.outbox.ready.notified() => {}
                    _ = ticks.tick() => {
                        if session.host.heart_beats() {
                            let beat = Heartbeat { time: Some(gyre_model::time::now()) };
                            let letter = SessionResponse { message: Some(Message::Heartbeat(beat)) };
                            return Some((Ok(letter), (session, ticks, false)));
                        }
                    }
                }
            }
        });
        told.boxed()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.outbox.close(None);
        self.host.closed(&self.outbox);
        crate::metrics::session_closed();
    }
}

/// The agent is going down.
pub(crate) fn stopping() -> Error {
    Error::unavailable(
        "AGENT_STOPPING",
        "the agent is stopping; its machines run on and its tasks go on after its next start",
    )
}
