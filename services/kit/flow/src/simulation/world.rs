//! The simulated world: true time, the queue of what happens, the network between all parts, and what must always hold.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt;

use gyre_model::Uuid;
use gyre_proto::common::v1::OperationState;

use super::agent::{Agent, Outcome, Taken, Task, TaskId};
use super::client::Client;
use super::etcd::{self, Etcd};
use super::faults::{self, Fault};
use super::operations::{Memory, New, Operations, Saved, Stands, Turn};
use super::process::{Input, Process};
use super::random::Random;
use crate::recovery::choose::{Rest, Row};

/// True time, in microseconds.
pub(super) type Time = u64;
pub(super) const MILLI: Time = 1_000;
pub(super) const SECOND: Time = 1_000_000;

/// Steps of each operation.
pub(super) const STEPS: usize = 2;
/// How long a stuck operation rests.
const REST: i64 = 3_000_000;
/// How long the load goes on, and the faults.
pub(super) const LOAD: Time = 20 * SECOND;
/// How long after the last fault every operation must have ended.
pub(super) const BOUND: Time = 60 * SECOND;

/// A process in its place, in one of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Life {
    pub slot: usize,
    pub life: u32,
}

/// What is broken on purpose, to see that the simulation finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Nothing,
    /// Instances work whether they can prove their lease or not.
    NoLeaseCheck,
    /// A lease counts from when its answer came, and to its very end.
    LeaseFromAnswer,
    /// Commits do not look at the fence.
    NoFenceOnCommit,
    /// Taking an operation is no compare-and-set.
    NoCompare,
    /// No index says which operation runs on a resource.
    NoIndex,
    /// Agents do not look at fences.
    AgentForgets,
    /// Who takes an operation over undoes only the steps that it ran itself.
    ShortUndo,
    /// A lane forgets whose turn it asked for when the answer is lost.
    LaneForgets,
}

/// What is asked of the database. Each is one transaction.
#[derive(Debug, Clone)]
pub(super) enum Call {
    Insert(New, i64),
    Page,
    Take(Vec<(Uuid, i64)>, Uuid),
    Promote(Uuid, i64, bool),
    /// What, fence, state, unless cancelled, the last step that ran, now by the instance's clock, the instance.
    Save(Uuid, i64, OperationState, bool, usize, i64, Uuid),
    Cancel(Uuid),
    Glance(Task),
    NextFence(usize),
}

#[derive(Debug, Clone)]
pub(super) enum Told {
    Inserted(Stands),
    Page(Vec<Row>),
    Taken(Vec<(Stands, usize)>),
    Turn(Turn, bool),
    Saved(Saved),
    Cancelled(bool),
    MayAct(bool),
    Fence(i64),
    Away,
}

/// Something that happens.
pub(super) enum Event {
    Process(Life, Input),
    AskEtcd(Life, u64, etcd::Ask),
    EtcdTick,
    AskDatabase(Life, u64, Call),
    /// A new session from a process.
    Hello(usize, Life, i64),
    Command(usize, Life, i64, Task),
    Run(usize, u32, TaskId),
    Acknowledge(usize, TaskId),
    Client(usize, super::client::Input),
    Begin(Fault),
    End(Fault),
}

struct Queued(Time, u64, Event);

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// Where a message goes between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Process(usize),
    Etcd,
    Database,
    Agent(usize),
    Client,
}

/// What the database keeps beside the model of operations.
#[derive(Default)]
pub(super) struct Database {
    pub memory: Memory,
    /// When each last changed, by the writer's clock; and the last step that ran when it turned back.
    pub beside: BTreeMap<Uuid, (i64, usize)>,
    pub fences: BTreeMap<usize, i64>,
    /// Who was given a fence of an operation.
    holders: BTreeMap<(Uuid, i64), Uuid>,
}

pub(super) struct World {
    pub now: Time,
    pub random: Random,
    pub broken: Broken,
    queue: BinaryHeap<Reverse<Queued>>,
    sequence: u64,
    pub etcd: Etcd,
    pub database: Database,
    pub processes: Vec<Process>,
    pub agents: Vec<Agent>,
    pub clients: Vec<Client>,
    /// Between whom nothing passes, and how many faults say so.
    pub cuts: BTreeMap<(Place, Place), u32>,
    /// How many of a hundred messages are lost.
    pub loss: u64,
    pub down: BTreeSet<Place>,
    /// Operations whose submit was answered.
    pub acknowledged: BTreeMap<String, Uuid>,
    pub faults: Vec<(Time, Fault, Time)>,
    pub healed: Time,
    pub violation: Option<String>,
    pub events: u64,
    pub taken: u64,
    /// How many operations were made.
    pub made: u64,
    trace: Option<Vec<String>>,
}

impl World {
    pub fn new(seed: u64, broken: Broken, trace: bool) -> Self {
        let mut random = Random::new(seed);
        let slots = 2 + random.below(3);
        let agents = 1 + random.below(2);
        let mut world = Self {
            now: 0,
            broken,
            queue: BinaryHeap::new(),
            sequence: 0,
            etcd: Etcd::default(),
            database: Database::default(),
            processes: (0..slots).map(|slot| Process::new(slot, &mut random)).collect(),
            agents: (0..agents).map(|_| Agent::new(broken == Broken::AgentForgets)).collect(),
            clients: Vec::new(),
            cuts: BTreeMap::new(),
            loss: 0,
            down: BTreeSet::new(),
            acknowledged: BTreeMap::new(),
            faults: Vec::new(),
            healed: 0,
            violation: None,
            events: 0,
            taken: 0,
            made: 0,
            random,
            trace: trace.then(Vec::new),
        };
        world.database.memory.no_fence = broken == Broken::NoFenceOnCommit;
        world.database.memory.no_compare = broken == Broken::NoCompare;
        world.database.memory.no_index = broken == Broken::NoIndex;
        for slot in 0..slots {
            // not all at once
            let after = world.random.between(0, SECOND);
            world.at(after, Event::Process(Life { slot, life: 0 }, Input::Start));
        }
        world.at(0, Event::EtcdTick);
        let wishes = 6 + world.random.below(12);
        for number in 0..wishes {
            let client = Client::new(number, &mut world.random);
            world.clients.push(client);
            let at = world.random.between(2 * SECOND, LOAD);
            world.at(at, Event::Client(number, super::client::Input::Try(0)));
        }
        world
    }

    /// The faults of this run.
    pub fn plan(&mut self, faults: Vec<(Time, Fault, Time)>) {
        for (at, fault, lasts) in &faults {
            self.at(*at, Event::Begin(*fault));
            self.at(*at + *lasts, Event::End(*fault));
            self.healed = self.healed.max(*at + *lasts);
        }
        self.faults = faults;
    }

    /// Runs until everything has ended, or something is wrong.
    pub fn run(&mut self) {
        let end = LOAD.max(self.healed) + BOUND;
        let mut quiet = None;
        while let Some(Reverse(Queued(at, _, event))) = self.queue.pop() {
            self.now = at;
            self.events += 1;
            self.handle(event);
            if self.violation.is_some() {
                return;
            }
            if at > LOAD.max(self.healed) && self.events.is_multiple_of(16) {
                // what is on its way still must change nothing
                let since = if self.quiet() { *quiet.get_or_insert(at) } else { *quiet.insert(at) };
                if at > since + 4 * SECOND {
                    return self.look_at_the_end();
                }
            }
            if at > end {
                let open: Vec<_> =
                    self.database.memory.rows.values().filter(|row| !crate::record::ended(row.state)).collect();
                let clients: Vec<_> =
                    self.clients.iter().filter(|client| !client.done).map(|client| &client.request).collect();
                self.wrong(format!(
                    "{} s after the last fault there are operations that have not ended: {open:?}, and wishes without \
                     an answer: {clients:?}",
                    BOUND / SECOND
                ));
                return;
            }
        }
    }

    fn quiet(&self) -> bool {
        self.clients.iter().all(|client| client.done)
            && self.database.memory.rows.values().all(|row| crate::record::ended(row.state))
            && self.processes.iter().all(Process::idle)
    }

    fn look_at_the_end(&mut self) {
        let mut wrong = Vec::new();
        for row in self.database.memory.rows.values() {
            for step in 0..STEPS {
                let there = self.agents.iter().any(|agent| agent.things.contains(&(row.uuid, step)));
                if there != (row.state == OperationState::Succeeded) {
                    let how = if there { "left its step" } else { "lacks its step" };
                    wrong.push(format!("{} ended as {:?} and {how} {step} on its host", short(row.uuid), row.state));
                }
            }
        }
        for process in &self.processes {
            if process.alive && process.lanes.depth() != (0, 0) {
                wrong.push(format!("p{} holds lanes while idle", process.me.slot));
            }
        }
        for (request, uuid) in &self.acknowledged {
            if !self.database.memory.rows.contains_key(uuid) {
                wrong.push(format!("{request} was acknowledged and is lost"));
            }
        }
        if !wrong.is_empty() {
            self.wrong(wrong.join("; "));
        }
    }

    pub fn wrong(&mut self, what: String) {
        self.say(|| format!("WRONG: {what}"));
        self.violation.get_or_insert(what);
    }

    pub fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>12.6} {}", self.now as f64 / SECOND as f64, what()));
        }
    }

    pub fn trace(&self) -> String {
        self.trace.as_ref().map(|lines| lines.join("\n")).unwrap_or_default()
    }

    pub fn at(&mut self, time: Time, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse(Queued(time, self.sequence, event)));
    }

    /// A process's own timer.
    pub fn after(&mut self, who: Life, wait: Time, input: Input) {
        self.at(self.now + wait, Event::Process(who, input));
    }

    fn cut(&self, one: Place, other: Place) -> bool {
        let lost = |place| self.down.contains(&place);
        lost(one) || lost(other) || self.cuts.contains_key(&(one.min(other), one.max(other)))
    }

    /// How long a message takes; none where it is lost.
    fn travel(&mut self, from: Place, to: Place) -> Option<Time> {
        if self.cut(from, to) || self.random.percent(self.loss) {
            return None;
        }
        Some(if self.random.percent(4) {
            self.random.between(5 * MILLI, 800 * MILLI)
        } else {
            self.random.between(MILLI / 5, 5 * MILLI)
        })
    }

    /// A message through the network: late, lost, or never twice.
    pub fn send(&mut self, from: Place, to: Place, event: Event) {
        if let Some(wait) = self.travel(from, to) {
            self.at(self.now + wait, event);
        }
    }

    pub fn tell(&mut self, from: Place, who: Life, input: Input) {
        self.send(from, Place::Process(who.slot), Event::Process(who, input));
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Process(who, input) => self.process(who, input),
            Event::AskEtcd(who, token, ask) => self.ask_etcd(who, token, ask),
            Event::EtcdTick => {
                if !self.down.contains(&Place::Etcd) {
                    let changes = self.etcd.expire(self.now);
                    self.publish(changes);
                }
                self.at(self.now + SECOND / 2, Event::EtcdTick);
            }
            Event::AskDatabase(who, token, call) => self.ask_database(who, token, call),
            Event::Hello(agent, who, fence) => {
                if self.down.contains(&Place::Agent(agent)) {
                    return;
                }
                let admitted = self.agents[agent].admit(fence, who);
                self.say(|| format!("a{agent}: session {fence} of {who}: {admitted}"));
                self.tell(Place::Agent(agent), who, Input::Session(agent, fence, admitted));
                if admitted {
                    let done: Vec<_> =
                        self.agents[agent].tasks.iter().filter(|(_, kept)| kept.2).map(|(id, _)| *id).collect();
                    for id in done {
                        self.outcome(agent, id, Outcome::Done);
                    }
                }
            }
            Event::Command(agent, who, session, task) => self.command(agent, who, session, task),
            Event::Run(agent, life, id) => {
                if self.agents[agent].life != life {
                    return;
                }
                match self.agents[agent].run(id) {
                    Ok(true) => {
                        self.say(|| format!("a{agent}: ran {id}"));
                        let ended = self.database.memory.get(id.operation).is_some_and(|row| {
                            crate::record::ended(row.state) && row.state != OperationState::Succeeded && !id.undo
                        });
                        if ended {
                            self.wrong(format!("a{agent} ran {id}, whose operation had been undone"));
                        }
                        self.outcome(agent, id, Outcome::Done);
                    }
                    Ok(false) => {}
                    Err(wrong) => self.wrong(format!("a{agent}: {wrong}")),
                }
            }
            Event::Acknowledge(agent, id) => {
                let tasks = &mut self.agents[agent].tasks;
                if tasks.get(&id).is_some_and(|kept| kept.2) {
                    tasks.remove(&id);
                }
            }
            Event::Client(number, input) => super::client::handle(self, number, input),
            Event::Begin(fault) => faults::begin(self, fault),
            Event::End(fault) => faults::end(self, fault),
        }
    }

    fn command(&mut self, agent: usize, who: Life, session: i64, task: Task) {
        if self.down.contains(&Place::Agent(agent)) {
            return;
        }
        if self.agents[agent].session.is_none() {
            // it began anew, and the stream with it
            return self.tell(Place::Agent(agent), who, Input::Outcome(agent, task.id, Outcome::Away));
        }
        match self.agents[agent].take(session, task) {
            Taken::Begin => {
                let longest = if self.random.percent(20) { 2 * SECOND } else { 300 * MILLI };
                let takes = self.random.between(MILLI, longest);
                let host = &mut self.agents[agent];
                host.free = host.free.max(self.now) + takes;
                let (at, life) = (host.free, host.life);
                self.at(at, Event::Run(agent, life, task.id));
            }
            Taken::Join => {}
            Taken::Answer(outcome) => {
                self.say(|| format!("a{agent}: {} of {who} (session {session}) is {outcome:?}", task.id));
                self.tell(Place::Agent(agent), who, Input::Outcome(agent, task.id, outcome));
            }
        }
    }

    fn outcome(&mut self, agent: usize, id: TaskId, outcome: Outcome) {
        if let Some(who) = self.agents[agent].session {
            self.tell(Place::Agent(agent), who, Input::Outcome(agent, id, outcome));
        }
    }

    fn ask_etcd(&mut self, who: Life, token: u64, ask: etcd::Ask) {
        if self.down.contains(&Place::Etcd) {
            return;
        }
        let (answer, changes) = self.etcd.ask(self.now, who, ask);
        let opened = match &answer {
            etcd::Answer::Watching(stream, ..) => Some(*stream),
            _ => None,
        };
        match self.travel(Place::Etcd, Place::Process(who.slot)) {
            Some(wait) => {
                if let Some(stream) = opened {
                    // what follows comes after it
                    self.etcd.streams.insert(stream, (who, self.now + wait));
                }
                self.after(who, wait, Input::Etcd(token, answer));
            }
            None => {
                opened.map(|stream| self.etcd.streams.remove(&stream));
            }
        }
        self.publish(changes);
    }

    /// Tells all who watch. A stream keeps its order; one that cannot pass breaks, which its reader notices later.
    fn publish(&mut self, changes: Vec<gyre_mesh::member::roster::Change>) {
        if changes.is_empty() {
            return;
        }
        let streams: Vec<_> = self.etcd.streams.iter().map(|(stream, told)| (*stream, *told)).collect();
        for (stream, (who, last)) in streams {
            match self.travel(Place::Etcd, Place::Process(who.slot)) {
                Some(wait) => {
                    let at = last.max(self.now + wait) + 1;
                    self.etcd.streams.insert(stream, (who, at));
                    self.at(at, Event::Process(who, Input::Watched(stream, changes.clone())));
                }
                None => {
                    self.etcd.streams.remove(&stream);
                    // pings find out
                    let notices = self.random.between(100 * MILLI, 12 * SECOND);
                    self.after(who, notices, Input::WatchBroke(stream));
                }
            }
        }
    }

    fn ask_database(&mut self, who: Life, token: u64, call: Call) {
        let told = if self.down.contains(&Place::Database) { Told::Away } else { self.transact(who, call) };
        self.tell(Place::Database, who, Input::Told(token, told));
    }

    fn given(&mut self, row: &Stands) {
        let before = self.database.holders.insert((row.uuid, row.fence), row.instance);
        if let Some(before) = before.filter(|before| *before != row.instance) {
            self.wrong(format!(
                "fence {} of {} was given to {} and to {}",
                row.fence,
                short(row.uuid),
                short(before),
                short(row.instance)
            ));
        }
    }

    fn transact(&mut self, who: Life, call: Call) -> Told {
        let said = self.trace.is_some().then(|| format!("{call:?}"));
        let told = match call {
            Call::Insert(new, now) => {
                let known = self.database.memory.rows.len();
                let row = self.database.memory.insert(&new);
                if self.database.memory.rows.len() > known {
                    self.database.beside.insert(row.uuid, (now, 0));
                    self.given(&row);
                }
                Told::Inserted(row)
            }
            Call::Page => Told::Page(self.page()),
            Call::Take(seen, instance) => {
                let mut taken = Vec::new();
                for (uuid, fence) in seen {
                    if let Some(row) = self.database.memory.take(uuid, fence, instance) {
                        self.given(&row);
                        self.taken += 1;
                        let last = self.database.beside.get(&uuid).map_or(0, |beside| beside.1);
                        taken.push((row, last));
                    }
                }
                Told::Taken(taken)
            }
            Call::Promote(uuid, fence, undo) => {
                let turn = self.database.memory.promote(uuid, fence, undo);
                let cancel = self.database.memory.get(uuid).is_some_and(|row| row.cancel);
                Told::Turn(turn, cancel)
            }
            Call::Save(uuid, fence, state, unless_cancelled, last, now, instance) => {
                let before = self.database.memory.get(uuid);
                let saved = self.database.memory.save(uuid, fence, state, unless_cancelled);
                if saved == Saved::Done {
                    self.database.beside.insert(uuid, (now, last));
                    let holder = before.map(|row| (row.fence, row.instance));
                    if holder != Some((fence, instance)) {
                        self.wrong(format!(
                            "{who} committed {} under fence {fence}, when {holder:?} had it",
                            short(uuid)
                        ));
                    }
                }
                Told::Saved(saved)
            }
            Call::Cancel(uuid) => Told::Cancelled(self.database.memory.cancel(uuid)),
            Call::Glance(task) => {
                Told::MayAct(self.database.memory.may_act(task.id.operation, task.fence, task.id.undo))
            }
            Call::NextFence(agent) => {
                let fence = self.database.fences.entry(agent).or_default();
                *fence += 1;
                Told::Fence(*fence)
            }
        };
        if let Some(said) = said {
            self.say(|| format!("db: {who}: {said} -> {told:?}"));
        }
        let mut running = BTreeSet::new();
        let rows = self.database.memory.rows.values();
        let twice = rows.filter(|row| super::operations::holds(row.state)).find(|row| !running.insert(row.resource));
        if let Some(twice) = twice.map(|row| row.resource) {
            self.wrong(format!("two operations run on resource {}", short(twice)));
        }
        told
    }

    fn page(&self) -> Vec<Row> {
        let open = self.database.memory.rows.values().filter(|row| !crate::record::ended(row.state));
        open.map(|row| {
            let update_time = self.database.beside.get(&row.uuid).map_or(0, |beside| beside.0);
            let rest = Rest { next_time: Some(update_time + REST), host_is_back: false };
            Row {
                uuid: row.uuid,
                resource: row.resource,
                instance: row.instance,
                fence: row.fence,
                update_time,
                rest: (row.state == OperationState::Stuck).then_some(rest),
            }
        })
        .collect()
    }
}

/// An UUID for the eye.
pub(super) fn short(uuid: Uuid) -> String {
    let (kind, number) = (uuid.as_u128() >> 64, uuid.as_u128() & 0xffff_ffff);
    match kind {
        1 => format!("operation {number}"),
        2 => format!("resource {number}"),
        _ => format!("instance {}.{}", number >> 8, number & 0xff),
    }
}

impl fmt::Display for Life {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "p{}.{}", self.slot, self.life)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.undo { "undo of step" } else { "step" };
        write!(formatter, "{how} {} of {}", self.step, short(self.operation))
    }
}
