//! The calls about operations. Any member answers them: it finds the operation in the database, and hands the call to the owner
//! of its resource where the answer lives in that process's memory.

use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use gyre_mesh::serve::caller;
use gyre_model::{Caller, Error, Kind, Result, Uuid, parse_uuid};
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::common::v1::operation_service_server::OperationService;
use gyre_proto::common::v1::{
    CancelOperationRequest, GetOperationRequest, ListOperationsRequest, ListOperationsResponse, Operation,
    OperationState, WaitOperationRequest, WatchOperationRequest,
};
use gyre_proto::{ListRequest, Resource};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::Flow;
use crate::live::Live;
use crate::record::{self, ended};

/// How often an operation is read again that is worked on elsewhere.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The calls about operations.
#[derive(Clone)]
pub struct OperationApi {
    flow: Flow,
}

type Watching = Pin<Box<dyn Stream<Item = std::result::Result<Operation, Status>> + Send>>;

/// Where an operation is worked on.
enum Place {
    /// In this process.
    Here(std::sync::Arc<Live>),
    /// It has ended; this is how.
    Ended(Box<Operation>),
    /// In the process that owns the resource, which is another.
    There,
    /// Nobody has it in hand now: its owner, this process, is about to, or the instance that works on it is not its owner.
    Nowhere(Box<Operation>),
}

impl OperationApi {
    pub(crate) fn new(flow: Flow) -> Self {
        Self { flow }
    }

    async fn read(&self, caller: Caller, uuid: Uuid) -> Result<Operation> {
        let read = move |conn: &mut gyre_store::Conn| gyre_query::get(conn, &caller, uuid);
        self.flow.store().read("operation-get", read).await
    }

    async fn place(&self, caller: Caller, uuid: Uuid) -> Result<(Operation, Place)> {
        // read first: it is where the caller's scope is
        let operation = self.read(caller, uuid).await?;
        let inner = self.flow.inner();
        let place = if ended(operation.state()) {
            Place::Ended(Box::new(operation.clone()))
        } else if let Some(live) = inner.live.get(uuid) {
            Place::Here(live)
        } else {
            let resource = parse_uuid(&operation.resource_uuid).unwrap_or_default();
            if operation.service == inner.service && inner.mesh.owns(inner.service, resource) {
                Place::Nowhere(Box::new(operation.clone()))
            } else {
                Place::There
            }
        };
        Ok((operation, place))
    }

    /// A client of the owner of an operation's resource, and a request that is routed there.
    fn owner<M>(
        &self,
        caller: Caller,
        operation: &Operation,
        message: M,
    ) -> (OperationServiceClient<gyre_mesh::MeshChannel>, Request<M>) {
        let service = gyre_model::catalog()
            .kinds()
            .map(|kind| kind.service)
            .find(|service| *service == operation.service)
            .unwrap_or("vm");
        let resource = parse_uuid(&operation.resource_uuid).unwrap_or_default();
        let client = OperationServiceClient::new(self.flow.mesh().channel(service).to_owner_of(resource));
        let request = caller.request(message);
        (client, request)
    }

    /// Follows an operation until it ends, wherever it is worked on.
    async fn follow(
        &self,
        caller: Caller,
        uuid: Uuid,
        out: &mpsc::Sender<std::result::Result<Operation, Status>>,
    ) -> Result<()> {
        loop {
            let (operation, place) = self.place(caller, uuid).await?;
            match place {
                Place::Ended(operation) => {
                    let _ = out.send(Ok(*operation)).await;
                    return Ok(());
                }
                Place::Here(live) => {
                    let mut now = live.now.subscribe();
                    loop {
                        let state = now.borrow_and_update().clone();
                        let end = ended(state.state());
                        if out.send(Ok(state)).await.is_err() || end {
                            return Ok(());
                        }
                        tokio::select! {
                            changed = now.changed() => if changed.is_err() { break },
                            () = out.closed() => return Ok(()),
                            () = tokio::time::sleep(LOOK_AGAIN * 5) => if !self.flow.inner().live.has(uuid) { break },
                        }
                    }
                    // it is not worked on here any more: look again where it is
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Place::There => {
                    let (mut client, request) =
                        self.owner(caller, &operation, WatchOperationRequest { uuid: uuid.to_string() });
                    match client.watch_operation(request).await {
                        Ok(response) => {
                            let mut stream = response.into_inner();
                            loop {
                                let next = tokio::select! {
                                    next = stream.message() => next,
                                    () = out.closed() => return Ok(()),
                                };
                                let Ok(Some(next)) = next else { break };
                                let end = ended(next.state());
                                if out.send(Ok(next)).await.is_err() || end {
                                    return Ok(());
                                }
                            }
                        }
                        Err(status) => {
                            let error = Error::from(status);
                            if !error.kind().retryable() {
                                return Err(error);
                            }
                        }
                    }
                    // its owner changed or died: look again who it is
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Place::Nowhere(operation) => {
                    if out.send(Ok(*operation)).await.is_err() {
                        return Ok(());
                    }
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
        }
    }

    async fn wait(&self, caller: Caller, uuid: Uuid, until: Option<Instant>) -> Result<Operation> {
        let (out, mut states) = mpsc::channel(4);
        let api = self.clone();
        let follow = async move {
            if let Err(error) = api.follow(caller, uuid, &out).await {
                let _ = out.send(Err(error.into())).await;
            }
        };
        let mut last = None;
        let collect = async {
            while let Some(state) = states.recv().await {
                let state = state.map_err(Error::from)?;
                let end = ended(state.state());
                last = Some(state);
                if end {
                    break;
                }
            }
            Ok::<(), Error>(())
        };
        let far = Instant::now() + Duration::from_secs(86_400);
        tokio::select! {
            result = async { tokio::join!(follow, collect).1 } => result?,
            () = tokio::time::sleep_until(until.unwrap_or(far)) => {}
        }
        match last {
            Some(operation) => Ok(operation),
            None => self.read(caller, uuid).await,
        }
    }
}

fn named(uuid: &str) -> Result<Uuid> {
    parse_uuid(uuid).ok_or_else(|| Error::not_found(Operation::KIND, uuid))
}

#[tonic::async_trait]
impl OperationService for OperationApi {
    async fn get_operation(
        &self,
        request: Request<GetOperationRequest>,
    ) -> std::result::Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let uuid = named(&request.get_ref().uuid)?;
        let (operation, place) = self.place(caller, uuid).await?;
        Ok(Response::new(match place {
            Place::Here(live) => live.now.borrow().clone(),
            Place::Ended(_) | Place::Nowhere(_) => operation,
            Place::There => {
                let (mut client, mut routed) = self.owner(caller, &operation, request.into_inner());
                routed.set_timeout(Duration::from_secs(2));
                // what stands in the database is the second best answer
                client.get_operation(routed).await.map_or(operation, Response::into_inner)
            }
        }))
    }

    async fn list_operations(
        &self,
        request: Request<ListOperationsRequest>,
    ) -> std::result::Result<Response<ListOperationsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut page: ListOperationsResponse = self
            .flow
            .store()
            .read("operation-list", move |conn| gyre_query::list(conn, &caller, request.page()))
            .await?;
        for operation in &mut page.operations {
            if let Some(live) = parse_uuid(&operation.uuid).and_then(|uuid| self.flow.inner().live.get(uuid))
                && !ended(operation.state())
            {
                *operation = live.now.borrow().clone();
            }
        }
        Ok(Response::new(page))
    }

    type WatchOperationStream = Watching;

    async fn watch_operation(
        &self,
        request: Request<WatchOperationRequest>,
    ) -> std::result::Result<Response<Watching>, Status> {
        let caller = caller(&request)?;
        let uuid = named(&request.get_ref().uuid)?;
        self.read(caller, uuid).await?;
        let (out, states) = mpsc::channel(16);
        let api = self.clone();
        self.flow.tasks().spawn_until_stop("watch-operation", async move {
            if let Err(error) = api.follow(caller, uuid, &out).await {
                let _ = out.send(Err(error.into())).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(states))))
    }

    async fn wait_operation(
        &self,
        request: Request<WaitOperationRequest>,
    ) -> std::result::Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let uuid = named(&request.get_ref().uuid)?;
        let timeout = request.get_ref().timeout.map(|timeout| {
            Duration::new(u64::try_from(timeout.seconds).unwrap_or(0), u32::try_from(timeout.nanos).unwrap_or(0))
        });
        // answer a little before the caller stops listening
        let deadline =
            gyre_mesh::context::deadline().map(|deadline| Instant::from_std(deadline) - Duration::from_millis(50));
        let until =
            [timeout.and_then(|timeout| Instant::now().checked_add(timeout)), deadline].into_iter().flatten().min();
        Ok(Response::new(self.wait(caller, uuid, until).await?))
    }

    async fn cancel_operation(
        &self,
        request: Request<CancelOperationRequest>,
    ) -> std::result::Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let uuid = named(&request.get_ref().uuid)?;
        let (operation, place) = self.place(caller, uuid).await?;
        let refuse = |state: OperationState| {
            Error::new(
                Kind::FailedPrecondition,
                "NOT_CANCELLABLE",
                format!("operation {uuid} is {} and cannot be cancelled", short(state)),
            )
        };
        match place {
            Place::Ended(operation) => Err(refuse(operation.state()).into()),
            Place::There => {
                let (mut client, routed) = self.owner(caller, &operation, request.into_inner());
                client.cancel_operation(routed).await
            }
            Place::Here(_) | Place::Nowhere(_) => {
                let marked =
                    self.flow.store().write("cancel-operation", move |conn| record::set_cancel(conn, uuid)).await?;
                if !marked {
                    return Err(refuse(self.read(caller, uuid).await?.state()).into());
                }
                if let Place::Here(live) = place {
                    live.cancel.cancel();
                    return Ok(Response::new(live.now.borrow().clone()));
                }
                self.flow.wake();
                Ok(Response::new(operation))
            }
        }
    }
}

fn short(state: OperationState) -> String {
    state.as_str_name().trim_start_matches("OPERATION_STATE_").to_lowercase()
}
