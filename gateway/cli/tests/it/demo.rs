//! The demo driver, against the gateway in memory.
#![cfg(feature = "up")]

use std::time::Duration;

use gyre_cli::client::Client;
use gyre_cli::ui::Ui;
use gyre_cli::up::demo::{DemoOutcome, DemoSetup, run};
use gyre_model::{Error, Kind};
use gyre_proto::storage::v1::ImageFormat;
use gyre_proto::vm::v1::VmState;
use prost_reflect::Value;

use crate::fake::Fake;

fn demo(fake: &Fake, change: impl FnOnce(&mut DemoSetup)) -> anyhow::Result<DemoOutcome> {
    let home = tempfile::tempdir().unwrap();
    let image = home.path().join("demo.img");
    std::fs::write(&image, b"a bootable disk").unwrap();
    let mut setup = DemoSetup::new(home.path().join("disks"), home.path().join("images"), image, ImageFormat::Raw);
    change(&mut setup);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::new(&fake.endpoint, None).unwrap();
        run(&client, setup, &Ui::new(true)).await
    })
}

fn creates(fake: &Fake) -> Vec<&'static str> {
    fake.state().calls.iter().map(|call| call.name).filter(|name| name.starts_with("Create")).collect()
}

#[test]
fn everything_is_made_once_and_found_the_second_time() {
    let fake = Fake::start();
    let outcome = demo(&fake, |_| {}).unwrap();
    assert!(outcome.greeted && outcome.console.contains("Hello from Gyre"));
    assert_eq!(outcome.vm.addresses, ["10.86.0.10"]);
    assert_eq!(fake.state().uploaded, b"a bootable disk");
    let all = [
        "CreateZone",
        "CreateCluster",
        "CreateHost",
        "CreatePrimaryStorage",
        "CreateImageServer",
        "CreateImage",
        "CreateL2Network",
        "CreateL3Network",
        "CreateIpRange",
        "CreateInstanceOffering",
        "CreateVm",
    ];
    assert_eq!(creates(&fake), all);
    let again = demo(&fake, |_| {}).unwrap();
    assert_eq!(again.vm.uuid, outcome.vm.uuid);
    assert_eq!(creates(&fake), all, "nothing is made twice");
    assert_eq!(fake.requests("UploadImage").len(), 1);
}

#[test]
fn a_machine_that_is_off_is_started_and_one_in_the_bin_is_left_there() {
    let fake = Fake::start();
    let outcome = demo(&fake, |_| {}).unwrap();
    let set = |state: VmState| {
        let key = ("vm".to_owned(), outcome.vm.uuid.clone());
        let mut fake = fake.state();
        fake.resources.get_mut(&key).unwrap().set_field_by_name("state", Value::EnumNumber(state.into()));
    };
    set(VmState::Stopped);
    demo(&fake, |_| {}).unwrap();
    assert_eq!(fake.requests("StartVm").len(), 1);
    set(VmState::Destroyed);
    let other = demo(&fake, |_| {}).unwrap();
    assert_ne!(other.vm.uuid, outcome.vm.uuid);
}

#[test]
fn a_failure_names_the_step_and_a_second_run_goes_on_from_there() {
    let fake = Fake::start();
    fake.state().faults.insert("CreateIpRange", Error::new(Kind::FailedPrecondition, "OVERLAP", "the range overlaps"));
    let failure = demo(&fake, |_| {}).unwrap_err();
    assert!(format!("{failure:#}").contains("ip-range \"demo\" cannot be made"), "{failure:#}");
    fake.state().faults.clear();
    demo(&fake, |_| {}).unwrap();
    assert_eq!(fake.requests("CreateZone").len(), 1);
}

#[test]
fn a_guest_that_says_nothing_is_not_waited_for_without_end() {
    let fake = Fake::start();
    let outcome = demo(&fake, |setup| {
        setup.greeting = "never said".to_owned();
        setup.greeting_limit = Duration::from_millis(200);
    })
    .unwrap();
    assert!(!outcome.greeted);
}
