//! An instance: keeps its lease, watches the members, answers submits and tasks, takes over, works its lanes and operations. What it
//! decides, production code decides: [`Lease`], [`Roster`], [`judge`], [`choose`], [`Lanes`], [`undo_from`].

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gyre_mesh::channel::patience::Patience;
use gyre_mesh::member::View;
use gyre_mesh::member::lease::{self, Lease};
use gyre_mesh::member::roster::{Change, Roster};
use gyre_mesh::serve::owner::{self, Verdict, judge};
use gyre_model::Uuid;
use gyre_proto::common::v1::OperationState;

use super::agent::{Outcome, Task, TaskId};
use super::client::{self, micros};
use super::etcd;
use super::operations::{New, Saved, Stands, Turn};
use super::random::Random;
use super::world::{Broken, Call, Event, Life, MILLI, Place, SECOND, STEPS, Time, Told, World, short};
use crate::lane::Lanes;
use crate::queue::Class;
use crate::recovery::choose::choose;
use crate::run::undo_from;

const TTL: Duration = Duration::from_secs(5);
/// How long a call to etcd or the database may take.
const CALL: Time = 3 * SECOND;
/// How long a try of a command may take.
const TRY: Time = 3 * SECOND;
const FORWARD_TRIES: u32 = 5;
const UNDO_TRIES: u32 = 6;

#[derive(Debug, Clone)]
pub(super) enum Input {
    Start,
    Leave,
    Gone,
    KeeperTurn(u64),
    Etcd(u64, etcd::Answer),
    EtcdTimeout(u64),
    Watched(u64, Vec<Change>),
    WatchBroke(u64),
    List,
    Watch,
    Scan(bool),
    Told(u64, Told),
    Submit { client: usize, try_: u32, request: String, resource: Uuid, epoch: i64, until: Option<Time> },
    Accept { client: usize, try_: u32, request: String, resource: Uuid },
    Cancel(Uuid),
    Lane(Uuid),
    Resume(Uuid, u64),
    Act(Uuid, u64),
    Send(Uuid, u64),
    Late(Uuid, u64),
    Commit(Uuid, u64),
    RunTask { from: Life, serial: u64, task: Task, epoch: i64, until: Option<Time> },
    TaskAnswer(Uuid, u64, Outcome, Option<i64>),
    Session(usize, i64, bool),
    SessionLate(usize, u64),
    Outcome(usize, TaskId, Outcome),
}

/// Whose answer is waited for.
enum Waits {
    Submit { client: usize, try_: u32, uuid: Uuid },
    Page,
    Take,
    Lane(Uuid, Uuid),
    Resume(Uuid, u64),
    Commit(Uuid, u64),
    Cancel(Uuid),
    Glance(Life, u64, Task),
    Fence(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Keeper,
    List,
    Watch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Step {
        at: usize,
        undo: bool,
    },
    /// Commits that it is now in this state.
    Commit(OperationState),
}

struct Run {
    row: Stands,
    phase: Phase,
    /// Tells answers to this from answers to what is over.
    serial: u64,
    tries: u32,
    /// The last step that was begun here.
    ran: Option<usize>,
    /// The last step to undo.
    last: usize,
    cancel: bool,
    patience: Patience,
}

enum Session {
    Opening(u64, Option<i64>, Vec<Task>),
    Ready(i64),
}

pub(super) struct Process {
    pub me: Life,
    pub uuid: Uuid,
    pub alive: bool,
    pub paused: u32,
    pub deferred: Vec<Input>,
    quiet: bool,
    born: Time,
    /// How much faster its monotonic clock runs, in millionths.
    rate: i64,
    /// Its wall clock's error, in microseconds.
    pub wall: i64,
    lease: Lease,
    lease_id: i64,
    keeper: u64,
    asked: BTreeMap<u64, (Asked, Duration)>,
    roster: Roster,
    pub view: Arc<View>,
    stream: Option<u64>,
    /// A stream that broke before it was known to be open.
    broken: u64,
    waits: BTreeMap<u64, Waits>,
    live: BTreeMap<Uuid, Run>,
    pub lanes: Lanes,
    /// What waits in them, in the order in which it came, for the check.
    order: Vec<(Uuid, Uuid)>,
    /// Whose head was asked for its turn.
    turning: BTreeSet<Uuid>,
    sessions: BTreeMap<usize, Session>,
    tasks: BTreeMap<TaskId, Vec<(Life, u64)>>,
    last: u64,
}

thread_local! {
    /// Rings are pure and dear: one of each set of members is enough.
    static RINGS: RefCell<HashMap<Vec<Uuid>, Arc<View>>> = RefCell::default();
    static START: Instant = Instant::now();
}

impl World {
    /// The moment now, where production wants one.
    pub fn instant(&self) -> Instant {
        START.with(|start| *start) + Duration::from_micros(self.now)
    }

    pub fn life_of(&self, uuid: Uuid) -> Option<Life> {
        let number = uuid.as_u128() & 0xffff_ffff;
        let (slot, life) = ((number >> 8) as usize, (number & 0xff) as u32);
        (slot < self.processes.len()).then_some(Life { slot, life })
    }
}

fn host(agent: usize) -> Uuid {
    Uuid::from_u128(4 << 64 | agent as u128)
}

fn number(operation: Uuid) -> u128 {
    operation.as_u128() & 0xffff_ffff
}

/// Some operations fail in their last step, after it did its work.
fn fails(operation: Uuid) -> bool {
    number(operation).is_multiple_of(4)
}

fn class(operation: Uuid) -> Class {
    if number(operation).is_multiple_of(3) { Class::Housekeeping } else { Class::User }
}

/// The host that an operation works on.
fn agent_of(operation: Uuid, agents: usize) -> usize {
    number(operation) as usize % agents
}

impl Process {
    pub fn new(slot: usize, random: &mut Random) -> Self {
        Self::again(slot, 0, 0, random)
    }

    pub fn again(slot: usize, life: u32, now: Time, random: &mut Random) -> Self {
        Self {
            me: Life { slot, life },
            uuid: Uuid::from_u128(3 << 64 | (slot as u128) << 8 | u128::from(life)),
            alive: true,
            paused: 0,
            deferred: Vec::new(),
            quiet: false,
            born: now,
            rate: random.between(0, 20_000) as i64 - 10_000,
            wall: random.between(0, 2_000_000) as i64 - 1_000_000,
            lease: Lease::new(TTL),
            lease_id: 0,
            keeper: 0,
            asked: BTreeMap::new(),
            roster: Roster::default(),
            view: Arc::default(),
            stream: None,
            broken: 0,
            waits: BTreeMap::new(),
            live: BTreeMap::new(),
            lanes: Lanes::default(),
            order: Vec::new(),
            turning: BTreeSet::new(),
            sessions: BTreeMap::new(),
            tasks: BTreeMap::new(),
            last: 0,
        }
    }

    pub fn idle(&self) -> bool {
        !self.alive || (self.live.is_empty() && self.paused == 0 && self.turning.is_empty())
    }

    fn clock(&self, now: Time) -> Duration {
        let age = now - self.born;
        Duration::from_micros((age as i64 + age as i64 / 1_000_000 * self.rate + 1_000_000) as u64)
    }

    fn now(&self, now: Time) -> i64 {
        1_000_000_000 + now as i64 + self.wall
    }

    fn token(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

impl World {
    fn may_work(&self, who: Life) -> bool {
        let process = &self.processes[who.slot];
        let leased = process.lease.holds(process.clock(self.now)) || self.broken == Broken::NoLeaseCheck;
        leased && !process.quiet
    }

    fn p(&mut self, who: Life) -> &mut Process {
        &mut self.processes[who.slot]
    }

    pub(super) fn process(&mut self, who: Life, input: Input) {
        let process = &mut self.processes[who.slot];
        if process.me != who || !process.alive {
            return;
        }
        if process.paused > 0 {
            return process.deferred.push(input);
        }
        match input {
            Input::Start => {
                self.p(who).lease.register();
                self.keeper_turn(who);
                self.list(who);
                let wait = self.random.between(0, 2 * SECOND);
                self.after(who, wait, Input::Scan(true));
            }
            Input::Leave => {
                self.p(who).quiet = true;
                if let Some(id) = self.p(who).lease.leave() {
                    self.ask_of_etcd(who, Asked::List, etcd::Ask::Revoke(id));
                }
                self.after(who, SECOND, Input::Gone);
            }
            Input::Gone => self.p(who).alive = false,
            Input::KeeperTurn(turn) if self.p(who).keeper == turn => self.keeper_turn(who),
            Input::KeeperTurn(_) => {}
            Input::Etcd(token, answer) => self.etcd_answered(who, token, answer),
            Input::EtcdTimeout(token) => self.etcd_late(who, token),
            Input::Watched(stream, changes) if self.p(who).stream == Some(stream) => self.changed(who, changes),
            Input::Watched(..) => {}
            Input::WatchBroke(stream) if self.p(who).stream == Some(stream) => {
                self.p(who).stream = None;
                self.after(who, SECOND / 10, Input::Watch);
            }
            // the news that it was opened is still on its way
            Input::WatchBroke(stream) => self.p(who).broken = stream,
            Input::List => self.list(who),
            Input::Watch => {
                // sometimes too early, so that it repeats
                let back = if self.random.percent(10) { 2 } else { 0 };
                let from = (self.p(who).roster.seen() + 1 - back).max(1);
                self.ask_of_etcd(who, Asked::Watch, etcd::Ask::Watch(from));
            }
            Input::Scan(tick) => self.scan(who, tick),
            Input::Told(token, told) => {
                if let Some(waits) = self.p(who).waits.remove(&token) {
                    self.told(who, waits, told);
                }
            }
            Input::Submit { .. } => self.submit(who, input),
            Input::Accept { client, try_, request, resource } => {
                let uuid = self.new_operation();
                let new = New { uuid, resource, instance: self.p(who).uuid, request };
                let now = self.processes[who.slot].now(self.now);
                self.ask_db(who, Waits::Submit { client, try_, uuid }, Call::Insert(new, now));
            }
            Input::Cancel(uuid) => self.ask_db(who, Waits::Cancel(uuid), Call::Cancel(uuid)),
            Input::Lane(resource) => self.lane(who, resource),
            Input::Resume(uuid, serial) => self.resume(who, uuid, serial),
            Input::Act(uuid, serial) => self.act(who, uuid, serial),
            Input::Send(uuid, serial) => self.command_out(who, uuid, serial),
            Input::Late(uuid, serial) => self.task_answered(who, uuid, serial, Outcome::Away, None),
            Input::Commit(uuid, serial) => self.commit(who, uuid, serial),
            Input::RunTask { from, serial, task, epoch, until } => self.run_task(who, from, serial, task, epoch, until),
            Input::TaskAnswer(uuid, serial, outcome, newer) => self.task_answered(who, uuid, serial, outcome, newer),
            Input::Session(agent, fence, admitted) => self.session(who, agent, fence, admitted),
            Input::SessionLate(agent, serial) => {
                if matches!(self.p(who).sessions.get(&agent), Some(Session::Opening(opening, ..)) if *opening == serial)
                {
                    self.no_session(who, agent);
                }
            }
            Input::Outcome(agent, id, outcome) => self.outcome_came(who, agent, id, outcome),
        }
    }

    fn new_operation(&mut self) -> Uuid {
        self.made += 1;
        Uuid::from_u128(1 << 64 | u128::from(self.made))
    }

    // --- membership

    fn ask_of_etcd(&mut self, who: Life, asked: Asked, ask: etcd::Ask) {
        let now = self.now;
        let process = self.p(who);
        let token = process.token();
        let sent = process.clock(now);
        process.asked.insert(token, (asked, sent));
        self.send(Place::Process(who.slot), Place::Etcd, Event::AskEtcd(who, token, ask));
        let limit = if let etcd::Ask::KeepAlive(_) = ask { TTL.as_micros() as Time / 3 } else { CALL };
        self.after(who, limit, Input::EtcdTimeout(token));
    }

    fn list(&mut self, who: Life) {
        self.ask_of_etcd(who, Asked::List, etcd::Ask::List);
    }

    fn keeper_turn(&mut self, who: Life) {
        let (uuid, process) = (self.p(who).uuid, self.p(who));
        if process.quiet {
            return;
        }
        process.keeper = 0;
        match process.lease.next() {
            Some(ask) => {
                let ask = match ask {
                    lease::Ask::Grant(ttl) => etcd::Ask::Grant(ttl.as_micros() as Time),
                    lease::Ask::KeepAlive(id, _) => etcd::Ask::KeepAlive(id),
                    lease::Ask::Register(id) => etcd::Ask::Register(id, uuid),
                };
                self.ask_of_etcd(who, Asked::Keeper, ask);
            }
            None => {
                process.lease.turn_done();
                self.keeper_waits(who);
            }
        }
    }

    fn keeper_waits(&mut self, who: Life) {
        let process = self.p(who);
        let turn = process.token();
        process.keeper = turn;
        let wait = process.lease.wait().as_micros() as Time;
        self.after(who, wait, Input::KeeperTurn(turn));
    }

    fn etcd_late(&mut self, who: Life, token: u64) {
        match self.p(who).asked.remove(&token) {
            Some((Asked::Keeper, _)) => {
                self.p(who).lease.turn_failed();
                self.keeper_waits(who);
            }
            Some((Asked::List, _)) => self.after(who, SECOND / 5, Input::List),
            Some((Asked::Watch, _)) => self.after(who, SECOND / 5, Input::Watch),
            None => {}
        }
    }

    fn etcd_answered(&mut self, who: Life, token: u64, answer: etcd::Answer) {
        let Some((_, sent)) = self.p(who).asked.remove(&token) else { return };
        let now = self.now;
        let naive = self.broken == Broken::LeaseFromAnswer;
        let process = self.p(who);
        let sent = if naive { process.clock(now) + TTL / 5 } else { sent };
        match answer {
            etcd::Answer::Granted(..) | etcd::Answer::Kept | etcd::Answer::NoLease if process.quiet => {}
            etcd::Answer::Granted(id, ttl) => {
                process.lease_id = id;
                process.lease.granted(sent, id, Duration::from_micros(ttl));
                self.keeper_turn(who);
            }
            etcd::Answer::Kept => {
                process.lease.kept(sent);
                self.keeper_turn(who);
            }
            etcd::Answer::NoLease => {
                process.lease.ran_out();
                self.say(|| format!("{who}: the lease is gone"));
                self.keeper_turn(who);
            }
            etcd::Answer::Registered => {
                process.lease.registered();
                self.keeper_turn(who);
            }
            etcd::Answer::Listed(revision, keys) => {
                process.roster.listed(revision, keys);
                self.see(who);
                self.after(who, MILLI, Input::Watch);
            }
            etcd::Answer::Watching(stream, revision, missed) => {
                process.stream = Some(stream);
                if process.broken == stream {
                    process.stream = None;
                    self.after(who, SECOND / 10, Input::Watch);
                } else if process.roster.opened(revision) {
                    self.changed(who, missed);
                } else {
                    process.stream = None;
                    self.list(who);
                }
            }
            etcd::Answer::Compacted => self.list(who),
        }
    }

    fn changed(&mut self, who: Life, changes: Vec<Change>) {
        let changed = self.p(who).roster.apply(changes.clone());
        if self.p(who).roster.clone().apply(changes) {
            self.wrong(format!("{who}: the same changes counted twice"));
        }
        if changed {
            self.see(who);
        }
    }

    fn see(&mut self, who: Life) {
        let process = self.p(who);
        let mut members: Vec<Uuid> = process.roster.members().map(|member| member.uuid).collect();
        members.sort_unstable();
        let before = RINGS.with_borrow_mut(|rings| {
            Arc::clone(rings.entry(members).or_insert_with(|| Arc::new(process.roster.view(&View::default()))))
        });
        let view = Arc::new(process.roster.view(&before));
        let missing = !view.has("vm", process.uuid);
        process.view = Arc::clone(&view);
        self.say(|| {
            let members: Vec<_> = view.members("vm").iter().map(|member| short(member.uuid)).collect();
            format!("{who}: sees {members:?} at {}", view.epoch())
        });
        let process = self.p(who);
        if missing && !process.quiet {
            process.lease.register();
            if process.keeper != 0 {
                self.keeper_turn(who);
            }
        }
        self.scan(who, false);
    }

    // --- the database

    fn ask_db(&mut self, who: Life, waits: Waits, call: Call) {
        let token = self.p(who).token();
        self.p(who).waits.insert(token, waits);
        self.send(Place::Process(who.slot), Place::Database, Event::AskDatabase(who, token, call));
        self.after(who, CALL, Input::Told(token, Told::Away));
    }

    fn told(&mut self, who: Life, waits: Waits, told: Told) {
        match (waits, told) {
            (Waits::Submit { client, try_, uuid }, Told::Inserted(row)) => {
                let answer = client::Input::Answer(try_, Ok(row.uuid));
                if row.uuid == uuid {
                    self.begin(who, row, 0);
                }
                self.send(Place::Process(who.slot), Place::Client, Event::Client(client, answer));
            }
            (Waits::Submit { client, try_, .. }, _) => self.refuse(who, client, try_, None),
            (Waits::Page, Told::Page(rows)) => {
                let now = self.now;
                let process = self.p(who);
                let Some(vm) = process.view.service("vm") else { return };
                let (ring, live) = (Arc::clone(vm.ring()), &process.live);
                let mine: Vec<_> =
                    choose(&rows, &ring, process.uuid, |uuid| live.contains_key(&uuid), process.now(now))
                        .map(|row| (row.uuid, row.fence))
                        .collect();
                let uuid = process.uuid;
                if !mine.is_empty() && self.may_work(who) {
                    self.ask_db(who, Waits::Take, Call::Take(mine, uuid));
                }
            }
            (Waits::Take, Told::Taken(rows)) => {
                for (row, last) in rows {
                    self.say(|| format!("{who}: takes {} with fence {}", short(row.uuid), row.fence));
                    self.begin(who, row, last);
                }
            }
            (Waits::Page | Waits::Take, _) => {}
            (Waits::Lane(resource, uuid), told) => self.lane_told(who, resource, uuid, told),
            (Waits::Resume(uuid, serial), told) => match told {
                Told::Turn(Turn::Come, cancel) => {
                    if let Some(run) = self.p(who).live.get_mut(&uuid) {
                        run.cancel |= cancel;
                    }
                    self.start(who, uuid);
                }
                Told::Turn(Turn::Fenced, _) => self.leave(who, uuid),
                _ => self.after(who, SECOND / 5, Input::Resume(uuid, serial)),
            },
            (Waits::Commit(uuid, serial), told) => self.committed(who, uuid, serial, told),
            (Waits::Cancel(uuid), Told::Cancelled(true)) => self.cancelled(who, uuid),
            (Waits::Cancel(_), _) => {}
            (Waits::Glance(from, serial, task), told) => match told {
                Told::MayAct(true) => self.hand_on(who, from, serial, task),
                Told::MayAct(false) => self.answer_task(who, from, serial, task, Outcome::Fenced, None),
                _ => self.answer_task(who, from, serial, task, Outcome::Away, None),
            },
            (Waits::Fence(agent), Told::Fence(fence)) => {
                if let Some(Session::Opening(_, given, _)) = self.p(who).sessions.get_mut(&agent) {
                    *given = Some(fence);
                    self.send(Place::Process(who.slot), Place::Agent(agent), Event::Hello(agent, who, fence));
                }
            }
            (Waits::Fence(agent), _) => self.no_session(who, agent),
        }
    }

    // --- submits

    fn refuse(&mut self, who: Life, client: usize, try_: u32, newer: Option<i64>) {
        let answer = client::Input::Answer(try_, Err(newer));
        self.send(Place::Process(who.slot), Place::Client, Event::Client(client, answer));
    }

    fn verdict(&self, who: Life, route: Uuid, epoch: i64, waited: bool) -> Verdict {
        let process = &self.processes[who.slot];
        let call = owner::Call { service: "vm", route: Some(route), epoch, needs_owner: true };
        judge(call, process.uuid, &process.view, self.may_work(who), waited)
    }

    fn submit(&mut self, who: Life, input: Input) {
        let Input::Submit { client, try_, ref request, resource, epoch, until } = input else { return };
        let waited = until.is_some_and(|until| until <= self.now);
        match self.verdict(who, resource, epoch, waited) {
            Verdict::Take if self.may_work(who) => {
                let wait = self.random.between(0, MILLI);
                let request = request.clone();
                self.after(who, wait, Input::Accept { client, try_, request, resource });
            }
            Verdict::WaitFor(_) => {
                let until = Some(until.unwrap_or(self.now + owner::PATIENCE.as_micros() as Time));
                let request = request.clone();
                let again = Input::Submit { client, try_, request, resource, epoch, until };
                self.after(who, SECOND / 10, again);
            }
            Verdict::NotOwner => {
                let newer = Some(self.p(who).view.epoch());
                self.refuse(who, client, try_, newer);
            }
            Verdict::Take | Verdict::LeaseLost => self.refuse(who, client, try_, None),
        }
    }

    fn cancelled(&mut self, who: Life, uuid: Uuid) {
        let Some(run) = self.p(who).live.get_mut(&uuid) else { return };
        run.cancel = true;
        if let Phase::Step { undo: false, .. } = run.phase {
            // whatever is on its way is not waited for
            self.turn_back(who, uuid);
        }
    }

    // --- takeover, turns and lanes

    fn scan(&mut self, who: Life, tick: bool) {
        if tick {
            self.after(who, 2 * SECOND, Input::Scan(true));
        }
        if self.may_work(who) {
            self.ask_db(who, Waits::Page, Call::Page);
        }
    }

    fn begin(&mut self, who: Life, row: Stands, last: usize) {
        let (uuid, resource, instant) = (row.uuid, row.resource, self.instant());
        let process = self.p(who);
        if process.live.contains_key(&uuid) {
            return;
        }
        let serial = process.token();
        let queued = row.state == OperationState::Queued;
        let run = Run {
            cancel: row.cancel,
            row,
            phase: Phase::Waiting,
            serial,
            tries: 0,
            ran: None,
            last,
            patience: Patience::new(instant),
        };
        process.live.insert(uuid, run);
        if !queued {
            return self.resume(who, uuid, serial);
        }
        process.order.push((resource, uuid));
        if process.lanes.push(resource, uuid, class(uuid)).is_some() {
            self.after(who, 0, Input::Lane(resource));
        }
    }

    fn lane(&mut self, who: Life, resource: Uuid) {
        let working = self.may_work(who);
        let process = self.p(who);
        if process.turning.contains(&resource) {
            return;
        }
        let Some(uuid) = process.lanes.next(resource) else { return };
        match process.live.get(&uuid).map(|run| run.row.fence) {
            Some(_) if !working => self.after(who, SECOND / 2, Input::Lane(resource)),
            Some(fence) => {
                process.turning.insert(resource);
                self.ask_db(who, Waits::Lane(resource, uuid), Call::Promote(uuid, fence, false));
            }
            None => {
                self.out_of_lane(who, resource, uuid);
                self.after(who, 0, Input::Lane(resource));
            }
        }
    }

    fn out_of_lane(&mut self, who: Life, resource: Uuid, uuid: Uuid) {
        let process = self.p(who);
        process.lanes.remove(resource, uuid);
        process.order.retain(|(_, waiting)| *waiting != uuid);
    }

    fn lane_told(&mut self, who: Life, resource: Uuid, uuid: Uuid, told: Told) {
        let forgets = self.broken == Broken::LaneForgets;
        let process = self.p(who);
        process.turning.remove(&resource);
        match told {
            Told::Turn(Turn::Come, cancel) => {
                let mut alike = process.order.iter().filter(|of| of.0 == resource && class(of.1) == class(uuid));
                let first = alike.next().map(|first| first.1);
                if first != Some(uuid) {
                    self.wrong(format!("{who}: {} ran before {first:?} of its class", short(uuid)));
                }
                self.out_of_lane(who, resource, uuid);
                if let Some(run) = self.p(who).live.get_mut(&uuid) {
                    run.cancel |= cancel;
                    run.row.state = OperationState::Running;
                }
                self.start(who, uuid);
            }
            Told::Turn(Turn::Fenced, _) => {
                self.out_of_lane(who, resource, uuid);
                self.leave(who, uuid);
            }
            told => {
                match told {
                    Told::Turn(..) => process.lanes.release(resource),
                    _ if forgets => {}
                    _ => process.lanes.keep(resource, uuid),
                }
                self.after(who, SECOND / 5, Input::Lane(resource));
            }
        }
    }

    fn resume(&mut self, who: Life, uuid: Uuid, serial: u64) {
        let Some(run) = self.held(who, uuid, serial) else { return };
        let (state, fence) = (run.row.state, run.row.fence);
        if !self.may_work(who) {
            return self.leave(who, uuid);
        }
        if state == OperationState::Stuck {
            self.ask_db(who, Waits::Resume(uuid, serial), Call::Promote(uuid, fence, true));
        } else {
            self.start(who, uuid);
        }
    }

    fn held(&mut self, who: Life, uuid: Uuid, serial: u64) -> Option<&mut Run> {
        self.p(who).live.get_mut(&uuid).filter(|run| run.serial == serial)
    }

    fn start(&mut self, who: Life, uuid: Uuid) {
        let short_undo = self.broken == Broken::ShortUndo;
        let Some(run) = self.p(who).live.get_mut(&uuid) else { return };
        let undo = matches!(run.row.state, OperationState::Undoing | OperationState::Stuck);
        let last = if short_undo { run.last } else { undo_from(Some(run.last), STEPS, run.row.fence == 1) };
        self.step(who, uuid, if undo { last } else { 0 }, undo);
    }

    /// Goes to a step.
    fn step(&mut self, who: Life, uuid: Uuid, at: usize, undo: bool) {
        let instant = self.instant();
        let serial = self.p(who).token();
        if let Some(run) = self.p(who).live.get_mut(&uuid) {
            run.phase = Phase::Step { at, undo };
            run.tries = 0;
            run.serial = serial;
            run.patience = Patience::new(instant);
            self.act(who, uuid, serial);
        }
    }

    /// Not worked on here any more.
    fn leave(&mut self, who: Life, uuid: Uuid) {
        if let Some(run) = self.p(who).live.remove(&uuid) {
            self.say(|| format!("{who}: leaves {}", short(uuid)));
            self.after(who, 0, Input::Lane(run.row.resource));
        }
    }

    // --- runs

    fn act(&mut self, who: Life, uuid: Uuid, serial: u64) {
        let Some(run) = self.held(who, uuid, serial) else { return };
        let (phase, cancel) = (run.phase, run.cancel);
        if !self.may_work(who) {
            return self.leave(who, uuid);
        }
        let process = &self.processes[who.slot];
        if !self.etcd.proves(process.lease_id, self.now) {
            return self.wrong(format!("{who} began work on {} when its lease had run out", short(uuid)));
        }
        let Phase::Step { at, undo } = phase else { return };
        if cancel && !undo {
            return self.turn_back(who, uuid);
        }
        if let Some(run) = self.held(who, uuid, serial) {
            run.tries += 1;
            if !undo {
                run.ran = Some(at);
            }
        }
        // here a pause may fall between the look at the lease and the deed
        let wait = self.random.between(0, 3 * MILLI);
        self.after(who, wait, Input::Send(uuid, serial));
    }

    fn command_out(&mut self, who: Life, uuid: Uuid, serial: u64) {
        let agent = agent_of(uuid, self.agents.len());
        let Some(run) = self.held(who, uuid, serial) else { return };
        let Phase::Step { at, undo } = run.phase else { return };
        let task = Task { id: TaskId { operation: uuid, step: at, undo }, fence: run.row.fence };
        // an answer to this try is told from answers to those before
        let serial = self.p(who).token();
        if let Some(run) = self.p(who).live.get_mut(&uuid) {
            run.serial = serial;
        }
        let view = Arc::clone(&self.p(who).view);
        if let Some(owner) = view.owner("vm", host(agent)).and_then(|owner| self.life_of(owner.uuid)) {
            let call = Input::RunTask { from: who, serial, task, epoch: view.epoch(), until: None };
            if owner == who {
                self.after(who, 0, call);
            } else {
                self.tell(Place::Process(who.slot), owner, call);
            }
        }
        self.after(who, TRY, Input::Late(uuid, serial));
    }

    fn task_answered(&mut self, who: Life, uuid: Uuid, serial: u64, outcome: Outcome, newer: Option<i64>) {
        let instant = self.instant();
        let Some(run) = self.held(who, uuid, serial) else { return };
        let Phase::Step { at, undo } = run.phase else { return };
        match outcome {
            Outcome::Done if undo && at == 0 => {
                let state = if run.cancel { OperationState::Cancelled } else { OperationState::Failed };
                self.commit_as(who, uuid, state);
            }
            Outcome::Done if undo => self.step(who, uuid, at - 1, true),
            Outcome::Done if at + 1 < STEPS => self.step(who, uuid, at + 1, false),
            Outcome::Done if fails(uuid) => self.turn_back(who, uuid),
            Outcome::Done => self.commit_as(who, uuid, OperationState::Succeeded),
            Outcome::Fenced => self.leave(who, uuid),
            Outcome::Away if undo && run.tries >= UNDO_TRIES => {
                self.commit_as(who, uuid, OperationState::Stuck);
            }
            Outcome::Away if !undo && run.tries >= FORWARD_TRIES => self.turn_back(who, uuid),
            Outcome::Away => {
                let far = Some(instant + Duration::from_secs(3600));
                let seen = self.p(who).view.epoch();
                let serial = self.p(who).token();
                let Some(run) = self.p(who).live.get_mut(&uuid) else { return };
                run.serial = serial;
                let pause = run.patience.pause(instant, seen, newer.filter(|newer| *newer > seen), far);
                let wait = pause.map_or(0, |pause| micros(instant, pause.until));
                self.after(who, wait, Input::Act(uuid, serial));
            }
        }
    }

    fn turn_back(&mut self, who: Life, uuid: Uuid) {
        let short_undo = self.broken == Broken::ShortUndo;
        if let Some(run) = self.p(who).live.get_mut(&uuid) {
            let ran = run.ran;
            run.last = if short_undo { ran.unwrap_or(0) } else { undo_from(ran, STEPS, run.row.fence == 1) };
        }
        self.commit_as(who, uuid, OperationState::Undoing);
    }

    fn commit_as(&mut self, who: Life, uuid: Uuid, state: OperationState) {
        let serial = self.p(who).token();
        if let Some(run) = self.p(who).live.get_mut(&uuid) {
            run.phase = Phase::Commit(state);
            run.serial = serial;
        }
        self.commit(who, uuid, serial);
    }

    fn commit(&mut self, who: Life, uuid: Uuid, serial: u64) {
        let now = self.processes[who.slot].now(self.now);
        let instance = self.p(who).uuid;
        let Some(run) = self.held(who, uuid, serial) else { return };
        let Phase::Commit(state) = run.phase else { return };
        let unless_cancelled = state == OperationState::Succeeded;
        let call = Call::Save(uuid, run.row.fence, state, unless_cancelled, run.last, now, instance);
        self.ask_db(who, Waits::Commit(uuid, serial), call);
    }

    fn committed(&mut self, who: Life, uuid: Uuid, serial: u64, told: Told) {
        let working = self.may_work(who);
        let Some(run) = self.held(who, uuid, serial) else { return };
        let Phase::Commit(state) = run.phase else { return };
        match told {
            Told::Saved(Saved::Done) if state == OperationState::Undoing => {
                let last = run.last;
                self.step(who, uuid, last, true);
            }
            Told::Saved(Saved::Done | Saved::Fenced) => self.leave(who, uuid),
            Told::Saved(Saved::Cancelled) => {
                run.cancel = true;
                self.turn_back(who, uuid);
            }
            // the database is away: there is nothing better to do than to wait
            _ if working => self.after(who, SECOND / 2, Input::Commit(uuid, serial)),
            _ => self.leave(who, uuid),
        }
    }

    // --- hosts

    fn answer_task(&mut self, who: Life, from: Life, serial: u64, task: Task, outcome: Outcome, newer: Option<i64>) {
        let answer = Input::TaskAnswer(task.id.operation, serial, outcome, newer);
        if from == who {
            self.after(who, 0, answer);
        } else {
            self.tell(Place::Process(who.slot), from, answer);
        }
    }

    fn run_task(&mut self, who: Life, from: Life, serial: u64, task: Task, epoch: i64, until: Option<Time>) {
        let agent = agent_of(task.id.operation, self.agents.len());
        let waited = until.is_some_and(|until| until <= self.now);
        match self.verdict(who, host(agent), epoch, waited) {
            Verdict::Take => self.ask_db(who, Waits::Glance(from, serial, task), Call::Glance(task)),
            Verdict::WaitFor(_) => {
                let until = Some(until.unwrap_or(self.now + owner::PATIENCE.as_micros() as Time));
                self.after(who, SECOND / 10, Input::RunTask { from, serial, task, epoch, until });
            }
            Verdict::NotOwner => {
                let newer = Some(self.p(who).view.epoch());
                self.answer_task(who, from, serial, task, Outcome::Away, newer);
            }
            Verdict::LeaseLost => self.answer_task(who, from, serial, task, Outcome::Away, None),
        }
    }

    fn hand_on(&mut self, who: Life, from: Life, serial: u64, task: Task) {
        let agent = agent_of(task.id.operation, self.agents.len());
        let process = self.p(who);
        process.tasks.entry(task.id).or_default().push((from, serial));
        match process.sessions.get_mut(&agent) {
            Some(Session::Ready(fence)) => {
                let fence = *fence;
                self.send(Place::Process(who.slot), Place::Agent(agent), Event::Command(agent, who, fence, task));
            }
            Some(Session::Opening(_, _, waiting)) => waiting.push(task),
            None => {
                let opening = process.token();
                process.sessions.insert(agent, Session::Opening(opening, None, vec![task]));
                self.ask_db(who, Waits::Fence(agent), Call::NextFence(agent));
                self.after(who, 2 * SECOND, Input::SessionLate(agent, opening));
            }
        }
    }

    fn session(&mut self, who: Life, agent: usize, fence: i64, admitted: bool) {
        let process = self.p(who);
        let Some(Session::Opening(_, Some(given), waiting)) = process.sessions.get_mut(&agent) else { return };
        if *given != fence {
            return;
        }
        if !admitted {
            return self.no_session(who, agent);
        }
        let waiting = std::mem::take(waiting);
        process.sessions.insert(agent, Session::Ready(fence));
        for task in waiting {
            self.send(Place::Process(who.slot), Place::Agent(agent), Event::Command(agent, who, fence, task));
        }
    }

    fn no_session(&mut self, who: Life, agent: usize) {
        if let Some(Session::Opening(_, _, waiting)) = self.p(who).sessions.remove(&agent) {
            for task in waiting {
                self.answer_all(who, task.id, Outcome::Away);
            }
        }
    }

    fn answer_all(&mut self, who: Life, id: TaskId, outcome: Outcome) {
        for (from, serial) in self.p(who).tasks.remove(&id).unwrap_or_default() {
            let task = Task { id, fence: 0 };
            self.answer_task(who, from, serial, task, outcome, None);
        }
    }

    fn outcome_came(&mut self, who: Life, agent: usize, id: TaskId, outcome: Outcome) {
        match outcome {
            Outcome::Done => {
                self.send(Place::Process(who.slot), Place::Agent(agent), Event::Acknowledge(agent, id));
                self.answer_all(who, id, Outcome::Done);
            }
            // the session is too old, or the operation's fence is: the next try opens a session, and looks at the operation
            Outcome::Fenced | Outcome::Away => {
                self.p(who).sessions.remove(&agent);
                self.answer_all(who, id, Outcome::Away);
            }
        }
    }
}
