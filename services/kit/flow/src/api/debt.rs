//! What stuck operations owe.

use gyre_mesh::serve::caller;
use gyre_proto::ListRequest as _;
use gyre_proto::common::v1::debt_service_server::DebtService;
use gyre_proto::common::v1::{ListDebtsRequest, ListDebtsResponse};
use tonic::{Request, Response, Status};

use crate::Flow;

/// The calls about debts.
#[derive(Clone)]
pub(crate) struct DebtApi {
    pub flow: Flow,
}

#[tonic::async_trait]
impl DebtService for DebtApi {
    async fn list_debts(
        &self,
        request: Request<ListDebtsRequest>,
    ) -> std::result::Result<Response<ListDebtsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let list = move |conn: &mut gyre_store::Conn| gyre_query::list(conn, &caller, request.page());
        Ok(Response::new(self.flow.store().search("debt-list", list).await?))
    }
}
