//! Last words of operations: which fence each was seen with, and whether it is being undone.
//!
//! An instance that was paused and replaced may wake up and send what it had in hand. The session's fence does not stop it, since
//! tasks go through the owner of the host, which may be the same as before. So a task is refused with `FENCED` that says less than
//! what its operation has said already: a lower fence, or, with the same fence, to go forward after something was undone. A higher
//! fence begins anew: its owner has read how far the operation came.
//!
//! Words are kept for an hour after the operation's last task, and of the [`MOST`] latest operations of a host.

use std::cmp::Ordering;
use std::collections::HashMap;

use gyre_model::{Error, Kind, Uuid};
use gyre_proto::agent::v1::Task;

use crate::journal::Said;

/// How long a word is kept after the operation's last task, in microseconds.
pub const SAID_KEPT: i64 = 3600 * 1_000_000;
/// A word that is said again is written again after this time, so that the file keeps it long enough.
const WRITTEN_AGAIN: i64 = SAID_KEPT / 6;
/// Most operations whose words are kept for one host.
const MOST: usize = 20_000;

/// The last words of a host's operations.
#[derive(Default)]
pub struct Ledger(HashMap<Uuid, Said>);

fn word(task: &Task, now: i64) -> Option<Said> {
    let operation = gyre_model::parse_uuid(&task.operation_uuid)?;
    Some(Said { operation, fence: task.operation_fence, undo: task.undo, time: now })
}

impl Ledger {
    /// With what the journal kept.
    pub fn new(kept: &[Said]) -> Self {
        Self(kept.iter().map(|said| (said.operation, *said)).collect())
    }

    /// Why a task has not the say of its operation any more.
    pub fn refusal(&self, task: &Task) -> Option<Error> {
        let word = word(task, 0)?;
        let seen = self.0.get(&word.operation)?;
        if (word.fence, word.undo) >= (seen.fence, seen.undo) {
            return None;
        }
        let why = if word.fence < seen.fence {
            format!(
                "the fence {} of operation {} is lower than {}, with which another instance took it",
                word.fence, word.operation, seen.fence
            )
        } else {
            format!("operation {} is being undone: it goes forward no more", word.operation)
        };
        let error = Error::new(Kind::Aborted, "FENCED", why);
        // tells it from the refusal of a session, after which the task would be sent again
        Some(error.with("operation_uuid", word.operation.to_string()).with("operation_fence", seen.fence.to_string()))
    }

    /// Whether a task that waited for its turn goes forward although its operation is being undone by now.
    pub fn overtaken(&self, task: &Task) -> bool {
        let Some(word) = word(task, 0) else { return false };
        self.0.get(&word.operation).is_some_and(|seen| seen.undo && !word.undo && word.fence <= seen.fence)
    }

    /// Notes what a task says, unless more has been said. Answers what is to be written.
    pub fn note(&mut self, task: &Task, now: i64) -> Option<Said> {
        let word = word(task, now)?;
        let nothing_new = |seen: &Said| match (seen.fence, seen.undo).cmp(&(word.fence, word.undo)) {
            Ordering::Greater => true,
            Ordering::Equal => now - seen.time < WRITTEN_AGAIN,
            Ordering::Less => false,
        };
        if self.0.get(&word.operation).is_some_and(nothing_new) {
            return None;
        }
        if self.0.len() >= MOST {
            self.tidy(now);
        }
        self.0.insert(word.operation, word);
        Some(word)
    }

    /// Forgets words whose time is over; where they are still too many, the oldest tenth.
    fn tidy(&mut self, now: i64) {
        self.0.retain(|_, said| said.time + SAID_KEPT >= now);
        if self.0.len() >= MOST {
            let mut times: Vec<_> = self.0.values().map(|said| said.time).collect();
            let (_, bound, _) = times.select_nth_unstable(MOST / 10);
            let bound = *bound;
            self.0.retain(|_, said| said.time > bound);
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(operation: Uuid, fence: i64, undo: bool) -> Task {
        Task { operation_uuid: operation.to_string(), operation_fence: fence, undo, ..Task::default() }
    }

    #[test]
    fn what_says_less_is_refused() {
        let (mut ledger, operation) = (Ledger::default(), Uuid::new_v4());
        let words = [(1, false), (1, true), (2, false), (2, true)];
        for (at, (fence, undo)) in words.into_iter().enumerate() {
            assert!(ledger.refusal(&task(operation, fence, undo)).is_none());
            assert!(ledger.note(&task(operation, fence, undo), 1).is_some());
            assert!(ledger.note(&task(operation, fence, undo), 2).is_none(), "said already");
            for (before, (fence, undo)) in words.into_iter().enumerate() {
                let refused = ledger.refusal(&task(operation, fence, undo));
                assert_eq!(refused.is_some(), before < at, "{before} after {at}");
                assert!(refused.is_none_or(|error| error.reason() == "FENCED"));
            }
        }
        assert!(ledger.refusal(&task(Uuid::new_v4(), 1, false)).is_none(), "another operation");
        assert!(ledger.refusal(&Task::default()).is_none(), "no operation's");
        assert!(ledger.overtaken(&task(operation, 2, false)) && !ledger.overtaken(&task(operation, 3, false)));
        let again = Ledger::new(&[Said { operation, fence: 2, undo: true, time: 1 }]);
        assert!(again.refusal(&task(operation, 2, false)).is_some());
    }

    #[test]
    fn a_word_is_never_lowered() {
        let (mut ledger, operation) = (Ledger::default(), Uuid::new_v4());
        assert!(ledger.note(&task(operation, 2, true), 1).is_some());
        for (fence, undo) in [(1, false), (1, true), (2, false)] {
            assert!(ledger.note(&task(operation, fence, undo), SAID_KEPT).is_none());
            assert!(ledger.refusal(&task(operation, fence, undo)).is_some(), "{fence} {undo}");
        }
        assert!(ledger.note(&task(operation, 2, true), SAID_KEPT).is_some(), "said again, written again");
        assert!(ledger.note(&task(operation, 3, false), SAID_KEPT).is_some());
    }

    #[test]
    fn words_are_bounded() {
        let mut ledger = Ledger::default();
        for at in 0..3 * MOST {
            ledger.note(&task(Uuid::new_v4(), 1, false), i64::try_from(at).unwrap_or(0));
        }
        assert!(ledger.0.len() <= MOST);
        let late = i64::try_from(3 * MOST).unwrap_or(0) + SAID_KEPT;
        ledger.note(&task(Uuid::new_v4(), 1, false), late);
        ledger.tidy(late);
        assert_eq!(ledger.0.len(), 1);
    }
}
