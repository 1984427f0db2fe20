//! Delays and faults that tests and operators can set while simulated hosts run.
//!
//! A fault strikes before the work (nothing happened), after it (it happened, but the controller hears of a failure), or lets it
//! hang until its deadline or cancellation. Where no fault and no delay is set, a task pays one relaxed load.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gyre_model::{Error, Kind, Result, Uuid};
use parking_lot::Mutex;

use super::Delay;
use crate::progress::Progress;
use crate::work::WorkKind;

/// The step of the dice: odd, and without a pattern in its digits.
const WEYL: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Default)]
struct Plan {
    delay: Delay,
    rates: HashMap<WorkKind, f64>,
    before: HashMap<WorkKind, u32>,
    after: HashMap<WorkKind, u32>,
    hang: HashMap<WorkKind, u32>,
    silent: HashSet<Uuid>,
    seen: HashMap<WorkKind, u64>,
}

/// The faults of all simulated hosts of an agent.
#[derive(Default)]
pub struct Faults {
    any: AtomicBool,
    dice: AtomicU64,
    plan: Mutex<Plan>,
}

impl Faults {
    /// Without any; what is drawn by chance later follows from the seed and from how often was drawn before.
    pub fn seeded(seed: u64) -> Self {
        let faults = Self::default();
        faults.dice.store(seed.wrapping_mul(WEYL), Ordering::Relaxed);
        faults
    }

    /// With delays and with faults by chance.
    pub fn new(delay: Delay, rates: &[(WorkKind, f64)], seed: u64) -> Self {
        let faults = Self::seeded(seed);
        if !delay.is_none() || !rates.is_empty() {
            faults.set(|plan| {
                plan.delay = delay;
                plan.rates = rates.iter().copied().collect();
            });
        }
        faults
    }

    fn set(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.plan.lock());
        self.any.store(true, Ordering::Relaxed);
    }

    /// Sets how long work takes from now on.
    pub fn delay(&self, delay: Delay) {
        self.set(|plan| plan.delay = delay);
    }

    /// Lets the next tasks of a kind fail before they do anything.
    pub fn fail_next(&self, kind: WorkKind, count: u32) {
        self.set(|plan| *plan.before.entry(kind).or_default() += count);
    }

    /// Lets the next tasks of a kind do their work and report a failure all the same.
    pub fn fail_after_next(&self, kind: WorkKind, count: u32) {
        self.set(|plan| *plan.after.entry(kind).or_default() += count);
    }

    /// Lets the next tasks of a kind hang until they are cancelled or their deadline comes.
    pub fn hang_next(&self, kind: WorkKind, count: u32) {
        self.set(|plan| *plan.hang.entry(kind).or_default() += count);
    }

    /// Lets tasks of a kind fail by chance: 0 never, 1 always.
    pub fn fail_often(&self, kind: WorkKind, rate: f64) {
        self.set(|plan| {
            plan.rates.insert(kind, rate);
        });
    }

    /// Loses a host's heartbeats, or finds them again.
    pub fn lose_heartbeat(&self, host: Uuid, lost: bool) {
        self.set(|plan| {
            if lost {
                plan.silent.insert(host);
            } else {
                plan.silent.remove(&host);
            }
        });
    }

    /// How many tasks of a kind were begun since the first fault or delay was set.
    pub fn seen(&self, kind: WorkKind) -> u64 {
        self.plan.lock().seen.get(&kind).copied().unwrap_or(0)
    }

    /// Forgets all faults and delays.
    pub fn clear(&self) {
        self.set(|plan| *plan = Plan::default());
    }

    pub(super) fn roll(&self) -> f64 {
        // a Weyl sequence, mixed: cheap, without a lock, and the same in every run
        let mut value = self.dice.fetch_add(WEYL, Ordering::Relaxed);
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((value ^ (value >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn heart_beats(&self, host: Uuid) -> bool {
        !self.any.load(Ordering::Relaxed) || !self.plan.lock().silent.contains(&host)
    }

    pub(crate) async fn before(&self, host: Uuid, kind: WorkKind, progress: &Progress) -> Result<()> {
        if !self.any.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (delay, hangs, fails) = {
            let mut plan = self.plan.lock();
            *plan.seen.entry(kind).or_default() += 1;
            let delay = plan.delay.draw(|| self.roll());
            let rate = plan.rates.get(&kind).copied().unwrap_or(0.0);
            let by_chance = rate > 0.0 && self.roll() < rate;
            (delay, strike(&mut plan.hang, kind), by_chance || strike(&mut plan.before, kind))
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        if !delay.is_zero() {
            const PARTS: u32 = 4;
            for part in 0..PARTS {
                progress.tell(i32::try_from(part * 100 / PARTS).unwrap_or(0), "simulating");
                tokio::time::sleep(delay / PARTS).await;
            }
        }
        if fails { Err(simulated(host, kind)) } else { Ok(()) }
    }

    pub(crate) fn after(&self, host: Uuid, kind: WorkKind) -> Result<()> {
        if self.any.load(Ordering::Relaxed) && strike(&mut self.plan.lock().after, kind) {
            return Err(simulated(host, kind));
        }
        Ok(())
    }
}

fn strike(faults: &mut HashMap<WorkKind, u32>, kind: WorkKind) -> bool {
    let Some(left) = faults.get_mut(&kind) else { return false };
    let strikes = *left > 0;
    *left = left.saturating_sub(1);
    strikes
}

fn simulated(host: Uuid, kind: WorkKind) -> Error {
    Error::new(
        Kind::Internal,
        "SIMULATED_FAULT",
        format!("{} on simulated host {host} failed, as the simulator was told to", kind.name()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn faults_strike_as_often_as_they_were_told() {
        let (faults, host, silent) = (Faults::default(), Uuid::new_v4(), Progress::silent());
        let before = async |kind| faults.before(host, kind, &silent).await.is_err();
        assert!(!before(WorkKind::StartMachine).await);
        faults.fail_next(WorkKind::StartMachine, 2);
        assert!(!before(WorkKind::StopMachine).await);
        assert!(before(WorkKind::StartMachine).await);
        assert!(before(WorkKind::StartMachine).await);
        assert!(!before(WorkKind::StartMachine).await);
        faults.fail_after_next(WorkKind::CreateVolume, 1);
        assert!(faults.after(host, WorkKind::CreateVolume).is_err());
        assert!(faults.after(host, WorkKind::CreateVolume).is_ok());
        faults.fail_often(WorkKind::DeleteVolume, 0.5);
        let mut failed = 0;
        for _ in 0..1000 {
            failed += u32::from(before(WorkKind::DeleteVolume).await);
        }
        assert!((400..600).contains(&failed), "{failed}");
        faults.lose_heartbeat(host, true);
        assert!(!faults.heart_beats(host));
        faults.clear();
        assert!(faults.heart_beats(host));
    }

    #[tokio::test]
    async fn the_same_seed_is_the_same_chance() {
        let (host, silent) = (Uuid::new_v4(), Progress::silent());
        let fails = async |seed| {
            let faults = Faults::new(Delay::default(), &[(WorkKind::StartMachine, 0.5)], seed);
            let mut fails = Vec::new();
            for _ in 0..64 {
                fails.push(faults.before(host, WorkKind::StartMachine, &silent).await.is_err());
            }
            fails
        };
        assert_eq!(fails(1).await, fails(1).await);
        assert_ne!(fails(1).await, fails(2).await);
    }
}
