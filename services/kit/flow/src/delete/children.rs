//! The step that deletes what must go before: round by round, and in each round rank by rank, hundreds of operations at a time.
//!
//! Children are asked for by their own calls, and their operations are looked for in the database, many with one statement: following
//! each by a stream would cost more than most of them do.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use gyre_model::{Error, Kind, Result, Uuid, parse_uuid};
use gyre_proto::codec::ProtoCodec;
use gyre_proto::common::v1::{DeleteRequest, Operation, OperationState};
use gyre_store::{Conn, Sql};
use http::uri::PathAndQuery;
use tonic::client::Grpc;

use super::graph::graph;
use super::plan::Plan;
use super::{Wanted, detach, resource_kind};
use crate::{Context, record};

/// How many operations are under way at a time.
const ABREAST: usize = 1024;
/// How many are being asked for at a time.
const ASKED_ABREAST: usize = 64;
/// How long such a call may take.
const CALL: Duration = Duration::from_secs(30);
/// How often a call is tried again that failed in a way that passes.
const TRIES: u32 = 8;
/// How often a child is deleted again whose operation failed in a way that passes.
const AGAIN: u32 = 3;
/// The shortest and the longest wait between two looks.
const LOOKS: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(200)];
/// How many rounds there are at most: with each, all is deleted that came since the last.
const ROUNDS: u32 = 20;
/// How many failures are told.
const TOLD: usize = 5;

/// A child to be deleted.
#[derive(Debug, Clone, Copy)]
struct Child {
    kind: &'static str,
    uuid: Uuid,
    /// How often it was asked for before.
    again: u32,
}

/// What became of asking for one.
enum Asked {
    /// An operation deletes it.
    Operation(Uuid),
    /// It is gone.
    Gone,
}

/// How far the whole tree is.
#[derive(Default)]
struct Tally {
    done: usize,
    all: usize,
    failed: Vec<(Child, Error)>,
}

impl Tally {
    fn tell(&self, context: &Context) {
        let percent = i32::try_from(self.done * 100 / self.all.max(1)).unwrap_or(100);
        context.progress(percent, format!("deleted {} of {}", self.done, self.all));
    }

    fn failure(&self) -> Result<()> {
        let Some((_, first)) = self.failed.first() else { return Ok(()) };
        let say = |(child, error): &(Child, Error)| format!("{} {}: {}", child.kind, child.uuid, error.message());
        let told: Vec<_> = self.failed.iter().take(TOLD).map(say).collect();
        let text = format!(
            "{} of {} that depend on it could not be deleted ({}); what was deleted stays so",
            self.failed.len(),
            self.all,
            told.join("; ")
        );
        let error = Error::new(Kind::FailedPrecondition, "DEPENDENTS_LEFT", text);
        let error = error.with("reason", first.reason().to_owned()).with("failed", self.failed.len().to_string());
        Err(match first.metadata().get("host_uuid") {
            Some(host) => error.with("host_uuid", host.as_str()),
            None => error,
        })
    }
}

/// Deletes all that the resource of the operation cannot go without, and clears references to it.
pub(crate) async fn run(context: &Context) -> Result<()> {
    let kind = resource_kind(context)?;
    if !graph().has_dependents(kind) {
        return Ok(());
    }
    let (uuid, caller, wanted) = (context.resource_uuid(), context.caller(), context.deletion()?);
    let mut tally = Tally::default();
    for _ in 0..ROUNDS {
        let planned = context.read("deletion-round", move |conn| match Plan::of(conn, &caller, kind, uuid, false) {
            Ok(plan) => Ok(Some((plan.check(wanted.cascade), plan.ranks(), plan.detach))),
            // another operation was first
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        });
        let Some((allowed, ranks, detach)) = planned.await? else { return Ok(()) };
        allowed?;
        if ranks.is_empty() && detach.is_empty() {
            return Ok(());
        }
        tally.all += ranks.values().map(Vec::len).sum::<usize>();
        for rank in ranks.into_values() {
            let children = rank.into_iter().map(|(kind, uuid)| Child { kind, uuid, again: 0 }).collect();
            delete_all(context, wanted, children, &mut tally).await?;
            tally.failure()?;
        }
        for edge in detach {
            detach::run(context, edge, uuid).await?;
        }
    }
    let text = format!("more comes that refers to {kind} {uuid} as fast as it is deleted: delete it again later");
    Err(Error::new(Kind::Aborted, "MORE_DEPENDENTS", text))
}

/// Deletes children that do not depend on each other.
async fn delete_all(context: &Context, wanted: Wanted, mut left: Vec<Child>, tally: &mut Tally) -> Result<()> {
    left.reverse();
    let mut asking = FuturesUnordered::new();
    let mut under_way: HashMap<Uuid, Child> = HashMap::new();
    let mut wait = LOOKS[0];
    loop {
        while asking.len() < ASKED_ABREAST
            && asking.len() + under_way.len() < ABREAST
            && let Some(child) = left.pop()
        {
            asking.push(ask(context, wanted, child));
        }
        if asking.is_empty() && under_way.is_empty() {
            return Ok(());
        }
        tokio::select! {
            biased;
            Some((child, asked)) = asking.next(), if !asking.is_empty() => match asked {
                Ok(Asked::Operation(operation)) => {
                    under_way.insert(operation, child);
                }
                Ok(Asked::Gone) => tally.done += 1,
                Err(error) => tally.failed.push((child, error)),
            },
            () = tokio::time::sleep(wait), if !under_way.is_empty() => {
                let before = under_way.len();
                left.extend(look(context, &mut under_way, tally).await?);
                wait = if under_way.len() < before { LOOKS[0] } else { (wait * 2).min(LOOKS[1]) };
                tally.tell(context);
            }
        }
    }
}

/// Asks for the deletion of a child by its own call.
async fn ask(context: &Context, wanted: Wanted, child: Child) -> (Child, Result<Asked>) {
    let mut wait = Duration::from_millis(50);
    let mut tried = 0;
    loop {
        tried += 1;
        let error = match call(context, wanted, child).await {
            Ok(asked) => return (child, Ok(asked)),
            Err(error) => error,
        };
        let passes = error.kind().retryable() || gyre_store::is_away(&error) || error.reason() == "LANE_FULL";
        if !passes || error.reason() == "FENCED" || tried >= TRIES {
            return (child, Err(error));
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(5));
    }
}

async fn call(context: &Context, wanted: Wanted, child: Child) -> Result<Asked> {
    let call = graph().call(child.kind).ok_or_else(|| Error::internal(format!("no call deletes a {}", child.kind)))?;
    let mut grpc = Grpc::new(context.channel(call.service));
    let again = if child.again > 0 { format!("/{}", child.again) } else { String::new() };
    let request = DeleteRequest {
        uuid: child.uuid.to_string(),
        request_id: format!("{}/{}{again}", context.operation_uuid(), child.uuid),
        force: wanted.force,
        cascade: true,
        expunge: true,
        ..DeleteRequest::default()
    };
    // always ready: what is away is found out by the call
    let Ok(()) = grpc.ready().await;
    let path = PathAndQuery::from_static(call.method.path);
    let codec = ProtoCodec::<DeleteRequest, Operation>::default();
    match grpc.unary(context.request(request, CALL), path, codec).await.map_err(Error::from) {
        Ok(answer) => {
            let operation = answer.into_inner().uuid;
            let uuid = parse_uuid(&operation).ok_or_else(|| Error::internal("a deletion without operation"))?;
            Ok(Asked::Operation(uuid))
        }
        Err(error) if error.kind() == Kind::NotFound => Ok(Asked::Gone),
        Err(error) => Err(error),
    }
}

/// Looks which children have ended. Answers those that are to be deleted again.
async fn look(context: &Context, under_way: &mut HashMap<Uuid, Child>, tally: &mut Tally) -> Result<Vec<Child>> {
    let uuids: Vec<_> = under_way.keys().copied().collect();
    let ended = context.read("deletion-children", move |conn| ended(conn, &uuids)).await?;
    let mut again = Vec::new();
    for (operation, failure) in ended {
        let Some(mut child) = under_way.remove(&operation) else { continue };
        match failure {
            None => tally.done += 1,
            Some(error) if error.kind() == Kind::NotFound => tally.done += 1,
            Some(error) if error.kind().retryable() && child.again < AGAIN => {
                child.again += 1;
                again.push(child);
            }
            Some(error) => tally.failed.push((child, error)),
        }
    }
    Ok(again)
}

/// Which of these operations have ended or rest, and why they failed.
fn ended(conn: &mut Conn, uuids: &[Uuid]) -> Result<Vec<(Uuid, Option<Error>)>> {
    let mut ended = Vec::new();
    for chunk in uuids.chunks(record::CHUNK) {
        let sql = Sql::new("SELECT uuid, state FROM operation WHERE uuid IN (")
            .bind_all(record::filled(chunk).copied())
            .sql(") AND state IN ('SUCCEEDED', 'FAILED', 'CANCELLED', 'STUCK')");
        let rows = conn.query(sql)?;
        let mut failed = Vec::new();
        for row in &rows {
            match row.text(1)? {
                "SUCCEEDED" => ended.push((row.id(0)?, None)),
                _ => failed.push(row.id(0)?),
            }
        }
        for uuid in failed {
            let found: Vec<Operation> = gyre_query::select(conn, Sql::new("uuid = ").bind(uuid))?;
            ended.extend(found.into_iter().map(|operation| (uuid, Some(why(operation)))));
        }
    }
    Ok(ended)
}

fn why(operation: Operation) -> Error {
    let uuid = &operation.uuid;
    match operation.state() {
        OperationState::Stuck => {
            let why = operation.error.map(|error| format!(": {}", error.message)).unwrap_or_default();
            let text = format!("its operation {uuid} is stuck and looked after again{why}");
            Error::new(Kind::FailedPrecondition, crate::debt::STUCK, text)
        }
        _ => match operation.error {
            Some(error) => error.into(),
            None => Error::new(Kind::Cancelled, "CANCELLED", format!("its operation {uuid} was cancelled")),
        },
    }
}
