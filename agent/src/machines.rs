//! What machines are on the host, and how they are started, stopped and forgotten: the state code over the ports.
//!
//! Theory.
//! 1. The table says for each machine what it is like and what it is doing. Tasks change it, and events of the hypervisor do
//!    (a guest shuts down, QEMU dies). Tasks on one machine never overlap (the runner's lanes see to it), events come at any time.
//! 2. While a task is at a machine, its state changes are the task's answer and nobody else is told. All other changes are told to
//!    the controller. [`AtWork`] marks the time between; giving it up half-way (a cancelled task) tells the state as it is.
//! 3. A machine that ends by itself is unplugged in its lane, behind the work that stands there, and only if it is still off then: a
//!    start that came first has plugged it in anew.
//! 4. What must not be left half-done (plugging in and launching, pulling the plug and unplugging) runs to its end even when its task
//!    is cancelled, and holds the machine's lane so long. So a stop that is cancelled while it waits for the guest leaves the machine
//!    as it is, and one that is cancelled later is a stop; a start is a start, or leaves nothing.

mod spec;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use gyre_model::{Result, Uuid};
use gyre_proto::agent::v1::{MachineFacts, MachineNic, MachineSpec, MachineState};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use self::spec::check;
use crate::failure;
use crate::lanes::{self, Lanes};
use crate::ports::{MachineEvent, PluggedNic, Ports};
use crate::progress::Progress;
use crate::work;

/// How long a guest may take to shut down where the task does not say.
const DEFAULT_GRACE: Duration = Duration::from_secs(60);
/// How often the power button is pressed: a guest that still boots does not hear the first time.
const PRESS: Duration = Duration::from_secs(5);

/// Told of every change that no task made.
pub type Tell = Arc<dyn Fn(MachineFacts) + Send + Sync>;

/// The machines of one host. Clones share them.
#[derive(Clone)]
pub struct Machines(Arc<Shared>);

struct Shared {
    ports: Ports,
    tracker: TaskTracker,
    lanes: Lanes,
    tell: Tell,
    table: Mutex<Table>,
}

/// The machines, and how often any of them changed.
#[derive(Default)]
struct Table {
    machines: HashMap<Uuid, Machine>,
    sequence: i64,
}

impl Table {
    /// The machines, to be changed.
    fn change(&mut self) -> &mut HashMap<Uuid, Machine> {
        self.sequence += 1;
        &mut self.machines
    }
}

struct Machine {
    spec: Arc<MachineSpec>,
    state: MachineState,
    at_work: bool,
}

fn facts(vm: Uuid, state: MachineState) -> MachineFacts {
    MachineFacts { vm_uuid: vm.hyphenated().to_string(), state: state.into(), at_work: false }
}

impl Machine {
    fn facts(&self, vm: Uuid) -> MachineFacts {
        MachineFacts { at_work: self.at_work, ..facts(vm, self.state) }
    }
}

/// A task is at a machine. See rule 2.
struct AtWork<'a> {
    machines: &'a Machines,
    vm: Uuid,
    told: bool,
}

impl AtWork<'_> {
    /// The task is done with it; its answer is the machine's state.
    fn done(mut self) -> MachineFacts {
        self.told = true;
        facts(self.vm, self.end().unwrap_or(MachineState::Stopped))
    }

    fn end(&self) -> Option<MachineState> {
        let mut table = self.machines.0.table.lock();
        let machine = table.change().get_mut(&self.vm)?;
        machine.at_work = false;
        Some(machine.state)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        if !self.told
            && let Some(state) = self.end()
        {
            (self.machines.0.tell)(facts(self.vm, state));
        }
    }
}

impl Machines {
    /// The machines of a host, all of which are still to be found. The lanes are those in which the host's tasks stand.
    pub fn new(ports: Ports, tracker: TaskTracker, lanes: Lanes, tell: Tell) -> Self {
        let machines = Self(Arc::new(Shared { ports, tracker, lanes, tell, table: Mutex::default() }));
        let observer = Arc::downgrade(&machines.0);
        machines.0.ports.hypervisor.observe(Arc::new(move |vm, event| {
            if let Some(shared) = observer.upgrade() {
                Self(shared).happened(vm, event);
            }
        }));
        machines
    }

    /// Finds what is on the host.
    ///
    /// # Errors
    /// The host cannot be looked at.
    pub async fn find(&self) -> Result<()> {
        let found = self.0.ports.hypervisor.find().await?;
        for machine in found.iter().filter(|machine| machine.state == MachineState::Stopped) {
            // it may have ended while nobody looked
            self.unplug(&machine.spec.nics).await;
        }
        let mut table = self.0.table.lock();
        for machine in found {
            if let Some(vm) = gyre_model::parse_uuid(&machine.spec.vm_uuid) {
                tracing::info!(%vm, state = machine.state.as_str_name(), "machine found");
                table
                    .change()
                    .insert(vm, Machine { spec: Arc::new(machine.spec), state: machine.state, at_work: false });
            }
        }
        Ok(())
    }

    /// Every machine, and what it is doing; and a number that grows with every change of that.
    pub fn list(&self) -> (Vec<MachineFacts>, i64) {
        let table = self.0.table.lock();
        (table.machines.iter().map(|(vm, machine)| machine.facts(*vm)).collect(), table.sequence)
    }

    /// The same of some of them, as far as they are known.
    pub fn some(&self, vms: impl Iterator<Item = Uuid>) -> (Vec<MachineFacts>, i64) {
        let table = self.0.table.lock();
        (vms.filter_map(|vm| Some(table.machines.get(&vm)?.facts(vm))).collect(), table.sequence)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.table.lock().machines.len()
    }

    /// What a machine is doing; nothing when it is not known.
    pub fn state(&self, vm: Uuid) -> Option<MachineState> {
        self.0.table.lock().machines.get(&vm).map(|machine| machine.state)
    }

    fn happened(&self, vm: Uuid, event: MachineEvent) {
        let state = match event {
            MachineEvent::Exited => MachineState::Stopped,
            MachineEvent::Paused => MachineState::Paused,
            MachineEvent::Resumed => MachineState::Running,
        };
        let mut table = self.0.table.lock();
        if table.machines.get(&vm).is_none_or(|machine| machine.state == state) {
            return;
        }
        let Some(machine) = table.change().get_mut(&vm) else { return };
        machine.state = state;
        if machine.at_work {
            return;
        }
        drop(table);
        tracing::info!(%vm, state = state.as_str_name(), "machine changed by itself");
        if event == MachineEvent::Exited {
            // a place is taken at once: what comes from now on stands behind it
            let place = self.0.lanes.enter(work::machine_lane(&vm.hyphenated().to_string()));
            let machines = self.clone();
            self.0.tracker.spawn(async move { machines.unplug_ended(vm, place).await });
        }
        (self.0.tell)(facts(vm, state));
    }

    /// Unplugs a machine that ended by itself, in its lane, if it is still off when its turn comes.
    async fn unplug_ended(&self, vm: Uuid, mut place: lanes::Place) {
        place.turn().await;
        let spec = {
            let table = self.0.table.lock();
            let off = |machine: &&Machine| machine.state == MachineState::Stopped;
            table.machines.get(&vm).filter(off).map(|machine| machine.spec.clone())
        };
        if let Some(spec) = spec {
            self.unplug(&spec.nics).await;
        }
        drop(place);
    }

    fn at_work(&self, vm: Uuid) -> AtWork<'_> {
        if let Some(machine) = self.0.table.lock().change().get_mut(&vm) {
            machine.at_work = true;
        }
        AtWork { machines: self, vm, told: false }
    }

    fn set_state(&self, vm: Uuid, state: MachineState) {
        if let Some(machine) = self.0.table.lock().change().get_mut(&vm) {
            machine.state = state;
        }
    }

    async fn unplug(&self, nics: &[MachineNic]) {
        for nic in nics {
            if let Err(error) = self.0.ports.network.unplug(nic).await {
                tracing::warn!(nic = nic.nic_uuid, %error, "the interface stays on the host");
            }
        }
    }

    /// Starts a machine. One that runs already is fine; one that is frozen goes on.
    ///
    /// # Errors
    /// Why it cannot be started; nothing of it runs then.
    pub async fn start(&self, spec: MachineSpec, progress: &Progress) -> Result<MachineFacts> {
        let vm = check(&spec)?;
        match self.state(vm) {
            Some(MachineState::Running) => return Ok(facts(vm, MachineState::Running)),
            Some(MachineState::Paused) => {
                let at_work = self.at_work(vm);
                self.0.ports.hypervisor.resume(vm).await?;
                self.set_state(vm, MachineState::Running);
                return Ok(at_work.done());
            }
            _ => {}
        }
        let spec = Arc::new(spec);
        // running already while it is launched, so that a guest that ends at once is seen to end
        let machine = Machine { spec: spec.clone(), state: MachineState::Running, at_work: true };
        let known = self.0.table.lock().change().insert(vm, machine).is_some();
        let at_work = AtWork { machines: self, vm, told: false };
        let (machines, progress) = (self.clone(), progress.clone());
        let launch = self.to_its_end(async move {
            let result = machines.launch(&spec, &progress).await;
            if result.is_err() {
                machines.unplug(&spec.nics).await;
                machines.happened(vm, MachineEvent::Exited);
                if !known {
                    // it never was: no files, no memory of it
                    let _ = machines.0.ports.hypervisor.remove(vm).await;
                    machines.0.table.lock().change().remove(&vm);
                }
            }
            result
        });
        let launched = launch.await;
        let facts = at_work.done();
        launched.map(|()| facts)
    }

    /// Runs what must not be left half-done. It begins now, whether or not anybody waits for it.
    fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> impl Future<Output = Result<T>> {
        let place = lanes::held();
        let whole = self.0.tracker.spawn(async move {
            let result = work.await;
            drop(place);
            result
        });
        whole.map(failure::joined)
    }

    async fn launch(&self, spec: &MachineSpec, progress: &Progress) -> Result<()> {
        progress.tell(10, "plugging in the network");
        let mut nics = Vec::with_capacity(spec.nics.len());
        for nic in &spec.nics {
            nics.push(PluggedNic { nic: nic.clone(), backend: self.0.ports.network.plug(nic).await? });
        }
        progress.tell(40, "starting the machine");
        self.0.ports.hypervisor.launch(spec, &nics).await
    }

    /// Stops a machine: asks the guest, waits, then pulls the plug. One that is off already is fine.
    ///
    /// # Errors
    /// It cannot be stopped.
    pub async fn stop(&self, vm: Uuid, force: bool, grace: Duration, progress: &Progress) -> Result<MachineFacts> {
        let at_work = self.at_work(vm);
        self.turn_off(vm, force, grace, progress).await?;
        Ok(at_work.done())
    }

    async fn turn_off(&self, vm: Uuid, force: bool, grace: Duration, progress: &Progress) -> Result<()> {
        let Some(state) = self.state(vm) else { return Ok(()) };
        let mut running = state != MachineState::Stopped;
        // a frozen guest hears no button
        if !force && state == MachineState::Running && self.ask(vm, grace, progress).await {
            running = false;
        }
        if running {
            progress.tell(90, "pulling the plug");
        }
        let machines = self.clone();
        let off = self.to_its_end(async move {
            if running {
                machines.0.ports.hypervisor.kill(vm).await?;
            }
            machines.set_state(vm, MachineState::Stopped);
            let spec = machines.0.table.lock().machines.get(&vm).map(|machine| machine.spec.clone());
            if let Some(spec) = spec {
                machines.unplug(&spec.nics).await;
            }
            Ok(())
        });
        off.await
    }

    /// Asks the guest to shut down. Answers whether it did in time.
    async fn ask(&self, vm: Uuid, grace: Duration, progress: &Progress) -> bool {
        let grace = if grace.is_zero() { DEFAULT_GRACE } else { grace };
        let (began, mut pressed) = (Instant::now(), None::<Instant>);
        let mut exited = self.0.ports.hypervisor.exited(vm);
        loop {
            if pressed.is_none_or(|pressed| pressed.elapsed() >= PRESS) {
                if let Err(error) = self.0.ports.hypervisor.power_button(vm).await {
                    // it may have ended this moment
                    tracing::info!(%vm, %error, "the power button does not work");
                    return tokio::time::timeout(Duration::from_secs(1), &mut exited).await.is_ok();
                }
                pressed = Some(Instant::now());
            }
            let waited = began.elapsed();
            if waited >= grace {
                tracing::info!(%vm, seconds = grace.as_secs(), "the guest did not shut down in time");
                return false;
            }
            let percent = i32::try_from(waited.as_millis() * 80 / grace.as_millis().max(1)).unwrap_or(0);
            progress.tell(
                10 + percent,
                &format!("waiting for the guest to shut down, {} of {} s", waited.as_secs(), grace.as_secs()),
            );
            if tokio::time::timeout((grace - waited).min(Duration::from_secs(1)), &mut exited).await.is_ok() {
                return true;
            }
        }
    }

    /// Restarts a machine. One that is off is started.
    ///
    /// # Errors
    /// It cannot be stopped, or not be started again.
    pub async fn reboot(
        &self,
        spec: MachineSpec,
        force: bool,
        grace: Duration,
        progress: &Progress,
    ) -> Result<MachineFacts> {
        let vm = check(&spec)?;
        let same = {
            let table = self.0.table.lock();
            table
                .machines
                .get(&vm)
                .is_some_and(|machine| machine.state == MachineState::Running && *machine.spec == spec)
        };
        if force && same {
            self.0.ports.hypervisor.reset(vm).await?;
            return Ok(facts(vm, self.state(vm).unwrap_or(MachineState::Stopped)));
        }
        let at_work = self.at_work(vm);
        self.turn_off(vm, force, grace, &progress.part(0, 60)).await?;
        at_work.done();
        self.start(spec, &progress.part(60, 100)).await
    }

    /// Forgets a machine: kills what runs of it and removes its files. One that is not there is fine.
    ///
    /// # Errors
    /// It cannot be killed, or its files cannot be removed.
    pub async fn remove(&self, vm: Uuid, progress: &Progress) -> Result<()> {
        let at_work = self.at_work(vm);
        self.turn_off(vm, true, Duration::ZERO, progress).await?;
        // also one that is not in the table, since what it is like could not be read
        self.0.ports.hypervisor.kill(vm).await?;
        self.0.ports.hypervisor.remove(vm).await?;
        self.0.table.lock().change().remove(&vm);
        at_work.done();
        Ok(())
    }
}
