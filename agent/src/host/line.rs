//! What the log says of tasks, in a form that programs can rely on; the crate's documents name the fields.

use gyre_model::{Error, Uuid};
use gyre_proto::agent::v1::Task;
use gyre_proto::agent::v1::task::Work;

use crate::work::WorkKind;

/// The fields of a task's lines.
pub(super) struct Line {
    task: String,
    kind: &'static str,
    operation: String,
    operation_fence: i64,
    undo: bool,
    session_fence: i64,
    vm: String,
    volume: String,
}

macro_rules! say {
    ($level:ident, $line:expr, $host:expr, $text:literal $(, $field:ident = $value:expr)*) => {
        tracing::$level!(
            target: "gyre_agent::task",
            host = %$host,
            task = $line.task,
            kind = $line.kind,
            operation = $line.operation,
            operation_fence = $line.operation_fence,
            undo = $line.undo,
            session_fence = $line.session_fence,
            vm = $line.vm,
            volume = $line.volume,
            $($field = $value,)*
            $text
        )
    };
}

impl Line {
    pub(super) fn of(task: &Task) -> Self {
        let (mut vm, mut volume) = (String::new(), String::new());
        match &task.work {
            Some(Work::StartMachine(work)) => {
                vm = work.machine.as_ref().map(|spec| spec.vm_uuid.clone()).unwrap_or_default()
            }
            Some(Work::RebootMachine(work)) => {
                vm = work.machine.as_ref().map(|spec| spec.vm_uuid.clone()).unwrap_or_default()
            }
            Some(Work::StopMachine(work)) => vm.clone_from(&work.vm_uuid),
            Some(Work::RemoveMachine(work)) => vm.clone_from(&work.vm_uuid),
            Some(Work::CreateVolume(work)) => volume.clone_from(&work.volume_uuid),
            Some(Work::DeleteVolume(work)) => volume.clone_from(&work.volume_uuid),
            Some(Work::PrepareStorage(_) | Work::ImportImage(_) | Work::FinishUpload(_) | Work::DeleteImage(_))
            | None => {}
        }
        Self {
            task: task.id.clone(),
            kind: task.work.as_ref().map_or("", |work| WorkKind::of(work).name()),
            operation: task.operation_uuid.clone(),
            operation_fence: task.operation_fence,
            undo: task.undo,
            session_fence: task.fence,
            vm,
            volume,
        }
    }

    /// Its turn has come. Those of simulated hosts without a disk come by the thousand, and prove nothing.
    pub(super) fn starts(&self, host: Uuid, keeps: bool) {
        if keeps {
            say!(info, self, host, "task starts");
        } else {
            say!(debug, self, host, "task starts");
        }
    }

    /// It has ended.
    pub(super) fn ended(&self, host: Uuid, keeps: bool, millis: u64, error: Option<&Error>) {
        match error {
            Some(error) => {
                say!(warn, self, host, "task failed", millis = millis, reason = error.reason(), error = error.message())
            }
            None if keeps => say!(info, self, host, "task done", millis = millis),
            None => say!(debug, self, host, "task done", millis = millis),
        }
    }

    /// It was not taken.
    pub(super) fn refused(&self, host: Uuid, error: &Error) {
        say!(warn, self, host, "task refused", reason = error.reason(), error = error.message());
    }
}
