//! The calls about operations, lanes, debts and the log of changes. Any member answers them: it finds the operation in the database, and hands the call
//! to the instance that works on it where the answer lives in that process's memory; to the owner of its resource where that
//! instance is gone.

mod change;
mod debt;
mod follow;
mod lane;
mod query;
mod setting;
mod tag;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, stream};
use gyre_events::api::WatchApi;
use gyre_mesh::member::{LOCAL, Member};
use gyre_mesh::serve::caller;
use gyre_mesh::{Mesh, MeshChannel};
use gyre_model::{Caller, Error, Kind, Result, Uuid, parse_uuid};
use gyre_proto::common::v1::callback_service_server::CallbackServiceServer;
use gyre_proto::common::v1::change_service_server::ChangeServiceServer;
use gyre_proto::common::v1::debt_service_server::DebtServiceServer;
use gyre_proto::common::v1::deletion_service_server::DeletionServiceServer;
use gyre_proto::common::v1::lane_service_server::LaneServiceServer;
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::common::v1::operation_service_server::{OperationService, OperationServiceServer};
use gyre_proto::common::v1::query_service_server::QueryServiceServer;
use gyre_proto::common::v1::setting_service_server::SettingServiceServer;
use gyre_proto::common::v1::tag_service_server::TagServiceServer;
use gyre_proto::common::v1::watch_service_server::WatchServiceServer;
use gyre_proto::common::v1::{
    CancelOperationRequest, ExplainOperationRequest, ExplainOperationResponse, GetOperationRequest,
    ListOperationsRequest, ListOperationsResponse, Operation, OperationState, OperationTimeline, RetryOperationRequest,
    WaitOperationRequest, WatchOperationRequest,
};
use gyre_proto::{ListRequest, Resource};
use gyre_query::View;
use tokio::time::Instant;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::callback::CallbackApi;
use crate::delete::detach::DeletionApi;
use crate::live::Live;
use crate::record::{self, ended};
use crate::{Flow, debt as debts, engine};
use follow::Follower;

/// How long the process that works on an operation may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a stuck operation may take until another try of it begins: longer than its owner takes to be replaced.
const BEGINS: Duration = Duration::from_secs(10);

/// The calls about operations.
#[derive(Clone)]
pub struct OperationApi {
    flow: Flow,
}

type Watching = Pin<Box<dyn Stream<Item = std::result::Result<Operation, Status>> + Send>>;

/// Where an operation is worked on.
enum Place {
    /// In this process.
    Here(Arc<Live>),
    /// It has ended.
    Ended,
    /// In another process, or by another service in this one: by this instance, or whichever the owner is.
    There(MeshChannel, Option<Uuid>),
    /// Nobody has it in hand now; this process is about to, or it rests.
    Nowhere,
}

/// The service of this name that has operations.
fn service_named(name: &str) -> Option<&'static str> {
    gyre_model::catalog().kinds().map(|kind| kind.service).find(|service| *service == name && *service != "common")
}

/// A channel to one member.
fn channel_to(mesh: &Mesh, member: &Member) -> MeshChannel {
    let channel = mesh.channel(service_named(&member.service).unwrap_or("vm"));
    // what is in this process is found without an address, and "local" is another's name in every process
    if member.uuid == mesh.instance() || member.address == LOCAL {
        channel
    } else {
        channel.at(member.address.as_str())
    }
}

fn client(channel: MeshChannel) -> OperationServiceClient<MeshChannel> {
    OperationServiceClient::new(channel)
}

impl Flow {
    /// Adds the calls that every service answers alike: about operations, lanes, debts, changes, tags and settings, and queries.
    pub fn answer(&self, routes: Routes) -> Routes {
        routes
            .add_service(OperationServiceServer::new(self.api()))
            .add_service(LaneServiceServer::new(lane::LaneApi { flow: self.clone() }))
            .add_service(DebtServiceServer::new(debt::DebtApi { flow: self.clone() }))
            .add_service(QueryServiceServer::new(query::QueryApi { flow: self.clone() }))
            .add_service(ChangeServiceServer::new(change::ChangeApi { flow: self.clone() }))
            .add_service(WatchServiceServer::new(WatchApi::new(self.tasks().clone(), self.store().clone())))
            .add_service(DeletionServiceServer::new(DeletionApi { flow: self.clone() }))
            .add_service(CallbackServiceServer::new(CallbackApi { flow: self.clone() }))
            .add_service(TagServiceServer::new(tag::TagApi { flow: self.clone() }))
            .add_service(SettingServiceServer::new(setting::SettingApi { flow: self.clone() }))
    }
}

impl OperationApi {
    pub(crate) fn new(flow: Flow) -> Self {
        Self { flow }
    }

    async fn read(&self, caller: Caller, uuid: Uuid) -> Result<Operation> {
        let read = move |conn: &mut gyre_store::Conn| gyre_query::get(conn, &caller, uuid);
        self.flow.store().read("operation-get", read).await
    }

    /// What this process has in hand, and the caller may see.
    fn seen_here(&self, caller: &Caller, uuid: Uuid) -> Option<Arc<Live>> {
        let live = self.flow.inner().live.get(uuid)?;
        let view = View::new(caller, self.flow.store().dialect());
        view.sees(live.now().as_ref()).then_some(live)
    }

    async fn place(&self, caller: Caller, uuid: Uuid) -> Result<(Operation, Place)> {
        // read first: it is where the caller's scope is
        let operation = self.read(caller, uuid).await?;
        let place = self.place_of(uuid, &operation);
        Ok((operation, place))
    }

    fn place_of(&self, uuid: Uuid, operation: &Operation) -> Place {
        let inner = self.flow.inner();
        if ended(operation.state()) {
            return Place::Ended;
        }
        if let Some(live) = inner.live.get(uuid) {
            return Place::Here(live);
        }
        let here = operation.service == inner.service;
        let instance = parse_uuid(&operation.instance_uuid).unwrap_or_default();
        if here && instance == inner.mesh.instance() {
            return Place::Nowhere;
        }
        let view = inner.mesh.view();
        let member = view.members(&operation.service).iter().find(|member| member.uuid == instance);
        if let Some(member) = member {
            return Place::There(channel_to(&inner.mesh, member), Some(instance));
        }
        let resource = parse_uuid(&operation.resource_uuid).unwrap_or_default();
        if here && inner.mesh.owns(inner.service, resource) {
            return Place::Nowhere;
        }
        let service = service_named(&operation.service).unwrap_or("vm");
        Place::There(inner.mesh.channel(service).to_owner_of(resource), None)
    }

    async fn wait(&self, caller: Caller, uuid: Uuid, until: Option<Instant>) -> Result<Operation> {
        let far = Instant::now() + Duration::from_secs(86_400);
        let over = tokio::time::sleep_until(until.unwrap_or(far));
        tokio::pin!(over);
        let mut last = None;
        // who waits for the end is not shown what happens on the way
        if let Some(live) = self.seen_here(&caller, uuid) {
            let mut seen = live.watch();
            let end = seen.wait_for(|seen| seen.left || ended(seen.operation.state()));
            tokio::select! {
                now = end => match now {
                    Ok(now) if ended(now.operation.state()) => return Ok(now.operation.as_ref().clone()),
                    // it is worked on elsewhere by now
                    Ok(_) | Err(_) => {}
                },
                () = &mut over => return Ok(live.now().as_ref().clone()),
            }
        }
        let mut follower = Follower::new(self.clone(), caller, uuid);
        loop {
            tokio::select! {
                next = follower.next() => match next {
                    Some(operation) => last = Some(operation?),
                    None => break,
                },
                () = &mut over => break,
            }
        }
        match last {
            Some(operation) => Ok(operation),
            None => self.read(caller, uuid).await,
        }
    }

    async fn cancel(&self, caller: Caller, uuid: Uuid) -> Result<Operation> {
        let (operation, place) = self.place(caller, uuid).await?;
        match &place {
            Place::Ended => return Err(not_cancellable(&operation)),
            Place::There(channel, _) => {
                let mut request = caller.request(CancelOperationRequest { uuid: uuid.to_string() });
                request.set_timeout(PATIENCE);
                match client(channel.clone()).cancel_operation(request).await.map_err(Error::from) {
                    Ok(response) => return Ok(response.into_inner()),
                    Err(error) if !error.kind().retryable() => return Err(error),
                    // it is noted in the database all the same: whoever goes on with the operation finds it there
                    Err(error) => {
                        tracing::info!(operation = %uuid, %error, "who works on an operation does not answer")
                    }
                }
            }
            Place::Here(_) | Place::Nowhere => {}
        }
        let inner = Arc::clone(self.flow.inner());
        let past = move |operation: &Operation| {
            let known = (operation.service == inner.service).then(|| inner.registry.get(&operation.workflow).ok());
            known.flatten().is_some_and(|workflow| engine::past(&workflow, operation))
        };
        if !self.flow.store().write("cancel-operation", move |conn| record::set_cancel(conn, uuid, past)).await? {
            return Err(not_cancellable(&self.read(caller, uuid).await?));
        }
        match place {
            Place::Here(live) => {
                engine::cancel(self.flow.inner(), uuid, &live);
                Ok(live.now().as_ref().clone())
            }
            Place::Ended | Place::There(..) | Place::Nowhere => {
                self.flow.wake();
                Ok(operation)
            }
        }
    }

    async fn explain(&self, caller: Caller, uuid: Uuid) -> Result<ExplainOperationResponse> {
        let (operation, place) = self.place(caller, uuid).await?;
        match place {
            Place::Here(live) => {
                if let Some(timeline) = live.timeline() {
                    return Ok(explained(live.now().as_ref().clone(), timeline));
                }
            }
            Place::There(channel, _) => {
                let mut request = caller.request(ExplainOperationRequest { uuid: uuid.to_string() });
                request.set_timeout(PATIENCE);
                // what stands in the database is the second best answer
                if let Ok(response) = client(channel).explain_operation(request).await {
                    return Ok(response.into_inner());
                }
            }
            Place::Ended | Place::Nowhere => {}
        }
        let timeline = self.flow.store().read("operation-explain", move |conn| record::timeline(conn, uuid)).await?;
        Ok(explained(operation, timeline.to_message(0)))
    }

    async fn retry(&self, caller: Caller, uuid: Uuid) -> Result<Operation> {
        let (_, place) = self.place(caller, uuid).await?;
        let hurried = self.flow.store().write_again("retry-operation", move |conn| debts::hurry(conn, uuid)).await?;
        let Some(attempts) = hurried else {
            let now = short(self.read(caller, uuid).await?.state());
            return Err(Error::new(
                Kind::FailedPrecondition,
                "NOT_STUCK",
                format!("operation {uuid} is {now}: only a stuck one can be tried again"),
            ));
        };
        self.flow.wake();
        if let Place::There(channel, _) = place {
            let mut request = caller.request(RetryOperationRequest { uuid: uuid.to_string() });
            request.set_timeout(PATIENCE);
            // it stands in the database, and is found there within seconds: this only wakes whoever looks
            if let Err(status) = client(channel).retry_operation(request).await {
                tracing::debug!(operation = %uuid, %status, "who looks after an operation was not woken");
            }
        }
        self.begun_again(caller, uuid, attempts).await
    }

    /// Waits until another try of a stuck operation has begun, so that whoever waits for its outcome does not take the old one for
    /// it: the operation is not stuck any more, or is so after one more try.
    async fn begun_again(&self, caller: Caller, uuid: Uuid, attempts: i64) -> Result<Operation> {
        let far = Instant::now() + BEGINS;
        let call = gyre_mesh::context::deadline().map(|at| Instant::from_std(at) - Duration::from_millis(50));
        let until = call.map_or(far, |call| call.min(far));
        let mut wait = Duration::from_millis(10);
        loop {
            let look = move |conn: &mut gyre_store::Conn| {
                // the debt first: one that is counted again goes with an operation that rests again
                let tried = debts::attempts(conn, uuid)? > attempts;
                gyre_query::get::<Operation>(conn, &caller, uuid).map(|operation| (operation, tried))
            };
            let (operation, tried) = self.flow.store().read("operation-begun-again", look).await?;
            // what this process shows of it must have followed, too
            let shown = self.flow.inner().live.get(uuid).map_or(operation.state(), |live| live.now().state());
            if tried || (operation.state() != OperationState::Stuck && shown != OperationState::Stuck) {
                return Ok(operation);
            }
            if Instant::now() + wait > until {
                let text =
                    format!("operation {uuid} is to be tried again at once, but nobody has begun yet; try again");
                return Err(Error::unavailable("RETRY_NOT_BEGUN", text));
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_millis(200));
        }
    }
}

fn explained(operation: Operation, timeline: OperationTimeline) -> ExplainOperationResponse {
    let OperationTimeline { events, dropped, kept_before } = timeline;
    ExplainOperationResponse { operation: Some(operation), events, dropped, kept_before }
}

fn not_cancellable(operation: &Operation) -> Error {
    let how = match operation.state() {
        OperationState::Running | OperationState::Queued => "past its point of no return".to_owned(),
        state => short(state),
    };
    let text = format!("operation {} is {how} and cannot be cancelled", operation.uuid);
    Error::new(Kind::FailedPrecondition, "NOT_CANCELLABLE", text)
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
            Place::Here(live) => live.now().as_ref().clone(),
            Place::Ended | Place::Nowhere => operation,
            Place::There(channel, _) => {
                let mut routed = caller.request(request.into_inner());
                routed.set_timeout(PATIENCE);
                // what stands in the database is the second best answer
                client(channel).get_operation(routed).await.map_or(operation, Response::into_inner)
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
            .search("operation-list", move |conn| gyre_query::list(conn, &caller, request.page()))
            .await?;
        for operation in &mut page.operations {
            if let Some(live) = parse_uuid(&operation.uuid).and_then(|uuid| self.flow.inner().live.get(uuid))
                && !ended(operation.state())
            {
                *operation = live.now().as_ref().clone();
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
        let follower = Follower::new(self.clone(), caller, uuid);
        let states = stream::unfold(follower, |mut follower| async move {
            let next = follower.next().await?;
            Some((next.map_err(Status::from), follower))
        });
        Ok(Response::new(Box::pin(states)))
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
        Ok(Response::new(self.cancel(caller, uuid).await?))
    }

    async fn explain_operation(
        &self,
        request: Request<ExplainOperationRequest>,
    ) -> std::result::Result<Response<ExplainOperationResponse>, Status> {
        let caller = caller(&request)?;
        let uuid = named(&request.get_ref().uuid)?;
        Ok(Response::new(self.explain(caller, uuid).await?))
    }

    async fn retry_operation(
        &self,
        request: Request<RetryOperationRequest>,
    ) -> std::result::Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let uuid = named(&request.get_ref().uuid)?;
        Ok(Response::new(self.retry(caller, uuid).await?))
    }
}

pub(crate) fn short(state: OperationState) -> String {
    state.as_str_name().trim_start_matches("OPERATION_STATE_").to_lowercase()
}
