//! The call `Watch`. Any member answers it.

use std::pin::Pin;

use futures::{Stream, stream};
use gyre_mesh::serve::caller;
use gyre_mesh::tasks::Tasks;
use gyre_proto::common::v1::watch_service_server::WatchService;
use gyre_proto::common::v1::{WatchRequest, WatchResponse};
use gyre_store::Store;
use tonic::{Request, Response, Status};

use crate::position::Position;
use crate::watch::{Wanted, Watcher, kind_named};

/// The call.
#[derive(Clone)]
pub struct WatchApi {
    tasks: Tasks,
    store: Store,
}

impl WatchApi {
    /// Over a database; what watches ends with the tasks.
    pub fn new(tasks: Tasks, store: Store) -> Self {
        Self { tasks, store }
    }
}

type Watching = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

#[tonic::async_trait]
impl WatchService for WatchApi {
    type WatchStream = Watching;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Watching>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let position = match request.position.as_str() {
            "" => None,
            text => Some(Position::parse(text, self.store.dialect())?),
        };
        let wanted = Wanted { caller, kind: kind_named(&request.kind)?, filter: request.filter, position };
        let watcher = Watcher::begin(&self.tasks, &self.store, wanted).await?;
        let events = stream::unfold(watcher, |mut watcher| async move {
            let next = watcher.next().await?;
            Some((next.map_err(Status::from), watcher))
        });
        Ok(Response::new(Box::pin(events)))
    }
}
