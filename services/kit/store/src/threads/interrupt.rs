//! Ending reads of SQLite's that take too long, or that nobody waits for any more.
//!
//! # Theory
//! - SQLite runs a statement on the thread that asks, so nothing outside can take it back. What it offers is a function that it calls
//!   on that thread every so many steps of a statement, and whose answer ends the statement ("interrupted"). That covers all that a
//!   statement does, wherever the planner puts it. A condition of SQL that looks at the clock does not: it is asked for those rows
//!   only that get so far, and it costs each of them.
//! - What the function looks at lies in a variable of the thread, set for as long as a job runs ([`within`]). So it is handed no
//!   pointer, and a connection outlives nothing.
//! - Only readers have a limit. To interrupt a write would undo what its neighbours in the same transaction did.
//! - What it costs a scan cannot be told from chance (`tests/cost.rs`); a condition of SQL cost half as much again.

#![cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "SQLite asks"))]

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::job::Waiting;

/// When what runs on this thread has to end.
struct Limit {
    /// How long each statement may take.
    time: Duration,
    /// When the present one began.
    began: Instant,
    waiting: Arc<dyn Waiting>,
}

thread_local! {
    static LIMIT: RefCell<Option<Limit>> = const { RefCell::new(None) };
}

/// Takes the limit away again, however a job ends.
struct Lift;

impl Drop for Lift {
    fn drop(&mut self) {
        LIMIT.set(None);
    }
}

/// Runs something whose statements end after so long each, and as soon as nobody waits for it.
pub(super) fn within<T>(time: Duration, waiting: &Arc<dyn Waiting>, run: impl FnOnce() -> T) -> T {
    LIMIT.set(Some(Limit { time, began: Instant::now(), waiting: Arc::clone(waiting) }));
    let _lift = Lift;
    run()
}

/// Notes that a statement begins.
pub(crate) fn statement() {
    LIMIT.with_borrow_mut(|limit| {
        if let Some(limit) = limit {
            limit.began = Instant::now();
        }
    });
}

/// Whether nobody waits for what runs on this thread.
pub(crate) fn forsaken() -> bool {
    LIMIT.with_borrow(|limit| limit.as_ref().is_some_and(|limit| limit.waiting.gone()))
}

/// Whether what runs on this thread has to end. It must not panic: it is asked from within SQLite.
fn passed() -> bool {
    let passed = |limit: &Limit| limit.waiting.gone() || limit.began.elapsed() > limit.time;
    LIMIT.try_with(|limit| limit.try_borrow().is_ok_and(|limit| limit.as_ref().is_some_and(passed))).unwrap_or_default()
}

#[cfg(feature = "sqlite")]
pub(super) use hook::install;

/// Diesel keeps SQLite's handle to itself, and has no call for this. SQLite shows the handle of each connection that is opened to a
/// function that was registered for that.
#[cfg(feature = "sqlite")]
mod hook {
    #![allow(unsafe_code, reason = "SQLite's own interface is the only way to end a statement")]

    use std::ffi::{c_char, c_int, c_void};
    use std::ptr::null_mut;
    use std::sync::OnceLock;

    use gyre_model::{Error, Result};
    use libsqlite3_sys as ffi;

    /// After how many steps of SQLite's machine the limit is looked at: some ten microseconds.
    const STEPS: c_int = 2_000;

    /// Lets all connections that are opened from now on look at the limit of their thread.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn install() -> Result<()> {
        static DONE: OnceLock<c_int> = OnceLock::new();
        // SAFETY: `opened` has the signature that SQLite calls it with, and lives as long as the process.
        match *DONE.get_or_init(|| unsafe { ffi::sqlite3_auto_extension(Some(opened)) }) {
            ffi::SQLITE_OK => Ok(()),
            code => Err(Error::internal(format!("SQLite takes no function for new connections: error {code}"))),
        }
    }

    /// SQLite calls it with each connection that is opened, before whoever opens it has it.
    unsafe extern "C" fn opened(
        connection: *mut ffi::sqlite3,
        _: *mut *mut c_char,
        _: *const ffi::sqlite3_api_routines,
    ) -> c_int {
        // SAFETY: the connection is SQLite's own and open. `look` needs no pointer, does not touch the connection, and lives as long
        // as the process, so it is there for as long as the connection calls it.
        unsafe { ffi::sqlite3_progress_handler(connection, STEPS, Some(look), null_mut()) };
        ffi::SQLITE_OK
    }

    /// SQLite calls it while a statement runs, on the thread that runs it; other than 0 ends the statement. It does not unwind.
    unsafe extern "C" fn look(_: *mut c_void) -> c_int {
        c_int::from(super::passed())
    }
}
