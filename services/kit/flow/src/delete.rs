//! Deleting, for every kind alike: what goes along, what forgets a reference, and what forbids it follows from the options of the
//! references (`graph`), and nothing of that is said anywhere else. docs/deletion.md has the table.
//!
//! # Theory
//! - A call that deletes goes through [`Flow::delete`]: it answers the plan ([`plan`]) where that is all that was asked for, refuses
//!   what the plan forbids, and otherwise begins the workflow of the kind.
//! - A workflow that deletes has the step `delete-dependents` ([`children`]): all that must go before is deleted, children before
//!   parents, each by its own call in its own service as an operation of its own. Then references to the resource are cleared by
//!   the services that own what refers ([`detach`]). What comes meanwhile is taken in another round, until nothing is left.
//! - A child's request id follows from the parent's operation and the child's UUID, so that whoever goes on with the parent after a
//!   crash finds the operations of before. Nothing else is remembered: the plan is made anew from what is there.
//! - What deletes the row ([`rows::remove`]) looks once more in its own transaction, with the row held: what came at the last moment
//!   makes the deletion fail, with all that is left as it was. Foreign keys stand behind that.
//! - What plugins of the operator's keep for what goes is asked beside the plan ([`outside`]), and taken away by their steps in
//!   the workflows of the children.
//! - A cancel is heard between children: none is begun any more, those under way end by themselves, and what is deleted stays so.

pub(crate) mod children;
pub(crate) mod detach;
mod force;
pub(crate) mod graph;
pub(crate) mod outside;
pub(crate) mod plan;
mod rows;

use std::sync::Arc;

use gyre_model::{Caller, Error, Result, Uuid, parse_uuid};
use gyre_proto::common::v1::Operation;
use gyre_proto::{DeleteCall, Resource};
use gyre_store::{Conn, Sql};

pub use force::give_up;
pub use rows::remove;

use crate::request::Wish;
use crate::{Context, Flow, Steps, Submit, busy};
use graph::graph;
use plan::Plan;

/// A call that deletes a resource.
#[derive(Debug, Clone, Copy)]
pub struct Delete<'a, M> {
    /// Who asks.
    pub caller: Caller,
    /// The workflow that deletes.
    pub workflow: &'static str,
    /// The request.
    pub request: &'a M,
    /// Whether the resource only goes into its bin.
    pub binned: bool,
}

impl Flow {
    /// Answers what deleting a resource would do, where the request says `validate_only`; or begins the workflow that deletes it. The
    /// closure refuses what the kind has of its own to refuse.
    ///
    /// # Errors
    /// `NOT_FOUND`; what the closure answers; `IN_USE` and `NEEDS_CASCADE`; those of [`Flow::submit`].
    pub async fn delete<R, M, F>(&self, delete: Delete<'_, M>, check: F) -> Result<Operation>
    where
        R: Resource + 'static,
        M: DeleteCall,
        F: FnOnce(&mut Conn, &R) -> Result<()> + Clone + Send + Sync + 'static,
    {
        let Delete { caller, workflow, request, binned } = delete;
        let uuid = parse_uuid(request.uuid()).ok_or_else(|| Error::not_found(R::KIND, request.uuid()))?;
        let cascade = request.cascade();
        if request.validate_only() {
            let look = check.clone();
            let planned = self.store().search("deletion-plan", move |conn| {
                let row: R = gyre_query::get(conn, &caller, uuid)?;
                let refused = look(conn, &row).err();
                Ok((Plan::of(conn, &caller, R::KIND, uuid, binned)?, refused))
            });
            let (mut plan, refused) = planned.await?;
            let asked = if binned { Ok(()) } else { plan.ask_outside(self, caller).await };
            let refused = refused.or_else(|| asked.and_then(|()| plan.check(cascade)).err());
            return Ok(Operation {
                account_uuid: caller.account_uuid.to_string(),
                service: self.inner().service.to_owned(),
                workflow: workflow.to_owned(),
                resource_kind: R::KIND.to_owned(),
                resource_uuid: uuid.to_string(),
                deletion: Some(plan.told(refused.as_ref())),
                ..Operation::default()
            });
        }
        // beside the transaction, since it may look at many rows; the workflow looks again, and so does who deletes the row
        let others = graph().has_dependents(R::KIND) || !self.inner().registry.edges(R::KIND).is_empty();
        if others && !binned && caller.acting.is_none() {
            let (account, id, look) = (caller.account_uuid, request.request_id().to_owned(), check.clone());
            let planned = self.store().read("deletion-check", move |conn| {
                let again = Sql::new("SELECT 1 FROM request WHERE account_uuid = ").bind(account);
                if conn.query_one(again.sql(" AND request_id = ").bind(id))?.is_some() || busy(conn, uuid)? {
                    return Ok(None);
                }
                let row: R = gyre_query::get(conn, &caller, uuid)?;
                look(conn, &row)?;
                let plan = Plan::of(conn, &caller, R::KIND, uuid, binned)?;
                plan.check(cascade).map(|()| Some(plan))
            });
            if let Some(mut plan) = planned.await? {
                plan.ask_outside(self, caller).await?;
                plan.check(cascade)?;
            }
        }
        let submit = Submit { caller, workflow, resource: uuid, request_id: request.request_id(), input: request };
        // into the bin or for good: which one it is may be another when the call is repeated
        let wish = Wish::new(&caller, M::NAME, request.request_id(), request);
        let wish = Wish { alias: Some(workflow), ..wish };
        let (force, child) = (request.force(), caller.acting.is_some());
        self.submit_wish(wish, submit, move |conn, change| {
            let row: R = gyre_query::get(conn, &caller, uuid)?;
            check(conn, &row)?;
            match (force, child) {
                (true, _) => force::give_up(conn, change, uuid),
                (false, true) => force::check_free(conn, uuid),
                (false, false) => Ok(()),
            }
        })
        .await
    }
}

impl Steps {
    /// Adds the steps that deletions share: `delete-dependents`, and `delete-row` for kinds of which nothing is but rows.
    #[must_use]
    pub fn deleting(self) -> Self {
        let none = Arc::new(());
        self.without_undo("delete-dependents", &none, |_, context| async move { children::run(&context).await })
            .without_undo("delete-row", &none, |_, context| async move { delete_row(&context) })
    }
}

/// Deletes the row of the operation's resource with the last commit.
fn delete_row(context: &Context) -> Result<()> {
    let uuid = context.resource_uuid();
    let kind = resource_kind(context)?;
    context.on_commit(move |conn, change| remove(conn, change, kind, uuid).map(drop));
    Ok(())
}

/// The kind of the operation's resource.
fn resource_kind(context: &Context) -> Result<&'static str> {
    let kind = context.operation().resource_kind;
    let info = gyre_model::catalog().kind(&kind);
    info.map(|info| info.kind).ok_or_else(|| Error::internal(format!("an operation on a {kind}")))
}

/// What the request of a deletion says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Goes on past hosts that are away.
    pub force: bool,
    /// Deletes what depends on it, too.
    pub cascade: bool,
}

impl Context {
    /// What the request of this operation says, which deletes something.
    ///
    /// # Errors
    /// A request that is none: a fault of Gyre's.
    pub fn deletion(&self) -> Result<Wanted> {
        let request: gyre_proto::common::v1::DeleteRequest = self.input()?;
        Ok(Wanted { force: request.force, cascade: request.cascade })
    }
}

/// Whether an error says that a host is away: what was asked of it is not done, and nobody knows when it can be.
pub fn host_is_away(error: &Error) -> bool {
    crate::debt::host_is_away(error)
}

/// Whether anything but its parts refers to a resource.
///
/// # Errors
/// The database's.
pub fn is_referred_to(conn: &mut Conn, kind: &str, uuid: Uuid) -> Result<bool> {
    for edge in graph().referring(kind).iter().filter(|edge| edge.how != graph::How::Part) {
        if plan::any(conn, edge, uuid)? {
            return Ok(true);
        }
    }
    Ok(false)
}
