//! What the agent's state code needs of a host, as traits. `machines`, `images` and `volumes` decide;
//! the drivers behind these ports do. The simulator implements the same ports, so that its queue, journal and state code are the
//! real agent's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use gyre_model::{Result, Uuid};
use gyre_proto::agent::v1::{HostFacts, ImageSource, MachineNic, MachineSpec, MachineState};
use serde::{Deserialize, Serialize};

use crate::image_format::{Format, Probe};
use crate::progress::Progress;

/// Everything a host is made of.
#[derive(Clone)]
pub struct Ports {
    /// Runs machines.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// Keeps images and volumes.
    pub storage: Arc<dyn Storage>,
    /// Plugs machines in.
    pub network: Arc<dyn Network>,
    /// Fetches images from outside.
    pub fetch: Arc<dyn Fetch>,
}

/// What a machine did without being told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineEvent {
    /// It is off: the guest shut down, it was killed, or it crashed.
    Exited,
    /// It is frozen, such as by a full disk.
    Paused,
    /// It goes on.
    Resumed,
}

/// Hears what machines do. Called from the driver's own tasks; must not block.
pub type Observer = Arc<dyn Fn(Uuid, MachineEvent) + Send + Sync>;

/// A machine that was found on the host.
#[derive(Debug, Clone)]
pub struct FoundMachine {
    /// What it is like.
    pub spec: MachineSpec,
    /// What it is doing.
    pub state: MachineState,
}

/// A piece of a console's output, or its end.
pub type ConsoleStream = BoxStream<'static, Result<Bytes>>;

/// Runs machines. Each call is about one machine, and calls for one machine never overlap.
#[async_trait]
pub trait Hypervisor: Send + Sync {
    /// Fills in what the hypervisor knows of the host.
    fn facts(&self, facts: &mut HostFacts);
    /// Says who hears of events. Called once, before anything else.
    fn observe(&self, observer: Observer);
    /// Every machine that has files here, with what it is doing; takes the running ones under observation.
    async fn find(&self) -> Result<Vec<FoundMachine>>;
    /// Starts a machine that does not run.
    async fn launch(&self, spec: &MachineSpec, nics: &[PluggedNic]) -> Result<()>;
    /// Lets a frozen machine go on.
    async fn resume(&self, vm: Uuid) -> Result<()>;
    /// Presses the power button; whether the guest does anything about it is its own affair.
    async fn power_button(&self, vm: Uuid) -> Result<()>;
    /// Presses the reset button.
    async fn reset(&self, vm: Uuid) -> Result<()>;
    /// Pulls the plug, and returns when the machine is off. One that is off already is fine.
    async fn kill(&self, vm: Uuid) -> Result<()>;
    /// Returns when the machine is off.
    async fn exited(&self, vm: Uuid);
    /// Removes a machine's files. One without files is fine.
    async fn remove(&self, vm: Uuid) -> Result<()>;
    /// Reads the console: the last `tail` bytes, then, when `follow`, what comes.
    async fn console_read(&self, vm: Uuid, tail: u64, follow: bool) -> Result<ConsoleStream>;
    /// Types into the console.
    async fn console_write(&self, vm: Uuid, data: Bytes) -> Result<()>;
}

/// A network interface, made ready for a machine.
#[derive(Debug, Clone)]
pub struct PluggedNic {
    /// What was asked for.
    pub nic: MachineNic,
    /// How the machine reaches the network.
    pub backend: NicBackend,
}

/// How a machine reaches the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NicBackend {
    /// By a tap device on a bridge.
    Tap {
        /// The device.
        interface: String,
    },
    /// By QEMU's own user-mode network.
    User,
    /// Not at all.
    Simulated,
}

/// Plugs machines in.
#[async_trait]
pub trait Network: Send + Sync {
    /// "bridge", "user" or "simulated".
    fn mode(&self) -> &'static str;
    /// Makes an interface ready. One that is ready already is fine.
    async fn plug(&self, nic: &MachineNic) -> Result<NicBackend>;
    /// Removes what [`Network::plug`] made. One that is not there is fine.
    async fn unplug(&self, nic: &MachineNic) -> Result<()>;
}

/// Where an image's file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// Uploaded to an image server, not yet checked.
    Uploaded,
    /// Kept on an image server.
    Kept,
    /// In the cache of a primary storage.
    Cached,
}

/// What a look at a whole image file found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Examined {
    /// Its beginning, its end and its length.
    pub probe: Probe,
    /// Its SHA-256 in hex.
    pub sha256: String,
}

/// An image that is being written. Dropping it leaves nothing behind.
#[async_trait]
pub trait ImageWriter: Send {
    /// Appends bytes.
    async fn write(&mut self, data: Bytes) -> Result<()>;
    /// Ends the writing, makes it durable, and says what was written.
    async fn seal(&mut self) -> Result<Examined>;
    /// Keeps what was sealed, under its name.
    async fn keep(self: Box<Self>) -> Result<()>;
}

/// An image that is being read.
pub struct ImageBytes {
    /// How many bytes will come.
    pub length: u64,
    /// The bytes.
    pub data: BoxStream<'static, Result<Bytes>>,
}

/// Keeps images and volumes in folders.
#[async_trait]
pub trait Storage: Send + Sync {
    /// Makes a folder ready and says (total, available) bytes.
    async fn prepare(&self, folder: &Path) -> Result<(u64, u64)>;
    /// Begins to write an image.
    async fn image_write(&self, folder: &Path, image: Uuid, stage: Stage) -> Result<Box<dyn ImageWriter>>;
    /// Reads a whole image to say what it is; nothing when it is not there.
    async fn image_examine(
        &self,
        folder: &Path,
        image: Uuid,
        stage: Stage,
        progress: &Progress,
    ) -> Result<Option<Examined>>;
    /// Opens an image for reading; nothing when it is not there.
    async fn image_read(&self, folder: &Path, image: Uuid, stage: Stage) -> Result<Option<ImageBytes>>;
    /// Looks only at the beginning and the end of an image; nothing when it is not there.
    async fn image_probe(&self, folder: &Path, image: Uuid, stage: Stage) -> Result<Option<Probe>>;
    /// Turns an upload into a kept image.
    async fn upload_keep(&self, folder: &Path, image: Uuid) -> Result<()>;
    /// Deletes an upload.
    async fn upload_delete(&self, folder: &Path, image: Uuid) -> Result<()>;
    /// Deletes a kept image, its upload, and what there is of either.
    async fn image_delete(&self, folder: &Path, image: Uuid) -> Result<()>;
    /// Puts an image into the cache of `folder` without moving bytes, where that can be done.
    async fn cache_shortcut(&self, folder: &Path, image: Uuid, source: &ImageSource, same_host: bool) -> Result<bool>;
    /// Makes a volume's file; with an image, on top of the cached one. One that is there and alike is fine.
    async fn volume_create(
        &self,
        folder: &Path,
        volume: Uuid,
        size: u64,
        image: Option<(Uuid, Format)>,
    ) -> Result<PathBuf>;
    /// Deletes a volume's file. One that is not there is fine.
    async fn volume_delete(&self, folder: &Path, volume: Uuid) -> Result<()>;
    /// The images and volumes of a simulated host, without caches; a real one has its folders to look into.
    fn simulated_files(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

/// An image on its way.
pub struct Fetched {
    /// How many bytes will come, where the source says so.
    pub length: Option<u64>,
    /// The bytes.
    pub data: BoxStream<'static, Result<Bytes>>,
}

/// Fetches images from outside: from URLs that the operator allows, and from other hosts' agents.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// Opens a URL.
    async fn url(&self, url: &str, format: Format) -> Result<Fetched>;
    /// Opens an image on another host's image server.
    async fn peer(&self, source: &ImageSource) -> Result<Fetched>;
}
