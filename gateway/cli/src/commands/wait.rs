//! Following an operation to its end.
//!
//! The operation lives whether or not anybody watches it. A stream that breaks is opened again: the operation may have moved to
//! another owner, or the gateway may be new. Giving up (a limit, Ctrl-C) stops the watching, never the operation.

use std::time::Duration;

use gyre_model::error::Error;
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::common::v1::{Operation, OperationState, OperationStepState, WatchOperationRequest};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::ui::{Step, Ui};

/// How long a broken stream is opened again and again without an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait before the stream is opened again.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether an operation is over.
pub fn ended(operation: &Operation) -> bool {
    match operation.state() {
        OperationState::Succeeded | OperationState::Failed | OperationState::Cancelled | OperationState::Stuck => true,
        OperationState::Unspecified | OperationState::Queued | OperationState::Running | OperationState::Undoing => {
            false
        }
    }
}

/// Follows an operation to its end, with a progress bar.
///
/// # Errors
/// When it failed or was cancelled, when the limit has passed, or when it cannot be watched.
pub async fn follow(client: &Client, ui: &Ui, operation: &Operation, limit: Option<Duration>) -> Result<Operation> {
    follow_each(client, ui, operation, limit, |_| Ok(())).await
}

/// Follows an operation and hands out each state that comes.
///
/// # Errors
/// As [`follow`], and what `each` answers.
pub async fn follow_each(
    client: &Client,
    ui: &Ui,
    operation: &Operation,
    limit: Option<Duration>,
    each: impl FnMut(&Operation) -> Result<()>,
) -> Result<Operation> {
    let mut stop = interrupts()?;
    let uuid = &operation.uuid;
    let title = if operation.workflow.is_empty() { format!("operation {uuid}") } else { operation.workflow.clone() };
    let step = ui.step(title);
    let goes_on = format!("the operation goes on; follow it with `gyre operation watch {uuid}`");
    let followed = tokio::select! {
        followed = watch(client, &step, operation.clone(), each) => followed,
        () = expire(limit) => Err(Failure::late("the operation did not end in time").with("operation", uuid).hint(goes_on)),
        _ = stop.recv() => Err(Failure::interrupted("interrupted").with("operation", uuid).hint(goes_on)),
    };
    let last = followed?;
    match outcome(&last) {
        Ok(()) => {
            step.done("");
            Ok(last)
        }
        Err(failure) => {
            step.failed("");
            Err(failure)
        }
    }
}

/// Ctrl-C, heard from now on: made before the first call, so that no moment is left in which it would end the process silently.
///
/// # Errors
/// When the process cannot listen to signals.
pub fn interrupts() -> Result<Signal> {
    Ok(signal(SignalKind::interrupt())?)
}

async fn expire(limit: Option<Duration>) {
    match limit {
        Some(limit) => sleep(limit).await,
        None => std::future::pending().await,
    }
}

async fn watch(
    client: &Client,
    step: &Step,
    mut last: Operation,
    mut each: impl FnMut(&Operation) -> Result<()>,
) -> Result<Operation> {
    let mut heard = Instant::now();
    loop {
        client.tell("/gyre.common.v1.OperationService/WatchOperation");
        let request = client.open_request(WatchOperationRequest { uuid: last.uuid.clone() });
        let broken = match OperationServiceClient::new(client.channel()).watch_operation(request).await {
            Err(status) => Failure::from(status),
            Ok(stream) => {
                let mut stream = stream.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(operation)) => {
                            heard = Instant::now();
                            step.progress(operation.percent, &doing(&operation));
                            each(&operation)?;
                            last = operation;
                            if ended(&last) {
                                return Ok(last);
                            }
                        }
                        Ok(None) => {
                            break Failure::from(Error::unavailable(
                                "WATCH_ENDED",
                                "the watch ended before the operation",
                            ));
                        }
                        Err(status) => break Failure::from(status),
                    }
                }
            }
        };
        if !broken.unavailable() || heard.elapsed() > PATIENCE {
            return Err(broken.with("operation", &last.uuid));
        }
        sleep(PAUSE).await;
    }
}

/// What an operation is doing now, for people.
fn doing(operation: &Operation) -> String {
    let mut steps = operation.steps.iter().rev();
    // the one that runs, or the last that anything was heard of
    let step = steps
        .clone()
        .find(|step| step.state() == OperationStepState::Running)
        .or_else(|| steps.find(|step| step.state() != OperationStepState::Pending));
    match (step, operation.state()) {
        (_, OperationState::Queued) => "waits for other work on the same resource".to_owned(),
        (Some(step), OperationState::Undoing) => format!("undoing {}", step.name),
        (Some(step), _) if step.message.is_empty() => step.name.clone(),
        (Some(step), _) => format!("{}: {}", step.name, step.message),
        (None, _) => String::new(),
    }
}

/// The result of an operation that has ended.
///
/// # Errors
/// When it did not succeed.
pub fn outcome(operation: &Operation) -> Result<()> {
    let (workflow, uuid) = (&operation.workflow, &operation.uuid);
    let error = operation.error.clone();
    let why = error.as_ref().map(|error| error.message.clone()).filter(|message| !message.is_empty());
    let failed = |what: &str| {
        let text = match why {
            Some(why) => format!("{workflow} {what}: {why}"),
            None => format!("{workflow} {what}"),
        };
        Err(Failure::operation(text, error.map(Error::from)).with("operation", uuid))
    };
    match operation.state() {
        OperationState::Succeeded => Ok(()),
        OperationState::Cancelled => failed("was cancelled"),
        OperationState::Stuck => failed("is stuck and will be tried again (`gyre debt list` says why)"),
        _ => failed("failed"),
    }
}

/// Waits until a check answers something, asking again and again.
///
/// # Errors
/// When the time is up, or the check fails.
pub async fn until<T, F: Future<Output = Result<Option<T>>>>(
    what: &str,
    limit: Duration,
    mut check: impl FnMut() -> F,
) -> Result<T> {
    let waiting = async {
        loop {
            if let Some(found) = check().await? {
                return Ok(found);
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(limit, waiting)
        .await
        .unwrap_or_else(|_| Err(Failure::late(format!("{what} took longer than {} s", limit.as_secs()))))
}
