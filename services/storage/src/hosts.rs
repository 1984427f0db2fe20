//! Work on hosts, with what undo and deletion need to know: whether a host was ever asked.
//!
//! 1. A step looks whether the host is connected before it asks. Where it is not, the step fails with `HOST_NOT_CONNECTED`, and
//!    there is nothing on the host to undo.
//! 2. Before it asks, it notes so ([`asked`]); the note is durable with the change of course, before any undo runs.
//! 3. An instance that took the operation over does not know what the one before it asked, so it counts as asked.

use std::time::Duration;

use gyre_flow::{Context, Var};
use gyre_model::{Caller, Error, Kind, Result, Uuid};
use gyre_proto::Resource as _;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{ImageFacts, StorageFacts, TaskOutcome, task_outcome};
use gyre_proto::host::v1::{Host, HostStatus};

/// The note that a host was asked.
pub(crate) const ASKED: Var<bool> = Var::new("asked");

/// How long work on hosts may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Work that brings bytes from elsewhere: images, and volumes whose image has to be cached first.
    pub transfer: Duration,
    /// All other work.
    pub task: Duration,
}

/// A host that cannot be asked now.
pub(crate) fn not_connected(uuid: Uuid, host: Option<&Host>) -> Error {
    let (name, why) = match host {
        Some(host) => (host.name.as_str(), host.status_reason.as_str()),
        None => ("", "it is gone"),
    };
    let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
    let text = format!("host {name:?} ({uuid}) is not connected{why}: try again once it is");
    Error::new(Kind::Unavailable, "HOST_NOT_CONNECTED", text).with("host_uuid", uuid.to_string()).with("host", name)
}

/// A host that is connected.
async fn connected(context: &Context, uuid: Uuid) -> Result<Host> {
    let host = context.read("host-find", move |conn| gyre_query::find::<Host>(conn, &Caller::system(), uuid)).await?;
    match host {
        Some(host) if host.status() == HostStatus::Connected => Ok(host),
        host => Err(not_connected(uuid, host.as_ref())),
    }
}

/// Has a connected host do something, and notes that it was asked.
pub(crate) async fn ask(context: &Context, host: Uuid, work: Work, limit: Duration) -> Result<TaskOutcome> {
    connected(context, host).await?;
    context.set(&ASKED, &true)?;
    context.run_task(host, work, limit).await
}

/// Has a connected host do something that leaves nothing to undo.
pub(crate) async fn look(context: &Context, host: Uuid, work: Work, limit: Duration) -> Result<TaskOutcome> {
    connected(context, host).await?;
    context.run_task(host, work, limit).await
}

/// As [`ask`] for what cannot be taken back: where the host says for certain that it did not do it, it counts as not asked.
pub(crate) async fn ask_to_delete(context: &Context, host: Uuid, work: Work, limit: Duration) -> Result<()> {
    let Err(error) = ask(context, host, work, limit).await else { return Ok(()) };
    let refused = match error.kind() {
        Kind::InvalidArgument
        | Kind::NotFound
        | Kind::AlreadyExists
        | Kind::FailedPrecondition
        | Kind::ResourceExhausted
        | Kind::PermissionDenied
        | Kind::Unauthenticated
        | Kind::Unimplemented => true,
        Kind::Aborted | Kind::Unavailable | Kind::DeadlineExceeded | Kind::Cancelled | Kind::Internal => false,
    };
    if refused {
        context.set(&ASKED, &false)?;
    }
    Err(error)
}

/// The same for a deletion. Answers false where the host is away and the deletion goes on past that: it owes the file then.
pub(crate) async fn delete_file(context: &Context, host: Uuid, work: Work, limit: Duration) -> Result<bool> {
    match ask_to_delete(context, host, work, limit).await {
        Ok(()) => Ok(true),
        Err(error) if gyre_flow::delete::host_is_away(&error) && context.deletion()?.force => {
            context.progress(100, format!("host {host} is away: the file is deleted when it is back"));
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Deletes what a host has of something whose row is gone. A host that is gone itself has nothing that anybody wants.
pub(crate) async fn sweep(context: &Context, host: Uuid, work: Work, limit: Duration) -> Result<()> {
    let there = context.read("host-find", move |conn| gyre_query::find::<Host>(conn, &Caller::system(), host)).await?;
    match there {
        Some(_) => context.run_task(host, work, limit).await.map(drop),
        None => Ok(()),
    }
}

/// Whether the host may have begun what this operation asks of it.
pub(crate) fn asked(context: &Context) -> Result<bool> {
    Ok(context.may_have_run_before() || context.get(&ASKED)?.unwrap_or(false))
}

fn no_facts(what: &str) -> Error {
    Error::internal(format!("a host made {what} and told nothing of it"))
}

/// What a host told of a storage folder.
pub(crate) fn storage_facts(outcome: TaskOutcome) -> Result<StorageFacts> {
    match outcome.result {
        Some(task_outcome::Result::Storage(facts)) => Ok(facts),
        _ => Err(no_facts("a storage folder")),
    }
}

/// What a host told of an image.
pub(crate) fn image_facts(outcome: TaskOutcome) -> Result<ImageFacts> {
    match outcome.result {
        Some(task_outcome::Result::Image(facts)) => Ok(facts),
        _ => Err(no_facts("an image")),
    }
}

/// Where a host put a volume.
pub(crate) fn volume_path(outcome: TaskOutcome) -> Result<String> {
    match outcome.result {
        Some(task_outcome::Result::Volume(facts)) => Ok(facts.path),
        _ => Err(no_facts("a volume")),
    }
}

/// The hosts of a cluster that are connected.
pub(crate) async fn of_cluster(context: &Context, cluster: Uuid) -> Result<Vec<Uuid>> {
    let condition =
        gyre_store::Sql::new("cluster_uuid = ").bind(cluster).sql(" AND status = 'CONNECTED' ORDER BY uuid");
    let hosts: Vec<Host> = context.read("cluster-hosts", move |conn| gyre_query::select(conn, condition)).await?;
    hosts.iter().map(|host| crate::store::uuid_of(Host::KIND, &host.uuid)).collect()
}
