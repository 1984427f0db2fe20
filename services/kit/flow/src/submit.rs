//! The way in: a call becomes an operation.

use std::sync::Arc;

use gyre_mesh::telemetry::propagate;
use gyre_model::id::ordered_uuid;
use gyre_model::{Behalf, Caller, Error, Kind, Result, Uuid, behalf, parse_uuid, time, turn};
use gyre_proto::Named;
use gyre_proto::common::v1::{Operation, OperationState};
use gyre_query::Change;
use gyre_store::Conn;
use serde_json::Map;
use tokio::sync::oneshot;

use crate::callback::Wanted;
use crate::context::INPUT;
use crate::layout;
use crate::record::{self, Record};
use crate::request::{Before, Wish};
use crate::timeline::Timeline;
use crate::{Flow, Inner, audit, engine, fence};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Submit<'a, M> {
    /// Who asks.
    pub caller: Caller,
    /// The workflow.
    pub workflow: &'static str,
    /// The resource that it works on.
    pub resource: Uuid,
    /// The id of the wish.
    pub request_id: &'a str,
    /// The request, which the steps read.
    pub input: &'a M,
}

enum Outcome {
    New(Box<Record>),
    Before(Box<Operation>),
}

impl Flow {
    /// Makes an operation durable, together with the rows that the closure writes, and starts it. The same request id again
    /// answers the operation of the first call. The transaction is run again where another was in its way, so the closure may run more
    /// than once; what it wrote before is undone then.
    ///
    /// # Errors
    /// What the closure answers (nothing is written then); `REQUEST_ID_REUSED`; `LANE_FULL`; `TOO_MANY_OPERATIONS`; `CALLBACK_NOT_ALLOWED`; `UNAVAILABLE` where this instance
    /// may not start work.
    pub async fn submit<M, F>(&self, submit: Submit<'_, M>, rows: F) -> Result<Operation>
    where
        M: Named,
        F: FnOnce(&mut Conn, &Change) -> Result<()> + Clone + Send + Sync + 'static,
    {
        let wish = Wish::new(&submit.caller, submit.workflow, submit.request_id, submit.input);
        self.submit_wish(wish, submit, rows).await
    }

    /// The same for a call that may begin one of several workflows, as things stand when it comes: a repeat that would begin another is still
    /// the same wish.
    pub(crate) async fn submit_wish<M, F>(&self, wish: Wish, submit: Submit<'_, M>, rows: F) -> Result<Operation>
    where
        M: Named,
        F: FnOnce(&mut Conn, &Change) -> Result<()> + Clone + Send + Sync + 'static,
    {
        let inner = self.inner();
        inner.may_start()?;
        let workflow = inner.registry.get(submit.workflow)?;
        let uuid = ordered_uuid();
        let now = time::from_micros(time::now_micros());
        let mut operation = Operation {
            uuid: uuid.to_string(),
            account_uuid: submit.caller.account_uuid.to_string(),
            create_time: Some(now),
            update_time: Some(now),
            generation: 1,
            state: OperationState::Running.into(),
            service: inner.service.to_owned(),
            workflow: submit.workflow.to_owned(),
            resource_kind: workflow.definition.resource.clone(),
            resource_uuid: submit.resource.to_string(),
            steps: workflow.definition.steps.iter().map(layout::pending).collect(),
            fence: 1,
            instance_uuid: inner.mesh.instance().to_string(),
            request_id: submit.request_id.to_owned(),
            trace_parent: propagate::traceparent(),
            ..Operation::default()
        };
        let callback = Wanted::by_call(&inner.mesh)?;
        if let Some(callback) = &callback {
            callback.note(&mut operation);
        }
        let record = Record {
            operation,
            input: submit.input.encode_to_vec(),
            vars: Map::from_iter([(INPUT.to_owned(), M::NAME.into())]),
            admin: submit.caller.admin,
            cancel: false,
            timeline: Timeline::default(),
            owes: false,
            fresh: true,
        };
        let change = Change::of(submit.caller, uuid);
        // In a task of its own: a caller that goes away between the commit and the start would leave an operation that nobody
        // has in hand.
        let (answer, answered) = oneshot::channel();
        let flow = Arc::clone(inner);
        let whose = Behalf::of(&change.caller);
        let accepted = gyre_model::origin::scope(gyre_model::origin::current(), async move {
            // whoever asked may have gone
            let _ = answer.send(accept(flow, wish, record, callback, change, rows).await);
        });
        // in turns as what follows, though it has not begun: gateways let in as many of these at once as fill commits
        inner.tasks.spawn("submit", turn::take(whose.account, behalf::scope(whose, accepted)));
        answered.await.unwrap_or_else(|_| Err(Error::internal("a submitted operation was lost")))
    }
}

/// Makes an operation durable, and starts it.
async fn accept<F>(
    flow: Arc<Inner>,
    wish: Wish,
    record: Record,
    callback: Option<Wanted>,
    change: Change,
    rows: F,
) -> Result<Operation>
where
    F: FnOnce(&mut Conn, &Change) -> Result<()> + Clone + Send + Sync + 'static,
{
    let uuid = change.operation.unwrap_or_default();
    let again = wish.clone();
    let (lanes, resource) = (Arc::clone(&flow), parse_uuid(&record.operation.resource_uuid).unwrap_or_default());
    let outcome = flow
        .store
        .write_again("submit-operation", move |conn| match wish.claim(conn, uuid)? {
            Before::Operation(before) => {
                let record = record::load(conn, before)?;
                let operation = record.ok_or_else(|| Error::not_found("operation", before))?.operation;
                Ok(Outcome::Before(Box::new(operation)))
            }
            Before::Response(_) => Err(Error::internal("a call that answers an operation wrote rows before")),
            Before::New => {
                fence::check(conn, &change.caller)?;
                lanes.live.check(&change.caller, lanes.mesh.operations_per_account())?;
                lanes.lanes.check(resource)?;
                rows.clone()(conn, &change)?;
                let mut record = record.clone();
                record::insert(conn, &mut record)?;
                audit::begun(conn, change.caller, &record.operation)?;
                if let Some(callback) = &callback {
                    callback.remember(conn, uuid)?;
                }
                Ok(Outcome::New(Box::new(record)))
            }
        })
        .await;
    let outcome = match outcome {
        // the same call beside this one was first, and has committed by now
        Err(error) if error.kind() == Kind::AlreadyExists => {
            let before = flow.store.write_again("submit-again", move |conn| match again.look_up(conn)? {
                Before::Operation(uuid) => record::load(conn, uuid),
                Before::New | Before::Response(_) => Ok(None),
            });
            match before.await? {
                Some(record) => Outcome::Before(Box::new(record.operation)),
                None => return Err(error),
            }
        }
        outcome => outcome?,
    };
    match outcome {
        Outcome::Before(operation) => {
            let live = gyre_model::parse_uuid(&operation.uuid).and_then(|uuid| flow.live.get(uuid));
            Ok(live.map_or(*operation, |live| live.now().as_ref().clone()))
        }
        Outcome::New(record) => {
            let operation = record.operation.clone();
            let own = change.caller.acting.is_none().then_some(change.caller.account_uuid);
            engine::begin(&flow, *record, own.filter(|account| !account.is_nil()));
            Ok(operation)
        }
    }
}
