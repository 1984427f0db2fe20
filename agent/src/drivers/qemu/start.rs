//! Starts a machine's QEMU and waits until its monitor answers.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use gyre_model::{Error, Kind, Result};
use gyre_proto::agent::v1::MachineSpec;
use tokio::process::{Child, Command};

use super::args::{Places, arguments};
use super::folder::{Folder, Run};
use super::process::Process;
use super::{Qemu, console, find_program};
use crate::failure::{self, blocking};
use crate::ports::PluggedNic;

/// How long QEMU may take until its monitor answers.
const START: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(10);
/// How much of QEMU's messages is shown.
const SHOWN: usize = 1000;

impl Qemu {
    pub(super) async fn start(&self, spec: &MachineSpec, nics: &[PluggedNic]) -> Result<()> {
        let vm = failure::uuid("machine.vm_uuid", &spec.vm_uuid)?;
        let folder = self.folder(vm);
        let (begun, kept, most) = (folder.clone(), spec.clone(), self.0.console_bytes);
        let run = blocking(move || {
            let run = begun.begin(vm, &kept)?;
            console::rotate(&begun.console(), most)?;
            Ok(run)
        })
        .await?;
        let result = self.start_run(spec, nics, &folder, &run).await;
        if result.is_err() {
            Folder::end(&run);
        }
        result
    }

    async fn start_run(&self, spec: &MachineSpec, nics: &[PluggedNic], folder: &Folder, run: &Run) -> Result<()> {
        let vm = failure::uuid("machine.vm_uuid", &spec.vm_uuid)?;
        let console = folder.console();
        let places = Places { run: &run.folder, console: &console };
        let args = arguments(spec, nics, self.0.probed.accelerator, self.0.probed.sandbox, &places)?;
        let mut child = self.spawn(&args, &folder.messages())?;
        let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) else {
            return Err(died(spec, &folder.messages()));
        };
        let Some(process) = Process::hold(vm, run.clone(), pid)? else { return Err(died(spec, &folder.messages())) };
        let attach = async {
            loop {
                if let Some(connected) = self.connect(&process).await {
                    return connected;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let connected = tokio::select! {
            connected = tokio::time::timeout(START, attach) => connected,
            _ = child.wait() => return Err(died(spec, &folder.messages())),
        };
        let Ok((qmp, events)) = connected else {
            let _ = child.kill().await;
            return Err(failure::host(
                "MACHINE_START_TIMEOUT",
                format!("machine {vm}: qemu did not answer within {} s; the host may be overloaded", START.as_secs()),
            ));
        };
        if let Err(error) = qmp.execute("cont", serde_json::Value::Null).await {
            let _ = child.kill().await;
            return Err(failure::host("MACHINE_START_FAILED", format!("machine {vm} does not go on: {error}")));
        }
        tracing::info!(%vm, pid, run = run.generation, "qemu started");
        self.watch(process, Some(events), Some(child));
        Ok(())
    }

    /// Starts QEMU in a session of its own: no terminal's signals reach it, and it lives on when the agent does not.
    fn spawn(&self, args: &[String], messages: &Path) -> Result<Child> {
        let program = &self.0.probed.program;
        let log = std::fs::File::create(messages).map_err(|error| failure::io("write", messages, &error))?;
        let errors = log.try_clone().map_err(|error| failure::io("write", messages, &error))?;
        let mut command = match find_program("setsid") {
            Some(setsid) => {
                let mut command = Command::new(setsid);
                command.arg(program);
                command
            }
            None => {
                let mut command = Command::new(program);
                command.process_group(0);
                command
            }
        };
        command.args(args).current_dir("/").stdin(Stdio::null()).stdout(log).stderr(errors).kill_on_drop(false);
        command.spawn().map_err(|error| failure::io("run", program, &error))
    }
}

/// Why QEMU ended before its monitor answered.
fn died(spec: &MachineSpec, messages: &Path) -> Error {
    let said = std::fs::read_to_string(messages).unwrap_or_default();
    let said: String = said.trim().chars().take(SHOWN).collect();
    let vm = &spec.vm_uuid;
    let (kind, reason, remedy) = if said.contains("lock") && said.contains("Is another process using the image") {
        (Kind::FailedPrecondition, "VOLUME_IN_USE", "stop the machine that uses the volume")
    } else if said.contains("Cannot allocate memory") || said.contains("cannot set up guest memory") {
        (Kind::ResourceExhausted, "HOST_OUT_OF_MEMORY", "start it on a host with more free memory")
    } else if said.contains("No such file or directory") {
        (Kind::FailedPrecondition, "MACHINE_FILE_MISSING", "see that the machine's volumes are on this host")
    } else {
        (Kind::Internal, "MACHINE_START_FAILED", "see the agent's log")
    };
    let said = if said.is_empty() { "it said nothing".to_owned() } else { said };
    Error::new(kind, reason, format!("machine {vm}: qemu did not start: {said}; {remedy}")).with("vm_uuid", vm.clone())
}
