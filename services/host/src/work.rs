//! Kinds of work on a host: each has its own lane and its own width there.

use gyre_proto::agent::v1::task::Work;

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

    /// Whether it moves whole images.
    pub fn moves_images(self) -> bool {
        match self {
            Self::ImportImage | Self::FinishUpload => true,
            Self::PrepareStorage
            | Self::DeleteImage
            | Self::CreateVolume
            | Self::DeleteVolume
            | Self::StartMachine
            | Self::StopMachine
            | Self::RebootMachine
            | Self::RemoveMachine => false,
        }
    }
}
