//! A closure on its way to a connection, and the way of its answer. Whoever answers first has the say: the thread that ran the
//! closure, or the watchdog that gave up on it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use gyre_model::{Error, Result};
use tokio::sync::oneshot;

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
    ) -> Self
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        let answer = Arc::new(Answer(Mutex::new(Some(answer))));
        let waiting = Arc::clone(&answer);
        let run: Run = Box::new(move |conn| {
            let result =
                catch_unwind(AssertUnwindSafe(|| run(conn))).unwrap_or_else(|panic| Err(panicked(name, &*panic)));
            let outcome = result.as_ref().map(|_| ()).map_err(Error::clone);
            let finish: Finish = Box::new(move |ended| {
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
