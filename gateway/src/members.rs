//! `MemberService`, which the gateway answers itself: the members as it sees them.

use gyre_mesh::Mesh;
use gyre_proto::common::v1::member_service_server::MemberService;
use gyre_proto::common::v1::{ListMembersRequest, ListMembersResponse};
use tonic::{Request, Response, Status};

/// Answers from this process's view of the mesh.
#[derive(Debug, Clone)]
pub struct Members {
    mesh: Mesh,
}

impl Members {
    /// Members of this mesh.
    pub fn new(mesh: Mesh) -> Self {
        Self { mesh }
    }
}

#[async_trait::async_trait]
impl MemberService for Members {
    async fn list_members(&self, _: Request<ListMembersRequest>) -> Result<Response<ListMembersResponse>, Status> {
        let view = self.mesh.view();
        let members = view.all().map(|member| member.as_ref().into()).collect();
        Ok(Response::new(ListMembersResponse { members, epoch: view.epoch() }))
    }
}
