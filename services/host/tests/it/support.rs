//! A world for a test: a mesh, a database of its own, the host service, simulated agents.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use gyre_agent::{Agent, AgentConfig, Simulation};
use gyre_host::{Config, NAME, Service};
use gyre_mesh::serve::layered;
use gyre_mesh::{Mesh, MeshChannel};
use gyre_model::{Caller, Error, Result, Uuid, parse_uuid};
use gyre_proto::Resource;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{Task, TaskOutcome};
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::common::v1::{Operation, OperationState, WaitOperationRequest};
use gyre_proto::host::v1::cluster_service_client::ClusterServiceClient;
use gyre_proto::host::v1::host_service_client::HostServiceClient;
use gyre_proto::host::v1::host_task_service_client::HostTaskServiceClient;
use gyre_proto::host::v1::placement_service_client::PlacementServiceClient;
use gyre_proto::host::v1::run_task_response::Event;
use gyre_proto::host::v1::zone_service_client::ZoneServiceClient;
use gyre_proto::host::v1::{
    Cluster, CreateClusterRequest, CreateHostRequest, CreateZoneRequest, GetHostRequest, Host, ReservePlacementRequest,
    ReservePlacementResponse, RunTaskRequest, RunTaskResponse, Zone,
};
use gyre_proto::vm::v1::machine_report_service_server::{MachineReportService, MachineReportServiceServer};
use gyre_proto::vm::v1::{
    MendMachineRequest, MendMachineResponse, ReportMachinesRequest, ReportMachinesResponse, SeenMachine,
};
use gyre_query::Change;
use gyre_store::{Row, Sql, Store};
use parking_lot::Mutex;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

pub const GIB: i64 = 1 << 30;

/// The machines' service, as far as hosts know it.
#[derive(Clone, Default)]
pub struct Reports {
    all: Arc<Mutex<Vec<ReportMachinesRequest>>>,
    /// Machines about which it disagrees with what hosts say.
    disagrees: Arc<Mutex<Vec<SeenMachine>>>,
    /// Machines that it does not know.
    unknown: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl MachineReportService for Reports {
    async fn report_machines(
        &self,
        request: Request<ReportMachinesRequest>,
    ) -> Result<Response<ReportMachinesResponse>, Status> {
        let request = request.into_inner();
        let mut answer = ReportMachinesResponse::default();
        if request.seen.is_empty() && request.connected {
            answer.ask = self.disagrees.lock().clone();
            answer.unknown_vm_uuids = self.unknown.lock().clone();
        }
        self.all.lock().push(request);
        Ok(Response::new(answer))
    }

    async fn mend_machine(
        &self,
        _request: Request<MendMachineRequest>,
    ) -> Result<Response<MendMachineResponse>, Status> {
        Ok(Response::new(MendMachineResponse::default()))
    }
}

impl Reports {
    pub fn disagree(&self, vm_uuid: &str, generation: i64) {
        self.disagrees.lock().push(SeenMachine { vm_uuid: vm_uuid.to_owned(), generation });
    }

    pub fn agree(&self) {
        self.disagrees.lock().clear();
    }

    pub fn knows_not(&self, unknown: &[String]) {
        *self.unknown.lock() = unknown.to_vec();
    }

    pub fn of(&self, host: &str) -> Vec<ReportMachinesRequest> {
        self.all.lock().iter().filter(|report| report.host_uuid == host).cloned().collect()
    }
}

/// Short times, but a grace that a busy machine does not use up.
pub fn config() -> Config {
    Config {
        heartbeat: Duration::from_millis(100),
        missed: 15,
        connect_timeout: Duration::from_secs(3),
        reconnect_first: Duration::from_millis(20),
        reconnect_longest: Duration::from_millis(200),
        scan_period: Duration::from_millis(200),
        ..Config::default()
    }
}

pub struct World {
    pub mesh: Mesh,
    pub store: Store,
    pub service: Service,
    pub reports: Reports,
    pub cluster: String,
    pub zone: String,
    _folder: tempfile::TempDir,
}

/// A simulated agent at an address.
pub async fn agent_at(mesh: &Mesh, address: &str, cpus: i32, memory_bytes: i64) -> Agent {
    let simulation = Simulation { cpus, memory_bytes, ..Simulation::default() };
    let agent = Agent::start(AgentConfig::simulated(simulation)).await.unwrap();
    serve(mesh, address, &agent);
    agent
}

pub fn serve(mesh: &Mesh, address: &str, agent: &Agent) {
    mesh.serve_address(address, layered(Routes::new(agent.service()), mesh, "agent"));
}

impl World {
    pub async fn new() -> Self {
        Self::with(config()).await
    }

    pub async fn with(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mesh, store, reports) =
            (Mesh::local(), gyre_store::testing::store(folder.path()).await.unwrap(), Reports::default());
        let service = Service::start(mesh.clone(), store.clone(), config).await.unwrap();
        mesh.host(NAME, service.routes()).await.unwrap();
        mesh.host("vm", Routes::new(MachineReportServiceServer::new(reports.clone()))).await.unwrap();
        let mut world =
            Self { mesh, store, service, reports, cluster: String::new(), zone: String::new(), _folder: folder };
        world.zone = world.create_zone("z").await.unwrap().uuid;
        world.cluster = world.create_cluster(Cluster::default()).await.unwrap().uuid;
        world
    }

    pub fn channel(&self) -> MeshChannel {
        self.mesh.channel(NAME).on_behalf_of(Caller::system())
    }

    pub fn zones(&self) -> ZoneServiceClient<MeshChannel> {
        ZoneServiceClient::new(self.channel())
    }

    pub fn clusters(&self) -> ClusterServiceClient<MeshChannel> {
        ClusterServiceClient::new(self.channel())
    }

    pub fn hosts(&self) -> HostServiceClient<MeshChannel> {
        HostServiceClient::new(self.channel())
    }

    pub fn tasks(&self) -> HostTaskServiceClient<MeshChannel> {
        HostTaskServiceClient::new(self.channel())
    }

    pub async fn agent(&self, address: &str) -> Agent {
        agent_at(&self.mesh, address, 8, 32 * GIB).await
    }

    pub async fn create_zone(&self, name: &str) -> Result<Zone> {
        let zone = Zone { name: name.into(), ..Zone::default() };
        let request = CreateZoneRequest { zone: Some(zone), ..CreateZoneRequest::default() };
        Ok(self.zones().create_zone(request).await?.into_inner())
    }

    pub async fn create_cluster(&self, cluster: Cluster) -> Result<Cluster> {
        let cluster = Cluster { name: "c".into(), zone_uuid: self.zone.clone(), ..cluster };
        let request = CreateClusterRequest { cluster: Some(cluster), ..CreateClusterRequest::default() };
        Ok(self.clusters().create_cluster(request).await?.into_inner())
    }

    pub async fn submit_host(&self, host: Host) -> Result<Operation> {
        let cluster_uuid = if host.cluster_uuid.is_empty() { self.cluster.clone() } else { host.cluster_uuid.clone() };
        let host = Host { cluster_uuid, ..host };
        let request = CreateHostRequest { host: Some(host), ..CreateHostRequest::default() };
        Ok(self.hosts().create_host(request).await?.into_inner())
    }

    /// Adds a host whose agent is there, and answers it as it is then.
    pub async fn host(&self, name: &str, address: &str) -> Host {
        self.host_like(Host { name: name.into(), address: address.into(), ..Host::default() }).await
    }

    pub async fn host_like(&self, host: Host) -> Host {
        let operation = self.submit_host(host).await.unwrap();
        let ended = self.end(operation).await;
        assert_eq!(ended.state(), OperationState::Succeeded, "{:?}", ended.error);
        self.get(&ended.resource_uuid).await.unwrap()
    }

    pub async fn get(&self, uuid: &str) -> Result<Host> {
        Ok(self.hosts().get_host(GetHostRequest { uuid: uuid.into() }).await?.into_inner())
    }

    /// Waits for the end of an operation.
    pub async fn end(&self, operation: Operation) -> Operation {
        let mut client = OperationServiceClient::new(self.channel());
        let request = WaitOperationRequest { uuid: operation.uuid, timeout: None };
        client.wait_operation(request).await.unwrap().into_inner()
    }

    pub async fn fence(&self, host: &str) -> i64 {
        let uuid = parse_uuid(host).unwrap();
        let sql = Sql::new("SELECT fence FROM host_fence WHERE host_uuid = ").bind(uuid);
        self.row(sql).await.map_or(0, |row| row.int(0).unwrap())
    }

    pub async fn row(&self, sql: Sql) -> Option<Row> {
        self.store.read("test", move |conn| Ok(conn.query_one(sql)?)).await.unwrap()
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        self.row(Sql::new(sql)).await.unwrap().int(0).unwrap()
    }

    pub async fn execute(&self, sql: Sql) {
        self.store.write("test", move |conn| Ok(conn.execute(sql)?)).await.unwrap();
    }

    /// Writes what another service would have.
    pub async fn insert<R: Resource + 'static>(&self, resource: R) {
        let insert = move |conn: &mut _| gyre_query::insert(conn, &Change::by(Caller::system()), &resource).map(drop);
        self.store.write("test", insert).await.unwrap();
    }

    pub async fn reserve(&self, request: ReservePlacementRequest) -> Result<ReservePlacementResponse> {
        let mut client = PlacementServiceClient::new(self.channel());
        Ok(client.reserve_placement(request).await?.into_inner())
    }

    pub async fn stream(&self, host: &str, id: &str, work: Work) -> Result<Streaming<RunTaskResponse>> {
        let task = Task { id: id.into(), work: Some(work), ..Task::default() };
        let request = RunTaskRequest { host_uuid: host.into(), task: Some(task) };
        Ok(self.tasks().run_task(request).await?.into_inner())
    }

    pub async fn run(&self, host: &str, id: &str, work: Work) -> Result<TaskOutcome> {
        outcome(self.stream(host, id, work).await?).await
    }
}

/// The outcome of a task, as its stream tells it.
pub async fn outcome(mut events: Streaming<RunTaskResponse>) -> Result<TaskOutcome> {
    let mut over = None;
    while let Some(event) = events.next().await {
        match event?.event {
            Some(Event::Outcome(outcome)) => over = Some(outcome),
            Some(Event::Progress(_)) => assert!(over.is_none(), "progress after the outcome"),
            None => {}
        }
    }
    let outcome = over.expect("a stream ends with an outcome");
    match outcome.error {
        Some(error) => Err(error.into()),
        None => Ok(outcome),
    }
}

/// Waits until something is so, and says what it was last where it never is.
pub async fn eventually<T, F: Future<Output = std::result::Result<T, String>>>(what: &str, look: impl Fn() -> F) -> T {
    let mut last = String::new();
    for _ in 0..1500 {
        match look().await {
            Ok(found) => return found,
            Err(why) => last = why,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: {last}");
}

/// A condition with what was seen.
pub fn so(yes: bool, seen: impl std::fmt::Debug) -> std::result::Result<(), String> {
    if yes { Ok(()) } else { Err(format!("{seen:?}")) }
}

/// The reason of a failure.
pub fn reason<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().reason().to_owned()
}

/// The reason why an operation failed.
pub fn failure(operation: &Operation) -> Error {
    assert_eq!(operation.state(), OperationState::Failed, "{operation:?}");
    operation.error.clone().expect("a failed operation says why").into()
}

pub fn uuid() -> String {
    Uuid::new_v4().to_string()
}
