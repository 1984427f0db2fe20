//! What the engine adds to the log of changes: that an operation was accepted and how it ended, so that whoever reads the log of a
//! resource finds each call that worked on it; and calls that were refused ([`refusals`]).

pub(crate) mod refusals;

use gyre_model::{Caller, Result, Uuid, parse_uuid};
use gyre_proto::common::v1::{Operation, OperationState};
use gyre_query::log::{self, Account, Action, Entry};
use gyre_store::Conn;

/// The row of an operation, about the resource that it works on. It is its owner's, whoever asked for it.
fn entry<'a>(caller: Caller, action: Action, operation: &'a Operation) -> Entry<'a> {
    let nobody_is_none = |uuid: &Uuid| !uuid.is_nil();
    Entry {
        account: Account::Owner(parse_uuid(&operation.account_uuid).filter(nobody_is_none)),
        operation: parse_uuid(&operation.uuid),
        ..Entry::new(caller, action, &operation.resource_kind, parse_uuid(&operation.resource_uuid))
    }
}

/// Writes down that an operation was accepted, in the commit that makes it durable.
pub(crate) fn begun(conn: &mut Conn, caller: Caller, operation: &Operation) -> Result<()> {
    log::append(conn, Entry { outcome: "ACCEPTED", ..entry(caller, Action::Begin, operation) })
}

/// Writes down how an operation ended, or that it came to rest, in the commit that says so; nothing while it goes on.
pub(crate) fn ended(conn: &mut Conn, caller: Caller, operation: &Operation) -> Result<()> {
    let outcome = match operation.state() {
        OperationState::Succeeded => "SUCCEEDED",
        OperationState::Failed => "FAILED",
        OperationState::Cancelled => "CANCELLED",
        OperationState::Stuck => "STUCK",
        OperationState::Unspecified | OperationState::Queued | OperationState::Running | OperationState::Undoing => {
            return Ok(());
        }
    };
    let reason = operation.error.as_ref().map(|error| error.reason.as_str()).unwrap_or_default();
    log::append(conn, Entry { outcome, reason, ..entry(caller, Action::End, operation) })
}
