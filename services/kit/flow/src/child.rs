//! Operations of other services that a step waits for: followed to their end, and asked to stop where the step is broken off.

use std::sync::Arc;
use std::time::Duration;

use gyre_model::{Error, Kind, Result, parse_uuid};
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::common::v1::{
    CancelOperationRequest, Operation, OperationState, OperationStepState, WatchOperationRequest,
};

use crate::shared::Shared;
use crate::{Context, debt, record};

/// How long a child or a host may take to accept a cancel.
pub(crate) const CANCEL: Duration = Duration::from_secs(2);

impl Shared {
    /// Asks what a broken-off step waited for to stop, too: tasks on hosts, and the operation of another service. The undo comes
    /// after them in their lanes, and should not wait for work that nobody wants any more.
    pub async fn cancel_awaited(self: &Arc<Self>) {
        tokio::join!(self.cancel_tasks(), self.cancel_child());
    }

    /// An operation that cannot be asked, or is past its point of no return, goes on.
    async fn cancel_child(&self) {
        let Some((service, uuid)) = self.state.lock().awaited.take() else { return };
        let mut client = OperationServiceClient::new(self.flow.mesh.channel(service));
        let mut request = self.caller.request(CancelOperationRequest { uuid: uuid.clone() });
        request.set_timeout(CANCEL);
        if let Err(status) = client.cancel_operation(request).await {
            tracing::debug!(operation = %uuid, error = %Error::from(status), "a child goes on");
        }
    }
}

impl Context {
    /// Waits for an operation that this step asked another service for, and tells its progress as this step's.
    ///
    /// # Errors
    /// Why it failed; that the service does not answer.
    pub fn await_operation(
        &self,
        service: &'static str,
        operation: Operation,
    ) -> impl Future<Output = Result<Operation>> + Send + use<'_> {
        // boxed here, since what an async function is given takes room in its future, and once more in each that it calls
        let operation = Box::new(operation);
        async move {
            self.shared.state.lock().awaited = Some((service, operation.uuid.clone()));
            let ended = self.follow_operation(service, operation).await;
            self.shared.state.lock().awaited = None;
            ended
        }
    }

    async fn follow_operation(&self, service: &'static str, operation: Box<Operation>) -> Result<Operation> {
        let channel = self.shared.flow.mesh.channel(service);
        let mut client = OperationServiceClient::new(channel);
        let uuid = operation.uuid.clone();
        let mut last = operation;
        let mut lost = 0;
        loop {
            if record::ended(last.state()) {
                return match last.error.take() {
                    Some(error) if last.state() != OperationState::Succeeded => Err(error.into()),
                    _ if last.state() == OperationState::Succeeded => Ok(*last),
                    _ => Err(Error::new(Kind::Cancelled, "CANCELLED", format!("operation {uuid} was cancelled"))),
                };
            }
            if last.state() == OperationState::Stuck {
                return Err(self.stuck(&uuid).await);
            }
            let request = self.stream_request(WatchOperationRequest { uuid: uuid.clone() });
            match Box::pin(client.watch_operation(request)).await {
                Ok(response) => {
                    let mut stream = response.into_inner();
                    lost += 1;
                    while let Ok(Some(next)) = stream.message().await {
                        lost = 0;
                        if next.state() == OperationState::Stuck {
                            *last = next;
                            break;
                        }
                        let doing = next.steps.iter().find(|step| step.state() == OperationStepState::Running);
                        self.progress(next.percent, doing.map(|step| step.message.clone()).unwrap_or_default());
                        *last = next;
                    }
                }
                Err(status) => {
                    let error = Error::from(status);
                    lost += 1;
                    if !error.kind().retryable() || lost > 10 {
                        return Err(error);
                    }
                }
            }
            if !record::ended(last.state()) {
                // the stream broke: its owner may have changed
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Why an operation that this step waits for rests: where that is a host, this one waits for the same.
    async fn stuck(&self, uuid: &str) -> Error {
        let text = format!("operation {uuid} is stuck and looked after again");
        let error = Error::unavailable(debt::STUCK, text);
        let Some(uuid) = parse_uuid(uuid) else { return error };
        match self.read("debt-of-child", move |conn| debt::awaited_host(conn, uuid)).await {
            Ok(Some(host)) => error.with("host_uuid", host.to_string()).with(debt::AWAITS_HOST, "true"),
            Ok(None) | Err(_) => error,
        }
    }
}
