//! Simulated machines: a state, and a console that says hello.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::StreamExt;
use gyre_model::{Result, Uuid};
use gyre_proto::agent::v1::{HostFacts, MachineSpec, MachineState};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::failure;
use crate::journal::{Journal, Thing};
use crate::ports::{ConsoleStream, FoundMachine, Hypervisor, MachineEvent, Observer, PluggedNic};

/// What a console keeps of what was typed.
const MOST_TYPED: usize = 64 << 10;

/// What the journal keeps of machines: what each is like, and in which boot those that run were started.
pub(super) const KINDS: [&str; 2] = [MACHINE, RUNNING];
const MACHINE: &str = "machine";
const RUNNING: &str = "running";

#[derive(Default)]
struct Sim {
    name: Arc<str>,
    running: bool,
    typed: Option<Box<watch::Sender<Vec<u8>>>>,
}

pub(super) struct SimHypervisor {
    observer: OnceLock<Observer>,
    machines: Mutex<HashMap<Uuid, Sim>>,
    /// From before this process; until they are found.
    kept: Mutex<Vec<FoundMachine>>,
    journal: Journal,
    boot_id: Arc<str>,
}

fn greeting(name: &str) -> String {
    format!("Gyre simulated machine\r\nhello from {name}\r\nGUEST-UP\r\n\r\n{name} login: ")
}

impl SimHypervisor {
    /// With the machines that the journal kept. Those of an earlier boot are off.
    pub(super) fn new(journal: Journal, boot_id: Arc<str>, kept: Vec<Thing>) -> Self {
        let mut found = Vec::new();
        let mut running = HashSet::new();
        for thing in kept {
            match thing.kind.as_str() {
                RUNNING if thing.value.as_str() == Some(&boot_id) => {
                    running.insert(thing.id);
                }
                MACHINE => match serde_json::from_value::<MachineSpec>(thing.value) {
                    Ok(spec) => found.push(spec),
                    Err(error) => tracing::warn!(vm = thing.id, %error, "a simulated machine cannot be read"),
                },
                _ => {}
            }
        }
        let (mut machines, mut kept) = (HashMap::new(), Vec::new());
        for spec in found {
            let Some(vm) = gyre_model::parse_uuid(&spec.vm_uuid) else { continue };
            let running = running.contains(&vm.to_string());
            machines.insert(vm, Sim { name: spec.name.as_str().into(), running, typed: None });
            let state = if running { MachineState::Running } else { MachineState::Stopped };
            kept.push(FoundMachine { spec, state });
        }
        Self { observer: OnceLock::new(), machines: Mutex::new(machines), kept: Mutex::new(kept), journal, boot_id }
    }

    fn end(&self, vm: Uuid) -> bool {
        let ran = self.machines.lock().get_mut(&vm).is_some_and(|machine| std::mem::take(&mut machine.running));
        if ran {
            self.journal.discard(RUNNING, vm.to_string());
        }
        ran
    }
}

#[async_trait]
impl Hypervisor for SimHypervisor {
    fn facts(&self, facts: &mut HostFacts) {
        "simulator".clone_into(&mut facts.hypervisor);
        env!("CARGO_PKG_VERSION").clone_into(&mut facts.hypervisor_version);
        "simulated".clone_into(&mut facts.accelerator);
    }

    fn observe(&self, observer: Observer) {
        let _ = self.observer.set(observer);
    }

    async fn find(&self) -> Result<Vec<FoundMachine>> {
        Ok(std::mem::take(&mut *self.kept.lock()))
    }

    async fn launch(&self, spec: &MachineSpec, _nics: &[PluggedNic]) -> Result<()> {
        let vm = failure::uuid("machine.vm_uuid", &spec.vm_uuid)?;
        let sim = Sim { name: spec.name.as_str().into(), running: true, typed: None };
        self.machines.lock().insert(vm, sim);
        self.journal.keep(MACHINE, vm.to_string(), spec);
        self.journal.keep(RUNNING, vm.to_string(), &*self.boot_id);
        Ok(())
    }

    async fn resume(&self, _vm: Uuid) -> Result<()> {
        Ok(())
    }

    async fn power_button(&self, vm: Uuid) -> Result<()> {
        self.end(vm);
        Ok(())
    }

    async fn reset(&self, vm: Uuid) -> Result<()> {
        if let Some(machine) = self.machines.lock().get_mut(&vm) {
            machine.typed = None;
        }
        Ok(())
    }

    async fn kill(&self, vm: Uuid) -> Result<()> {
        // the state code asks for a crash in tests by killing behind its own back
        if self.end(vm)
            && let Some(observer) = self.observer.get()
        {
            observer(vm, MachineEvent::Exited);
        }
        Ok(())
    }

    async fn exited(&self, _vm: Uuid) {
        // simulated guests obey the power button at once
    }

    async fn remove(&self, vm: Uuid) -> Result<()> {
        if self.machines.lock().remove(&vm).is_some() {
            self.journal.discard(RUNNING, vm.to_string());
            self.journal.discard(MACHINE, vm.to_string());
        }
        Ok(())
    }

    async fn console_read(&self, vm: Uuid, tail: u64, follow: bool) -> Result<ConsoleStream> {
        let mut machines = self.machines.lock();
        let Some(machine) = machines.get_mut(&vm) else { return Err(failure::no_console(vm)) };
        let mut shown = greeting(&machine.name).into_bytes();
        if let Some(typed) = &machine.typed {
            shown.extend_from_slice(&typed.borrow());
        }
        let skip = shown.len().saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX));
        let first = futures::stream::iter([Ok(Bytes::from(shown.split_off(skip)))]);
        if !follow {
            return Ok(first.boxed());
        }
        let mut news = machine.typed.get_or_insert_with(Box::default).subscribe();
        let read = news.borrow_and_update().len();
        let rest = futures::stream::unfold((news, read), |(mut news, read)| async move {
            news.changed().await.ok()?;
            let (data, now) = {
                let typed = news.borrow_and_update();
                (Bytes::copy_from_slice(typed.get(read..).unwrap_or_default()), typed.len())
            };
            Some((Ok(data), (news, now)))
        });
        Ok(first.chain(rest).boxed())
    }

    async fn console_write(&self, vm: Uuid, data: Bytes) -> Result<()> {
        let mut machines = self.machines.lock();
        let Some(machine) = machines.get_mut(&vm).filter(|machine| machine.running) else {
            return Err(failure::no_console(vm));
        };
        machine.typed.get_or_insert_with(Box::default).send_modify(|typed| {
            let room = MOST_TYPED.saturating_sub(typed.len());
            typed.extend_from_slice(&data[..data.len().min(room)]);
        });
        Ok(())
    }
}
