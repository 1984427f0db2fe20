//! Starts the node and, if asked, the demo; then serves until told to end.
//!
//! Everything lies in one folder: the database, the sign-in file, what the agent keeps of its machines, primary storage and
//! images. A lock on it keeps a second `gyre up` from the same machines.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use gyre_agent::{AgentConfig, Mode, Simulation, UrlPolicy, hypervisor_available};
use gyre_mesh::config::{ProcessArgs, TelemetryArgs};
use gyre_mesh::telemetry;
use gyre_node::{Node, NodeConfig};
use gyre_proto::storage::v1::ImageFormat;
use tokio::signal::unix::{SignalKind, signal};

use super::UpArgs;
use super::demo::{self, DemoSetup};
use crate::client::{Client, Paths, SignIn, read_secret};
use crate::failure::Failure;
use crate::ui::Ui;

/// What the demo's guest says when it is up.
const GREETING: &str = "Hello from a machine made by Gyre";

/// Where things lie.
struct Folders {
    root: PathBuf,
    /// Held as long as the process lives.
    _lock: File,
}

impl Folders {
    fn open(given: Option<PathBuf>) -> Result<Self> {
        let root = match given {
            Some(root) => std::path::absolute(root)?,
            None => Paths::from_environment().sign_in.parent().context("no data folder")?.to_owned(),
        };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&root).with_context(|| {
            format!("cannot make the data folder {}: choose another with --data-dir", root.display())
        })?;
        // The database holds the keys that tokens are signed with: nothing in here is for others, whoever made the folder.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        for name in ["gyre.db", "gyre.db-wal", "gyre.db-shm"] {
            let file = root.join(name);
            if file.exists() {
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))
                    .with_context(|| format!("cannot close {} to others", file.display()))?;
            }
        }
        let path = root.join("lock");
        let lock = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!("another `gyre up` runs on {}: stop it, or choose another folder with --data-dir", root.display());
        }
        Ok(Self { root, _lock: lock })
    }

    /// Remembers whether the host in this folder is simulated: machines of one kind mean nothing to the other.
    fn is_for(&self, simulated: bool) -> Result<()> {
        let path = self.at("host-kind");
        let kind = if simulated { "simulated" } else { "real" };
        match std::fs::read_to_string(&path) {
            Ok(before) if before.trim() == kind => Ok(()),
            Ok(before) => bail!(
                "the host in {} is {}, and this start would make it {kind}: {}, or choose another folder with --data-dir",
                self.root.display(),
                before.trim(),
                if simulated { "leave out --simulated (QEMU must be installed)" } else { "add --simulated" }
            ),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(std::fs::write(&path, kind)?),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// Runs `gyre up`.
///
/// # Errors
/// When the node cannot start, or the demo fails.
pub fn run(args: UpArgs) -> Result<()> {
    if !args.listen.ip().is_loopback() {
        bail!(
            "{} is not a loopback address: `gyre up` speaks plain text; use gyre-node with a certificate to serve others",
            args.listen
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(args));
    runtime.shutdown_background();
    outcome
}

async fn serve(args: UpArgs) -> Result<()> {
    let folders = Folders::open(args.data_dir.clone())?;
    let telemetry =
        TelemetryArgs { otlp_endpoint: args.otlp_endpoint.clone(), log: args.log.clone(), log_json: args.log_json };
    let guard = telemetry::init("gyre-up", &telemetry)?;
    let ui = Ui::new(false);
    let simulated = match (args.simulated, hypervisor_available()) {
        (true, _) => true,
        (false, Ok(())) => false,
        (false, Err(missing)) => {
            ui.say(&format!(
                "note: {}. Until then the host is simulated: its machines have no guest inside.",
                missing.message
            ));
            true
        }
    };
    folders.is_for(simulated)?;
    let admin_file = folders.at("admin.json");
    let mut config = NodeConfig::embedded(&folders.at("gyre.db"), args.listen);
    config.process = ProcessArgs {
        metrics_listen: args.metrics_listen,
        workflows: args.workflows.clone(),
        callback_allow: args.callback_allow.clone(),
        telemetry,
        ..config.process
    };
    config.admin_file = Some(admin_file.clone());
    config.agent = Some(agent(&args, &folders, simulated)?);
    let node = Node::start(config).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let endpoint = format!("http://{}", node.address());
    ui.say(&format!("Gyre answers at {endpoint} (gRPC and HTTP/JSON; open it in a browser to try calls)"));
    ui.say(&format!("sign-in file: {}", admin_file.display()));
    let sign_in: SignIn = read_secret(&admin_file)?.ok_or_else(|| {
        Failure::general(format!("the sign-in file {} is gone; its password cannot be read back", admin_file.display()))
    })?;
    if admin_file != Paths::from_environment().sign_in {
        ui.say(&format!("for gyre in another terminal: export GYRE_SIGN_IN_FILE={}", admin_file.display()));
    }
    if args.demo {
        let ended = tokio::select! {
            biased;
            _ = terminate.recv() => Err(None),
            _ = interrupt.recv() => Err(None),
            shown = show(&args, &folders, &endpoint, sign_in, simulated, &ui) => shown.map_err(Some),
        };
        if let Err(why) = ended {
            ui.say("stopping; what the demo made until now is kept, and a second start goes on from there");
            node.shutdown().await;
            guard.flush().await;
            return why.map_or(Ok(()), |error| Err(error.context("the demo did not come to its end")));
        }
    }
    ui.say("serving until Ctrl-C");
    let outcome = node.until_signal().await;
    guard.flush().await;
    outcome
}

fn agent(args: &UpArgs, folders: &Folders, simulated: bool) -> Result<AgentConfig> {
    let mut config = if simulated {
        let state_dir = Some(folders.at("simulator"));
        AgentConfig::simulated(Simulation { state_dir, ..Simulation::default() })
    } else {
        AgentConfig::real(folders.at("agent"))
    };
    if let Mode::Real(real) = &mut config.mode {
        real.network = args.network;
    }
    config.images = UrlPolicy::new(&args.allow_image_url, &args.allow_image_path)?;
    Ok(config)
}

async fn show(
    args: &UpArgs,
    folders: &Folders,
    endpoint: &str,
    sign_in: SignIn,
    simulated: bool,
    ui: &Ui,
) -> Result<()> {
    let (file, name, format, greeting) = image(args, folders, simulated, ui)?;
    let mut setup = DemoSetup::new(folders.at("primary"), folders.at("images"), file, format);
    setup.image_name = name;
    setup.greeting = greeting;
    setup.simulated = simulated;
    let client = Client::new(endpoint, None)?;
    let session = client.sign_in(&sign_in.account, &sign_in.password).await?;
    let client = client.with_token(&session.token)?;
    demo::run(&client, setup, ui).await?;
    Ok(())
}

/// The demo's disk: the one that was named, or one that Gyre makes.
fn image(args: &UpArgs, folders: &Folders, simulated: bool, ui: &Ui) -> Result<(PathBuf, String, ImageFormat, String)> {
    if let Some(file) = &args.image {
        let name = file.file_stem().map_or_else(|| "image".into(), |stem| stem.to_string_lossy().into_owned());
        return Ok((file.clone(), name.chars().take(64).collect(), format_of(file)?, String::new()));
    }
    let file = folders.at("demo.img");
    let mut options = gyre_demo_image::Options::new(GREETING);
    if simulated {
        // nobody will see it start
        options.want = gyre_demo_image::Want::BootSector;
    }
    let built = gyre_demo_image::build(&options, &file)?;
    let name = match &built.flavour {
        gyre_demo_image::Flavour::Linux { release, .. } => {
            ui.say(&format!("demo image: Linux {release} with busybox, {} MB, made here", built.bytes / 1_000_000));
            "demo-linux"
        }
        gyre_demo_image::Flavour::BootSector { why } => {
            if !simulated {
                ui.say(&format!("demo image: a boot sector that greets on the serial console ({why})"));
            }
            "demo-boot-sector"
        }
    };
    Ok((file, name.to_owned(), ImageFormat::Raw, GREETING.to_owned()))
}

/// Tells qcow2 from raw by its first bytes; the image server checks the rest.
fn format_of(file: &Path) -> Result<ImageFormat> {
    use std::io::Read as _;
    let mut head = Vec::new();
    File::open(file)
        .and_then(|file| file.take(4).read_to_end(&mut head))
        .with_context(|| format!("cannot read the image {}", file.display()))?;
    Ok(if head == b"QFI\xfb" { ImageFormat::Qcow2 } else { ImageFormat::Raw })
}
