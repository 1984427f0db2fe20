use gyre_model::{Behalf, Kind};
use gyre_proto::agent::v1::StopMachine;
use gyre_proto::agent::v1::task;

use super::*;

const KIND: WorkKind = WorkKind::StopMachine;
const KEEP: Duration = Duration::from_secs(600);

fn board(light: usize) -> Board {
    let board = Board::new(Widths { light, ..Widths::default() }, KEEP, Instant::now());
    board.session_up();
    board
}

fn task(id: &str) -> Task {
    Task { id: id.to_owned(), work: Some(task::Work::StopMachine(StopMachine::default())), ..Task::default() }
}

fn done(id: &str) -> TaskOutcome {
    TaskOutcome { task_id: id.to_owned(), ..TaskOutcome::default() }
}

fn failed(id: &str, reason: &'static str) -> TaskOutcome {
    let error = Error::new(Kind::Unavailable, reason, "on purpose");
    TaskOutcome { error: Some((&error).into()), ..done(id) }
}

/// All that is to be sent: ids of tasks, and those to acknowledge with a "!".
fn sent(board: &Board) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(message) = board.next_message(Uuid::nil(), 7) {
        match message.message {
            Some(Message::Tasks(batch)) => all.extend(batch.tasks.into_iter().map(|task| {
                assert_eq!((task.fence, task.host_uuid), (7, Uuid::nil().to_string()));
                task.id
            })),
            Some(Message::Acknowledge(known)) => all.extend(known.task_ids.iter().map(|id| format!("!{id}"))),
            other => panic!("{other:?}"),
        }
    }
    all
}

fn ended(news: &watch::Receiver<News>) -> bool {
    matches!(news.borrow().end, Some(Ok(_)))
}

#[test]
fn lanes_keep_their_width_and_their_order() {
    let board = board(2);
    let _news: Vec<_> = ["a", "b", "c", "d"].map(|id| board.join(task(id), KIND)).into();
    assert_eq!((sent(&board), board.load()), (vec!["a".into(), "b".into()], (2, 2)));
    board.outcome(done("b"), Instant::now());
    assert_eq!(sent(&board), ["!b", "c"]);
    let lanes = board.lanes(Uuid::nil());
    assert_eq!(lanes.len(), 1);
    assert_eq!((lanes[0].work.as_str(), lanes[0].width, lanes[0].running, lanes[0].waiting), ("stop_machine", 2, 2, 1));
    assert_eq!(lanes[0].head, "a");
    assert!(lanes[0].oldest_wait.is_some());
    let other = board.join(task("e"), WorkKind::StartMachine);
    assert_eq!(sent(&board), ["e"], "another kind has a lane of its own");
    drop(other);
}

#[test]
fn accounts_take_turns_in_a_lane() {
    let board = board(1);
    let [flood, quiet] = [1, 2].map(|account| Behalf::operation(Uuid::from_u128(account)));
    let mut news: Vec<_> = Vec::new();
    let mut join = |id: String, whose| news.push(behalf::sync_scope(whose, || board.join(task(&id), KIND)));
    (0..100).for_each(|at| join(format!("flood-{at}"), flood));
    join("quiet-0".into(), quiet);
    join("quiet-1".into(), quiet);
    let mut order = sent(&board);
    for _ in 0..4 {
        let last = order.last().cloned().unwrap();
        board.outcome(done(&last), Instant::now());
        order.extend(sent(&board).into_iter().filter(|id| !id.starts_with('!')));
    }
    assert_eq!(order, ["flood-0", "flood-1", "quiet-0", "flood-2", "quiet-1"]);
    // one that waits and is not wanted any more leaves its lane
    board.cancel("flood-50", i64::MAX);
    assert_eq!(board.load(), (96, 1));
}

#[test]
fn who_joins_hears_the_same_and_nothing_is_sent_twice() {
    let board = board(2);
    let first = board.join(task("a"), KIND);
    let second = board.join(task("a"), KIND);
    assert_eq!(sent(&board), ["a"]);
    board.progress(TaskProgress { task_id: "a".into(), percent: 40, message: String::new() });
    assert_eq!(second.borrow().progress.as_ref().map(|progress| progress.percent), Some(40));
    board.outcome(done("a"), Instant::now());
    assert!(ended(&first) && ended(&second));
    assert!(ended(&board.join(task("a"), KIND)), "a success is kept for who comes late");
    assert_eq!(sent(&board), ["!a"]);
    board.outcome(done("a"), Instant::now());
    assert_eq!(sent(&board), ["!a"], "an agent that missed the acknowledgement gets another");
}

#[test]
fn an_outcome_is_acknowledged_when_somebody_has_it_or_it_is_stale() {
    let board = board(2);
    let start = Instant::now();
    board.outcome(done("early"), start);
    drop(board.join(task("left"), KIND));
    sent(&board);
    board.outcome(done("left"), start);
    board.outcome(done("stale"), start);
    assert_eq!(sent(&board), Vec::<String>::new());
    assert!(ended(&board.join(task("early"), KIND)) && ended(&board.join(task("left"), KIND)));
    assert_eq!(sent(&board), ["!early", "!left"]);
    board.sweep(start + KEEP / 2);
    assert_eq!(sent(&board), Vec::<String>::new());
    board.sweep(start + KEEP);
    assert_eq!(sent(&board), ["!stale"]);
    assert_eq!(board.state.lock().entries.len(), 0);
}

#[test]
fn a_failure_is_told_once_and_then_tried_again() {
    let board = board(2);
    let news = board.join(task("a"), KIND);
    assert_eq!(sent(&board), ["a"]);
    board.outcome(failed("a", "DISK_FULL"), Instant::now());
    assert!(ended(&news));
    let again = board.join(task("a"), KIND);
    assert!(!ended(&again));
    assert_eq!(sent(&board), ["!a", "a"], "the agent forgets the failure before it gets the task again");
}

#[test]
fn what_runs_is_sent_again_with_the_next_session_as_long_as_somebody_waits() {
    let board = board(2);
    let news: Vec<_> = ["a", "b", "c"].map(|id| board.join(task(id), KIND)).into();
    assert_eq!(sent(&board), ["a", "b"]);
    board.session_down(Instant::now());
    board.outcome(failed("a", "AGENT_STOPPING"), Instant::now());
    assert!(!ended(&news[0]), "an agent that did not take it is asked again");
    board.session_up();
    assert_eq!(sent(&board), ["a", "b"]);
    let [_a, b, _c] = <[_; 3]>::try_from(news).unwrap();
    drop(b);
    board.session_up();
    assert_eq!(sent(&board), ["a", "c"], "nobody waits for b any longer, and its place is free");
}

#[test]
fn what_its_operation_went_on_without_is_not_sent_again() {
    let board = board(1);
    let operation = Uuid::new_v4();
    let of_step = Task { operation_uuid: operation.to_string(), operation_fence: 3, ..task("a") };
    let (over, waits) = (board.join(of_step, KIND), board.join(task("b"), KIND));
    assert_eq!(sent(&board), ["a"]);
    board.session_down(Instant::now());
    let unfinished = board.unfinished();
    assert_eq!(unfinished.len(), 1, "b belongs to no operation");
    assert_eq!((unfinished[0].1.operation, unfinished[0].1.fence, unfinished[0].1.undoing), (operation, 3, false));
    board.give_up(&["a".to_owned()], &Error::new(Kind::Aborted, "FENCED", "over"));
    assert!(over.borrow().end.is_some() && waits.borrow().end.is_none());
    board.session_up();
    assert_eq!(sent(&board), ["b"], "its place is free");
}

#[test]
fn when_nothing_more_will_be_heard_those_who_wait_are_told() {
    let board = board(1);
    let news: Vec<_> = ["a", "b"].map(|id| board.join(task(id), KIND)).into();
    board.fail_all(&Error::unavailable("HOST_MOVED", "elsewhere"));
    assert!(news.iter().all(|news| matches!(&news.borrow().end, Some(Err(error)) if error.reason() == "HOST_MOVED")));
    assert_eq!((board.load(), sent(&board)), ((0, 0), Vec::new()));
    let _again = board.join(task("a"), KIND);
    assert_eq!(sent(&board), ["a"]);
}

#[test]
fn a_task_that_its_operation_may_not_send_any_more_is_told_and_not_sent_again() {
    let board = board(2);
    let refused = board.join(task("a"), KIND);
    let session = board.join(task("b"), KIND);
    assert_eq!(sent(&board), ["a", "b"]);
    let error = Error::new(Kind::Aborted, "FENCED", "on purpose").with("operation_uuid", "o");
    board.outcome(TaskOutcome { error: Some((&error).into()), ..done("a") }, Instant::now());
    assert!(ended(&refused));
    board.outcome(failed("b", "FENCED"), Instant::now());
    assert!(!ended(&session), "the session was cut: the next one brings it");
    board.session_up();
    assert_eq!(sent(&board), ["!a", "b"]);
}

#[test]
fn who_has_the_operation_by_a_higher_fence_tells_the_agent() {
    let board = board(2);
    let _first = board.join(task("a"), KIND);
    assert_eq!(sent(&board), ["a"]);
    let fenced = |operation_fence| Task { operation_fence, ..task("a") };
    let _second = board.join(fenced(2), KIND);
    assert_eq!(sent(&board), ["a"]);
    let _third = board.join(fenced(1), KIND);
    assert!(sent(&board).is_empty());
}

/// The tasks that the agent is told to stop, and whatever else is to be sent.
fn cancels(board: &Board) -> (Vec<String>, Vec<String>) {
    let mut ids = Vec::new();
    while let Some(id) = {
        let state = board.state.lock();
        let acknowledges = !state.acknowledge.is_empty();
        (!acknowledges).then(|| state.cancel.front().cloned()).flatten()
    } {
        match board.next_message(Uuid::nil(), 7).and_then(|message| message.message) {
            Some(Message::Cancel(cancel)) => ids.push(cancel.task_id),
            other => panic!("{id}: {other:?}"),
        }
    }
    (ids, sent(board))
}

fn reason(news: &watch::Receiver<News>) -> String {
    match &news.borrow().end {
        Some(Ok(outcome)) => outcome.error.as_ref().map_or_else(String::new, |error| error.reason.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_not_sent_is_cancelled_at_once() {
    let board = board(1);
    let [a, b, c] = ["a", "b", "c"].map(|id| board.join(task(id), KIND));
    board.cancel("b", i64::MAX);
    assert_eq!((reason(&b).as_str(), board.load()), ("TASK_CANCELLED", (1, 1)));
    // it was let run, and the message is still to be made
    board.cancel("a", i64::MAX);
    assert_eq!(reason(&a), "TASK_CANCELLED");
    assert_eq!(cancels(&board), (vec![], vec!["c".into()]), "the place is free");
    assert!(!ended(&c));
}

#[test]
fn what_was_sent_is_cancelled_by_the_agent() {
    let board = board(1);
    let a = board.join(task("a"), KIND);
    assert_eq!(sent(&board), ["a"]);
    board.cancel("a", i64::MAX);
    board.cancel("a", i64::MAX);
    assert!(!ended(&a));
    assert_eq!(cancels(&board), (vec!["a".into()], vec![]), "said once");
    drop(a);
    board.outcome(failed("a", "TASK_CANCELLED"), Instant::now());
    assert_eq!(sent(&board), ["!a"], "nobody comes for the outcome");
    board.session_up();
    assert_eq!((cancels(&board), board.state.lock().entries.len()), ((vec![], vec![]), 0));
}

#[test]
fn a_cancel_is_said_in_each_session_until_the_outcome_comes() {
    let board = board(1);
    let a = board.join(task("a"), KIND);
    assert_eq!(sent(&board), ["a"]);
    board.session_down(Instant::now());
    board.cancel("a", i64::MAX);
    // what an owner before this one sent
    board.cancel("other", i64::MAX);
    let told = |board: &Board| {
        let (mut ids, rest) = cancels(board);
        ids.sort();
        (ids, rest)
    };
    let both = || (vec!["a".to_owned(), "other".to_owned()], Vec::<String>::new());
    board.session_up();
    assert_eq!(told(&board), both(), "and the task is not sent again");
    assert_eq!((reason(&a).as_str(), board.load()), ("TASK_CANCELLED", (0, 0)));
    board.session_up();
    assert_eq!(told(&board), both());
    board.outcome(failed("a", "TASK_CANCELLED"), Instant::now());
    assert_eq!(sent(&board), ["!a"]);
    board.session_up();
    assert_eq!(cancels(&board).0, ["other"]);
    board.sweep(Instant::now() + KEEP);
    board.session_up();
    assert_eq!(cancels(&board), (vec![], vec![]), "an agent that does not know a task says nothing of it");
}

#[test]
fn who_has_the_operation_by_a_higher_fence_keeps_the_task() {
    let board = board(1);
    let fenced = |operation_fence| Task { operation_fence, ..task("a") };
    let _old = board.join(fenced(1), KIND);
    assert_eq!(sent(&board), ["a"]);
    let new = board.join(fenced(2), KIND);
    assert_eq!(sent(&board), ["a"]);
    board.cancel("a", 1);
    assert_eq!(cancels(&board), (vec![], vec![]));
    assert!(!ended(&new));
    board.cancel("a", 2);
    assert_eq!(cancels(&board).0, ["a"]);
}
