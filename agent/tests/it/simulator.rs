//! Simulated hosts: many, cheap, and as strict as real ones.

use std::time::Instant;

use futures::StreamExt;
use gyre_agent::{Agent, AgentConfig, Simulation};
use gyre_model::Uuid;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{
    AskMachines, CreateVolume, FinishUpload, ImageSource, ImportImage, MachineDisk, MachineNic, MachineSpec,
    MachineState, ReadConsoleRequest, StartMachine, StopMachine, WriteConsoleRequest, WriteImageRequest, task_outcome,
};

use crate::common::{client, open};

async fn simulator() -> Agent {
    let simulation = Simulation { cpus: 8, memory_bytes: 32 << 30, ..Simulation::default() };
    Agent::start(AgentConfig::simulated(simulation)).await.expect("starts")
}

fn machine(vm: Uuid, name: &str) -> Work {
    let nic = MachineNic {
        nic_uuid: Uuid::new_v4().to_string(),
        mac: "52:54:00:00:00:01".into(),
        address: "10.0.0.5".into(),
        gateway: "10.0.0.1".into(),
        prefix_length: 24,
        ..MachineNic::default()
    };
    let disk = MachineDisk { volume_uuid: Uuid::new_v4().to_string(), path: "/storage/v.qcow2".into() };
    let spec = MachineSpec {
        vm_uuid: vm.to_string(),
        name: name.into(),
        cpu_count: 1,
        memory_bytes: 64 << 20,
        disks: vec![disk],
        nics: vec![nic],
        ..MachineSpec::default()
    };
    Work::StartMachine(StartMachine { machine: Some(spec) })
}

fn state(result: Option<task_outcome::Result>) -> MachineState {
    match result {
        Some(task_outcome::Result::Machine(facts)) => facts.state(),
        other => panic!("a machine's facts are expected, got {other:?}"),
    }
}

#[tokio::test]
async fn a_machine_lives_crashes_and_is_told_of() {
    let (agent, host, vm) = (simulator().await, Uuid::new_v4(), Uuid::new_v4());
    let mut session = open(&agent, host, 1).await.expect("admitted");
    let facts = session.hello.facts.clone().expect("facts");
    assert_eq!((facts.cpu_count, facts.memory_bytes, facts.hypervisor.as_str()), (8, 32 << 30, "simulator"));
    assert_eq!((facts.accelerator.as_str(), facts.network_mode.as_str()), ("simulated", "simulated"));
    assert_eq!(state(session.run(machine(vm, "web")).await.expect("starts")), MachineState::Running);
    assert_eq!(state(session.run(machine(vm, "web")).await.expect("fine")), MachineState::Running);

    let ask =
        |follow| ReadConsoleRequest { host_uuid: host.to_string(), vm_uuid: vm.to_string(), tail_bytes: 0, follow };
    let mut console = client(&agent).read_console(ask(true)).await.expect("a console").into_inner();
    let shown = console.next().await.expect("output").expect("output").data;
    assert!(String::from_utf8_lossy(&shown).contains("hello from web"), "{shown:?}");
    let typed = WriteConsoleRequest { host_uuid: host.to_string(), vm_uuid: vm.to_string(), data: "ls\r".into() };
    client(&agent).write_console(typed).await.expect("typed");
    assert_eq!(console.next().await.expect("echo").expect("echo").data, "ls\r");

    assert!(agent.crash_machine(host, vm).await);
    let told = session.machine().await;
    assert_eq!((told.vm_uuid.clone(), told.state()), (vm.to_string(), MachineState::Stopped));
    let stop = Work::StopMachine(StopMachine { vm_uuid: vm.to_string(), force: false, grace_seconds: 1 });
    assert_eq!(state(session.run(stop).await.expect("fine")), MachineState::Stopped);
    let session = open(&agent, host, 2).await.expect("admitted");
    assert_eq!(session.hello.machines, [told]);
}

#[tokio::test]
async fn uploads_are_checked_as_on_a_real_host() {
    let (agent, host) = (simulator().await, Uuid::new_v4());
    let mut session = open(&agent, host, 1).await.expect("admitted");
    let upload = async |bytes: &'static [u8]| {
        let image = Uuid::new_v4().to_string();
        let first = WriteImageRequest {
            image_uuid: image.clone(),
            folder: "/images".into(),
            host_uuid: host.to_string(),
            data: bytes::Bytes::new(),
        };
        let rest = bytes.chunks(7).map(|data| WriteImageRequest { data: data.into(), ..Default::default() });
        let pieces = tokio_stream::iter([first].into_iter().chain(rest).collect::<Vec<_>>());
        let written = client(&agent).write_image(pieces).await.expect("written").into_inner();
        assert_eq!(written.bytes, bytes.len() as i64);
        image
    };
    let finish = |image: &str, format: &str| {
        let (image_uuid, folder) = (image.to_owned(), "/images".to_owned());
        Work::FinishUpload(FinishUpload { image_uuid, folder, format: format.into(), sha256: String::new() })
    };
    let bad = upload(b"this is no disk at all").await;
    assert_eq!(session.reason(finish(&bad, "qcow2")).await, "IMAGE_NOT_QCOW2");
    assert_eq!(session.reason(finish(&bad, "raw")).await, "IMAGE_UPLOAD_MISSING", "a bad upload is gone");
    let good = upload(&[7; 1024]).await;
    let Some(task_outcome::Result::Image(facts)) = session.run(finish(&good, "raw")).await.expect("kept") else {
        panic!("facts of the image")
    };
    assert_eq!((facts.size_bytes, facts.file_bytes, facts.sha256.len()), (1024, 1024, 64));
    session.run(finish(&good, "raw")).await.expect("idempotent");
}

#[tokio::test]
async fn images_can_be_made_up_and_volumes_stand_on_them() {
    let (agent, host) = (simulator().await, Uuid::new_v4());
    let mut session = open(&agent, host, 1).await.expect("admitted");
    let image = Uuid::new_v4().to_string();
    let import = |url: &str| {
        let (image_uuid, folder, url) = (image.clone(), "/images".to_owned(), url.to_owned());
        Work::ImportImage(ImportImage { image_uuid, folder, url, format: "qcow2".into(), sha256: String::new() })
    };
    assert_eq!(session.reason(import("https://example.com/x")).await, "IMAGE_URL_NOT_ALLOWED");
    let Some(task_outcome::Result::Image(facts)) =
        session.run(import("https://images.invalid/debian")).await.expect("made up")
    else {
        panic!("facts of the image")
    };
    assert_eq!(facts.size_bytes, 1 << 30);
    let volume = |on: Uuid, size_bytes| {
        let source = ImageSource {
            image_uuid: image.clone(),
            host_uuid: on.to_string(),
            folder: "/images".into(),
            format: "qcow2".into(),
            ..ImageSource::default()
        };
        let (volume_uuid, folder) = (Uuid::new_v4().to_string(), "/storage".to_owned());
        Work::CreateVolume(CreateVolume { volume_uuid, folder, size_bytes, image: Some(source) })
    };
    session.run(volume(host, 2 << 30)).await.expect("on the same host");
    assert_eq!(session.reason(volume(host, 1 << 20)).await, "VOLUME_SMALLER_THAN_IMAGE");
    let mut other = open(&agent, Uuid::new_v4(), 1).await.expect("admitted");
    other.run(volume(host, 2 << 30)).await.expect("on another host");
    let mut third = open(&agent, Uuid::new_v4(), 1).await.expect("admitted");
    let here = third.host;
    third.run(volume(here, 2 << 30)).await.expect("an image from before this simulator started");
}

#[tokio::test]
async fn a_question_is_answered_with_what_is_so_when_it_comes() {
    let (agent, host) = (simulator().await, Uuid::new_v4());
    let mut session = open(&agent, host, 1).await.expect("admitted");
    let vms: Vec<_> = (0..2500).map(|_| Uuid::new_v4()).collect();
    let tasks: Vec<_> = vms.iter().map(|vm| session.task(&vm.to_string(), machine(*vm, "m"))).collect();
    session.submit(tasks).await;
    for _ in &vms {
        assert!(session.outcome().await.error.is_none());
    }
    let all = session.ask(AskMachines { serial: 1, ..AskMachines::default() }).await;
    assert_eq!(all.iter().map(|part| part.machines.len()).collect::<Vec<_>>(), [1000, 1000, 500]);
    let known = all[2].stamp.clone();
    let same = session.ask(AskMachines { serial: 2, known: known.clone(), ..AskMachines::default() }).await;
    assert!(same.len() == 1 && same[0].unchanged && same[0].machines.is_empty());
    assert!(agent.crash_machine(host, vms[7]).await);
    let some = vec![vms[7].to_string(), Uuid::new_v4().to_string()];
    let some = session.ask(AskMachines { serial: 3, vm_uuids: some, known: known.clone() }).await;
    assert_eq!(some[0].machines.iter().map(|machine| machine.state()).collect::<Vec<_>>(), [MachineState::Stopped]);
    let changed = session.ask(AskMachines { serial: 4, known, ..AskMachines::default() }).await;
    assert_eq!(changed.len(), 3);
}

#[tokio::test]
async fn thousands_of_machines_are_cheap() {
    let (agent, host) = (simulator().await, Uuid::new_v4());
    let mut session = open(&agent, host, 1).await.expect("admitted");
    let (began, count) = (Instant::now(), 2000);
    let mut tasks = Vec::new();
    for at in 0..count {
        let (volume_uuid, folder) = (Uuid::new_v4().to_string(), "/storage".to_owned());
        let volume = Work::CreateVolume(CreateVolume { volume_uuid, folder, size_bytes: 1 << 30, image: None });
        tasks.push(session.task(&format!("{at}/volume"), volume));
        tasks.push(session.task(&format!("{at}/start"), machine(Uuid::new_v4(), &format!("vm-{at}"))));
    }
    for batch in tasks.chunks(100) {
        session.submit(batch.to_vec()).await;
    }
    for _ in 0..2 * count {
        let outcome = session.outcome().await;
        assert!(outcome.error.is_none(), "{outcome:?}");
    }
    eprintln!("{count} volumes and machines in {:?}", began.elapsed());
    assert_eq!(agent.counts(), (1, count, 0));
    let session = open(&agent, host, 2).await.expect("admitted");
    assert_eq!(session.hello.machines.len(), count);
}
