//! Two instances and one host: the ring moves, and the session with it.

use std::sync::Arc;

use gyre_agent::{Agent, AgentConfig, Simulation, WorkKind};
use gyre_host::{NAME, Service};
use gyre_mesh::Mesh;
use gyre_mesh::member::{LocalMembership, Member};
use gyre_mesh::serve::layered;
use gyre_model::{Caller, Result, Uuid};
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{MachineSpec, StartMachine, Task};
use gyre_proto::common::v1::WaitOperationRequest;
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::host::v1::cluster_service_client::ClusterServiceClient;
use gyre_proto::host::v1::host_service_client::HostServiceClient;
use gyre_proto::host::v1::host_task_service_client::HostTaskServiceClient;
use gyre_proto::host::v1::zone_service_client::ZoneServiceClient;
use gyre_proto::host::v1::{
    Cluster, CreateClusterRequest, CreateHostRequest, CreateZoneRequest, GetHostRequest, Host, HostStatus,
    RunTaskRequest, RunTaskResponse, Zone,
};
use gyre_proto::vm::v1::machine_report_service_server::MachineReportServiceServer;
use gyre_store::{Sql, Store};
use tonic::Streaming;
use tonic::service::Routes;

use crate::support::{self, Reports, config, eventually, outcome, reason, so, uuid};

/// A process of the mesh, as far as hosts are concerned.
struct Process {
    mesh: Mesh,
    membership: Arc<LocalMembership>,
    service: Service,
}

impl Process {
    async fn start(store: &Store, agent: &Agent, reports: &Reports) -> Self {
        let membership = Arc::new(LocalMembership::new());
        let mesh = Mesh::new(Uuid::new_v4(), membership.clone(), None);
        let service = Service::start(mesh.clone(), store.clone(), config()).await.unwrap();
        mesh.serve_local(NAME, layered(service.routes(), &mesh, NAME));
        let vm = Routes::new(MachineReportServiceServer::new(reports.clone()));
        mesh.serve_local("vm", layered(vm, &mesh, "vm"));
        support::serve(&mesh, "a:1", agent);
        Self { mesh, membership, service }
    }

    /// Lets this process see an instance as the only one.
    fn see(&self, epoch: i64, owner: Uuid) {
        let member = |service: &str, uuid| Member::new(uuid, service, "local");
        self.membership.set(epoch, vec![member(NAME, owner), member("vm", self.mesh.instance())]);
    }

    async fn host(&self) -> Host {
        let channel = || self.mesh.channel(NAME).on_behalf_of(Caller::system());
        let zone = Zone { name: "z".into(), ..Zone::default() };
        let request = CreateZoneRequest { zone: Some(zone), ..Default::default() };
        let zone = ZoneServiceClient::new(channel()).create_zone(request).await.unwrap().into_inner();
        let cluster = Cluster { name: "c".into(), zone_uuid: zone.uuid, ..Cluster::default() };
        let request = CreateClusterRequest { cluster: Some(cluster), ..Default::default() };
        let cluster = ClusterServiceClient::new(channel()).create_cluster(request).await.unwrap().into_inner();
        let host = Host { name: "h".into(), cluster_uuid: cluster.uuid, address: "a:1".into(), ..Host::default() };
        let request = CreateHostRequest { host: Some(host), ..Default::default() };
        let operation = HostServiceClient::new(channel()).create_host(request).await.unwrap().into_inner();
        let wait = WaitOperationRequest { uuid: operation.uuid, timeout: None };
        OperationServiceClient::new(channel()).wait_operation(wait).await.unwrap();
        self.get(&operation.resource_uuid).await
    }

    async fn get(&self, uuid: &str) -> Host {
        let mut hosts = HostServiceClient::new(self.mesh.channel(NAME).on_behalf_of(Caller::system()));
        hosts.get_host(GetHostRequest { uuid: uuid.into() }).await.unwrap().into_inner()
    }

    async fn stream(&self, host: &str, id: &str, vm: &str) -> Result<Streaming<RunTaskResponse>> {
        let machine = MachineSpec { vm_uuid: vm.into(), cpu_count: 1, memory_bytes: 1 << 30, ..Default::default() };
        let work = Some(Work::StartMachine(StartMachine { machine: Some(machine) }));
        let task = Some(Task { id: id.into(), work, ..Task::default() });
        let mut tasks = HostTaskServiceClient::new(self.mesh.channel(NAME));
        Ok(tasks.run_task(RunTaskRequest { host_uuid: host.into(), task }).await?.into_inner())
    }
}

async fn fence(store: &Store, host: &str) -> i64 {
    let uuid = gyre_model::parse_uuid(host).unwrap();
    let sql = Sql::new("SELECT fence FROM host_fence WHERE host_uuid = ").bind(uuid);
    store.read("test", move |conn| conn.query_one(sql)?.unwrap().int(0)).await.unwrap()
}

#[tokio::test]
async fn the_new_owner_takes_the_session_and_tasks_are_joined_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = gyre_store::testing::store(folder.path()).await.unwrap();
    let (agent, reports) =
        (Agent::start(AgentConfig::simulated(Simulation::default())).await.unwrap(), Reports::default());
    let first = Process::start(&store, &agent, &reports).await;
    let second = Process::start(&store, &agent, &reports).await;
    let (a, b) = (first.mesh.instance(), second.mesh.instance());
    first.see(1, a);
    second.see(1, a);
    let host = first.host().await;
    assert_eq!((host.status(), fence(&store, &host.uuid).await), (HostStatus::Connected, 1));

    agent.faults().unwrap().delay(gyre_agent::Delay::of(std::time::Duration::from_millis(600)));
    let vm = uuid();
    let events = first.stream(&host.uuid, "op/start", &vm).await.unwrap();
    eventually("it runs", || async { so(agent.faults().unwrap().seen(WorkKind::StartMachine) == 1, ()) }).await;

    // the ring moves
    first.see(2, b);
    second.see(2, b);
    assert_eq!(reason(outcome(events).await), "HOST_MOVED", "its callers go to the new owner");
    let joined = second.stream(&host.uuid, "op/start", &vm).await.unwrap();
    outcome(joined).await.unwrap();
    assert_eq!(agent.faults().unwrap().seen(WorkKind::StartMachine), 1, "joined, not begun twice");
    assert_eq!(fence(&store, &host.uuid).await, 2);
    let after = second.get(&host.uuid).await;
    assert_eq!((after.status(), after.generation), (HostStatus::Connected, host.generation), "nobody wrote a word");

    // an instance that believes to own it still has no say, although it takes a fence for itself: the ring settles it
    first.service.shutdown(std::time::Duration::from_secs(5)).await;
    second.service.shutdown(std::time::Duration::from_secs(5)).await;
}

#[tokio::test]
async fn two_that_both_believe_to_own_a_host_end_with_one_session() {
    let folder = tempfile::tempdir().unwrap();
    let store = gyre_store::testing::store(folder.path()).await.unwrap();
    let (agent, reports) =
        (Agent::start(AgentConfig::simulated(Simulation::default())).await.unwrap(), Reports::default());
    let first = Process::start(&store, &agent, &reports).await;
    let second = Process::start(&store, &agent, &reports).await;
    let (a, b) = (first.mesh.instance(), second.mesh.instance());
    first.see(1, a);
    second.see(1, a);
    let host = first.host().await;
    // the second sees itself as the owner, the first has not heard of it
    second.see(2, b);
    eventually("the second took it", || async {
        let fence = fence(&store, &host.uuid).await;
        so(fence >= 2, fence)
    })
    .await;
    // now the first hears of it
    first.see(2, b);
    let done = eventually("tasks run at the second", || async {
        let events = second.stream(&host.uuid, "op/start", &uuid()).await.map_err(|error| error.to_string())?;
        outcome(events).await.map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(done.task_id, "op/start");
    assert_eq!(second.get(&host.uuid).await.status(), HostStatus::Connected);
    first.service.shutdown(std::time::Duration::from_secs(5)).await;
    second.service.shutdown(std::time::Duration::from_secs(5)).await;
}
