//! The kinds of work that a task can be, the lane that each takes, and who does it.

use std::time::Duration;

use gyre_model::Result;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::task_outcome;

use crate::failure;
use crate::host::Host;
use crate::progress::Progress;

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkKind {
    /// Makes a storage folder ready.
    PrepareStorage,
    /// Fetches an image.
    ImportImage,
    /// Checks an upload.
    FinishUpload,
    /// Deletes an image.
    DeleteImage,
    /// Makes a volume.
    CreateVolume,
    /// Deletes a volume.
    DeleteVolume,
    /// Starts a machine.
    StartMachine,
    /// Stops a machine.
    StopMachine,
    /// Restarts a machine.
    RebootMachine,
    /// Forgets a machine.
    RemoveMachine,
}

impl WorkKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::PrepareStorage,
        Self::ImportImage,
        Self::FinishUpload,
        Self::DeleteImage,
        Self::CreateVolume,
        Self::DeleteVolume,
        Self::StartMachine,
        Self::StopMachine,
        Self::RebootMachine,
        Self::RemoveMachine,
    ];

    /// The kind of a piece of work.
    pub fn of(work: &Work) -> Self {
        match work {
            Work::PrepareStorage(_) => Self::PrepareStorage,
            Work::ImportImage(_) => Self::ImportImage,
            Work::FinishUpload(_) => Self::FinishUpload,
            Work::DeleteImage(_) => Self::DeleteImage,
            Work::CreateVolume(_) => Self::CreateVolume,
            Work::DeleteVolume(_) => Self::DeleteVolume,
            Work::StartMachine(_) => Self::StartMachine,
            Work::StopMachine(_) => Self::StopMachine,
            Work::RebootMachine(_) => Self::RebootMachine,
            Work::RemoveMachine(_) => Self::RemoveMachine,
        }
    }

    /// Its name, as the field of the task has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrepareStorage => "prepare_storage",
            Self::ImportImage => "import_image",
            Self::FinishUpload => "finish_upload",
            Self::DeleteImage => "delete_image",
            Self::CreateVolume => "create_volume",
            Self::DeleteVolume => "delete_volume",
            Self::StartMachine => "start_machine",
            Self::StopMachine => "stop_machine",
            Self::RebootMachine => "reboot_machine",
            Self::RemoveMachine => "remove_machine",
        }
    }

    /// The kind of a name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The lane of a piece of work: what it works on.
pub fn lane(work: &Work) -> String {
    let spec = |spec: &Option<gyre_proto::agent::v1::MachineSpec>| {
        machine_lane(spec.as_ref().map_or("", |spec| spec.vm_uuid.as_str()))
    };
    match work {
        Work::PrepareStorage(work) => format!("storage {}", work.path),
        Work::ImportImage(work) => format!("image {} {}", work.image_uuid, work.folder),
        Work::FinishUpload(work) => format!("image {} {}", work.image_uuid, work.folder),
        Work::DeleteImage(work) => format!("image {} {}", work.image_uuid, work.folder),
        Work::CreateVolume(work) => format!("volume {}", work.volume_uuid),
        Work::DeleteVolume(work) => format!("volume {}", work.volume_uuid),
        Work::StartMachine(work) => spec(&work.machine),
        Work::RebootMachine(work) => spec(&work.machine),
        Work::StopMachine(work) => machine_lane(&work.vm_uuid),
        Work::RemoveMachine(work) => machine_lane(&work.vm_uuid),
    }
}

/// The lane of a machine.
pub(crate) fn machine_lane(vm: &str) -> String {
    format!("machine {}", vm.to_ascii_lowercase())
}

fn seconds(seconds: i32) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

impl Host {
    /// Does a piece of work. Every kind is idempotent: done twice it is as if done once.
    pub(crate) async fn work(&self, work: Work, progress: &Progress) -> Result<Option<task_outcome::Result>> {
        use task_outcome::Result as Found;
        let (images, machines, volumes) = (self.images(), self.machines(), self.volumes());
        Ok(match work {
            Work::PrepareStorage(work) => Some(Found::Storage(volumes.prepare(&work).await?)),
            Work::ImportImage(work) => Some(Found::Image(images.import(&work, progress).await?)),
            Work::FinishUpload(work) => Some(Found::Image(images.finish_upload(&work, progress).await?)),
            Work::DeleteImage(work) => {
                images.delete(&work).await?;
                None
            }
            Work::CreateVolume(work) => {
                let from = work.image.as_ref().and_then(|source| gyre_model::parse_uuid(&source.host_uuid));
                let same_host = from.is_some() && from == self.uuid();
                Some(Found::Volume(volumes.create(&work, same_host, progress).await?))
            }
            Work::DeleteVolume(work) => {
                volumes.delete(&work).await?;
                None
            }
            Work::StartMachine(work) => {
                Some(Found::Machine(machines.start(work.machine.unwrap_or_default(), progress).await?))
            }
            Work::StopMachine(work) => {
                let vm = failure::uuid("vm_uuid", &work.vm_uuid)?;
                Some(Found::Machine(machines.stop(vm, work.force, seconds(work.grace_seconds), progress).await?))
            }
            Work::RebootMachine(work) => {
                let spec = work.machine.unwrap_or_default();
                Some(Found::Machine(machines.reboot(spec, work.force, seconds(work.grace_seconds), progress).await?))
            }
            Work::RemoveMachine(work) => {
                machines.remove(failure::uuid("vm_uuid", &work.vm_uuid)?, progress).await?;
                None
            }
        })
    }
}
