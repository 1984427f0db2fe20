//! A closure on its way to a connection, and the way of its answer. Whoever answers first has the say: the thread that ran the
//! closure, or the watchdog that gave up on it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use gyre_model::{Error, Origin, Result};
use tokio::sync::{oneshot, watch};

use crate::Committed;
use crate::conn::Conn;

/// What a job needs around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Around {
    /// Nothing: it reads.
    Nothing,
    /// A transaction.
    Transaction,
    /// A connection that may write, without a transaction: migrations make their own.
    Bare,
}

/// How the transaction around a closure ended.
pub(crate) enum Ended {
    /// It is durable, or there was none.
    Well,
    /// It surely did not happen.
    Not(Error),
    /// Its commit was sent, and no answer came.
    Unknown(Error),
}

pub(crate) type Finish = Box<dyn FnOnce(&Ended) + Send>;
type Run = Box<dyn FnOnce(&mut Conn) -> (Result<()>, Finish) + Send>;

/// Whoever waits for an answer.
pub(crate) trait Waiting: Send + Sync {
    /// Answers that it was not done.
    fn refuse(&self, error: Error);
    /// Whether whoever asked has gone.
    fn gone(&self) -> bool;
}

struct Answer<T>(Mutex<Option<oneshot::Sender<Result<Committed<T>>>>>);

impl<T> Answer<T> {
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

/// What goes along with a closure that writes.
#[derive(Default)]
pub(crate) struct Along {
    /// Where the call came from that it writes for.
    pub origin: Option<Arc<Origin>>,
    /// Who is told once it wrote into the log of changes.
    pub log: Option<Arc<watch::Sender<u64>>>,
}

/// A closure on its way.
pub(crate) struct Job {
    pub name: &'static str,
    pub around: Around,
    /// Since when it waits.
    pub since: Instant,
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
        let answer = Arc::new(Answer(Mutex::new(Some(answer))));
        let waiting = Arc::clone(&answer);
        let run: Run = Box::new(move |conn| {
            conn.origin = along.origin;
            conn.logged = false;
            let result =
                catch_unwind(AssertUnwindSafe(|| run(conn))).unwrap_or_else(|panic| Err(panicked(name, &*panic)));
            conn.origin = None;
            let logged = std::mem::take(&mut conn.logged) && result.is_ok();
            let outcome = result.as_ref().map(|_| ()).map_err(Error::clone);
            let finish: Finish = Box::new(move |ended| {
                if let (true, Some(log), Ended::Well | Ended::Unknown(_)) = (logged, along.log, ended) {
                    log.send_modify(|commits| *commits += 1);
                }
                answer.send(result.and_then(|value| match ended {
                    Ended::Well => Ok(Committed::Done(value)),
                    Ended::Not(error) => Err(error.clone()),
                    Ended::Unknown(error) => Ok(Committed::Unknown(value, error.clone())),
                }));
            });
            (outcome, finish)
        });
        Self { name, around, since: Instant::now(), run, waiting }
    }

    pub(crate) fn refuse(self, error: Error) {
        self.waiting.refuse(error);
    }
}

fn panicked(name: &str, panic: &(dyn Any + Send)) -> Error {
    let text =
        panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    Error::internal(format!("{name} panicked: {}", text.unwrap_or_default()))
}
