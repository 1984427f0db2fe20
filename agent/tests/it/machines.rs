//! Real machines: small guests that are one boot sector each, under QEMU's emulation.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use gyre_agent::{AcceleratorChoice, Agent, AgentConfig, Mode, NetworkMode};
use gyre_model::Uuid;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{
    CreateVolume, ImageSource, ImportImage, MachineDisk, MachineNic, MachineSpec, MachineState, ReadConsoleRequest,
    RebootMachine, RemoveMachine, StartMachine, StopMachine, WriteConsoleRequest, task_outcome,
};

use crate::common::{Session, client, has, open, until};

/// A boot sector that greets on the serial port, echoes what is typed, and shuts down when the power button is pressed.
fn boot_sector(obeys: bool) -> Vec<u8> {
    let mut code: Vec<u8> = vec![
        0x31, 0xc0, 0x8e, 0xd8, 0xfc, // xor ax,ax; mov ds,ax; cld
        0xbe, 0x60, 0x7c, // mov si,0x7c60
        0xac, 0x84, 0xc0, 0x74, 0x06, // next: lodsb; test al,al; jz done
        0xba, 0xf8, 0x03, 0xee, // mov dx,0x3f8; out dx,al
        0xeb, 0xf5, // jmp next
    ];
    if obeys {
        code.extend([
            0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef, // mov dx,0x602; mov ax,0x100; out dx,ax (enable the button)
        ]);
    }
    let poll = code.len();
    code.extend([
        0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0x05, // mov dx,0x3fd; in al,dx; test al,1; jz +5
        0xba, 0xf8, 0x03, 0xec, 0xee, // mov dx,0x3f8; in al,dx; out dx,al
    ]);
    if obeys {
        code.extend([
            0xba, 0x00, 0x06, 0xed, 0xf6, 0xc4, 0x01, // mov dx,0x600; in ax,dx; test ah,1
            0x74, 0x07, // jz +7
            0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, // mov dx,0x604; mov ax,0x2000; out dx,ax (soft off)
        ]);
    }
    let back = poll as i64 - (code.len() as i64 + 2);
    code.extend([0xeb, i8::try_from(back).expect("near").cast_unsigned()]);
    assert!(code.len() <= 0x60);
    code.resize(0x60, 0);
    code.extend(b"HELLO FROM THE BOOT SECTOR\r\n\0");
    code.resize(510, 0);
    code.extend([0x55, 0xaa]);
    code.resize(1 << 20, 0);
    code
}

pub struct Place {
    pub folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config(&self) -> AgentConfig {
        let mut config = AgentConfig::real(self.path("state"));
        let images = self.path("from");
        std::fs::create_dir_all(&images).expect("folder");
        config.images = gyre_agent::UrlPolicy::new(&["http://127.0.0.1".into()], &[images]).expect("sound");
        if let Mode::Real(real) = &mut config.mode {
            real.network = NetworkMode::User;
            real.accelerator = AcceleratorChoice::Tcg;
        }
        config
    }

    pub async fn agent(&self) -> Agent {
        Agent::start(self.config()).await.expect("starts")
    }
}

impl Place {
    /// The processes of the machines that are here.
    pub fn processes(&self) -> Vec<rustix::process::Pid> {
        let machines = std::fs::read_dir(self.path("state/machines")).into_iter().flatten().flatten();
        let runs = machines.flat_map(|machine| std::fs::read_dir(machine.path()).into_iter().flatten().flatten());
        let pids = runs.filter_map(|run| std::fs::read_to_string(run.path().join("pid")).ok()?.trim().parse().ok());
        pids.filter_map(rustix::process::Pid::from_raw).collect()
    }
}

/// Ends what a failed test leaves running.
impl Drop for Place {
    fn drop(&mut self) {
        for pid in self.processes() {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn url(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// Imports a boot sector, makes a volume on it, and describes a machine that starts from it.
async fn machine(session: &mut Session, place: &Place, obeys: bool) -> MachineSpec {
    let image = Uuid::new_v4().to_string();
    std::fs::write(place.path("from/boot.raw"), boot_sector(obeys)).expect("image");
    let (images, storage) = (place.path("images"), place.path("storage"));
    let import = ImportImage {
        image_uuid: image.clone(),
        folder: images.display().to_string(),
        url: url(&place.path("from/boot.raw")),
        format: "raw".into(),
        sha256: String::new(),
    };
    session.run(Work::ImportImage(import)).await.expect("imported");
    let source = ImageSource {
        image_uuid: image,
        host_uuid: session.host.to_string(),
        address: String::new(),
        folder: images.display().to_string(),
        format: "raw".into(),
        ..ImageSource::default()
    };
    let volume = Uuid::new_v4().to_string();
    let create = CreateVolume {
        volume_uuid: volume.clone(),
        folder: storage.display().to_string(),
        size_bytes: 64 << 20,
        image: Some(source),
    };
    let Some(task_outcome::Result::Volume(made)) = session.run(Work::CreateVolume(create)).await.expect("made") else {
        panic!("facts of the volume")
    };
    let nic = MachineNic {
        nic_uuid: Uuid::new_v4().to_string(),
        mac: "52:54:00:00:00:01".into(),
        bridge: "gyre0".into(),
        address: "10.9.0.77".into(),
        gateway: "10.9.0.1".into(),
        prefix_length: 24,
        dns: Vec::new(),
    };
    MachineSpec {
        vm_uuid: Uuid::new_v4().to_string(),
        name: "tiny, but real".into(),
        cpu_count: 1,
        memory_bytes: 32 << 20,
        disks: vec![MachineDisk { volume_uuid: volume, path: made.path }],
        nics: vec![nic],
        ..MachineSpec::default()
    }
}

async fn state(session: &mut Session, work: Work) -> MachineState {
    match session.run(work).await.expect("works") {
        Some(task_outcome::Result::Machine(facts)) => facts.state(),
        other => panic!("a machine's facts are expected, got {other:?}"),
    }
}

fn start(spec: &MachineSpec) -> Work {
    Work::StartMachine(StartMachine { machine: Some(spec.clone()) })
}

fn stop(spec: &MachineSpec, force: bool, grace_seconds: i32) -> Work {
    Work::StopMachine(StopMachine { vm_uuid: spec.vm_uuid.clone(), force, grace_seconds })
}

fn pid(place: &Place, spec: &MachineSpec) -> Option<i32> {
    let folder = place.path("state/machines").join(&spec.vm_uuid);
    let runs = std::fs::read_dir(folder).ok()?.flatten();
    runs.filter_map(|run| std::fs::read_to_string(run.path().join("pid")).ok()?.trim().parse().ok()).next()
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
}

/// Reads a console until it has shown something.
async fn shows(agent: &Agent, session: &Session, spec: &MachineSpec, what: &str) {
    let ask = ReadConsoleRequest {
        host_uuid: session.host.to_string(),
        vm_uuid: spec.vm_uuid.clone(),
        tail_bytes: 1 << 20,
        follow: true,
    };
    let mut console = client(agent).read_console(ask).await.expect("a console").into_inner();
    let mut shown = String::new();
    let read = async {
        while !shown.contains(what) {
            let piece = console.next().await.expect("the console goes on").expect("the console goes on");
            shown += &String::from_utf8_lossy(&piece.data);
        }
    };
    let waited = tokio::time::timeout(crate::common::SOON, read).await;
    waited.unwrap_or_else(|_| panic!("the console shows {shown:?}, not {what:?}"));
}

#[tokio::test]
async fn a_machine_starts_greets_obeys_and_is_forgotten() {
    if !has("qemu-system-x86_64", "qemu-system-x86") {
        return;
    }
    let place = Place::new();
    let agent = place.agent().await;
    let mut session = open(&agent, Uuid::new_v4(), 1).await.expect("admitted");
    let facts = session.hello.facts.clone().expect("facts");
    assert_eq!(
        (facts.hypervisor.as_str(), facts.accelerator.as_str(), facts.network_mode.as_str()),
        ("qemu", "tcg", "user")
    );
    assert!(facts.hypervisor_version.contains('.') && facts.memory_bytes > 0, "{facts:?}");

    let spec = machine(&mut session, &place, true).await;
    assert_eq!(state(&mut session, start(&spec)).await, MachineState::Running);
    assert_eq!(state(&mut session, start(&spec)).await, MachineState::Running, "idempotent");
    shows(&agent, &session, &spec, "HELLO FROM THE BOOT SECTOR").await;
    let typed = WriteConsoleRequest {
        host_uuid: session.host.to_string(),
        vm_uuid: spec.vm_uuid.clone(),
        data: "typed".into(),
    };
    client(&agent).write_console(typed).await.expect("typed");
    shows(&agent, &session, &spec, "typed").await;

    // the same volume in a second machine is refused by its lock
    let second = MachineSpec { vm_uuid: Uuid::new_v4().to_string(), ..spec.clone() };
    assert_eq!(session.reason(start(&second)).await, "VOLUME_IN_USE");
    assert!(!place.path("state/machines").join(&second.vm_uuid).exists(), "a machine that never was leaves nothing");

    let first = pid(&place, &spec).expect("a process");
    let reboot = |force| Work::RebootMachine(RebootMachine { machine: Some(spec.clone()), force, grace_seconds: 30 });
    assert_eq!(state(&mut session, reboot(true)).await, MachineState::Running);
    assert_eq!(pid(&place, &spec), Some(first), "a reset keeps the process");
    shows(&agent, &session, &spec, "HELLO FROM THE BOOT SECTOR").await;
    until("the guest is up again", async || {
        let log = std::fs::read_to_string(place.path("state/machines").join(&spec.vm_uuid).join("console.log"));
        log.expect("log").matches("HELLO FROM").count() >= 2
    })
    .await;
    assert_eq!(state(&mut session, reboot(false)).await, MachineState::Running);
    assert_ne!(pid(&place, &spec), Some(first), "the guest shut down and was started again");
    until("the guest is up again", async || {
        let log = std::fs::read_to_string(place.path("state/machines").join(&spec.vm_uuid).join("console.log"));
        log.expect("log").matches("HELLO FROM").count() >= 3
    })
    .await;

    assert_eq!(state(&mut session, stop(&spec, false, 30)).await, MachineState::Stopped);
    assert_eq!(state(&mut session, stop(&spec, false, 30)).await, MachineState::Stopped, "idempotent");
    assert_eq!(pid(&place, &spec), None);
    session.run(Work::RemoveMachine(RemoveMachine { vm_uuid: spec.vm_uuid.clone() })).await.expect("forgotten");
    session.run(Work::RemoveMachine(RemoveMachine { vm_uuid: spec.vm_uuid.clone() })).await.expect("idempotent");
    assert!(!place.path("state/machines").join(&spec.vm_uuid).exists());
    assert!(Path::new(&spec.disks[0].path).exists(), "volumes stay");
    assert!(session.machines.is_empty(), "nothing changed by itself: {:?}", session.machines);
    agent.shutdown().await;
}

#[tokio::test]
async fn a_guest_that_hears_nothing_loses_its_plug() {
    if !has("qemu-system-x86_64", "qemu-system-x86") {
        return;
    }
    let place = Place::new();
    let agent = place.agent().await;
    let mut session = open(&agent, Uuid::new_v4(), 1).await.expect("admitted");
    let spec = machine(&mut session, &place, false).await;
    assert_eq!(state(&mut session, start(&spec)).await, MachineState::Running);
    shows(&agent, &session, &spec, "HELLO").await;
    assert_eq!(state(&mut session, stop(&spec, false, 1)).await, MachineState::Stopped);
    assert!(
        session.progress.iter().any(|progress| progress.message.contains("waiting for the guest")),
        "{:?}",
        session.progress
    );
    assert_eq!(state(&mut session, start(&spec)).await, MachineState::Running);
    assert_eq!(state(&mut session, stop(&spec, true, 0)).await, MachineState::Stopped);
    agent.shutdown().await;
}

#[tokio::test]
async fn machines_outlive_the_agent_and_a_crash_is_told() {
    if !has("qemu-system-x86_64", "qemu-system-x86") {
        return;
    }
    let place = Place::new();
    let agent = place.agent().await;
    let host = Uuid::new_v4();
    let mut session = open(&agent, host, 1).await.expect("admitted");
    let spec = machine(&mut session, &place, true).await;
    assert_eq!(state(&mut session, start(&spec)).await, MachineState::Running);
    let process = pid(&place, &spec).expect("a process");
    agent.shutdown().await;
    drop((session, agent));

    let agent = place.agent().await;
    let mut session = open(&agent, host, 2).await.expect("admitted");
    assert_eq!(session.hello.machines.len(), 1);
    assert_eq!(session.hello.machines[0].state(), MachineState::Running);
    assert_eq!(pid(&place, &spec), Some(process), "the same process");
    assert_eq!(state(&mut session, start(&spec)).await, MachineState::Running);
    assert_eq!(pid(&place, &spec), Some(process), "the same process");

    kill(process);
    let told = session.machine().await;
    assert_eq!((told.vm_uuid.as_str(), told.state()), (spec.vm_uuid.as_str(), MachineState::Stopped));
    assert_eq!(state(&mut session, start(&spec)).await, MachineState::Running, "it can be started again");

    // killed while nobody looks
    agent.shutdown().await;
    drop((session, agent));
    kill(pid(&place, &spec).expect("a process"));
    let agent = place.agent().await;
    let mut session = open(&agent, host, 3).await.expect("admitted");
    assert_eq!(session.hello.machines[0].state(), MachineState::Stopped);
    assert_eq!(state(&mut session, start(&spec)).await, MachineState::Running);
    assert_eq!(
        state(&mut session, stop(&spec, false, 30)).await,
        MachineState::Stopped,
        "found again, it hears the button"
    );
    agent.shutdown().await;
}

#[tokio::test]
async fn an_agent_belongs_to_one_host() {
    if !has("qemu-system-x86_64", "qemu-system-x86") {
        return;
    }
    let place = Place::new();
    let agent = place.agent().await;
    let (host, other) = (Uuid::new_v4(), Uuid::new_v4());
    open(&agent, host, 4).await.expect("bound");
    let error = open(&agent, other, 9).await.err().expect("refused");
    assert_eq!(error.reason(), "AGENT_BELONGS_TO_ANOTHER_HOST");
    assert!(error.message().contains(&host.to_string()) && error.message().contains(&other.to_string()), "{error}");
    let second = Agent::start(place.config()).await.err().expect("refused");
    assert_eq!(second.reason(), "AGENT_RUNS_ALREADY");
    agent.shutdown().await;
    drop(agent);
    // both survive a restart
    let agent = place.agent().await;
    assert_eq!(open(&agent, other, 9).await.err().expect("refused").reason(), "AGENT_BELONGS_TO_ANOTHER_HOST");
    assert_eq!(open(&agent, host, 3).await.err().expect("refused").reason(), "FENCED");
    open(&agent, host, 4).await.expect("admitted");
    agent.shutdown().await;
}

#[tokio::test]
async fn what_cannot_start_says_why_and_leaves_nothing() {
    if !has("qemu-system-x86_64", "qemu-system-x86") {
        return;
    }
    let place = Place::new();
    let agent = place.agent().await;
    let mut session = open(&agent, Uuid::new_v4(), 1).await.expect("admitted");
    let spec = machine(&mut session, &place, true).await;
    let broken = |change: fn(&mut MachineSpec)| {
        let mut spec = spec.clone();
        change(&mut spec);
        start(&spec)
    };
    assert_eq!(
        session.reason(broken(|spec| spec.disks[0].path = "/nowhere/v.qcow2".into())).await,
        "MACHINE_FILE_MISSING"
    );
    assert_eq!(session.reason(broken(|spec| spec.memory_bytes = 1 << 43)).await, "HOST_OUT_OF_MEMORY");
    assert_eq!(session.reason(broken(|spec| spec.nics[0].mac = "x,romfile=/etc/passwd".into())).await, "INVALID_FIELD");
    assert_eq!(session.reason(broken(|spec| spec.cpu_count = 0)).await, "INVALID_FIELD");
    assert_eq!(session.reason(broken(|spec| spec.nics[0].gateway = "10.8.0.1".into())).await, "INVALID_FIELD");
    assert_eq!(std::fs::read_dir(place.path("state/machines")).expect("folder").count(), 0);
    let session = open(&agent, session.host, 2).await.expect("admitted");
    assert!(session.hello.machines.is_empty());
    tokio::time::timeout(Duration::from_secs(15), agent.shutdown()).await.expect("ends");
}
