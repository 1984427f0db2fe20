//! A closure on its way to a connection, and the way of its answer. Whoever answers first has the say: the thread that ran the
//! closure, or the watchdog that gave up on it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use gyre_model::{Behalf, Error, Origin, Result};
use tokio::sync::{oneshot, watch};

use super::queue::Place;
use crate::Committed;
use crate::conn::Conn;
use crate::metrics;

/// What a job needs around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Around {
    /// Nothing: it reads.
    Nothing,
    /// Nothing: it reads, and may take long.
    Search,
    /// A transaction.
    Transaction,
    /// A connection that may write, without a transaction: migrations make their own.
    Bare,
}

/// How the transaction around a closure ended.
#[derive(Debug, Clone)]
pub(crate) enum Ended {
    /// It is durable, or there was none.
    Well,
    /// It surely did not happen.
    Not(Error),
    /// Its commit was sent, and no answer came.
    Unknown(Error),
}

pub(crate) type Finish = Box<dyn FnOnce(&Ended) + Send>;
/// How a closure ended, and who tells that.
type Ran = (Result<()>, Finish);

/// A closure.
pub(crate) enum Run {
    /// It runs once.
    Once(Box<dyn FnOnce(&mut Conn) -> Ran + Send>),
    /// It may run again where what it did was undone: only the last answer counts.
    Again(Box<dyn Fn(&mut Conn) -> Ran + Send>),
}

impl Run {
    /// Runs it for the last time.
    pub fn once(self, conn: &mut Conn) -> Ran {
        match self {
            Self::Once(run) => run(conn),
            Self::Again(run) => run(conn),
        }
    }
}

/// Whoever waits for an answer.
pub(crate) trait Waiting: Send + Sync {
    /// Answers that it was not done.
    fn refuse(&self, error: Error);
    /// Whether whoever asked has gone.
    fn gone(&self) -> bool;
}

struct Answer<T>(Mutex<Option<oneshot::Sender<Result<Committed<T>>>>>);

impl<T> Answer<T> {
    fn new(answer: oneshot::Sender<Result<Committed<T>>>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(answer))))
    }

    fn send(&self, result: Result<Committed<T>>) {
        if let Some(answer) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // whoever asked may have gone
            let _ = answer.send(result);
        }
    }
}

impl<T: Send> Waiting for Answer<T> {
    fn refuse(&self, error: Error) {
        self.send(Err(error));
    }

    fn gone(&self) -> bool {
        let answer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answer.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

/// What goes along with a closure.
#[derive(Default)]
pub(crate) struct Along {
    /// On whose behalf it runs.
    pub behalf: Behalf,
    /// Where the call came from that it writes for.
    pub origin: Option<Arc<Origin>>,
    /// Who is told once it wrote into the log of changes.
    pub log: Option<Arc<watch::Sender<u64>>>,
}

/// A closure on its way.
pub(crate) struct Job {
    pub name: &'static str,
    pub around: Around,
    /// Whose turn it takes.
    pub behalf: Behalf,
    /// Since when it waits.
    pub since: Instant,
    /// Its place among those that may take long, once it runs.
    pub place: Option<Place>,
    pub run: Run,
    pub waiting: Arc<dyn Waiting>,
}

impl Job {
    pub(crate) fn new<T, F>(
        name: &'static str,
        around: Around,
        run: F,
        answer: oneshot::Sender<Result<Committed<T>>>,
        along: Along,
    ) -> Self
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        let (answer, behalf) = (Answer::new(answer), along.behalf);
        let waiting = Arc::clone(&answer);
        let run = Run::Once(Box::new(move |conn| work(name, around, conn, run, &answer, &along)));
        Self::waiting(name, around, behalf, run, waiting)
    }

    /// One in a transaction that may run again.
    pub(crate) fn again<T, F>(
        name: &'static str,
        run: F,
        answer: oneshot::Sender<Result<Committed<T>>>,
        along: Along,
    ) -> Self
    where
        T: Send + 'static,
        F: Fn(&mut Conn) -> Result<T> + Send + 'static,
    {
        let (answer, behalf, around) = (Answer::new(answer), along.behalf, Around::Transaction);
        let waiting = Arc::clone(&answer);
        let run = Run::Again(Box::new(move |conn| work(name, around, conn, |conn| run(conn), &answer, &along)));
        Self::waiting(name, around, behalf, run, waiting)
    }

    fn waiting(name: &'static str, around: Around, behalf: Behalf, run: Run, waiting: Arc<dyn Waiting>) -> Self {
        Self { name, around, behalf, since: Instant::now(), place: None, run, waiting }
    }

    pub(crate) fn refuse(self, error: Error) {
        self.waiting.refuse(error);
    }
}

/// Runs a closure.
fn work<T: Send + 'static>(
    name: &'static str,
    around: Around,
    conn: &mut Conn,
    run: impl FnOnce(&mut Conn) -> Result<T>,
    answer: &Arc<Answer<T>>,
    along: &Along,
) -> Ran {
    conn.origin.clone_from(&along.origin);
    conn.logged = false;
    let before = conn.statements;
    conn.searches = around == Around::Search;
    let result = catch_unwind(AssertUnwindSafe(|| run(conn))).unwrap_or_else(|panic| Err(panicked(name, &*panic)));
    conn.origin = None;
    metrics::ran(name, conn.statements - before);
    let logged = std::mem::take(&mut conn.logged) && result.is_ok();
    let outcome = result.as_ref().map(|_| ()).map_err(Error::clone);
    let (answer, log) = (Arc::clone(answer), along.log.clone());
    let finish: Finish = Box::new(move |ended| {
        if let (true, Some(log), Ended::Well | Ended::Unknown(_)) = (logged, log, ended) {
            log.send_modify(|commits| *commits += 1);
        }
        answer.send(result.and_then(|value| match ended {
            Ended::Well => Ok(Committed::Done(value)),
            Ended::Not(error) => Err(error.clone()),
            Ended::Unknown(error) => Ok(Committed::Unknown(value, error.clone())),
        }));
    });
    (outcome, finish)
}

fn panicked(name: &str, panic: &(dyn Any + Send)) -> Error {
    let text =
        panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    Error::internal(format!("{name} panicked: {}", text.unwrap_or_default()))
}
