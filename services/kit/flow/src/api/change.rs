//! The log of changes, to read.

use std::sync::Arc;

use gyre_mesh::refused::RefusedCall;
use gyre_mesh::serve::caller;
use gyre_model::{Caller, Origin, catalog, origin, parse_uuid, time};
use gyre_proto::ListRequest as _;
use gyre_proto::common::v1::change_service_server::ChangeService;
use gyre_proto::common::v1::{
    Change, GetChangeRequest, ListChangesRequest, ListChangesResponse, RecordRefusalsRequest, RecordRefusalsResponse,
    RefusedCall as Told,
};
use tonic::{Request, Response, Status};

use crate::Flow;
use crate::audit::refusals::Refusal;

/// The calls about changes.
#[derive(Clone)]
pub(crate) struct ChangeApi {
    pub flow: Flow,
}

/// What a gateway tells of a call; nothing for one that this build does not know.
fn refusal(told: Told) -> Option<Refusal> {
    let method = catalog().method(&told.path)?;
    let caller = Caller {
        api_key_uuid: parse_uuid(&told.api_key_uuid),
        ..Caller::of(parse_uuid(&told.account_uuid).unwrap_or_default(), false)
    };
    let origin = Arc::new(Origin {
        client: told.client_address.parse().ok(),
        user_agent: origin::cut(&told.user_agent).into(),
        action: method.action,
        request_id: origin::cut(&told.request_id).into(),
    });
    let call = RefusedCall { method, caller, resource: parse_uuid(&told.resource_uuid), origin, reason: told.reason };
    let time = told.time.as_ref().map_or_else(time::now_micros, time::to_micros);
    Some(Refusal { call, time, account_name: told.account_name })
}

#[tonic::async_trait]
impl ChangeService for ChangeApi {
    async fn get_change(&self, request: Request<GetChangeRequest>) -> Result<Response<Change>, Status> {
        let caller = caller(&request)?;
        let uuid = gyre_query::request::uuid("change", &request.get_ref().uuid)?;
        let get = move |conn: &mut gyre_store::Conn| gyre_query::get(conn, &caller, uuid);
        Ok(Response::new(self.flow.store().read("change-get", get).await?))
    }

    async fn list_changes(
        &self,
        request: Request<ListChangesRequest>,
    ) -> Result<Response<ListChangesResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let list = move |conn: &mut gyre_store::Conn| gyre_query::list(conn, &caller, request.page());
        Ok(Response::new(self.flow.store().search("change-list", list).await?))
    }

    async fn record_refusals(
        &self,
        request: Request<RecordRefusalsRequest>,
    ) -> Result<Response<RecordRefusalsResponse>, Status> {
        let calls = request.into_inner().calls;
        calls.into_iter().filter_map(refusal).for_each(|refusal| self.flow.inner().refusals.take(refusal));
        Ok(Response::new(RecordRefusalsResponse {}))
    }
}
