//! Where jobs wait for a connection: in turns between accounts ([`gyre_model::fair`]), bounded in number here and in time by the
//! watchdog.
//!
//! # Theory
//! 1. A job waits behind its own account's and behind one of each other account; of one account, what belongs to operations that
//!    have begun goes first. So whoever floods the database makes its own calls wait, and nobody else's.
//! 2. An account's new work is refused once it fills its part of the queue ([`fits`]). What has begun is never refused for want of
//!    room or time: it is bounded by the operations under way, and refusing it would only make it come again.
//! 3. What may take long waits apart, and only so many of those run at once: however many come, and however long they take, some
//!    connections are left for all else. So reading by UUID, or signing in, never waits behind lists. Of these places one account
//!    may hold its part, so that another's list need not wait until one of them comes to its end. Where both kinds wait they go in
//!    turns.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gyre_model::Uuid;
use gyre_model::fair::{Turns, fits};

use super::job::{Around, Job};
use crate::{metrics, stopped};

/// What the metrics call those that may take long.
const SEARCH: &str = "search";

/// A queue. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Queue(Arc<Inner>);

struct Inner {
    name: &'static str,
    most: usize,
    /// Most searches that run at once.
    share: usize,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    jobs: Turns<Uuid, Job>,
    searches: Turns<Uuid, Job>,
    /// Searches that run.
    searching: usize,
    /// How many of them are each account's.
    held: HashMap<Uuid, usize>,
    /// Whether a search was the last to be taken.
    searched: bool,
    closed: bool,
}

impl State {
    fn empty(&self) -> bool {
        self.jobs.is_empty() && self.searches.is_empty()
    }

    /// Whether an account's search may run now.
    fn may_search<'a>(held: &'a HashMap<Uuid, usize>, free: usize) -> impl Fn(&Uuid) -> bool + 'a {
        move |account| free > 0 && fits(held.get(account).copied().unwrap_or(0), free)
    }

    /// Whether a search may run now.
    fn search_ready(&self, share: usize) -> bool {
        let free = share.saturating_sub(self.searching);
        !self.searches.is_empty() && self.searches.any(Self::may_search(&self.held, free))
    }

    /// Whether there is one that may run now.
    fn ready(&self, share: usize) -> bool {
        !self.jobs.is_empty() || self.search_ready(share)
    }

    /// The next that may run now.
    fn take(&mut self, share: usize) -> Option<Job> {
        self.searched = self.search_ready(share) && (self.jobs.is_empty() || !self.searched);
        if !self.searched {
            return self.jobs.pop();
        }
        let free = share.saturating_sub(self.searching);
        self.searches.pop_where(Self::may_search(&self.held, free)).map(|(_, job)| job)
    }

    fn tell(&self, of: &Inner) {
        metrics::waiting(of.name, self.jobs.len());
        if of.share > 0 {
            metrics::waiting(SEARCH, self.searches.len());
        }
    }
}

/// The place of a search that runs; dropping it lets another run.
pub(crate) struct Place {
    queue: Queue,
    account: Uuid,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.searching = state.searching.saturating_sub(1);
        if let Some(held) = state.held.get_mut(&self.account) {
            *held -= 1;
            if *held == 0 {
                state.held.remove(&self.account);
            }
        }
        let closed = state.closed;
        drop(state);
        if closed {
            // it may have been what all waited for
            self.queue.0.news.notify_all();
        } else {
            self.queue.0.news.notify_one();
        }
    }
}

impl Queue {
    /// One for so many that wait, and so many searches at once.
    pub fn new(name: &'static str, most: usize, share: usize) -> Self {
        Self(Arc::new(Inner { name, most, share, state: Mutex::default(), news: Condvar::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job; gives it back where there are too many.
    pub fn push(&self, job: Job) -> Result<(), Job> {
        let mut state = self.lock();
        let closed = state.closed;
        let line = if job.around == Around::Search { &mut state.searches } else { &mut state.jobs };
        let account = job.behalf.account;
        let fits = job.behalf.begun || fits(line.of(&account), self.0.most.saturating_sub(line.len()));
        if closed || !fits {
            return Err(job);
        }
        let begun = job.behalf.begun;
        line.push(account, job, begun);
        state.tell(&self.0);
        drop(state);
        self.0.news.notify_one();
        Ok(())
    }

    /// Waits until there is a job that may run. False where the queue is closed and empty.
    pub fn wait(&self) -> bool {
        let mut state = self.lock();
        loop {
            if state.ready(self.0.share) {
                return true;
            }
            if state.closed && state.empty() {
                return false;
            }
            state = self.0.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next job that may run and that somebody still waits for, where there is one.
    pub fn pop(&self) -> Option<Job> {
        let mut state = self.lock();
        let job = loop {
            match state.take(self.0.share) {
                Some(job) if job.waiting.gone() => {}
                other => break other,
            }
        };
        self.taken(&mut state, job)
    }

    /// The next job, if it is one that shares its commit with others. Where there is none it is waited for as long as `wait` says,
    /// which is asked anew whenever something comes or the queue is poked.
    pub fn next_transaction(&self, wait: impl Fn() -> bool) -> Option<Job> {
        let mut state = self.lock();
        let job = loop {
            match state.jobs.next() {
                Some(job) if job.waiting.gone() => drop(state.jobs.pop()),
                Some(job) if job.around == Around::Transaction => break state.jobs.pop(),
                Some(_) => break None,
                None if !state.closed && wait() => {
                    state = self.0.news.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                None => break None,
            }
        };
        self.taken(&mut state, job)
    }

    /// Wakes whoever waits in [`Queue::next_transaction`].
    pub fn poke(&self) {
        // whoever is about to wait does so before or after this
        drop(self.lock());
        self.0.news.notify_all();
    }

    fn taken(&self, state: &mut State, mut job: Option<Job>) -> Option<Job> {
        state.tell(&self.0);
        if let Some(job) = &mut job {
            let search = job.around == Around::Search;
            if search {
                let account = job.behalf.account;
                state.searching += 1;
                *state.held.entry(account).or_default() += 1;
                job.place = Some(Place { queue: self.clone(), account });
            }
            metrics::waited(if search { SEARCH } else { self.0.name }, job.since.elapsed());
        }
        job
    }

    /// For how long the oldest has waited that no search can hold up.
    pub fn oldest(&self) -> Option<Duration> {
        self.lock().jobs.fronts().map(|job| job.since.elapsed()).max()
    }

    /// Takes out those that came before a moment; `begun`: also of operations that have begun.
    pub fn expire(&self, before: Instant, begun: bool) -> Vec<Job> {
        let mut state = self.lock();
        let State { jobs, searches, .. } = &mut *state;
        let mut out = jobs.expire(begun, |job| job.since <= before);
        out.extend(searches.expire(begun, |job| job.since <= before));
        state.tell(&self.0);
        out
    }

    /// Where the queue is closed and there is no connection, what waits is not done any more.
    pub fn give_back(&self) {
        let mut state = self.lock();
        if state.closed {
            let State { jobs, searches, .. } = &mut *state;
            jobs.drain().into_iter().chain(searches.drain()).for_each(|job| job.refuse(stopped()));
            self.0.news.notify_all();
        }
    }

    /// Takes nothing more; what waits is still done.
    pub fn close(&self) {
        self.lock().closed = true;
        self.0.news.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use gyre_model::Behalf;
    use tokio::sync::oneshot;

    use super::*;
    use crate::threads::Along;

    /// A job by name, and who waits for it.
    fn job(
        name: &'static str,
        around: Around,
        behalf: Behalf,
    ) -> (Job, oneshot::Receiver<gyre_model::Result<crate::Committed<()>>>) {
        let (answer, answered) = oneshot::channel();
        let along = Along { behalf, ..Along::default() };
        (Job::new(name, around, |_| Ok(()), answer, along), answered)
    }

    fn names(queue: &Queue) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.pop().map(|job| job.name)).collect()
    }

    #[test]
    fn accounts_take_turns_and_what_has_begun_goes_first() {
        let queue = Queue::new("test", 100, 0);
        let [a, b] = [1, 2].map(|account| Behalf { account: Uuid::from_u128(account), begun: false });
        let began = Behalf::operation(a.account);
        let mut waiting = Vec::new();
        for (name, behalf) in [("a1", a), ("a2", a), ("a3", a), ("b1", b), ("began", began)] {
            let (job, answered) = job(name, Around::Transaction, behalf);
            assert!(queue.push(job).is_ok());
            waiting.push(answered);
        }
        assert_eq!(names(&queue), ["began", "b1", "a1", "a2", "a3"]);
    }

    #[test]
    fn new_work_of_one_account_is_refused_before_the_queue_is_full_and_what_has_begun_is_not() {
        let queue = Queue::new("test", 9, 0);
        let [a, b] = [1, 2].map(|account| Behalf { account: Uuid::from_u128(account), begun: false });
        let mut waiting = Vec::new();
        let mut push = |behalf| {
            let (job, answered) = job("one", Around::Transaction, behalf);
            waiting.push(answered);
            queue.push(job).is_ok()
        };
        assert_eq!((0..9).filter(|_| push(a)).count(), 6);
        assert!(push(b) && push(b) && !push(b));
        assert_eq!((0..20).filter(|_| push(Behalf::operation(a.account))).count(), 20);
        assert_eq!(queue.expire(Instant::now(), false).len(), 8, "what has begun waits on");
        assert_eq!(names(&queue).len(), 20);
    }

    #[test]
    fn one_account_leaves_a_place_for_anothers_search() {
        let queue = Queue::new("test", 100, 3);
        let [a, b] = [1, 2].map(|account| Behalf { account: Uuid::from_u128(account), begun: false });
        let mut waiting = Vec::new();
        let mut push = |name, behalf| {
            let (job, answered) = job(name, Around::Search, behalf);
            waiting.push(answered);
            assert!(queue.push(job).is_ok());
        };
        for name in ["a1", "a2", "a3", "a4"] {
            push(name, a);
        }
        let mut running: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(running.iter().map(|job| job.name).collect::<Vec<_>>(), ["a1", "a2"]);
        push("b1", b);
        push("b2", b);
        running.extend(queue.pop());
        assert_eq!((running.last().map(|job| job.name), queue.pop().is_none()), (Some("b1"), true));
        running.remove(0);
        assert_eq!(queue.pop().map(|job| job.name), Some("a3"), "it has one place and one is free; the turn is a's");
    }
}
