//! Clearing references to what is about to be deleted: asked of the service that owns what refers, and done there.

use std::time::Duration;

use gyre_mesh::serve::caller;
use gyre_model::{Error, Kind, Result, Uuid, catalog, parse_uuid};
use gyre_proto::common::v1::deletion_service_client::DeletionServiceClient;
use gyre_proto::common::v1::deletion_service_server::DeletionService;
use gyre_proto::common::v1::{
    DetachReferencesRequest, DetachReferencesResponse, ListOutsideRequest, ListOutsideResponse,
};
use gyre_query::{Change, untyped};
use tonic::{Request, Response, Status};

use super::graph::{Edge, How, graph};
use super::outside;
use crate::{Context, Flow, fence};

/// How many references one transaction clears.
const AT_ONCE: usize = 200;
/// How long one of these calls may take.
const CALL: Duration = Duration::from_secs(20);

/// The calls that deletions ask of the services.
#[derive(Clone)]
pub(crate) struct DeletionApi {
    pub flow: Flow,
}

#[tonic::async_trait]
impl DeletionService for DeletionApi {
    async fn detach_references(
        &self,
        request: Request<DetachReferencesRequest>,
    ) -> std::result::Result<Response<DetachReferencesResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let edge = edge(&request.kind, &request.field)?;
        let targets: Vec<_> = request.uuids.iter().filter_map(|uuid| parse_uuid(uuid)).collect();
        let cleared = self.flow.store().write_again("detach-references", move |conn| {
            fence::check(conn, &caller)?;
            untyped::clear(conn, &Change::by(caller), edge.kind.kind, edge.field, &targets, AT_ONCE)
        });
        let count = cleared.await?;
        let more = count == AT_ONCE;
        Ok(Response::new(DetachReferencesResponse { count: i64::try_from(count).unwrap_or(i64::MAX), more }))
    }

    async fn list_outside(
        &self,
        request: Request<ListOutsideRequest>,
    ) -> std::result::Result<Response<ListOutsideResponse>, Status> {
        Ok(Response::new(outside::list(self.flow.inner(), request.get_ref()).await?))
    }
}

/// A reference that may be cleared, by its names.
fn edge(kind: &str, field: &str) -> Result<&'static Edge> {
    let found = catalog().kind(kind).and_then(|info| {
        let message = catalog().message(info.message)?;
        let to = message.field(field)?.rule.refers_to.as_str();
        graph().referring(to).iter().find(|edge| edge.kind.kind == kind && edge.field.name == field)
    });
    found.filter(|edge| edge.how == How::Detach).ok_or_else(|| {
        Error::new(
            Kind::InvalidArgument,
            "NOT_DETACHABLE",
            format!("{kind}.{field} is no reference that is cleared when what it refers to is deleted"),
        )
    })
}

/// Has a reference to a resource cleared wherever it stands.
pub(crate) async fn run(context: &Context, edge: &'static Edge, to: Uuid) -> Result<()> {
    let mut client = DeletionServiceClient::new(context.channel(edge.kind.service));
    let request = DetachReferencesRequest {
        kind: edge.kind.kind.to_owned(),
        field: edge.field.name.to_owned(),
        uuids: vec![to.to_string()],
    };
    let mut count = 0;
    loop {
        let answer = client.detach_references(context.request(request.clone(), CALL)).await?.into_inner();
        count += answer.count;
        context.progress(0, format!("cleared the {} of {count} {}", edge.field.name, edge.kind.plural));
        if !answer.more {
            return Ok(());
        }
    }
}
