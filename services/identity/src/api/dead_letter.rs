//! Dead letters: Gyre writes them; they are read, delivered again, or deleted.

use gyre_flow::{Delete, once};
use gyre_mesh::serve::caller;
use gyre_model::parse_uuid;
use gyre_proto::common::v1::Operation;
use gyre_proto::identity::v1::dead_letter_service_server::DeadLetterService;
use gyre_proto::identity::v1::{
    DeadLetter, DeleteDeadLetterRequest, GetDeadLetterRequest, ListDeadLettersRequest, ListDeadLettersResponse,
    RedeliverDeadLetterRequest, RedeliverDeadLetterResponse,
};
use gyre_proto::{ListRequest, Resource as _};
use tonic::{Request, Response, Status};

use super::{Api, uuid};
use crate::webhooks::queue;

#[tonic::async_trait]
impl DeadLetterService for Api {
    async fn get_dead_letter(&self, request: Request<GetDeadLetterRequest>) -> Result<Response<DeadLetter>, Status> {
        let caller = caller(&request)?;
        let uuid = uuid(DeadLetter::KIND, &request.get_ref().uuid)?;
        let read = self.inner.store.read("dead-letter-get", move |conn| gyre_query::get(conn, &caller, uuid));
        Ok(Response::new(read.await?))
    }

    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let read =
            self.inner.store.search("dead-letter-list", move |conn| gyre_query::list(conn, &caller, request.page()));
        Ok(Response::new(read.await?))
    }

    async fn redeliver_dead_letter(
        &self,
        request: Request<RedeliverDeadLetterRequest>,
    ) -> Result<Response<RedeliverDeadLetterResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let uuid = uuid(DeadLetter::KIND, &request.uuid)?;
        let read = move |conn: &mut gyre_store::Conn| gyre_query::find::<DeadLetter>(conn, &caller, uuid);
        let webhook = self.inner.store.read("dead-letter-get", read).await?.map(|letter| letter.webhook_uuid);
        let id = request.request_id.clone();
        let taken = once(&self.inner.store, caller, "RedeliverDeadLetter", &id, &request, move |conn, change| {
            let letter: DeadLetter = gyre_query::get(conn, &caller, uuid)?;
            queue::redeliver(conn, change, &letter)?;
            Ok(RedeliverDeadLetterResponse {})
        });
        let taken = taken.await?;
        // where the courier is another instance's, it follows the log
        if let Some(webhook) = webhook.as_deref().and_then(parse_uuid) {
            self.inner.webhooks.changed(webhook);
        }
        Ok(Response::new(taken))
    }

    async fn delete_dead_letter(
        &self,
        request: Request<DeleteDeadLetterRequest>,
    ) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let delete = Delete { caller, workflow: "delete-dead-letter", request: &request, binned: false };
        Ok(Response::new(self.inner.flow.delete(delete, |_, _: &DeadLetter| Ok(())).await?))
    }
}
