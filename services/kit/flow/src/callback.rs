//! Callbacks: a call names a URL, and its operation is posted there once it has ended.
//!
//! # Theory
//! The record is the operation's own row: `callback_url`, `callback_state`, and when it is tried next. The ground rules:
//!
//! 1. [`Wanted`] is written by the commit that makes the operation durable. The URL that a wish was made with stays: the same
//!    request id again, with another URL or none, answers the same operation and changes nothing.
//! 2. The commit that ends the operation is what makes its callback due: due is what is pending, has ended, and whose time has
//!    come. There is no second write that a crash could come before.
//! 3. The owner of the operation's resource sends. An instance that dies is followed by the next owner, which finds what is due in
//!    the database. Two that meet (the ring just changed, or the record of a delivery was lost with its instance) both send: a
//!    callback is delivered at least once, with the operation's UUID as its id, so that receivers can tell.
//! 4. A try is recorded under the number of tries before it; the second of two records of one try finds no row.
//! 5. Whatever is not a 2xx is tried again: after 5 s, then twice as long each time, at most an hour, until 24 hours after the end
//!    ([`crate::letters::schedule`]). 410 says never again.
//! 6. Slow receivers keep nobody waiting but themselves: four at a time for each destination, 64 in all ([`crate::letters::places`]).
//! 7. Where it goes is judged anew at each try, address by address ([`gyre_mesh::egress`]); what a receiver answers is not read
//!    beyond its head, and never shown: callbacks are no way to read what stands behind a wall.

mod api;
mod deliver;
mod key;
#[cfg(test)]
mod tests;

pub(crate) use api::CallbackApi;
pub(crate) use deliver::{Callbacks, start};

use gyre_mesh::{Mesh, context};
use gyre_model::{Result, Uuid};
use gyre_proto::common::v1::{CallbackState, Operation};
use gyre_store::{Conn, Sql};

/// The callback that a call asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    url: String,
    destination: String,
}

impl Wanted {
    /// What the present call asked for.
    ///
    /// # Errors
    /// `CALLBACK_INVALID`, `CALLBACK_NOT_ALLOWED`: the gateway has looked, but it may have been told other rules.
    pub fn by_call(mesh: &Mesh) -> Result<Option<Self>> {
        let Some(url) = context::callback() else { return Ok(None) };
        let target = mesh.callbacks().callback(&url)?;
        Ok(Some(Self { url: url.as_ref().to_owned(), destination: target.destination() }))
    }

    /// Says so in an operation that is about to be written.
    pub fn note(&self, operation: &mut Operation) {
        operation.callback_url.clone_from(&self.url);
        operation.set_callback_state(CallbackState::Pending);
        operation.callback_time = operation.create_time;
    }

    /// Writes what the operation itself does not show, in the commit that writes it.
    pub fn remember(&self, conn: &mut Conn, uuid: Uuid) -> Result<()> {
        let sql = Sql::new("UPDATE operation_work SET callback_destination = ").bind(self.destination.as_str());
        conn.execute(sql.sql(" WHERE operation_uuid = ").bind(uuid))?;
        Ok(())
    }
}
