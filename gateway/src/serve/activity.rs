//! What a connection is doing, as far as its bounds go: whether calls are under way, since when it has been quiet, since when the
//! head of a request has been coming in, and since when the other side takes nothing.
//!
//! Calls and the socket write a few atomics; the connection's own task looks at them now and then. Nothing waits on a timer per
//! call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::config::Limits;

/// The activity of one connection. Times are milliseconds since it began, plus one, so that 0 can mean "not".
#[derive(Debug)]
pub struct Activity {
    began: Instant,
    calls: AtomicUsize,
    ever_called: AtomicBool,
    http2: AtomicBool,
    quiet_since: AtomicU64,
    head_since: AtomicU64,
    stuck_since: AtomicU64,
}

/// What should become of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is fine.
    Fine,
    /// Nobody uses it.
    Idle,
    /// A request's head does not come, or an answer is not taken.
    Slow,
}

impl Activity {
    /// A connection that begins now.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            calls: AtomicUsize::new(0),
            ever_called: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            quiet_since: AtomicU64::new(1),
            head_since: AtomicU64::new(0),
            stuck_since: AtomicU64::new(0),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// A call begins; it ends when what is answered is dropped.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.calls.fetch_add(1, Relaxed);
        self.ever_called.store(true, Relaxed);
        self.head_since.store(0, Relaxed);
        Busy(self.clone())
    }

    /// Bytes came in.
    pub fn read(&self, first: bool, bytes: &[u8]) {
        if first && bytes.starts_with(b"PRI") {
            self.http2.store(true, Relaxed);
        }
        if self.calls.load(Relaxed) == 0 && self.head_since.load(Relaxed) == 0 {
            self.head_since.store(self.now(), Relaxed);
        }
    }

    /// The other side took bytes, or did not.
    pub fn wrote(&self, taken: bool) {
        if taken {
            if self.stuck_since.load(Relaxed) != 0 {
                self.stuck_since.store(0, Relaxed);
            }
        } else if self.stuck_since.load(Relaxed) == 0 {
            self.stuck_since.store(self.now(), Relaxed);
        }
    }

    /// What should become of the connection by now.
    pub fn verdict(&self, limits: &Limits) -> Verdict {
        let now = self.now();
        let longer =
            |since: u64, limit: Duration| since != 0 && u128::from(now.saturating_sub(since)) >= limit.as_millis();
        if longer(self.stuck_since.load(Relaxed), limits.body_time) {
            return Verdict::Slow;
        }
        if self.calls.load(Relaxed) > 0 {
            return Verdict::Fine;
        }
        if !self.http2.load(Relaxed) {
            let first = !self.ever_called.load(Relaxed) && longer(1, limits.header_time);
            if first || longer(self.head_since.load(Relaxed), limits.header_time) {
                return Verdict::Slow;
            }
        }
        if longer(self.quiet_since.load(Relaxed), limits.idle_time) { Verdict::Idle } else { Verdict::Fine }
    }
}

/// Keeps a connection counted as busy.
#[derive(Debug)]
pub struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.quiet_since.store(self.0.now(), Relaxed);
        self.0.calls.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(header: u64, body: u64, idle: u64) -> Limits {
        Limits {
            header_time: Duration::from_millis(header),
            body_time: Duration::from_millis(body),
            idle_time: Duration::from_millis(idle),
            ..Limits::default()
        }
    }

    const NEVER: u64 = 1_000_000;

    #[test]
    fn a_connection_that_says_nothing_is_slow() {
        let activity = Activity::new();
        assert_eq!(activity.verdict(&limits(0, NEVER, NEVER)), Verdict::Slow);
        assert_eq!(activity.verdict(&limits(NEVER, NEVER, NEVER)), Verdict::Fine);
    }

    #[test]
    fn a_call_keeps_a_connection_and_quiet_ends_it() {
        let activity = Activity::new();
        let busy = activity.begin();
        assert_eq!(activity.verdict(&limits(0, 0, 0)), Verdict::Fine);
        drop(busy);
        assert_eq!(activity.verdict(&limits(0, NEVER, NEVER)), Verdict::Fine);
        assert_eq!(activity.verdict(&limits(NEVER, NEVER, 0)), Verdict::Idle);
    }

    #[test]
    fn half_a_head_is_slow_but_pings_are_not() {
        let activity = Activity::new();
        drop(activity.begin());
        activity.read(false, b"GE");
        assert_eq!(activity.verdict(&limits(0, NEVER, NEVER)), Verdict::Slow);
        let two = Activity::new();
        two.read(true, b"PRI * HTTP/2.0");
        assert_eq!(two.verdict(&limits(0, NEVER, NEVER)), Verdict::Fine);
    }

    #[test]
    fn an_answer_that_is_not_taken_is_slow() {
        let activity = Activity::new();
        let _busy = activity.begin();
        activity.wrote(false);
        assert_eq!(activity.verdict(&limits(NEVER, 0, NEVER)), Verdict::Slow);
        activity.wrote(true);
        assert_eq!(activity.verdict(&limits(NEVER, 0, NEVER)), Verdict::Fine);
    }
}
