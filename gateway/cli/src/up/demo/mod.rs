//! The demo: everything that a machine needs, made step by step through the API, and one machine.
//!
//! Every step looks for what it would make by its name first, so that a second run finds the first one's work, finished or not:
//! 1. a resource of that name is used as it is, whoever made it;
//! 2. an operation that still runs on it is waited for, not repeated;
//! 3. a machine that is off is started; one in the bin is left there and another is made.

mod console;
mod ensure;
mod image;
mod machine;
mod report;
mod site;
mod step;

use std::path::PathBuf;
use std::time::Duration;

use gyre_proto::storage::v1::ImageFormat;
use gyre_proto::vm::v1::Vm;

use crate::client::Client;
use crate::ui::Ui;

/// What the demo makes.
#[derive(Debug, Clone)]
pub struct DemoSetup {
    /// The name of everything that it makes.
    pub name: String,
    /// Where the host's agent listens: "local" for the one in the same process.
    pub host_address: String,
    /// The folder of the primary storage on the host.
    pub storage_path: PathBuf,
    /// The folder of the image server on the host.
    pub image_server_path: PathBuf,
    /// The image to upload.
    pub image_file: PathBuf,
    /// What the image is called; another image wants another name, since one that is there is used again.
    pub image_name: String,
    /// The image's format.
    pub image_format: ImageFormat,
    /// Whether the host is the simulator, which has no console to greet on.
    pub simulated: bool,
    /// The bridge of the network.
    pub bridge: String,
    /// The addresses that machines get: first, last, router, length of the prefix.
    pub addresses: (String, String, String, i32),
    /// Virtual processors of the machine.
    pub cpu_count: i32,
    /// Memory of the machine in bytes.
    pub memory_bytes: i64,
    /// A piece of the line by which the guest greets; none is waited for when it is empty.
    pub greeting: String,
    /// How long the greeting is waited for.
    pub greeting_limit: Duration,
}

impl DemoSetup {
    /// The usual demo with this image.
    pub fn new(
        storage_path: PathBuf,
        image_server_path: PathBuf,
        image_file: PathBuf,
        image_format: ImageFormat,
    ) -> Self {
        Self {
            name: "demo".to_owned(),
            host_address: "local".to_owned(),
            storage_path,
            image_server_path,
            image_file,
            image_name: "demo".to_owned(),
            image_format,
            simulated: false,
            bridge: "gyre-demo".to_owned(),
            addresses: ("10.86.0.10".to_owned(), "10.86.0.250".to_owned(), "10.86.0.1".to_owned(), 24),
            cpu_count: 1,
            memory_bytes: 256 << 20,
            greeting: "Gyre".to_owned(),
            greeting_limit: Duration::from_secs(30),
        }
    }
}

/// How the demo ended.
#[derive(Debug, Clone)]
pub struct DemoOutcome {
    /// The machine.
    pub vm: Vm,
    /// Whether its greeting was seen.
    pub greeted: bool,
    /// What the console printed until then.
    pub console: String,
}

/// Makes the demo, or finds it made.
///
/// # Errors
/// When a step fails; what was made until then stays, and a second run goes on from there.
pub async fn run(client: &Client, setup: DemoSetup, ui: &Ui) -> anyhow::Result<DemoOutcome> {
    let site = site::prepare(client, &setup, ui).await?;
    let vm = machine::machine(client, &setup, &site, ui).await?;
    let (greeted, console) = if setup.simulated || setup.greeting.is_empty() {
        (false, console::printed(client, &vm.uuid).await?)
    } else {
        console::greeting(client, &setup, &vm.uuid, ui).await?
    };
    report::tell(&setup, &vm, greeted, &console, ui);
    Ok(DemoOutcome { vm, greeted, console })
}
