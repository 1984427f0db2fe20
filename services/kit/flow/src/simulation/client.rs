//! Clients: each has one wish with its request id, tries until it is answered, and may cancel or ask again.

use std::sync::Arc;
use std::time::Instant;

use gyre_mesh::channel::patience::Patience;
use gyre_mesh::member::View;
use gyre_model::Uuid;

use super::process;
use super::random::Random;
use super::world::{Event, Place, SECOND, World, short};

pub(super) struct Client {
    pub request: String,
    pub resource: Uuid,
    pub done: bool,
    cancels: bool,
    again: bool,
    try_: u32,
    patience: Option<Patience>,
}

#[derive(Debug, Clone)]
pub(super) enum Input {
    Try(u32),
    /// The operation, or that it was refused, perhaps with an epoch to wait for.
    Answer(u32, Result<Uuid, Option<i64>>),
    Timeout(u32),
    Cancel(Uuid),
}

impl Client {
    pub fn new(number: usize, random: &mut Random) -> Self {
        Self {
            request: format!("wish {number}"),
            // few resources, so that there are lanes
            resource: Uuid::from_u128(2 << 64 | (random.below(3) + 1) as u128),
            done: false,
            cancels: random.percent(30),
            again: random.percent(20),
            try_: 0,
            patience: None,
        }
    }
}

pub(super) fn handle(world: &mut World, number: usize, input: Input) {
    match input {
        Input::Try(try_) => attempt(world, number, try_),
        Input::Timeout(try_) if !world.clients[number].done && world.clients[number].try_ == try_ => {
            again(world, number, None);
        }
        Input::Timeout(_) => {}
        Input::Answer(_, Ok(uuid)) => answered(world, number, uuid),
        Input::Answer(try_, Err(newer)) if world.clients[number].try_ == try_ => again(world, number, newer),
        Input::Answer(..) => {}
        Input::Cancel(uuid) => {
            let slot = world.random.below(world.processes.len());
            let who = world.processes[slot].me;
            world.tell(Place::Client, who, process::Input::Cancel(uuid));
        }
    }
}

impl World {
    /// What a client's gateway sees: what some process does that is there.
    fn gateway(&self, number: usize) -> Arc<View> {
        let count = self.processes.len();
        let there = (0..count).map(|at| &self.processes[(number + at) % count]).find(|process| process.alive);
        there.map(|process| Arc::clone(&process.view)).unwrap_or_default()
    }
}

fn attempt(world: &mut World, number: usize, try_: u32) {
    let instant = world.instant();
    let client = &mut world.clients[number];
    if client.done && !client.again {
        return;
    }
    client.try_ = try_;
    client.patience.get_or_insert_with(|| Patience::new(instant));
    let (request, resource) = (client.request.clone(), client.resource);
    let view = world.gateway(number);
    if let Some(who) = view.owner("vm", resource).and_then(|owner| world.life_of(owner.uuid)) {
        let call = process::Input::Submit { client: number, try_, request, resource, epoch: view.epoch(), until: None };
        world.tell(Place::Client, who, call);
    }
    world.at(world.now + 2 * SECOND, Event::Client(number, Input::Timeout(try_)));
}

fn again(world: &mut World, number: usize, newer: Option<i64>) {
    let (now, instant) = (world.now, world.instant());
    let seen = world.gateway(number).epoch();
    let client = &mut world.clients[number];
    client.try_ += 1;
    let try_ = client.try_;
    let far = instant + std::time::Duration::from_secs(3600);
    let pause = client.patience.as_mut().and_then(|patience| patience.pause(instant, seen, newer, Some(far)));
    let wait = pause.map_or(0, |pause| micros(instant, pause.until));
    world.at(now + wait, Event::Client(number, Input::Try(try_)));
}

pub(super) fn micros(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX)
}

fn answered(world: &mut World, number: usize, uuid: Uuid) {
    let request = world.clients[number].request.clone();
    world.say(|| format!("{request} is {}", short(uuid)));
    if let Some(before) = world.acknowledged.insert(request.clone(), uuid).filter(|before| *before != uuid) {
        world.wrong(format!("{request} was answered {} and {}", short(before), short(uuid)));
    }
    let client = &mut world.clients[number];
    let first = !std::mem::replace(&mut client.done, true);
    let (cancels, again, try_) = (client.cancels, client.again, client.try_ + 1);
    if first && cancels {
        let at = world.now + world.random.between(0, 2 * SECOND);
        world.at(at, Event::Client(number, Input::Cancel(uuid)));
    }
    if first && again {
        let at = world.now + world.random.between(0, 3 * SECOND);
        world.at(at, Event::Client(number, Input::Try(try_)));
    }
}
