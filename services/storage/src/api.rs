//! The calls: adapters from messages to rows, operations and streams. What the rules are stands in [`crate::store`].

mod image_servers;
mod images;
mod primary_storages;
mod upload;
mod volumes;

use std::time::Duration;

use gyre_flow::{Flow, Submit};
use gyre_model::{Caller, Result, Uuid};
use gyre_proto::common::v1::Operation;
use gyre_proto::storage::v1::image_server_service_server::ImageServerServiceServer;
use gyre_proto::storage::v1::image_service_server::ImageServiceServer;
use gyre_proto::storage::v1::primary_storage_service_server::PrimaryStorageServiceServer;
use gyre_proto::storage::v1::volume_service_server::VolumeServiceServer;
use gyre_proto::{FieldMask, ListRequest, Message, Named, Page, Resource};
use gyre_query::Change;
use gyre_store::Conn;
use tonic::service::Routes;
use tonic::{Response, Status};

use crate::hosts::Limits;
use crate::store::{SYSTEM, hold, uuid_of};
use upload::Uploads;

/// The calls of this service.
#[derive(Clone)]
pub(crate) struct Api {
    flow: Flow,
    limits: Limits,
    uploads: Uploads,
}

/// A change of some fields of one resource.
struct Patch<'a, R> {
    resource: R,
    mask: Option<FieldMask>,
    request_id: &'a str,
}

impl Api {
    pub(crate) fn new(flow: Flow, limits: Limits, upload_pause: Duration) -> Self {
        Self { flow, limits, uploads: Uploads::new(upload_pause) }
    }

    /// All servers.
    pub(crate) fn routes(&self) -> Routes {
        let routes = Routes::new(PrimaryStorageServiceServer::new(self.clone()))
            .add_service(ImageServerServiceServer::new(self.clone()))
            .add_service(ImageServiceServer::new(self.clone()))
            .add_service(VolumeServiceServer::new(self.clone()));
        self.flow.answer(routes)
    }

    async fn get<R: Resource + 'static>(&self, caller: Caller, uuid: &str) -> Result<Response<R>, Status> {
        let uuid = uuid_of("uuid", uuid)?;
        let row = self.flow.store().read("get", move |conn| gyre_query::get(conn, &caller, uuid)).await?;
        Ok(Response::new(row))
    }

    async fn list<P, L>(&self, caller: Caller, request: L) -> Result<Response<P>, Status>
    where
        P: Page + Send + 'static,
        L: ListRequest + Send + 'static,
    {
        let page =
            self.flow.store().search("list", move |conn| gyre_query::list(conn, &caller, request.page())).await?;
        Ok(Response::new(page))
    }

    /// Changes some fields, after a check of the row as it is and as it would be.
    async fn update<R, Q>(
        &self,
        caller: Caller,
        method: &'static str,
        request: &Q,
        patch: Patch<'_, R>,
        check: impl FnOnce(&mut Conn, &R, &mut R) -> Result<()> + Clone + Send + Sync + 'static,
    ) -> Result<Response<R>, Status>
    where
        R: Resource + Clone + 'static,
        Q: Message,
    {
        let Patch { resource, mask, request_id } = patch;
        let uuid = uuid_of("uuid", resource.uuid())?;
        let changed = gyre_flow::once(self.flow.store(), caller, method, request_id, request, move |conn, change| {
            hold::<R>(conn, uuid)?;
            let before: R = gyre_query::get(conn, &change.caller, uuid)?;
            let mut after = gyre_query::apply_mask(&before, &resource, mask.as_ref())?;
            check(conn, &before, &mut after)?;
            gyre_query::update_from(conn, change, &before, &after)
        });
        Ok(Response::new(changed.await?))
    }

    /// Whether a deletion puts something into the bin: there is one, and what it is can be recovered. What is not there is told by who
    /// deletes it.
    async fn goes_to_bin<R: Resource + 'static>(&self, uuid: Uuid, can: fn(&R) -> bool) -> Result<bool> {
        let found = self.flow.store().read("bin-find", move |conn| {
            let row = gyre_query::find::<R>(conn, &SYSTEM, uuid)?;
            Ok(row.as_ref().is_none_or(can) && !gyre_flow::bin::delay(conn, R::KIND, uuid)?.is_zero())
        });
        found.await
    }

    /// Starts a workflow on something that is there. Where other work is under way the first step looks whether it is as it must be, when its
    /// turn comes; otherwise the closure does at once.
    async fn work<R: Resource + 'static, M: Named>(
        &self,
        (caller, workflow): (Caller, &'static str),
        uuid: &str,
        wish: (&str, &M),
        check: impl FnOnce(&mut Conn, &R) -> Result<()> + Clone + Send + Sync + 'static,
    ) -> Result<Response<Operation>, Status> {
        let uuid = uuid_of("uuid", uuid)?;
        self.submit((caller, workflow), uuid, wish, move |conn, _| {
            let row: R = gyre_query::get(conn, &caller, uuid)?;
            if gyre_flow::busy(conn, uuid)? { Ok(()) } else { check(conn, &row) }
        })
        .await
    }

    /// Starts a workflow with the rows that it begins with.
    async fn submit<M: Named>(
        &self,
        (caller, workflow): (Caller, &'static str),
        resource: Uuid,
        (request_id, input): (&str, &M),
        rows: impl FnOnce(&mut Conn, &Change) -> Result<()> + Clone + Send + Sync + 'static,
    ) -> Result<Response<Operation>, Status> {
        let submit = Submit { caller, workflow, resource, request_id, input };
        Ok(Response::new(self.flow.submit(submit, rows).await?))
    }
}
