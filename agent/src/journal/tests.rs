use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{DeleteVolume, Task, TaskOutcome};

use gyre_model::time;

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
        journal.accepted(&task(id), None).await.expect("kept");
    }
    journal.finished(&outcome("a")).await.expect("kept");
    journal.finished(&outcome("b")).await.expect("kept");
    journal.forget(vec!["b".into()]);
    journal.accepted(&task("d"), None).await.expect("kept");
}

fn ids(kept: &HashMap<Option<Uuid>, Kept>) -> Vec<(&str, bool)> {
    kept.get(&None)
        .into_iter()
        .flat_map(|kept| &kept.tasks)
        .map(|kept| (kept.task.id.as_str(), kept.outcome.is_some()))
        .collect()
}

#[tokio::test]
async fn a_journal_survives_its_process() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("tasks");
    write(&path).await;
    let (_, kept) = Journal::open(&path).expect("opens");
    assert_eq!(ids(&kept), [("a", true), ("c", false), ("d", false)]);
    assert_eq!(kept[&None].tasks[1].task, task("c"));
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
        journal.accepted(&task("e"), None).await.expect("kept");
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
        journal.accepted(&big, None).await.expect("kept");
        journal.forget(vec![big.id.clone()]);
    }
    journal.accepted(&task("last"), None).await.expect("kept");
    assert!(std::fs::metadata(&path).expect("metadata").len() < 7 << 20);
    let (_, kept) = Journal::open(&path).expect("opens");
    assert_eq!(ids(&kept), [("last", false)]);
    assert!(std::fs::metadata(&path).expect("metadata").len() < 1 << 10, "compacted at start");
}

#[tokio::test]
async fn many_hosts_share_a_journal() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("tasks");
    let (journal, _) = Journal::open(&path).expect("opens");
    let (a, b, gone) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let said = |fence, time| Said { operation: a, fence, undo: false, time };
    let now = time::now_micros();
    for host in [a, b, gone] {
        let journal = journal.of(host);
        journal.bound(3).await.expect("kept");
        journal.keep("volume", "/v".into(), 7);
        journal.keep("volume", "/w".into(), 8);
        journal.discard("volume", "/w".into());
        journal.accepted(&task("same id"), Some(said(1, now))).await.expect("kept");
    }
    journal.of(a).said(said(2, now));
    journal.of(b).said(Said { operation: b, ..said(1, now - 2 * crate::host::SAID_KEPT) });
    journal.of(a).finished(&outcome("same id")).await.expect("kept");
    journal.of(a).finished(&outcome("never accepted")).await.expect("taken");
    journal.of(gone).released().await.expect("forgotten");
    let look = || {
        let (_, kept) = Journal::open(&path).expect("opens");
        let mut hosts: Vec<_> = kept.keys().flatten().copied().collect();
        hosts.sort();
        let mut all = [a, b];
        all.sort();
        assert_eq!(hosts, all);
        let (a, b) = (&kept[&Some(a)], &kept[&Some(b)]);
        assert_eq!((a.tasks.len(), a.tasks[0].outcome.is_some(), b.tasks[0].outcome.is_some()), (1, true, false));
        assert_eq!((a.bound, &a.said[..]), (Some(3), &[said(2, now)][..]));
        assert_eq!(b.said, [said(1, now)], "the old word is not kept");
        let volume = Thing { kind: "volume".into(), id: "/v".into(), value: 7.into() };
        assert_eq!(a.things, [volume]);
    };
    look();
    // compacted by the start before, it says the same
    look();
}
