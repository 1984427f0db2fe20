//! Transactions around closures.
//!
//! # Theory of a shared commit
//! On SQLite many closures share one transaction, and one that fails must take back what it did and nothing else.
//! 1. A savepoint around a closure does that, and is dear: SQLite keeps a copy of each page that the closure changes first, though
//!    the closure before changed it just so (<https://sqlite.org/tempfiles.html>, section 2.6).
//! 2. Closures that may run again ([`Run::Again`]) need none of their own. A run of them is a *stretch*: one savepoint before it, or
//!    none where it stands first. A closure that fails and has written nothing has nothing to take back. One that has written is undone
//!    with its whole stretch, whose closures then run again, each in its savepoint, as do all after them in this transaction, and for a
//!    while all of that one's name.
//! 3. Some failures of statements end the whole transaction (a full disk, an I/O error), and what follows would be durable by itself.
//!    So after any failed statement, but for one that a unique index or a foreign key refused, its closure can do nothing more
//!    ([`Conn::part`]), and its stretch is undone, which tells: without a transaction there is nothing to go back to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gyre_model::Uuid;

use super::durable::Durable;
use super::interrupt;
use super::job::{Around, Ended, Finish, Job, Run};
use super::watch::Watch;
use crate::conn::Conn;
use crate::error::{self, DbError, DbResult};
use crate::metrics;

/// A closure without a transaction, which may make some of its own: nobody reads meanwhile, since it is not known when it commits.
pub(super) fn none(conn: &mut Conn, job: Job, durable: &Durable) {
    durable.begin();
    let (_, finish) = job.run.once(conn);
    durable.end();
    durable.wrote(vec![finish]);
}

/// A closure that reads: each statement ends after so long, or when nobody waits for it any more.
pub(super) fn read(conn: &mut Conn, job: Job, limit: Duration, durable: &Durable) {
    let (_, finish) = interrupt::within(limit, &job.waiting, || job.run.once(conn));
    drop(job.place);
    durable.saw([(finish, Ended::Well)]);
}

/// What a failed commit means: that no answer came says nothing about what happened.
fn ended(name: &str, commit: Result<(), DbError>) -> Ended {
    match commit {
        Ok(()) => {
            metrics::committed();
            Ended::Well
        }
        Err(DbError::Lost(why)) => {
            metrics::unknown();
            tracing::warn!(name, why, "the database went away while it committed");
            Ended::Unknown(error::unknown())
        }
        Err(error) => {
            tracing::warn!(name, %error, "commit failed");
            Ended::Not(error.into())
        }
    }
}

/// A closure on a connection that is watched, in a transaction if it wants one.
pub(super) fn one(conn: &mut Conn, watch: &Arc<Watch>, mut job: Job) {
    watch.running(&mut job);
    let transaction = job.around == Around::Transaction;
    if transaction && let Err(error) = conn.batch("BEGIN") {
        watch.done();
        return job.refuse(error.into());
    }
    let name = job.name;
    let (outcome, finish) = job.run.once(conn);
    if !transaction {
        watch.done();
        return finish(&Ended::Well);
    }
    if outcome.is_err() {
        // a connection that cannot even do this is lost, and the transaction with it
        let _ = conn.batch("ROLLBACK");
        watch.done();
        return finish(&Ended::Well);
    }
    if !watch.committing(finish) {
        // answered in our place; the connection is dropped and the transaction with it
        conn.lost = true;
        return;
    }
    // the server answers once it is on its disk
    let committed = conn.commit(None);
    conn.lost |= committed.is_err();
    if let Some(finish) = watch.done() {
        finish(&ended(name, committed));
    }
}

/// How long closures share a commit at most where accounts meet: so many times as long as one takes. Less makes a write wait less
/// beside another account's many; more leaves more of the time to the closures.
const COMMITS: u32 = 3;

/// How many of one account share one then. They go on together when it is on the disk, and who is alone would stand behind them then, too.
const FEW: u32 = 8;

/// How long accounts count as meeting after they did. Who makes one write after the other is seldom in two commits in a row.
const MET: Duration = Duration::from_millis(200);

/// How many more of its name have a savepoint of their own after a closure that failed and had written.
const SUSPECTED: u8 = 32;

/// What the writer remembers of the transactions before.
#[derive(Debug, Default)]
pub(super) struct Habits {
    pace: Pace,
    /// When accounts met last.
    met: Option<Instant>,
    /// Names of closures that may fail after they wrote, with how many of them are still to be watched.
    suspects: HashMap<&'static str, u8>,
}

/// How long a commit of little takes until it is on the disk: what the last ones took at least, slowly forgotten. A commit of much takes
/// longer, so the last one alone would let the next be of still more.
#[derive(Debug, Default)]
struct Pace(Duration);

impl Pace {
    fn took(&mut self, time: Duration) {
        self.0 = time.min(self.0 * 9 / 8 + Duration::from_micros(100));
    }
}

/// Several closures in one transaction: the first, and those that `next` has for it, up to so many. `next` is told whether to wait for one while
/// the disk works.
///
/// Where one account alone writes it shares commits as widely as it can, since each costs the disk a wait. Where accounts meet, one must
/// not wait for all that another has: few share a commit then, and only as long as that is worth it.
pub(super) fn group(
    conn: &mut Conn,
    first: Job,
    most: usize,
    habits: &mut Habits,
    durable: &Durable,
    mut next: impl FnMut(bool) -> Option<Job>,
) {
    if let Err(error) = conn.batch("BEGIN IMMEDIATE") {
        let error = gyre_model::Error::from(error);
        first.refuse(error.clone());
        for _ in 1..most {
            let Some(job) = next(false) else { return };
            job.refuse(error.clone());
        }
        return;
    }
    let began = Instant::now();
    let (mut account, mut meet) = (first.behalf.account, false);
    let mut counts = HashMap::<Uuid, u32>::new();
    let mut shared = Shared::new(conn, &mut habits.suspects);
    let mut failed: Option<DbError> = None;
    let mut job = Some(first);
    while let Some(this) = job {
        // Gyre's own work is in no hurry: it meets nobody
        if account.is_nil() {
            account = this.behalf.account;
        }
        meet |= this.behalf.account != account && !this.behalf.account.is_nil();
        let count = counts.entry(this.behalf.account).or_default();
        *count += 1;
        let many = *count >= FEW;
        failed = shared.run(this).err();
        if meet {
            habits.met = Some(began);
        }
        let met = habits.met.is_some_and(|at| began.duration_since(at) < MET);
        let full = shared.len() >= most || met && (many || began.elapsed() >= habits.pace.0 * COMMITS);
        if failed.is_some() || full {
            break;
        }
        job = next(true);
    }
    let finishers = shared.all();
    let ended = match failed {
        None => {
            let committing = Instant::now();
            let commit = ended("group", conn.commit(Some(durable)));
            habits.pace.took(committing.elapsed() + durable.took());
            commit
        }
        // nothing was committed, whatever it was
        Some(error) => Ended::Not(error.into()),
    };
    if matches!(ended, Ended::Well) {
        return durable.wrote(finishers);
    }
    // there may be no transaction left to roll back
    let _ = conn.batch("ROLLBACK");
    durable.saw(finishers.into_iter().map(|finish| (finish, ended.clone())));
}

/// A transaction that closures share. See the theory.
struct Shared<'a> {
    conn: &'a mut Conn,
    suspects: &'a mut HashMap<&'static str, u8>,
    /// Of closures whose part stands, or was taken back.
    finishers: Vec<Finish>,
    /// Those that would run again, and how they ended.
    stretch: Vec<(Job, Finish)>,
    /// Whether the stretch has a savepoint before it.
    saved: bool,
    /// Whether each closure has a savepoint from here on.
    careful: bool,
}

impl<'a> Shared<'a> {
    fn new(conn: &'a mut Conn, suspects: &'a mut HashMap<&'static str, u8>) -> Self {
        Self { conn, suspects, finishers: Vec::new(), stretch: Vec::new(), saved: false, careful: false }
    }

    /// How many closures ran.
    fn len(&self) -> usize {
        self.finishers.len() + self.stretch.len()
    }

    /// Who tells how they ended.
    fn all(self) -> Vec<Finish> {
        let stretch = self.stretch.into_iter().map(|(_, finish)| finish);
        self.finishers.into_iter().chain(stretch).collect()
    }

    /// Runs one. An error is one of the transaction's.
    fn run(&mut self, job: Job) -> DbResult<()> {
        let trusted = !self.careful && !self.suspects.contains_key(job.name);
        match &job.run {
            Run::Again(_) if trusted => self.run_in_stretch(job),
            _ => {
                if let Err(error) = self.end_stretch() {
                    job.refuse(error.clone().into());
                    return Err(error);
                }
                self.run_in_savepoint(job)
            }
        }
    }

    fn run_in_savepoint(&mut self, job: Job) -> DbResult<()> {
        if let Err(error) = self.conn.batch("SAVEPOINT job") {
            job.refuse(error.clone().into());
            return Err(error);
        }
        let (name, again) = (job.name, matches!(job.run, Run::Again(_)));
        let (outcome, finish) = self.conn.part(|conn| job.run.once(conn));
        self.finishers.push(finish);
        match self.suspects.get_mut(name) {
            _ if again && outcome.is_err() && self.conn.wrote() => self.suspect(name),
            Some(0 | 1) => drop(self.suspects.remove(name)),
            Some(left) => *left -= 1,
            None => {}
        }
        self.point(if outcome.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" })
    }

    fn suspect(&mut self, name: &'static str) {
        self.suspects.insert(name, SUSPECTED);
    }

    /// Goes to a savepoint, or goes on from it. Where there is none any more, what ended the transaction is the error.
    fn point(&mut self, text: &str) -> DbResult<()> {
        self.conn.batch(text).map_err(|error| self.conn.shaken().unwrap_or(error))
    }

    fn run_in_stretch(&mut self, job: Job) -> DbResult<()> {
        if self.stretch.is_empty() {
            self.saved = !self.finishers.is_empty();
            if self.saved
                && let Err(error) = self.conn.batch("SAVEPOINT stretch")
            {
                job.refuse(error.clone().into());
                return Err(error);
            }
        }
        let Run::Again(run) = &job.run else { return self.run_in_savepoint(job) };
        let (outcome, finish) = self.conn.part(|conn| run(conn));
        let name = job.name;
        self.stretch.push((job, finish));
        if self.conn.shaken().is_none() && (outcome.is_ok() || !self.conn.wrote()) {
            return Ok(());
        }
        self.suspect(name);
        self.undo_stretch()
    }

    /// What the stretch did stays.
    fn end_stretch(&mut self) -> DbResult<()> {
        let saved = self.saved && !self.stretch.is_empty();
        self.finishers.extend(self.stretch.drain(..).map(|(_, finish)| finish));
        if saved { self.point("RELEASE stretch") } else { Ok(()) }
    }

    /// Takes back what the stretch did, and runs its closures again with more care.
    fn undo_stretch(&mut self) -> DbResult<()> {
        self.careful = true;
        let undo = if self.saved { "ROLLBACK TO stretch; RELEASE stretch" } else { "ROLLBACK; BEGIN IMMEDIATE" };
        self.point(undo)?;
        let mut again = std::mem::take(&mut self.stretch).into_iter().map(|(job, _)| job);
        while let Some(job) = again.next() {
            metrics::retried(job.name);
            if let Err(error) = self.run_in_savepoint(job) {
                again.for_each(|job| job.refuse(error.clone().into()));
                return Err(error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_small_commits() {
        let mut pace = Pace::default();
        (0..100).for_each(|_| pace.took(Duration::from_millis(10)));
        assert_eq!(pace.0, Duration::from_millis(10));
        pace.took(Duration::from_millis(500));
        assert!(pace.0 < Duration::from_millis(12), "{pace:?}");
        pace.took(Duration::from_millis(2));
        assert_eq!(pace.0, Duration::from_millis(2));
    }
}
