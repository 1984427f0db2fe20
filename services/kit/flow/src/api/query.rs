//! Questions about resources of any kind.

use gyre_mesh::serve::caller;
use gyre_proto::common::v1::query_service_server::QueryService;
use gyre_proto::common::v1::{QueryPlan, QueryRequest, QueryResponse};
use gyre_query::{Answer, Question};
use tonic::{Request, Response, Status};

use crate::Flow;

/// The call `Query`.
#[derive(Clone)]
pub(crate) struct QueryApi {
    pub flow: Flow,
}

#[tonic::async_trait]
impl QueryService for QueryApi {
    async fn query(&self, request: Request<QueryRequest>) -> std::result::Result<Response<QueryResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let question = Question {
            kind: request.kind,
            filter: request.filter,
            order_by: request.order_by,
            page_size: request.page_size,
            page_token: request.page_token,
            fields: request.fields,
            group_by: request.group_by,
            sum: request.sum,
            min: request.min,
            max: request.max,
            count: request.count,
            explain: request.explain,
        };
        let ask = move |conn: &mut gyre_store::Conn| gyre_query::ask(conn, &caller, &question);
        let Answer { rows, next_page_token, total_size, plan } = self.flow.store().search("query", ask).await?;
        Ok(Response::new(QueryResponse {
            rows: rows.into_iter().map(Into::into).collect(),
            next_page_token,
            total_size,
            plan: plan.map(|plan| QueryPlan { sql: plan.sql, database: plan.database }),
        }))
    }
}
