//! Runs machines with QEMU, each as a process of its own that outlives the agent.
//!
//! Theory.
//! 1. A machine that runs is a process with a run of its own (see `folder`): sockets, pidfile, number. It is in the table as long
//!    as its process lives and its end was not told yet.
//! 2. One task watches each process: its end (pidfd) and its events (QMP). It alone takes a process out of the table, clears its
//!    run away, and then tells the observer. So whoever saw the end sees nothing of it any more.
//! 3. QEMU is started frozen, in a session of its own, and goes on when its monitor is attached. A start that is given up in between
//!    leaves a frozen machine that the next start finds and lets go on.
//! 4. After a restart of the agent the same is done for every run whose process lives.

mod args;
mod console;
mod folder;
pub mod probe;
mod process;
mod qmp;
mod start;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gyre_model::{Result, Uuid};
use gyre_proto::agent::v1::{HostFacts, MachineSpec, MachineState};
use parking_lot::Mutex;
use tokio::process::Child;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::folder::Folder;
use self::probe::Probed;
pub use self::probe::find_program;
use self::process::Process;
use self::qmp::{Event, Qmp};
use crate::config::RealHost;
use crate::failure::{self, blocking};
use crate::ports::{ConsoleStream, FoundMachine, Hypervisor, MachineEvent, Observer, PluggedNic};

/// How often the logs of consoles are looked at.
const BOUND: Duration = Duration::from_secs(5);
/// How long to wait before connecting again to a monitor that hung up.
const RECONNECT: Duration = Duration::from_millis(500);

/// The driver. Clones share it.
#[derive(Clone)]
pub struct Qemu(Arc<Shared>);

struct Shared {
    probed: Probed,
    machines: PathBuf,
    console_bytes: u64,
    tracker: TaskTracker,
    stop: CancellationToken,
    observer: OnceLock<Observer>,
    running: Mutex<HashMap<Uuid, Arc<Process>>>,
}

impl Qemu {
    /// Looks at QEMU; machines are found later.
    ///
    /// # Errors
    /// QEMU is missing or cannot be used.
    pub async fn new(config: &RealHost, tracker: TaskTracker, stop: CancellationToken) -> Result<Self> {
        let probed = probe::probe(config.qemu.as_deref(), config.accelerator).await?;
        let state_dir = std::path::absolute(&config.state_dir)
            .map_err(|error| failure::io("find the state folder", &config.state_dir, &error))?;
        Ok(Self(Arc::new(Shared {
            probed,
            machines: state_dir.join("machines"),
            console_bytes: config.console_bytes.max(64 << 10),
            tracker,
            stop,
            observer: OnceLock::new(),
            running: Mutex::default(),
        })))
    }

    fn folder(&self, vm: Uuid) -> Folder {
        Folder::of(&self.0.machines, vm)
    }

    fn process(&self, vm: Uuid) -> Option<Arc<Process>> {
        self.0.running.lock().get(&vm).cloned()
    }

    fn must_run(&self, vm: Uuid) -> Result<Arc<Process>> {
        self.process(vm).ok_or_else(|| {
            failure::precondition(
                "MACHINE_NOT_RUNNING",
                format!("machine {vm} does not run on this host; start it first"),
            )
        })
    }

    fn tell(&self, vm: Uuid, event: MachineEvent) {
        if let Some(observer) = self.0.observer.get() {
            observer(vm, event);
        }
    }

    /// Connects to a process's monitor; the second monitor serves when somebody holds the first.
    async fn connect(&self, process: &Process) -> Option<(Qmp, tokio::sync::mpsc::Receiver<Event>)> {
        for monitor in ["qmp0", "qmp1"] {
            let Ok((qmp, events, reading)) = Qmp::connect(&process.run.folder.join(monitor)).await else { continue };
            let stop = self.0.stop.clone();
            self.0.tracker.spawn(async move { stop.run_until_cancelled(reading.run()).await });
            if qmp.negotiate().await.is_ok() {
                process.set_qmp(Some(qmp.clone()));
                return Some((qmp, events));
            }
        }
        None
    }

    /// Puts a process into the table and watches it until it ends, or the agent does.
    fn watch(&self, process: Arc<Process>, events: Option<tokio::sync::mpsc::Receiver<Event>>, child: Option<Child>) {
        self.0.running.lock().insert(process.vm, process.clone());
        let qemu = self.clone();
        self.0.tracker.spawn(async move {
            let ended = tokio::select! {
                () = qemu.0.stop.cancelled() => return,
                () = qemu.follow(&process, events) => false,
                () = process.ended() => true,
            };
            debug_assert!(ended, "a process is followed until it ends");
            if let Some(mut child) = child {
                let _ = child.wait().await;
            }
            qemu.0.running.lock().remove(&process.vm);
            Folder::end(&process.run);
            tracing::info!(vm = %process.vm, run = process.run.generation, "qemu ended");
            process.set_gone();
            qemu.tell(process.vm, MachineEvent::Exited);
        });
    }

    /// Follows the events of a process, connecting anew whenever its monitor hangs up, and bounds its console's log.
    async fn follow(&self, process: &Process, mut events: Option<tokio::sync::mpsc::Receiver<Event>>) {
        let log = self.folder(process.vm).console();
        let mut ticks = interval(BOUND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let Some(current) = &mut events else {
                tokio::time::sleep(RECONNECT).await;
                if let Some((qmp, connected)) = self.connect(process).await {
                    // what happened meanwhile
                    match qmp.status().await.as_deref() {
                        Ok("running") => self.tell(process.vm, MachineEvent::Resumed),
                        Ok(_) => self.tell(process.vm, MachineEvent::Paused),
                        Err(_) => {}
                    }
                    events = Some(connected);
                }
                continue;
            };
            tokio::select! {
                event = current.recv() => match event {
                    None => {
                        process.set_qmp(None);
                        events = None;
                    }
                    Some(event) => {
                        tracing::debug!(vm = %process.vm, event = event.name, "qemu event");
                        match event.name.as_str() {
                            "STOP" => self.tell(process.vm, MachineEvent::Paused),
                            "RESUME" => self.tell(process.vm, MachineEvent::Resumed),
                            _ => {}
                        }
                    }
                },
                _ = ticks.tick() => {
                    let (log, most) = (log.clone(), self.0.console_bytes);
                    if let Err(error) = blocking(move || console::bound(&log, most)).await {
                        tracing::debug!(vm = %process.vm, %error, "the console's log is not bounded");
                    }
                }
            }
        }
    }

    /// Takes hold of a machine's process, if it lives, and says what it is doing.
    async fn find_one(&self, vm: Uuid, folder: &Folder) -> Result<MachineState> {
        let Some(run) = folder.run() else { return Ok(MachineState::Stopped) };
        let looked = run.clone();
        let pid = blocking(move || Ok(looked.process())).await?;
        let held = match pid {
            // the process is looked at again now that it cannot be another one
            Some(pid) => Process::hold(vm, run.clone(), pid)?.filter(|_| run.is_process(pid)),
            None => None,
        };
        let Some(process) = held else {
            Folder::end(&run);
            return Ok(MachineState::Stopped);
        };
        let connected = tokio::select! {
            connected = self.connect(&process) => connected,
            () = process.ended() => None,
        };
        let (state, events) = match connected {
            Some((qmp, events)) => {
                let running = qmp.status().await.map_or(true, |status| status == "running");
                (if running { MachineState::Running } else { MachineState::Paused }, Some(events))
            }
            None => (MachineState::Running, None),
        };
        self.watch(process, events, None);
        Ok(state)
    }
}

#[async_trait]
impl Hypervisor for Qemu {
    fn facts(&self, facts: &mut HostFacts) {
        "qemu".clone_into(&mut facts.hypervisor);
        self.0.probed.version.clone_into(&mut facts.hypervisor_version);
        self.0.probed.accelerator.name().clone_into(&mut facts.accelerator);
    }

    fn observe(&self, observer: Observer) {
        let _ = self.0.observer.set(observer);
    }

    async fn find(&self) -> Result<Vec<FoundMachine>> {
        let root = self.0.machines.clone();
        let mut found = Vec::new();
        for (vm, folder) in blocking(move || Folder::all(&root)).await? {
            let state = self.find_one(vm, &folder).await?;
            match folder.spec() {
                Some(spec) => found.push(FoundMachine { spec, state }),
                None => tracing::warn!(%vm, "a machine's folder without a readable spec.json is left alone"),
            }
        }
        Ok(found)
    }

    async fn launch(&self, spec: &MachineSpec, nics: &[PluggedNic]) -> Result<()> {
        self.start(spec, nics).await
    }

    async fn resume(&self, vm: Uuid) -> Result<()> {
        self.must_run(vm)?.command("cont").await.map(drop)
    }

    async fn power_button(&self, vm: Uuid) -> Result<()> {
        self.must_run(vm)?.command("system_powerdown").await.map(drop)
    }

    async fn reset(&self, vm: Uuid) -> Result<()> {
        self.must_run(vm)?.command("system_reset").await.map(drop)
    }

    async fn kill(&self, vm: Uuid) -> Result<()> {
        match self.process(vm) {
            Some(process) => process.end().await,
            None => Ok(()),
        }
    }

    async fn exited(&self, vm: Uuid) {
        if let Some(process) = self.process(vm) {
            process.gone().await;
        }
    }

    async fn remove(&self, vm: Uuid) -> Result<()> {
        let folder = self.folder(vm);
        blocking(move || folder.remove()).await
    }

    async fn console_read(&self, vm: Uuid, tail: u64, follow: bool) -> Result<ConsoleStream> {
        let log = self.folder(vm).console();
        if !log.exists() {
            return Err(failure::no_console(vm));
        }
        console::read(log, tail, follow)
    }

    async fn console_write(&self, vm: Uuid, data: Bytes) -> Result<()> {
        let process = self.process(vm).ok_or_else(|| failure::no_console(vm))?;
        console::write(&process, data, &self.0.tracker, &self.0.stop).await
    }
}
