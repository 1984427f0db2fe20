//! One host: who may command it, what it was asked to do, and what runs there.
//!
//! Theory.
//! 1. One controller at a time has the session. A new session needs a fence at least as high as the highest that was ever seen
//!    (kept on the disk), and cuts the one before it. So of two controllers that both believe to own the host, the later wins, and
//!    the earlier learns of it at once.
//! 2. Tasks, outcomes and the session's outbox stand under one lock, so that a task that ends while a session opens is told exactly
//!    once: it is either among the outcomes that the new session begins with, or pushed to it afterwards.
//! 3. An outcome is kept until the controller acknowledges it. A task id that is known joins its task; it never runs twice at once.
//! 4. A task must not say less than its operation has said already ([`ledger`]), so that an old owner of an operation commands
//!    nothing, whoever brings its task.
//! 5. Whoever asks what machines there are ([`Message::Ask`]) is answered from the table of the moment in which the question is taken:
//!    the answer is never older than the question. Where nothing changed since the last answer, it says only that.
//! 6. A host that is removed is let go ([`release`]): the agent then belongs to nobody, and the next controller's host is its own.
//! 7. The simulator has thousands of these over simulated ports, a real agent has one.

mod binding;
mod ledger;
mod line;
mod outbox;
mod release;
mod run;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use gyre_model::{Error, Kind, Result, Uuid};
use gyre_proto::agent::v1::{
    AgentHello, AskMachines, ControllerHello, HostFacts, MachineReport, ReportStamp, SessionRequest, TaskOutcome,
    TaskProgress, session_request::Message,
};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::binding::Binding;
use self::ledger::Ledger;
pub use self::ledger::SAID_KEPT;
pub use self::outbox::Session;
pub(crate) use self::outbox::stopping;
use self::outbox::{Outbox, fenced};
pub use self::run::Widths;
use crate::drivers::simulator::Faults;
use crate::failure;
use crate::images::Images;
use crate::journal::{Journal, Kept, KeptTask};
use crate::lanes::Lanes;
use crate::machines::Machines;
use crate::ports::Ports;
use crate::volumes::Volumes;

/// Most machines in one message.
const PAGE: usize = 1000;
/// Most machines in a hello; where there are more, they are to be asked for.
const HELLO_MACHINES: usize = 4000;
/// Most tasks in a hello.
const HELLO_TASKS: usize = 1000;

/// Which run of which boot this is.
#[derive(Debug, Clone)]
pub struct Run {
    /// The boot of the host.
    pub boot_id: Arc<str>,
    /// The run of the agent.
    pub run_id: Arc<str>,
}

/// What a host is made with.
pub struct HostParts {
    /// The drivers.
    pub ports: Ports,
    /// What does not change of the host's facts.
    pub facts: HostFacts,
    /// Which run this is.
    pub run: Run,
    /// Where tasks are kept.
    pub journal: Journal,
    /// Whom the host belongs to.
    pub binding: Binding,
    /// How much work runs at once.
    pub widths: Widths,
    /// The most bytes of an image's file.
    pub max_image_bytes: u64,
    /// The simulator's faults.
    pub faults: Option<Arc<Faults>>,
    /// Called when the host was let go, where it is then of no use any more: a simulated one.
    pub released: Option<Released>,
    /// Everything that runs.
    pub tracker: TaskTracker,
    /// The end of the agent.
    pub stop: CancellationToken,
}

/// What happens when a host was let go.
pub type Released = Box<dyn Fn() + Send + Sync>;

/// A host. Clones share it.
#[derive(Clone)]
pub struct Host(Arc<Shared>);

pub(crate) struct Shared {
    ports: Ports,
    facts: HostFacts,
    run: Run,
    journal: Journal,
    binding: tokio::sync::Mutex<Binding>,
    uuid: RwLock<Option<Uuid>>,
    widths: Widths,
    faults: Option<Arc<Faults>>,
    released: Option<Released>,
    tracker: TaskTracker,
    stop: CancellationToken,
    machines: Machines,
    images: Images,
    volumes: Volumes,
    lanes: Lanes,
    task_ended: Notify,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    fence: i64,
    /// It is being let go: nothing begins.
    releasing: bool,
    session: Option<Arc<Outbox>>,
    tasks: HashMap<String, Entry>,
    said: Ledger,
}

enum Entry {
    Running { cancel: CancellationToken, progress: Option<TaskProgress> },
    Done(TaskOutcome),
}

impl Host {
    /// Makes a host of its parts. Nothing is looked at yet.
    pub fn new(parts: HostParts) -> Self {
        let HostParts { ports, facts, run, journal, binding, widths, max_image_bytes, faults, released, tracker, stop } =
            parts;
        let images = Images::new(ports.clone(), max_image_bytes, widths.images, tracker.clone());
        let volumes = Volumes::new(ports.clone(), images.clone());
        let uuid = RwLock::new(binding.host());
        let inner = Inner { fence: binding.fence(), ..Inner::default() };
        Self(Arc::new_cyclic(|host: &Weak<Shared>| {
            let teller = host.clone();
            let lanes = Lanes::default();
            let machines = Machines::new(
                ports.clone(),
                tracker.clone(),
                lanes.clone(),
                Arc::new(move |facts| {
                    let session = teller.upgrade().and_then(|host| host.inner.lock().session.clone());
                    if let Some(session) = session {
                        session.machine(facts);
                    }
                }),
            );
            Shared {
                ports,
                facts,
                run,
                journal,
                binding: tokio::sync::Mutex::new(binding),
                uuid,
                widths,
                faults,
                released,
                tracker,
                stop,
                machines,
                images,
                volumes,
                lanes,
                task_ended: Notify::new(),
                inner: Mutex::new(inner),
            }
        }))
    }

    /// Finds the machines that run, and takes up the tasks of the journal: those without an outcome run again.
    ///
    /// # Errors
    /// The host cannot be looked at.
    pub async fn resume(&self, kept: Kept) -> Result<()> {
        self.0.machines.find().await?;
        let unfinished: Vec<_> = {
            let mut inner = self.0.inner.lock();
            inner.said = Ledger::new(&kept.said);
            kept.tasks
                .into_iter()
                .filter_map(|KeptTask { task, outcome }| match outcome {
                    Some(outcome) => {
                        inner.tasks.insert(outcome.task_id.clone(), Entry::Done(outcome));
                        None
                    }
                    None => Some(task),
                })
                .collect()
        };
        for task in unfinished {
            tracing::info!(task = task.id, "running a task again that was not finished");
            self.resume_task(task);
        }
        Ok(())
    }

    /// The host's UUID, once a controller has said it.
    pub fn uuid(&self) -> Option<Uuid> {
        *self.0.uuid.read()
    }

    /// The drivers.
    pub fn ports(&self) -> &Ports {
        &self.0.ports
    }

    /// The images.
    pub fn images(&self) -> &Images {
        &self.0.images
    }

    /// The machines.
    pub fn machines(&self) -> &Machines {
        &self.0.machines
    }

    /// The volumes.
    pub fn volumes(&self) -> &Volumes {
        &self.0.volumes
    }

    /// How many tasks run or wait.
    pub fn tasks_running(&self) -> usize {
        self.0.inner.lock().tasks.values().filter(|entry| matches!(entry, Entry::Running { .. })).count()
    }

    /// The host's facts.
    pub fn facts(&self) -> HostFacts {
        let mut facts = self.0.facts.clone();
        self.0.ports.hypervisor.facts(&mut facts);
        self.0.ports.network.mode().clone_into(&mut facts.network_mode);
        facts
    }

    /// Opens a session: admits the controller, cuts the session before, and begins with the hello and all outcomes that are kept.
    ///
    /// # Errors
    /// `FENCED`, `AGENT_BELONGS_TO_ANOTHER_HOST`, `RELEASED` (try again).
    pub async fn open(&self, hello: &ControllerHello) -> Result<Session> {
        let uuid = failure::uuid("hello.host_uuid", &hello.host_uuid)?;
        // one admission at a time: the fence is on the disk before anybody acts under it
        let mut binding = self.0.binding.lock().await;
        binding.admit(uuid, hello.fence).await?;
        let facts = self.facts();
        let outbox = Arc::new(Outbox::new(uuid, hello.fence));
        let old = {
            let mut inner = self.0.inner.lock();
            inner.fence = hello.fence;
            *self.0.uuid.write() = Some(uuid);
            let (machines, sequence) = self.0.machines.list();
            let machine_count = i32::try_from(machines.len()).unwrap_or(i32::MAX);
            let machines = if machines.len() > HELLO_MACHINES { Vec::new() } else { machines };
            let task_ids = inner.tasks.keys().take(HELLO_TASKS).cloned().collect();
            let stamp = Some(self.stamp(sequence));
            outbox.hello(AgentHello { facts: Some(facts), machines, task_ids, stamp, machine_count });
            for entry in inner.tasks.values() {
                match entry {
                    Entry::Done(outcome) => outbox.outcome(outcome.clone()),
                    Entry::Running { progress: Some(progress), .. } => outbox.progress(progress.clone()),
                    Entry::Running { progress: None, .. } => {}
                }
            }
            inner.session.replace(outbox.clone())
        };
        drop(binding);
        if let Some(old) = old {
            old.close(Some(fenced(old.fence(), hello.fence)));
        }
        crate::metrics::session_opened();
        tracing::info!(host = %uuid, fence = hello.fence, controller = hello.instance_uuid, "session opened");
        Ok(Session::new(self.clone(), outbox, hello.heartbeat_ms))
    }

    /// Takes a message of the session.
    async fn take(&self, outbox: &Arc<Outbox>, request: SessionRequest) -> Result<()> {
        match request.message {
            None | Some(Message::Hello(_)) => {
                return Err(Error::new(
                    Kind::InvalidArgument,
                    "SESSION_MESSAGE_UNEXPECTED",
                    "after the hello come tasks, cancellations, acknowledgements, questions and a release",
                ));
            }
            Some(Message::Tasks(batch)) => batch.tasks.into_iter().for_each(|task| self.submit(outbox, task)),
            Some(Message::Cancel(cancel)) => {
                let inner = self.0.inner.lock();
                // a session that was cut has no say any more
                if outbox.fence() == inner.fence
                    && let Some(Entry::Running { cancel, .. }) = inner.tasks.get(&cancel.task_id)
                {
                    cancel.cancel();
                }
            }
            Some(Message::Acknowledge(acknowledge)) => {
                let mut inner = self.0.inner.lock();
                let mut known = acknowledge.task_ids;
                known.retain(|id| {
                    let done = matches!(inner.tasks.get(id), Some(Entry::Done(_)));
                    if done {
                        inner.tasks.remove(id);
                    }
                    done
                });
                drop(inner);
                self.0.journal.forget(known);
            }
            Some(Message::Ask(ask)) => self.answer(outbox, ask),
            // after it nothing is to be said in this session
            Some(Message::Release(_)) => return Err(self.release(outbox).await),
        }
        Ok(())
    }

    fn stamp(&self, sequence: i64) -> ReportStamp {
        let Run { boot_id, run_id } = &self.0.run;
        ReportStamp { boot_id: boot_id.to_string(), run_id: run_id.to_string(), sequence }
    }

    /// Answers what machines there are, now.
    fn answer(&self, outbox: &Outbox, ask: AskMachines) {
        let (machines, sequence) = if ask.vm_uuids.is_empty() {
            self.0.machines.list()
        } else {
            let some = ask.vm_uuids.iter().filter_map(|vm| gyre_model::parse_uuid(vm));
            self.0.machines.some(some)
        };
        let stamp = self.stamp(sequence);
        let unchanged = ask.vm_uuids.is_empty() && ask.known.as_ref() == Some(&stamp);
        let report = |machines: &[_], last| MachineReport {
            serial: ask.serial,
            stamp: Some(stamp.clone()),
            unchanged,
            machines: machines.to_vec(),
            last,
        };
        if unchanged || machines.is_empty() {
            return outbox.report(report(&[], true));
        }
        let last = machines.len().div_ceil(PAGE) - 1;
        for (at, page) in machines.chunks(PAGE).enumerate() {
            outbox.report(report(page, at == last));
        }
    }

    /// The session is over, if it still is the one.
    fn closed(&self, outbox: &Arc<Outbox>) {
        let mut inner = self.0.inner.lock();
        if inner.session.as_ref().is_some_and(|session| Arc::ptr_eq(session, outbox)) {
            inner.session = None;
            tracing::info!(host = %outbox.host(), fence = outbox.fence(), "session closed");
        }
    }
}
