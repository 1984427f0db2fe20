//! The calls about tags. Reading is answered by any member; what changes a tag goes to the owner of its resource, in the service that the kind
//! belongs to: there all work on one resource meets, and there the rules for Gyre's own tags are known.

use gyre_mesh::MeshChannel;
use gyre_mesh::serve::caller;
use gyre_model::{Caller, Result, Uuid, parse_uuid};
use gyre_proto::common::v1::tag_service_client::TagServiceClient;
use gyre_proto::common::v1::tag_service_server::TagService;
use gyre_proto::common::v1::{
    CreateTagRequest, DeleteTagRequest, DeleteTagResponse, GetTagRequest, ListTagsRequest, ListTagsResponse, Tag,
};
use gyre_proto::{ListRequest as _, Resource as _};
use gyre_query::request::{given, uuid};
use gyre_query::tags;
use tonic::{Request, Response, Status};

use crate::{Flow, once};

/// The calls about tags.
#[derive(Clone)]
pub(crate) struct TagApi {
    pub flow: Flow,
}

impl TagApi {
    /// A client of whoever owns a tagged resource; nothing where that is this process's service.
    fn elsewhere(&self, tag: &Tag) -> Result<Option<TagServiceClient<MeshChannel>>> {
        let inner = self.flow.inner();
        let service = tags::tagged(&tag.resource_kind)?.kind.service;
        let resource = parse_uuid(&tag.resource_uuid).unwrap_or_default();
        if service == inner.service && inner.mesh.owns(service, resource) {
            return Ok(None);
        }
        Ok(Some(TagServiceClient::new(inner.mesh.channel(service).to_owner_of(resource))))
    }

    async fn read(&self, caller: Caller, uuid: Uuid) -> Result<Tag> {
        self.flow.store().read("tag-get", move |conn| gyre_query::get(conn, &caller, uuid)).await
    }
}

#[tonic::async_trait]
impl TagService for TagApi {
    async fn create_tag(&self, request: Request<CreateTagRequest>) -> std::result::Result<Response<Tag>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let tag = given("tag", request.tag.clone())?;
        if let Some(mut owner) = self.elsewhere(&tag)? {
            return owner.create_tag(caller.request(request)).await;
        }
        let id = request.request_id.clone();
        let made = once(self.flow.store(), caller, "CreateTag", &id, &request, move |conn, change| {
            tags::add(conn, change, tag)
        });
        Ok(Response::new(made.await?))
    }

    async fn get_tag(&self, request: Request<GetTagRequest>) -> std::result::Result<Response<Tag>, Status> {
        let caller = caller(&request)?;
        let uuid = uuid(Tag::KIND, &request.get_ref().uuid)?;
        Ok(Response::new(self.read(caller, uuid).await?))
    }

    async fn list_tags(
        &self,
        request: Request<ListTagsRequest>,
    ) -> std::result::Result<Response<ListTagsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let list = move |conn: &mut gyre_store::Conn| gyre_query::list(conn, &caller, request.page());
        Ok(Response::new(self.flow.store().search("tag-list", list).await?))
    }

    async fn delete_tag(
        &self,
        request: Request<DeleteTagRequest>,
    ) -> std::result::Result<Response<DeleteTagResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let uuid = uuid(Tag::KIND, &request.uuid)?;
        // one that is gone may be so by this very wish: whoever remembers it knows
        if let Ok(tag) = self.read(caller, uuid).await
            && let Some(mut owner) = self.elsewhere(&tag)?
        {
            return owner.delete_tag(caller.request(request)).await;
        }
        let id = request.request_id.clone();
        let deleted = once(self.flow.store(), caller, "DeleteTag", &id, &request, move |conn, change| {
            tags::remove(conn, change, uuid)?;
            Ok(DeleteTagResponse {})
        });
        Ok(Response::new(deleted.await?))
    }
}
