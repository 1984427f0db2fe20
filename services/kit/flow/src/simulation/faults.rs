//! What goes wrong, and when.

use super::process::{Input, Process};
use super::random::Random;
use super::world::{Event, LOAD, Life, Place, SECOND, Time, World};

#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// It dies, and another instance comes in its place.
    Crash(usize),
    /// It dies, and nobody comes.
    Die(usize),
    /// Ten seconds after a death: nothing may be left with the dead.
    Look(usize),
    /// It stops as by a signal, and goes on where it was.
    Pause(usize),
    /// It shuts down, and another comes.
    Leave(usize),
    Cut(Place, Place),
    Down(Place),
    Compact,
    /// The watches of a process break.
    BreakWatch(usize),
    /// Its wall clock jumps, by so many seconds.
    Jump(usize, i64),
    RestartAgent(usize),
    Lossy,
}

/// Up to seven faults of all kinds.
pub(super) fn plan(random: &mut Random, slots: usize, agents: usize) -> Vec<(Time, Fault, Time)> {
    let mut faults = Vec::new();
    for _ in 0..random.below(8) {
        let slot = random.below(slots);
        let agent = random.below(agents);
        let fault = match random.below(14) {
            0 | 1 => Fault::Crash(slot),
            2..=4 => Fault::Pause(slot),
            5 => Fault::Leave(slot),
            6 => Fault::Cut(Place::Process(slot), Place::Etcd),
            7 => Fault::Cut(Place::Process(slot), Place::Database),
            8 => match random.below(3) {
                0 => Fault::Cut(Place::Process(slot), Place::Process(random.below(slots))),
                _ => Fault::Cut(Place::Process(slot), Place::Agent(agent)),
            },
            9 => Fault::Down([Place::Etcd, Place::Database, Place::Agent(agent)][random.below(3)]),
            10 => [Fault::Compact, Fault::BreakWatch(slot)][random.below(2)],
            11 => Fault::Jump(slot, random.between(0, 7200) as i64 - 3600),
            12 => Fault::RestartAgent(agent),
            _ => Fault::Lossy,
        };
        let lasts = if random.percent(70) { random.between(SECOND / 10, 9 * SECOND) } else { 9 * SECOND };
        faults.push((random.between(2 * SECOND, LOAD), fault, lasts));
    }
    faults.sort_by_key(|fault| fault.0);
    faults
}

pub(super) fn begin(world: &mut World, fault: Fault) {
    world.say(|| format!("--- {fault:?}"));
    match fault {
        Fault::Crash(slot) | Fault::Die(slot) => world.processes[slot].alive = false,
        Fault::Look(slot) => {
            let dead = world.processes[slot].uuid;
            let left = world.database.memory.rows.values().filter(|row| row.instance == dead);
            let left: Vec<_> = left.filter(|row| !crate::record::ended(row.state)).cloned().collect();
            if !left.is_empty() {
                world.wrong(format!("10 s after the death of p{slot} it still has {left:?}"));
            }
        }
        Fault::Pause(slot) => world.processes[slot].paused += 1,
        Fault::Leave(slot) => {
            let me = world.processes[slot].me;
            world.at(world.now, Event::Process(me, Input::Leave));
        }
        Fault::Cut(one, other) => *world.cuts.entry((one.min(other), one.max(other))).or_default() += 1,
        Fault::Down(place) => {
            world.down.insert(place);
        }
        Fault::Compact => world.etcd.compact(),
        Fault::BreakWatch(slot) => {
            let streams: Vec<_> =
                world.etcd.streams.iter().filter(|(_, told)| told.0.slot == slot).map(|(stream, _)| *stream).collect();
            for stream in streams {
                if let Some((who, _)) = world.etcd.streams.remove(&stream) {
                    let notices = world.random.between(0, 5 * SECOND);
                    world.after(who, notices, Input::WatchBroke(stream));
                }
            }
        }
        Fault::Jump(slot, seconds) => world.processes[slot].wall += seconds * 1_000_000,
        Fault::RestartAgent(agent) => restart_agent(world, agent),
        Fault::Lossy => world.loss += 15,
    }
}

pub(super) fn end(world: &mut World, fault: Fault) {
    match fault {
        Fault::Crash(slot) | Fault::Leave(slot) => {
            world.say(|| format!("--- end of {fault:?}"));
            let Life { life, .. } = world.processes[slot].me;
            let paused = world.processes[slot].paused;
            world.processes[slot] = Process::again(slot, life + 1, world.now, &mut world.random);
            world.processes[slot].paused = paused;
            let me = world.processes[slot].me;
            world.at(world.now, Event::Process(me, Input::Start));
        }
        Fault::Pause(slot) => {
            let process = &mut world.processes[slot];
            process.paused = process.paused.saturating_sub(1);
            if process.paused == 0 {
                let me = process.me;
                let waiting = std::mem::take(&mut process.deferred);
                world.say(|| format!("--- {me} goes on, with {} things waiting", waiting.len()));
                for input in waiting {
                    world.at(world.now, Event::Process(me, input));
                }
            }
        }
        Fault::Cut(one, other) => {
            let key = (one.min(other), one.max(other));
            if let Some(count) = world.cuts.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    world.cuts.remove(&key);
                }
            }
        }
        Fault::Down(place) => {
            world.say(|| format!("--- {place:?} is back"));
            world.down.remove(&place);
            match place {
                Place::Etcd => {
                    let streams: Vec<_> = world.etcd.streams.keys().copied().collect();
                    for (stream, who) in streams.into_iter().zip(world.etcd.restart(world.now)) {
                        world.after(who, SECOND / 10, Input::WatchBroke(stream));
                    }
                }
                Place::Agent(agent) => restart_agent(world, agent),
                _ => {}
            }
        }
        Fault::Lossy => world.loss = world.loss.saturating_sub(15),
        _ => {}
    }
}

/// What it was asked to do is in its journal, and runs again in the order in which it came.
fn restart_agent(world: &mut World, agent: usize) {
    let host = &mut world.agents[agent];
    host.life += 1;
    host.session = None;
    let mut open: Vec<_> = host.tasks.iter().filter(|(_, kept)| !kept.2).map(|(id, kept)| (kept.3, *id)).collect();
    open.sort_unstable();
    let (life, now) = (host.life, world.now);
    for (at, (_, id)) in open.into_iter().enumerate() {
        world.at(now + (at as u64 + 1) * SECOND / 10, Event::Run(agent, life, id));
    }
    let host = &mut world.agents[agent];
    host.free = host.free.max(now + SECOND);
}
