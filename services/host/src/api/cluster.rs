//! Clusters: rows only, but for their deletion. Their ratios decide what their hosts have to give, so a change of those changes the hosts too.

use gyre_flow::{Delete, once};
use gyre_mesh::serve::caller;
use gyre_model::error::Violation;
use gyre_model::{Error, Result, Uuid};
use gyre_proto::ListRequest;
use gyre_proto::common::v1::Operation;
use gyre_proto::host::v1::cluster_service_server::ClusterService;
use gyre_proto::host::v1::{
    Cluster, CreateClusterRequest, DeleteClusterRequest, GetClusterRequest, Host, ListClustersRequest,
    ListClustersResponse, UpdateClusterRequest, Zone,
};
use gyre_query::{Change, settings};
use gyre_store::{Conn, Sql};
use tonic::{Request, Response, Status};

use super::{Api, new_uuid, uuid};
use crate::capacity::{self, CPU_OVERCOMMIT, MEMORY_OVERCOMMIT};
use crate::store::host::change_host;

/// Puts the defaults in, and refuses what is out of bounds.
fn ratios(cluster: &mut Cluster) -> Result<()> {
    if cluster.cpu_overcommit == 0 {
        cluster.cpu_overcommit = CPU_OVERCOMMIT;
    }
    if cluster.memory_overcommit == 0 {
        cluster.memory_overcommit = MEMORY_OVERCOMMIT;
    }
    let bounds = [
        ("cluster.cpu_overcommit", cluster.cpu_overcommit, 1..=64),
        ("cluster.memory_overcommit", cluster.memory_overcommit, 50..=400),
    ];
    let broken: Vec<_> = bounds
        .into_iter()
        .filter(|(_, value, bounds)| !bounds.contains(value))
        .map(|(field, value, bounds)| Violation {
            field: field.to_owned(),
            description: format!("must be between {} and {}, got {value}", bounds.start(), bounds.end()),
        })
        .collect();
    if broken.is_empty() { Ok(()) } else { Err(Error::invalid_fields(broken)) }
}

/// Puts what the settings say into a new cluster, where its creation does not.
fn preset(conn: &mut Conn, cluster: &mut Cluster, zone: Uuid) -> Result<()> {
    let at = Some(("zone", zone));
    let mut read = |name: &str, default: i32| {
        let found = settings::number(conn, name, at, i64::from(default))?;
        Ok::<_, Error>(i32::try_from(found).unwrap_or(default))
    };
    if cluster.cpu_overcommit == 0 {
        cluster.cpu_overcommit = read("cluster.cpu-overcommit", CPU_OVERCOMMIT)?;
    }
    if cluster.memory_overcommit == 0 {
        cluster.memory_overcommit = read("cluster.memory-overcommit", MEMORY_OVERCOMMIT)?;
    }
    Ok(())
}

/// Gives the hosts of a cluster the capacity that follows from its ratios.
fn recompute_hosts(conn: &mut Conn, change: &Change, cluster: &Cluster, uuid: Uuid) -> Result<()> {
    // in one order, so that two of these do not wait for each other
    let hosts: Vec<Host> = gyre_query::select(conn, Sql::new("cluster_uuid = ").bind(uuid).sql(" ORDER BY uuid"))?;
    for mut host in hosts {
        if capacity::recompute(&mut host, cluster) {
            let host = super::uuid("host.uuid", &host.uuid)?;
            change_host(conn, change, host, |_, host| Ok(capacity::recompute(host, cluster)))?;
        }
    }
    Ok(())
}

#[tonic::async_trait]
impl ClusterService for Api {
    async fn create_cluster(&self, request: Request<CreateClusterRequest>) -> Result<Response<Cluster>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut cluster = request.cluster.clone().unwrap_or_default();
        cluster.uuid = new_uuid("cluster.uuid", &cluster.uuid)?.to_string();
        let zone = uuid("cluster.zone_uuid", &cluster.zone_uuid)?;
        // what is said is looked at before anything else
        ratios(&mut cluster.clone())?;
        let insert = move |conn: &mut _, change: &_| {
            gyre_query::get::<Zone>(conn, &caller, zone)?;
            preset(conn, &mut cluster, zone)?;
            ratios(&mut cluster)?;
            gyre_query::insert(conn, change, &cluster)
        };
        Ok(Response::new(once(&self.0.store, caller, "CreateCluster", &request.request_id, &request, insert).await?))
    }

    async fn get_cluster(&self, request: Request<GetClusterRequest>) -> Result<Response<Cluster>, Status> {
        let caller = caller(&request)?;
        let uuid = uuid("uuid", &request.get_ref().uuid)?;
        let read = move |conn: &mut _| gyre_query::get(conn, &caller, uuid);
        Ok(Response::new(self.0.store.read("cluster-get", read).await?))
    }

    async fn list_clusters(
        &self,
        request: Request<ListClustersRequest>,
    ) -> Result<Response<ListClustersResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let read = move |conn: &mut _| gyre_query::list(conn, &caller, request.page());
        Ok(Response::new(self.0.store.search("cluster-list", read).await?))
    }

    async fn update_cluster(&self, request: Request<UpdateClusterRequest>) -> Result<Response<Cluster>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let patch = request.cluster.clone().unwrap_or_default();
        let uuid = uuid("cluster.uuid", &patch.uuid)?;
        let mask = request.update_mask.clone();
        let update = move |conn: &mut _, change: &_| {
            let now: Cluster = gyre_query::get(conn, &caller, uuid)?;
            let mut next = gyre_query::apply_mask(&now, &patch, mask.as_ref())?;
            ratios(&mut next)?;
            let next = gyre_query::update_from(conn, change, &now, &next)?;
            if (now.cpu_overcommit, now.memory_overcommit) != (next.cpu_overcommit, next.memory_overcommit) {
                recompute_hosts(conn, change, &next, uuid)?;
            }
            Ok(next)
        };
        Ok(Response::new(once(&self.0.store, caller, "UpdateCluster", &request.request_id, &request, update).await?))
    }

    async fn delete_cluster(&self, request: Request<DeleteClusterRequest>) -> Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let delete = Delete { caller, workflow: "delete-cluster", request: &request, binned: false };
        Ok(Response::new(self.0.flow.delete(delete, |_, _: &Cluster| Ok(())).await?))
    }
}
