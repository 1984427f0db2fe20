//! Waiting for the disk apart from the writer.
//!
//! # Theory
//! A commit of SQLite's ends with a wait for the disk (`fdatasync`), in which the writer could already do what comes next. So the writer's
//! connection does not wait (`synchronous = NORMAL`: <https://sqlite.org/pragma.html#pragma_synchronous>), and a thread of its own does:
//! it flushes the write-ahead log, and then answers those whose commits were in it. The log is replayed from its beginning up to the
//! first frame that is not whole, so what is on the disk is always all up to some commit.
//! 1. Nobody hears of a write before it is on the disk.
//! 2. Nor does anybody see one by reading: SQLite shows a commit once it is in the log. So a read that may have seen what is
//!    not on the disk yet is answered when it is. Closures that write need not wait: their own commits come behind.
//! 3. While the disk works the writer fills the next transaction, and commits it when the disk is free: more and smaller
//!    commits would write the same pages more often.
//! 4. What the disk refuses to flush may be lost though it was seen to be written (<https://lwn.net/Articles/752063/>), and no second
//!    try tells. Nothing is answered from then on but that the machine must be started again: the kernel may go on to show what is
//!    not there.
//! 5. What a process left without a flush is flushed by the next before anybody reads it.
//!
//! A power failure is what this is about; that a process ends takes nothing from what it has written. Only the reads of this process's
//! store wait: another process that opens the file sees what SQLite shows.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gyre_model::{Error, Result};

use super::job::{Ended, Finish};
use crate::{error, metrics};

/// What is on the disk of what was committed. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Durable(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    /// The write-ahead log; nothing where SQLite waits for the disk itself.
    log: Option<Arc<File>>,
    /// How many commits began, how many of them ended, and how many of those are on the disk.
    begun: u64,
    ended: u64,
    flushed: u64,
    /// Who waits until so many are, in this order.
    waiting: VecDeque<(u64, Waiting)>,
    /// How long the disk took the last time.
    took: Duration,
    /// Why nothing is answered any more.
    broken: Option<Error>,
    closed: bool,
}

struct Waiting {
    finish: Finish,
    /// What is told once all is on the disk.
    ended: Ended,
    /// Whether something of its own is among it.
    wrote: bool,
}

impl Waiting {
    fn tell(self, broken: Option<&Error>) {
        match broken {
            None => (self.finish)(&self.ended),
            Some(_) if self.wrote => (self.finish)(&Ended::Unknown(error::unknown())),
            Some(error) => (self.finish)(&Ended::Not(error.clone())),
        }
    }
}

impl Durable {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on the writer writes into this log. What somebody else left in it is flushed first.
    ///
    /// # Errors
    /// The disk refuses that.
    pub fn attach(&self, log: Option<File>) -> Result<()> {
        let refused = |error: std::io::Error| {
            Error::unavailable(
                "DATABASE_AWAY",
                format!("the disk does not keep the database's log: {error}; look after the disk"),
            )
        };
        let id = |log: &File| log.metadata().map(|facts| (facts.dev(), facts.ino())).map_err(refused);
        if let Some(log) = &log {
            log.sync_data().map_err(refused)?;
            let known = self.lock().log.clone();
            // a handle that is opened anew is not told of what went wrong before
            if let Some(known) = known
                && id(&known)? == id(log)?
            {
                return Ok(());
            }
        }
        self.lock().log = log.map(Arc::new);
        Ok(())
    }

    /// Whether the disk is waited for apart.
    pub fn is_apart(&self) -> bool {
        self.lock().log.is_some()
    }

    /// The disk refuses to keep what was copied into the file. The log must not be begun anew then: see 4.
    pub fn refuse(&self, error: &str) {
        self.lock().refuse(&error);
    }

    /// Before a commit.
    pub fn begin(&self) {
        self.lock().begun += 1;
    }

    /// After a commit, whatever became of it.
    pub fn end(&self) {
        let mut state = self.lock();
        state.ended += 1;
        if state.log.is_some() && state.broken.is_none() {
            drop(state);
            return self.0.news.notify_one();
        }
        state.flushed = state.ended;
        let (ready, broken) = (state.ready(), state.broken.clone());
        drop(state);
        ready.into_iter().for_each(|waiting| waiting.tell(broken.as_ref()));
    }

    /// Those whose writes were in the commit that ended last are told so once it is on the disk.
    pub fn wrote(&self, finishers: Vec<Finish>) {
        let seen = self.lock().ended;
        self.wait(seen, finishers.into_iter().map(|finish| Waiting { finish, ended: Ended::Well, wrote: true }));
    }

    /// Those who changed nothing, but may have seen whatever is committed by now, are told once it is on the disk.
    pub fn saw(&self, finishers: impl IntoIterator<Item = (Finish, Ended)>) {
        let seen = self.lock().begun;
        self.wait(seen, finishers.into_iter().map(|(finish, ended)| Waiting { finish, ended, wrote: false }));
    }

    fn wait(&self, seen: u64, waiting: impl Iterator<Item = Waiting>) {
        let mut state = self.lock();
        if state.flushed < seen && state.broken.is_none() {
            // behind all that wait for as much, so that the order stays
            let at = state.waiting.partition_point(|(other, _)| *other <= seen);
            if at == state.waiting.len() {
                return state.waiting.extend(waiting.map(|waiting| (seen, waiting)));
            }
            return waiting.enumerate().for_each(|(n, waiting)| state.waiting.insert(at + n, (seen, waiting)));
        }
        let broken = state.broken.clone();
        drop(state);
        waiting.for_each(|waiting| waiting.tell(broken.as_ref()));
    }

    /// Whether the disk is working.
    pub fn flushing(&self) -> bool {
        let state = self.lock();
        state.ended > state.flushed
    }

    /// How long the disk took the last time.
    pub fn took(&self) -> Duration {
        self.lock().took
    }

    /// # Errors
    /// The disk refused something.
    pub fn sound(&self) -> Result<()> {
        self.lock().broken.clone().map_or(Ok(()), Err)
    }

    /// Nothing is committed any more; what was is flushed still.
    pub fn close(&self) {
        self.lock().closed = true;
        self.0.news.notify_one();
    }

    /// Flushes what is committed, until the writer has ended. `free` is called whenever the disk is free again, `broke` when it
    /// refuses something.
    pub fn run(&self, free: impl Fn(), broke: impl Fn(&Error)) {
        loop {
            let mut state = self.lock();
            while state.ended == state.flushed && !state.closed {
                state = self.0.news.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.ended == state.flushed {
                return;
            }
            let (target, log) = (state.ended, state.log.clone());
            drop(state);
            let began = Instant::now();
            let flushed = log.map_or(Ok(()), |log| log.sync_data());
            let took = began.elapsed();
            metrics::flushed(took);

            let mut state = self.lock();
            state.took = took;
            state.flushed = state.flushed.max(target);
            if let Err(error) = &flushed {
                state.refuse(error);
            }
            let (ready, broken) = (state.ready(), state.broken.clone());
            drop(state);
            broken.iter().for_each(&broke);
            free();
            ready.into_iter().for_each(|waiting| waiting.tell(broken.as_ref()));
        }
    }
}

impl State {
    /// From now on nothing is answered but that the disk does not keep what is written.
    fn refuse(&mut self, error: &dyn std::fmt::Display) {
        tracing::error!(%error, "the disk refuses what was committed; start this machine again");
        let text = format!(
            "the disk of the database did not keep what was written ({error}); look after the disk, then start its machine again"
        );
        self.broken.get_or_insert(Error::unavailable("DATABASE_AWAY", text));
    }

    /// Takes those out who wait for nothing any more.
    fn ready(&mut self) -> Vec<Waiting> {
        let flushed = if self.broken.is_some() { u64::MAX } else { self.flushed };
        let count = self.waiting.partition_point(|(seen, _)| *seen <= flushed);
        self.waiting.drain(..count).map(|(_, waiting)| waiting).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn teller(name: &'static str, to: &mpsc::Sender<(&'static str, bool)>) -> Finish {
        let to = to.clone();
        Box::new(move |ended| to.send((name, matches!(ended, Ended::Well))).unwrap_or_default())
    }

    #[test]
    fn who_saw_what_is_not_on_the_disk_waits_for_it() {
        let durable = Durable::default();
        durable.attach(Some(tempfile::tempfile().unwrap())).unwrap();
        let (told, tells) = mpsc::channel();
        let saw = |name| durable.saw([(teller(name, &told), Ended::Well)]);
        saw("before");
        assert_eq!(tells.try_recv(), Ok(("before", true)));
        durable.begin();
        saw("reads while it commits");
        durable.end();
        durable.wrote(vec![teller("write", &told)]);
        saw("reads after it");
        durable.saw([(teller("refused after it", &told), Ended::Not(error::away()))]);
        assert!(durable.flushing() && tells.try_recv().is_err());
        durable.close();
        durable.run(|| told.send(("free", true)).unwrap(), |_| ());
        let order: Vec<_> = tells.try_iter().collect();
        let expected = ["free", "reads while it commits", "write", "reads after it", "refused after it"];
        assert_eq!(order, expected.map(|name| (name, name != "refused after it")));
        assert!(!durable.flushing());
        saw("later");
        assert_eq!(tells.try_recv(), Ok(("later", true)));
    }

    #[test]
    fn a_read_that_saw_less_is_not_held_up_by_more() {
        let durable = Durable::default();
        durable.attach(Some(tempfile::tempfile().unwrap())).unwrap();
        let (told, tells) = mpsc::channel();
        durable.begin();
        durable.end();
        durable.wrote(vec![teller("first", &told)]);
        durable.begin();
        durable.saw([(teller("saw both", &told), Ended::Well)]);
        // the second commit has not ended: the first is flushed without it
        durable.close();
        durable.run(|| (), |_| ());
        assert_eq!(tells.try_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["first"]);
        durable.end();
        durable.wrote(vec![teller("second", &told)]);
        durable.run(|| (), |_| ());
        assert_eq!(tells.try_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["saw both", "second"]);
    }

    #[test]
    fn after_a_disk_that_refuses_nothing_is_believed_and_nobody_waits() {
        let durable = Durable::default();
        // nobody can flush a pipe
        let (_reader, writer) = std::io::pipe().unwrap();
        durable.lock().log = Some(Arc::new(File::from(std::os::fd::OwnedFd::from(writer))));
        let (told, tells) = mpsc::channel();
        let write = |name| {
            durable.begin();
            durable.end();
            durable.wrote(vec![teller(name, &told)]);
        };
        write("one");
        write("another");
        durable.saw([(teller("read", &told), Ended::Well)]);
        let broke = mpsc::channel();
        durable.close();
        durable.run(
            || (),
            |error| {
                broke.0.send(error.reason().to_owned()).unwrap();
                // as the writer may before the disk's thread goes on
                write("meanwhile");
            },
        );
        let mut all: Vec<_> = tells.try_iter().collect();
        all.sort_unstable();
        assert_eq!(all, [("another", false), ("meanwhile", false), ("one", false), ("read", false)]);
        assert_eq!((broke.1.recv().as_deref(), durable.sound().is_err()), (Ok("DATABASE_AWAY"), true));
        write("next write");
        durable.saw([(teller("next read", &told), Ended::Well)]);
        assert_eq!(tells.try_iter().collect::<Vec<_>>(), [("next write", false), ("next read", false)]);
    }
}
