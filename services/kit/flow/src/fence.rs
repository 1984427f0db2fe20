//! Whether the step that calls still has the say.
//!
//! A call may arrive late: its instance was paused and replaced meanwhile, or the operation was cancelled while the call was on its
//! way. What it wrote then would be undone by nobody. So whoever writes for a step looks, in the transaction of the writing, at the
//! operation's row: the fence must be the step's, and the operation must still go in the step's direction. Turning back and
//! taking over are commits on that same row, so either they come later, and the undo finds what was written, or they came
//! earlier, and nothing is written.

use gyre_model::{Acting, Caller, Error, Kind, Result};
use gyre_store::{Conn, Dialect, Sql};

use crate::record::fenced;

/// Checks that the step on whose behalf a call comes may still act; calls that no step makes pass. To be asked first in the
/// transaction that writes: on PostgreSQL it holds the operation's row as it is until the end of it.
///
/// # Errors
/// `FENCED` where another instance has taken the operation, or it turned back or ended; the database's.
pub fn check(conn: &mut Conn, caller: &Caller) -> Result<()> {
    look(conn, caller, conn.dialect() == Dialect::Postgres)
}

/// The same for who only reads, or hands work on to an agent, which looks at fences itself: it holds nothing.
///
/// # Errors
/// As [`check`].
pub fn glance(conn: &mut Conn, caller: &Caller) -> Result<()> {
    look(conn, caller, false)
}

fn look(conn: &mut Conn, caller: &Caller, hold: bool) -> Result<()> {
    let Some(acting) = &caller.acting else { return Ok(()) };
    let mut sql = Sql::new("SELECT fence, state FROM operation WHERE uuid = ").bind(acting.operation);
    if hold {
        sql.push(" FOR SHARE");
    }
    let Some(row) = conn.query_one(sql)? else { return Err(lost(acting, "is not known any more")) };
    if row.int(0)? != acting.fence {
        return Err(fenced());
    }
    match (row.text(1)?, acting.undoing) {
        // what waits in a lane can be cancelled, and is undone there
        ("RUNNING", false) | ("RUNNING" | "UNDOING" | "STUCK" | "QUEUED", true) => Ok(()),
        (state, _) => Err(lost(acting, &format!("is {}", state.to_lowercase()))),
    }
}

fn lost(acting: &Acting, how: &str) -> Error {
    let text = format!("operation {} {how}: its step writes nothing any more", acting.operation);
    Error::new(Kind::Aborted, "FENCED", text)
}
