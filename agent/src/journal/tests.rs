use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{DeleteVolume, Task, TaskOutcome};

use super::*;

fn task(id: &str) -> Task {
    let work = Work::DeleteVolume(DeleteVolume { volume_uuid: "v".into(), folder: "/f".into() });
    Task { id: id.into(), fence: 7, work: Some(work), ..Task::default() }
}

fn outcome(id: &str) -> TaskOutcome {
    TaskOutcome { task_id: id.into(), ..TaskOutcome::default() }
}

async fn write(path: &Path) {
    let (journal, kept) = Journal::open(path).expect("opens");
    assert!(kept.is_empty());
    for id in ["a", "b", "c"] {
        journal.accepted(&task(id)).await.expect("kept");
    }
    journal.finished(&outcome("a")).await.expect("kept");
    journal.finished(&outcome("b")).await.expect("kept");
    journal.forget(vec!["b".into()]);
    journal.accepted(&task("d")).await.expect("kept");
}

fn ids(kept: &[Kept]) -> Vec<(&str, bool)> {
    kept.iter().map(|kept| (kept.task.id.as_str(), kept.outcome.is_some())).collect()
}

#[tokio::test]
async fn a_journal_survives_its_process() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("tasks");
    write(&path).await;
    let (_, kept) = Journal::open(&path).expect("opens");
    assert_eq!(ids(&kept), [("a", true), ("c", false), ("d", false)]);
    assert_eq!(kept[1].task, task("c"));
}

#[tokio::test]
async fn a_torn_tail_loses_its_line_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("tasks");
    write(&path).await;
    let bytes = std::fs::read(&path).expect("read");
    let last = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').expect("lines") + 1;
    for cut in last..bytes.len() - 1 {
        std::fs::write(&path, &bytes[..cut]).expect("tear");
        let (journal, kept) = Journal::open(&path).expect("opens");
        assert_eq!(ids(&kept), [("a", true), ("c", false)], "cut at {cut}");
        journal.accepted(&task("e")).await.expect("kept");
        let (_, kept) = Journal::open(&path).expect("opens");
        assert_eq!(ids(&kept), [("a", true), ("c", false), ("e", false)], "cut at {cut}");
    }
}

#[tokio::test]
async fn a_flipped_bit_loses_its_line_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("tasks");
    write(&path).await;
    let mut bytes = std::fs::read(&path).expect("read");
    let at = bytes.windows(9).position(|window| window == b"\"id\":\"c\",").expect("the task c") + 6;
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).expect("damage");
    let (_, kept) = Journal::open(&path).expect("opens");
    assert_eq!(ids(&kept), [("a", true), ("d", false)]);
}

#[tokio::test]
async fn the_dead_are_compacted_away() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("tasks");
    let (journal, _) = Journal::open(&path).expect("opens");
    let mut big = task("x");
    big.trace_parent = "t".repeat(1 << 20);
    for round in 0..12 {
        big.id = format!("x{round}");
        journal.accepted(&big).await.expect("kept");
        journal.forget(vec![big.id.clone()]);
    }
    journal.accepted(&task("last")).await.expect("kept");
    assert!(std::fs::metadata(&path).expect("metadata").len() < 7 << 20);
    let (_, kept) = Journal::open(&path).expect("opens");
    assert_eq!(ids(&kept), [("last", false)]);
    assert!(std::fs::metadata(&path).expect("metadata").len() < 1 << 10, "compacted at start");
}
