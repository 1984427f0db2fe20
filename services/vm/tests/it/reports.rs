//! What hosts say counts where they were asked after the row was seen, and never against an operation.

use gyre_model::Uuid;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{MachineState, RemoveMachine, StopMachine};
use gyre_proto::vm::v1::{ReportMachinesRequest, VmState};
use gyre_store::Sql;

use crate::fakes::World;

const RUNS: MachineState = MachineState::Running;
const OFF: MachineState = MachineState::Stopped;

#[tokio::test]
async fn a_report_alone_changes_nothing_and_the_answer_to_a_question_does() {
    let world = World::new().await;
    let vm = world.machine(world.host, VmState::Running).await;
    let calm = world.whole(&[(vm, RUNS)]).await;
    assert!(calm.ask.is_empty() && !calm.unsettled && calm.unknown_vm_uuids.is_empty());

    let first = world.whole(&[(vm, OFF)]).await;
    assert_eq!((first.changed_count, first.ask.len()), (0, 1));
    assert_eq!(world.vm(vm).await.state(), VmState::Running);
    // it ran after all: the first word was old
    assert_eq!(world.asked(first.ask.clone(), &[(vm, RUNS)]).await.changed_count, 0);
    let second = world.asked(first.ask.clone(), &[(vm, OFF)]).await;
    assert_eq!(second.changed_count, 1);
    assert_eq!(
        (world.vm(vm).await.state(), world.vm(vm).await.state_reason.as_str()),
        (VmState::Stopped, "it stopped by itself")
    );
    // the same once more, late
    assert_eq!(world.asked(first.ask, &[(vm, OFF)]).await.changed_count, 0);
}

#[tokio::test]
async fn a_row_that_changed_while_the_host_was_asked_is_left_alone() {
    let world = World::new().await;
    let vm = world.machine(world.host, VmState::Running).await;
    let first = world.whole(&[]).await;
    // an operation came and went meanwhile
    world.execute(Sql::new("UPDATE vm SET generation = generation + 2 WHERE uuid = ").bind(vm)).await;
    let answer = world.asked(first.ask, &[]).await;
    assert!(answer.changed_count == 0 && answer.unsettled);
    assert_eq!(world.vm(vm).await.state(), VmState::Running);
    assert_eq!(world.twice(&[]).await.changed_count, 1);
    assert_eq!(world.vm(vm).await.state_reason, "its host does not know it");
}

#[tokio::test]
async fn what_an_operation_is_at_waits_for_its_end() {
    let world = World::new().await;
    let (vm, gone) = (world.machine(world.host, VmState::Running).await, Uuid::new_v4());
    for vm in [vm, gone] {
        world.operation(vm, "stop-vm", "RUNNING", 0).await;
    }
    let answer = world.whole(&[(vm, OFF), (gone, RUNS)]).await;
    assert!(answer.ask.is_empty() && answer.unsettled && answer.unknown_vm_uuids.is_empty());
    // one that begins between question and answer
    world.execute(Sql::new("UPDATE operation SET state = 'SUCCEEDED'")).await;
    let first = world.whole(&[(vm, OFF)]).await;
    assert_eq!(first.ask.len(), 1);
    world.operation(vm, "start-vm", "QUEUED", 0).await;
    let answer = world.asked(first.ask, &[(vm, OFF)]).await;
    assert!(answer.changed_count == 0 && answer.unsettled);
}

#[tokio::test]
async fn hosts_are_mended_where_rows_say_otherwise() {
    let world = World::new().await;
    let off = world.machine(world.host, VmState::Stopped).await;
    let moved = world.machine(world.other, VmState::Running).await;
    let (gone, unknown) = (Uuid::new_v4(), Uuid::new_v4());
    world.operation(gone, "expunge-vm", "SUCCEEDED", 1).await;
    let all = [(off, RUNS), (moved, RUNS), (gone, OFF), (unknown, RUNS)];
    let first = world.whole(&all).await;
    assert_eq!(first.unknown_vm_uuids, [unknown.to_string()]);
    assert_eq!(first.ask.len(), 3);
    assert!(world.tasks().is_empty(), "seen once");
    assert_eq!(world.asked(first.ask, &all).await.changed_count, 0);
    let host = world.host.to_string();
    let tasks = world.until_tasks(3).await;
    let has = |work: Work| assert!(tasks.contains(&(host.clone(), work.clone())), "{work:?} among {tasks:?}");
    has(Work::StopMachine(StopMachine { vm_uuid: off.to_string(), force: false, grace_seconds: 30 }));
    has(Work::RemoveMachine(RemoveMachine { vm_uuid: moved.to_string() }));
    has(Work::RemoveMachine(RemoveMachine { vm_uuid: gone.to_string() }));
    // where it did not help, it is not tried again at once
    let again = world.twice(&[(off, RUNS)]).await;
    assert!(again.ask.is_empty() && again.unsettled);
    assert_eq!(world.tasks().len(), 3);
}

#[tokio::test]
async fn machines_are_lost_with_a_host_that_counts_as_disconnected_and_come_back() {
    let world = World::new().await;
    let (vm, stopped) =
        (world.machine(world.host, VmState::Running).await, world.machine(world.host, VmState::Stopped).await);
    let away = || ReportMachinesRequest { host_uuid: world.host.to_string(), ..Default::default() };
    assert_eq!(world.report(away()).await.changed_count, 0, "the host answers again: the word is old");
    world.execute(Sql::new("UPDATE host SET status = 'DISCONNECTED' WHERE uuid = ").bind(world.host)).await;
    assert_eq!(world.report(away()).await.changed_count, 1);
    assert_eq!(world.vm(vm).await.state(), VmState::Unknown);
    assert_eq!(world.vm(stopped).await.state(), VmState::Stopped);
    assert_eq!(world.twice(&[(vm, RUNS)]).await.changed_count, 1);
    assert_eq!(world.vm(vm).await.state(), VmState::Running);
}

#[tokio::test]
async fn pages_speak_of_their_own_machines_only() {
    let world = World::new().await;
    let mut vms = Vec::new();
    for _ in 0..6 {
        vms.push(world.machine(world.host, VmState::Running).await);
    }
    vms.sort();
    let page = ReportMachinesRequest {
        host_uuid: world.host.to_string(),
        complete: true,
        connected: true,
        from_uuid: vms[2].to_string(),
        before_uuid: vms[4].to_string(),
        ..Default::default()
    };
    let asked: Vec<_> = world.report(page).await.ask.into_iter().map(|seen| seen.vm_uuid).collect();
    assert_eq!(asked, [vms[2].to_string(), vms[3].to_string()]);
}
