//! Where jobs wait for a connection: first come, first served, bounded in number here and in time by the watchdog.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::job::{Around, Job};
use crate::{metrics, stopped};

/// A queue. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Queue(Arc<Inner>);

struct Inner {
    name: &'static str,
    most: usize,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Queue {
    pub fn new(name: &'static str, most: usize) -> Self {
        Self(Arc::new(Inner { name, most, state: Mutex::default(), news: Condvar::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job; gives it back where there are too many.
    pub fn push(&self, job: Job) -> Result<(), Job> {
        let mut state = self.lock();
        if state.closed || state.jobs.len() >= self.0.most {
            return Err(job);
        }
        state.jobs.push_back(job);
        metrics::waiting(self.0.name, state.jobs.len());
        drop(state);
        self.0.news.notify_one();
        Ok(())
    }

    /// Waits until there is a job. False where the queue is closed and empty.
    pub fn wait(&self) -> bool {
        let mut state = self.lock();
        loop {
            if !state.jobs.is_empty() {
                return true;
            }
            if state.closed {
                return false;
            }
            state = self.0.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next job that somebody still waits for, where there is one.
    pub fn pop(&self) -> Option<Job> {
        let mut state = self.lock();
        let job = loop {
            match state.jobs.pop_front() {
                Some(job) if job.waiting.gone() => {}
                other => break other,
            }
        };
        metrics::waiting(self.0.name, state.jobs.len());
        drop(state);
        if let Some(job) = &job {
            metrics::waited(self.0.name, job.since.elapsed());
        }
        job
    }

    /// Those that wait already and fit into the same commit, up to so many in all. A bare one is the last.
    pub fn more(&self, batch: &mut Vec<Job>, most: usize) {
        let mut last = false;
        while !last && batch.len() < most {
            let Some(job) = self.pop() else { break };
            last = job.around == Around::Bare;
            batch.push(job);
        }
    }

    /// For how long the oldest has waited.
    pub fn oldest(&self) -> Option<Duration> {
        self.lock().jobs.front().map(|job| job.since.elapsed())
    }

    /// Takes out those that came before a moment.
    pub fn expire(&self, before: Instant) -> Vec<Job> {
        let mut state = self.lock();
        let mut out = Vec::new();
        while let Some(job) = state.jobs.pop_front_if(|job| job.since <= before) {
            out.push(job);
        }
        metrics::waiting(self.0.name, state.jobs.len());
        out
    }

    /// Where the queue is closed and there is no connection, what waits is not done any more.
    pub fn give_back(&self) {
        let mut state = self.lock();
        if state.closed {
            state.jobs.drain(..).for_each(|job| job.refuse(stopped()));
        }
    }

    /// Takes nothing more; what waits is still done.
    pub fn close(&self) {
        self.lock().closed = true;
        self.0.news.notify_all();
    }
}
