//! Hosts. What needs the agent is an operation; what only says what operators want is a row.

use gyre_flow::{Delete, Submit, busy, once};
use gyre_mesh::serve::caller;
use gyre_model::{Caller, Error, Result, Uuid};
use gyre_proto::ListRequest;
use gyre_proto::common::v1::Operation;
use gyre_proto::host::v1::host_service_server::HostService;
use gyre_proto::host::v1::{
    Cluster, CreateHostRequest, DeleteHostRequest, DisableHostRequest, EnableHostRequest, GetHostRequest, Host,
    HostState, HostStatus, ListHostsRequest, ListHostsResponse, ReconnectHostRequest, UpdateHostRequest,
};
use gyre_query::{Change, settings};
use gyre_store::Conn;
use tonic::{Request, Response, Status};

use super::{Api, new_uuid, uuid};
use crate::capacity;
use crate::store::host::{change_host, cluster_of};

/// A host as it begins, of what its creator may say.
fn new_host(wanted: &Host, uuid: Uuid, cluster: &Cluster) -> Host {
    Host {
        uuid: uuid.to_string(),
        name: wanted.name.clone(),
        description: wanted.description.clone(),
        cluster_uuid: cluster.uuid.clone(),
        zone_uuid: cluster.zone_uuid.clone(),
        address: address(&wanted.address),
        reserved_memory_bytes: wanted.reserved_memory_bytes,
        tags: wanted.tags.clone(),
        state: HostState::Disabled.into(),
        status: HostStatus::Connecting.into(),
        status_time: Some(gyre_model::time::now()),
        ..Host::default()
    }
}

/// An address in the one form in which addresses are compared.
fn address(text: &str) -> String {
    text.trim().to_ascii_lowercase()
}

/// Sets what operators want of a host. One that is so already is left as it is.
fn set_state(conn: &mut Conn, change: &Change, uuid: Uuid, state: HostState) -> Result<Host> {
    let written = change_host(conn, change, uuid, |_, host| {
        let other = host.state() != state;
        host.set_state(state);
        Ok(other)
    })?;
    written.map(|(host, _)| host).ok_or_else(|| Error::not_found("host", uuid))
}

#[tonic::async_trait]
impl HostService for Api {
    async fn create_host(&self, request: Request<CreateHostRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let wanted = request.host.clone().unwrap_or_default();
        let resource = new_uuid("host.uuid", &wanted.uuid)?;
        let cluster = uuid("host.cluster_uuid", &wanted.cluster_uuid)?;
        let submit =
            Submit { caller, workflow: "create-host", resource, request_id: &request.request_id, input: &request };
        let rows = move |conn: &mut Conn, change: &Change| {
            let cluster: Cluster = gyre_query::get(conn, &caller, cluster)?;
            let mut host = new_host(&wanted, resource, &cluster);
            if host.reserved_memory_bytes == 0 {
                let at = Some(("cluster", uuid("host.cluster_uuid", &cluster.uuid)?));
                host.reserved_memory_bytes = settings::number(conn, "host.reserved-memory", at, 0)?;
            }
            gyre_query::insert(conn, change, &host).map(drop)
        };
        Ok(Response::new(self.0.flow.submit(submit, rows).await?))
    }

    async fn get_host(&self, request: Request<GetHostRequest>) -> Result<Response<Host>, Status> {
        let caller = caller(&request)?;
        let uuid = uuid("uuid", &request.get_ref().uuid)?;
        let read = move |conn: &mut _| gyre_query::get(conn, &caller, uuid);
        Ok(Response::new(self.0.store.read("host-get", read).await?))
    }

    async fn list_hosts(&self, request: Request<ListHostsRequest>) -> Result<Response<ListHostsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let read = move |conn: &mut _| gyre_query::list(conn, &caller, request.page());
        Ok(Response::new(self.0.store.search("host-list", read).await?))
    }

    async fn update_host(&self, request: Request<UpdateHostRequest>) -> Result<Response<Host>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut patch = request.host.clone().unwrap_or_default();
        patch.address = address(&patch.address);
        let uuid = uuid("host.uuid", &patch.uuid)?;
        let mask = request.update_mask.clone();
        let update = move |conn: &mut Conn, change: &Change| {
            let now: Host = gyre_query::get(conn, &caller, uuid)?;
            let mut next = gyre_query::apply_mask(&now, &patch, mask.as_ref())?;
            let cluster = cluster_of(conn, &next)?;
            capacity::recompute(&mut next, &cluster);
            gyre_query::update_from(conn, change, &now, &next)
        };
        let host = once(&self.0.store, caller, "UpdateHost", &request.request_id, &request, update).await?;
        // the session goes to where the agent is now
        self.0.sessions.wake();
        Ok(Response::new(host))
    }

    async fn delete_host(&self, request: Request<DeleteHostRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let delete = Delete { caller, workflow: "delete-host", request: &request, binned: false };
        Ok(Response::new(self.0.flow.delete(delete, |_, _: &Host| Ok(())).await?))
    }

    async fn reconnect_host(&self, request: Request<ReconnectHostRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let resource = uuid("uuid", &request.uuid)?;
        let submit =
            Submit { caller, workflow: "reconnect-host", resource, request_id: &request.request_id, input: &request };
        let rows = move |conn: &mut Conn, _: &Change| gyre_query::get::<Host>(conn, &caller, resource).map(drop);
        Ok(Response::new(self.0.flow.submit(submit, rows).await?))
    }

    async fn enable_host(&self, request: Request<EnableHostRequest>) -> Result<Response<Host>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let uuid = uuid("uuid", &request.uuid)?;
        let set = move |conn: &mut _, change: &_| {
            refuse_while_busy(conn, &caller, uuid)?;
            set_state(conn, change, uuid, HostState::Enabled)
        };
        Ok(Response::new(once(&self.0.store, caller, "EnableHost", &request.request_id, &request, set).await?))
    }

    async fn disable_host(&self, request: Request<DisableHostRequest>) -> Result<Response<Host>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let uuid = uuid("uuid", &request.uuid)?;
        let set = move |conn: &mut _, change: &_| {
            refuse_while_busy(conn, &caller, uuid)?;
            set_state(conn, change, uuid, HostState::Disabled)
        };
        Ok(Response::new(once(&self.0.store, caller, "DisableHost", &request.request_id, &request, set).await?))
    }
}

/// A host that is being added or removed takes its state from that.
fn refuse_while_busy(conn: &mut Conn, caller: &Caller, uuid: Uuid) -> Result<()> {
    let host: Host = gyre_query::get(conn, caller, uuid)?;
    if busy(conn, uuid)? {
        return Err(Error::unavailable(
            "HOST_BUSY",
            format!("an operation runs on host {} ({uuid}): wait for its end and try again", host.name),
        )
        .with("host_uuid", uuid.to_string()));
    }
    Ok(())
}
